"""The lab's own mirror: a container registry and a web server for files, on the lab's bridge; how such services run.

They run as the user, with a folder of the lab as their working folder; what has that and was started as they are is one
of them. So what a killed command has left is found without a list of process ids, and nothing else is ever ended.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from homewright.errors import LabError
from homewright.lab import go
from homewright.lab.models import Place
from homewright.lab.programs import named
from homewright.lab.shell import environment
from homewright.mirror.layout import Descriptor, Layout
from homewright.mirror.registry import Place as ImagePlace
from homewright.mirror.registry import Registry
from homewright.site import mirrors
from homewright.site.models import MirrorSettings
from homewright.site.paths import cache_home, make_folder, write_atomically

REGISTRY_PORT = 5000
FILES_PORT = 5001

READY_S = 60.0
"""The registry answers after a second; on a busy machine it may take many."""

END_S = 5.0

_CONFIGURATION = """\
version: 0.1
log: {{level: warn, accesslog: {{disabled: true}}}}
storage:
  filesystem: {{rootdirectory: {storage}}}
  maintenance: {{uploadpurging: {{enabled: true, age: 1h, interval: 1h, dryrun: false}}}}
http:
  addr: {address}
"""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Service:
    """One of them."""

    name: str
    words: tuple[str, ...]
    url: str
    """Answers 200 when it is ready."""
    part: str = "The practice servers' mirror"
    """What it belongs to, as messages say it."""
    again: str = "homewright lab up --cluster"
    """What has it started."""
    stdin: bytes = b""
    """What it reads there: a secret, which no disk is to see."""


def settings(place: Place) -> MirrorSettings:
    """What the practice site says of its mirror."""
    return MirrorSettings(
        images=f"{place.gateway}:{REGISTRY_PORT}",
        plain_http=True,
        files=f"http://{place.gateway}:{FILES_PORT}",
    )


def storage() -> Path:
    """Where the registry keeps what was pushed: in the cache, so that a new lab has it at once."""
    return cache_home() / "lab" / "registry"


def files() -> Path:
    """What the web server gives out, below the names of the servers that it is from."""
    return cache_home() / "lab" / "files"


def services(folder: Path, place: Place) -> tuple[Service, ...]:
    """The mirror's two, as they are started in this folder."""
    registry = go.program(named("registry"), "registry")
    python = [sys.executable, "-I", "-m", "http.server", "--bind", place.gateway]
    mirror = settings(place)
    return (
        Service("registry", (str(registry), "serve", str(folder / "registry.yml")), f"http://{mirror.images}/v2/"),
        Service("files", (*python, "--directory", str(files()), str(FILES_PORT)), f"{mirror.files}/"),
    )


def running(folder: Path) -> list[int]:
    """The processes of the services in a folder, whichever command has started them."""
    return list(commands(folder))


def commands(folder: Path) -> dict[int, tuple[str, ...]]:
    """The same, each with the words that it was started with."""
    found = {}
    wanted = os.path.realpath(folder)
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):  # somebody else's, or gone meanwhile
                # A folder that was removed under them has its name with a remark.
                if str((entry / "cwd").readlink()).removesuffix(" (deleted)") == wanted and is_service(
                    command := (entry / "cmdline").read_bytes()
                ):
                    found[int(entry.name)] = tuple(command.decode(errors="replace").split("\0")[:-1])
    return found


def is_service(command: bytes) -> bool:
    """Whether a process was started as one of them: a shell in their folder is none of theirs."""
    words = command.decode(errors="replace").split("\0")
    registry = len(words) > 2 and words[1] == "serve" and words[2].endswith("/registry.yml")
    kwok = words[0].endswith("/kwok") and words[1:2] == ["--config"]
    return registry or kwok or words[1:4] == ["-I", "-m", "http.server"]


def are_up(folder: Path, place: Place) -> bool:
    """Whether both run and answer."""
    wanted = services(folder, place)
    return len(running(folder)) == len(wanted) and all(answers(service.url) for service in wanted)


def ensure(folder: Path, place: Place, say: Say) -> bool:
    """Have both running and answering; whether anything had to be started. Raises LabError with the end of a log."""
    folder = folder.resolve()
    wanted = services(folder, place)
    if are_up(folder, place):
        return False
    stop(folder)
    for needed in (folder, storage(), files()):
        make_folder(needed)
    text = _CONFIGURATION.format(storage=json.dumps(str(storage())), address=f"{place.gateway}:{REGISTRY_PORT}")
    write_atomically(folder / "registry.yml", text.encode())
    say(f"starting the practice servers' mirror: {settings(place).images}")
    for service in wanted:
        start(service, folder)
    return True


def start(service: Service, folder: Path) -> None:
    """Start one and wait until it answers; it outlives this command. Raises LabError with the end of its log."""
    if answers(service.url):
        # What is pushed must never reach a registry of somebody else's.
        stop(folder)
        raise LabError(
            f"{service.part} cannot start ({service.name}).",
            f"Another program answers at {service.url}, and it is not this lab's.",
            ["see which: ss -ltnp", f"end it, then again: {service.again}"],
        )
    log = folder / f"{service.name}.log"
    with log.open("wb") as handle, _given(service.stdin) as given:
        process = subprocess.Popen(
            service.words,
            stdin=given,
            stdout=handle,
            stderr=handle,
            cwd=folder,
            # What a user has set up for himself is not the lab's.
            env=environment({"OTEL_TRACES_EXPORTER": "none", "HOME": str(folder)}),
            start_new_session=True,
        )
    deadline = time.monotonic() + READY_S
    while True:
        code = process.poll()
        # It is ours that answers if it lives before and after: a second one at an address ends at once.
        if code is None and answers(service.url) and (code := process.poll()) is None:
            break
        if code is None and time.monotonic() < deadline:
            time.sleep(0.05)
            continue
        said = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-3:]
        ended = f"It ended with {code}" if code is not None else f"It has not answered for {READY_S:.0f} s"
        stop(folder)
        raise LabError(
            f"{service.part} did not start ({service.name}).",
            f"{ended}: {' | '.join(said)[-400:]}",
            [f"free what it names ({service.url}), then again: {service.again}"],
        )
    process.returncode = 0  # it outlives this command on purpose; nobody waits for it


@contextlib.contextmanager
def _given(data: bytes) -> Iterator[int]:
    """A file in memory with this, as often as it is opened; nothing at all where there is none."""
    if not data:
        yield subprocess.DEVNULL
        return
    descriptor = os.memfd_create("stdin", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, data)
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield descriptor
    finally:
        os.close(descriptor)


def answers(url: str) -> bool:
    """Whether a web server gives 200 for this address."""
    try:
        with urllib.request.urlopen(url, timeout=2.0) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError, ValueError):
        return False


def stop(folder: Path) -> bool:
    """End the services of this folder; whether there were any. Raises LabError for one that does not go."""
    found = False
    deadline = time.monotonic() + END_S
    while left := running(folder):
        found = True
        late = time.monotonic() > deadline
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL if late else signal.SIGTERM)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)  # ours, where this very command has started it
        if time.monotonic() > deadline + END_S:
            raise LabError(
                "A service of the practice servers would not end.",
                f"Process {left[0]} is still there.",
                [f"look at it: ps -o pid,stat,wchan,args -p {left[0]}"],
            )
        time.sleep(0.05)
    return found


def push(images: Mapping[str, Descriptor], layout: Layout, place: Place, say: Say) -> list[str]:
    """Bring these images into the registry under the names that nodes pull; those that were missing there.

    Raises MirrorError.
    """
    mirror = settings(place)
    registry = Registry(str(mirror.images), plain_http=True)
    pushed = []
    for reference, image in images.items():
        target = ImagePlace.of(mirrors.image(mirror, reference))
        if registry.push(target.repository, target.tag, image, layout):
            pushed.append(reference)
    if pushed:
        say(f"pushed {len(pushed)} images to {mirror.images}")
    return pushed
