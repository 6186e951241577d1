"""What needs root, and nothing else: each act is one request in, one reply out, and can be repeated at any time."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from homewright.errors import Busy, LabError
from homewright.lab import base_image, before, breaking, daemon, machine, mending, packages, places, sweep
from homewright.lab import image as images
from homewright.lab.lxd import READY_KEY, Lxd, PlaceTaken, in_use
from homewright.lab.mirror import Mirror
from homewright.lab.models import USER, Fault, LabServer, Place
from homewright.lab.shell import run

Say = Callable[[str], None]
Act = Literal["look", "install", "image", "base", "up", "down", "power", "cable", "break", "mend"]

BOOT_S = 60.0
"""A server boots in about 5 s on two cores; three at once, on a busy machine, in 20."""

ANOTHER_ACT_S = 300.0
"""How long to wait for a root part whose command was killed: at most an image build."""


@dataclass
class Request:
    """One act and what it is about. It travels on standard input: it may hold the password."""

    act: Act
    folder: str = ""
    """The lab's folder."""
    image_folder: str = ""
    owner: tuple[int, int] = (0, 0)
    packages: list[str] = field(default_factory=list)
    number: int = 0
    backend: str = "private"
    socket: str | None = None
    fresh: bool = False
    """Nothing that may be left of an earlier lab is kept."""
    servers: list[tuple[str, str]] = field(default_factory=list)
    """Name and address."""
    keyless: list[str] = field(default_factory=list)
    """The servers whose host keys are not on record yet."""
    password: str = ""
    name: str = ""
    wanted: bool = True
    unplugged: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    """What to break, or to mend, on the server `name`."""
    mirror: Mirror | None = None
    """What the image takes over from this machine, as the user sees it."""

    @property
    def image(self) -> images.Image:
        assert self.mirror is not None
        return images.image(Path(self.image_folder), self.mirror)

    @property
    def place(self) -> Place:
        return Place(number=self.number)

    @property
    def mark(self) -> str:
        """What marks things as this lab's."""
        return places.owner(Path(self.folder))

    @property
    def daemon_folder(self) -> Path:
        return Path(self.folder) / "daemon"


@dataclass
class Reply:
    """What an act found or did."""

    changed: bool = False
    socket: str | None = None
    host_keys: dict[str, list[str]] = field(default_factory=dict)
    daemon: tuple[int, int] | None = None
    """The private daemon's process id and when it started."""


def perform(request: Request, say: Say) -> Reply:
    """Do an act; the caller is root. Raises LabError."""
    if request.act == "look":
        machine.require_namespaces()
        return Reply(socket=in_use())
    if request.act == "install":
        packages.install(request.packages, say)
        return Reply(changed=True)
    with _alone(request, say):
        return _ACTS[request.act](request, say)


@contextlib.contextmanager
def _alone(request: Request, say: Say) -> Iterator[None]:
    """One root part a lab: that of a killed command may still be at work."""
    folder = Path(request.image_folder if request.act in ("image", "base") else request.folder)
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise LabError(
            f"Root cannot enter {folder}.",
            f"{error.strerror}; a network file system perhaps, which root of this machine may not read.",
            ["keep the state and the cache on a local disk: XDG_STATE_HOME, XDG_CACHE_HOME"],
        ) from error
    try:
        deadline = time.monotonic() + ANOTHER_ACT_S
        waiting = False
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise Busy(
                        "Another command works on the practice servers.",
                        f"It has held {folder} for {ANOTHER_ACT_S:.0f} s.",
                        [f"see which: sudo fuser -v {folder}"],
                    ) from None
                if not waiting:
                    say("waiting for another command that works on the practice servers")
                    waiting = True
                time.sleep(0.1)
        yield
    finally:
        os.close(descriptor)


def _image(request: Request, say: Say) -> Reply:
    assert request.mirror is not None
    if request.image.is_cached:
        return Reply()
    images.build(request.image, request.mirror, request.owner, say)
    return Reply(changed=True)


def _base(request: Request, say: Say) -> Reply:
    assert request.mirror is not None
    wanted = base_image.archive(Path(request.image_folder), request.mirror)
    if wanted.exists():
        return Reply()
    base_image.build(wanted, request.mirror, request.owner, say)
    return Reply(changed=True)


def _up(request: Request, say: Say) -> Reply:
    changed = False
    lxd: Lxd | None = None
    process: tuple[int, int] | None = None
    try:
        with places.choosing():
            if request.backend == "shared":
                lxd = Lxd(request.socket or "", request.place, request.mark, shared=True)
                if request.fresh:
                    lxd.remove_all(_together)
                    _require_free(request.place)
            else:
                running, changed = _private_daemon(request, say)
                process = (running.pid, running.ticks)
                lxd = Lxd(running.socket, request.place, request.mark, shared=False)
            changed = lxd.ensure_network() or changed
        changed = lxd.ensure_image(request.image) or changed
        made, keys = _servers(lxd, request, say)
        return Reply(changed=changed or made, host_keys=keys, daemon=process)
    finally:
        if lxd is not None:
            lxd.close()


def _require_free(place: Place) -> None:
    if not places.is_free(place):
        raise PlaceTaken(f"The network {place.network} is taken.", f"{place.bridge}, or its range, is in use.", [])


def _private_daemon(request: Request, say: Say) -> tuple[daemon.Running, bool]:
    folder, place = request.daemon_folder, request.place
    running = daemon.load(folder)
    if running is not None and running.is_alive and not request.fresh:
        return running, False
    if request.fresh:
        if sweep.sweep(folder, place):
            say("took away what an unfinished command had left")
        _require_free(place)
    elif sweep.stop_leftovers(folder, place):
        say("took away what the daemon had left; the servers' disks are kept")
    say("starting a private LXD daemon")
    return daemon.start(folder, place.project), True


_ACCOUNT = """\
printf 'nameserver %s\\n' "$1" > /etc/resolv.conf
id -u "$2" > /dev/null 2>&1 || useradd --create-home --shell /bin/bash --groups sudo "$2"
chpasswd
"""
"""In a server, as root: resolver, account, password from standard input."""

_HOST_KEYS = """\
tries=0
for kind in ed25519 ecdsa rsa; do
  while ! [ -s /etc/ssh/ssh_host_"$kind"_key.pub ]; do
    tries=$((tries + 1))
    [ $tries -lt 600 ] || { echo "no host keys: systemd did not get that far" >&2; exit 1; }
    sleep 0.1
  done
  cut -d' ' -f1,2 /etc/ssh/ssh_host_"$kind"_key.pub
done
"""
"""In a server, as root: prints its public host keys, as soon as they are made."""


def _servers(lxd: Lxd, request: Request, say: Say) -> tuple[bool, dict[str, list[str]]]:
    existing = lxd.servers()
    keys: dict[str, list[str]] = {}
    changed: list[str] = []

    def one(server: LabServer) -> None:
        instance = existing.get(server.name)
        keyless = server.name in request.keyless
        if instance is not None and instance.config.get(READY_KEY) != "true":
            lxd.delete(instance)
            instance = None
        if instance is None:
            instance = lxd.create(server)
            changed.append(server.name)
            lxd.tell(instance, _ACCOUNT, request.place.gateway, USER, stdin=f"{USER}:{request.password}\n")
            lxd.mark_ready(instance)
            keyless = True
        elif instance.status != "Running":
            lxd.start(instance)
            changed.append(server.name)
        if keyless:
            keys[server.name] = lxd.perform(instance, _HOST_KEYS).split("\n")[:-1]
        interface = request.place.interface(server.name)
        if not is_plugged(interface):
            set_cable(interface, True)
            changed.append(server.name)
        wait_for_ssh(server.name, server.address)

    servers = [LabServer(name=name, address=address) for name, address in request.servers]
    missing = [server.name for server in servers if server.name not in existing]
    if missing:
        say(f"making {', '.join(missing)}")
    _together(one, servers)
    return bool(changed), keys


def _together(act: Callable[[Any], None], items: Sequence[Any]) -> None:
    """Do one thing to many at the same time; the first error is raised once all have ended."""
    with ThreadPoolExecutor(max_workers=max(1, min(4, len(items)))) as pool:
        for future in [pool.submit(act, item) for item in items]:
            future.result()


def _down(request: Request, say: Say) -> Reply:
    changed = _remove(request)
    before.put_back()
    return Reply(changed=changed)


def _remove(request: Request) -> bool:
    place, folder = request.place, request.daemon_folder
    found = False
    if request.backend == "shared":
        lxd = Lxd(request.socket or "", place, request.mark, shared=True)
        try:
            return lxd.remove_all(_together)
        finally:
            lxd.close()
    running = daemon.load(folder)
    if running is not None and running.is_alive:
        # The tidy way first, so that LXD itself takes back what it has told the firewall; the sweep is for the rest.
        with contextlib.suppress(LabError):
            lxd = Lxd(running.socket, place, request.mark, shared=False)
            try:
                found = lxd.remove_all(_together)
            finally:
                lxd.close()
        daemon.stop(running)
    return sweep.sweep(folder, place) or found


def _instance(lxd: Lxd, name: str) -> Any:
    instance = lxd.servers().get(name)
    if instance is None:
        raise LabError(f"There is no practice server {name}.", "", ["see which there are: homewright lab status"])
    return instance


def _open(request: Request) -> Lxd:
    if request.backend == "shared":
        return Lxd(request.socket or "", request.place, request.mark, shared=True)
    running = daemon.load(request.daemon_folder)
    if running is None or not running.is_alive:
        raise LabError(
            "The private LXD daemon is gone.",
            "This machine was started anew, or the daemon was killed.",
            ["start it again, with the servers as they were: homewright lab up"],
        )
    return Lxd(running.socket, request.place, request.mark, shared=False)


def _power(request: Request, say: Say) -> Reply:
    lxd = _open(request)
    try:
        instance = _instance(lxd, request.name)
        if (instance.status == "Running") == request.wanted:
            return Reply(changed=False)
        if not request.wanted:
            lxd.stop(instance)
            return Reply(changed=True)
        lxd.start(instance)
        if request.name in request.unplugged:
            set_cable(request.place.interface(request.name), False)
        else:
            wait_for_ssh(request.name, dict(request.servers)[request.name])
        return Reply(changed=True)
    finally:
        lxd.close()


def _break(request: Request, say: Say) -> Reply:
    lxd = _open(request)
    try:
        breaking.break_all(lxd, _instance(lxd, request.name), request.faults)
    finally:
        lxd.close()
    return Reply(changed=True)


def _mend(request: Request, say: Say) -> Reply:
    lxd = _open(request)
    try:
        mending.mend_all(lxd, _instance(lxd, request.name), request.faults)
    finally:
        lxd.close()
    return Reply(changed=True)


def _cable(request: Request, say: Say) -> Reply:
    interface = request.place.interface(request.name)
    if not (Path("/sys/class/net") / interface).exists():
        return Reply(changed=False)
    if is_plugged(interface) == request.wanted:
        return Reply(changed=False)
    set_cable(interface, request.wanted)
    return Reply(changed=True)


def is_plugged(interface: str) -> bool:
    """Whether the host's end of a cable is up."""
    try:
        flags = int((Path("/sys/class/net") / interface / "flags").read_text(encoding="ascii"), 16)
    except OSError:
        return False
    return bool(flags & 1)


def set_cable(interface: str, plugged: bool) -> None:
    """Pull a cable, or put it in."""
    run(
        ["ip", "link", "set", interface, "up" if plugged else "down"],
        what=f"The cable {interface} could not be {'plugged in' if plugged else 'pulled'}.",
    )


def greets(address: str, timeout: float = 1.0) -> bool:
    """Whether sshd greets at this address."""
    try:
        with socket.create_connection((address, 22), timeout=timeout) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def wait_for_ssh(name: str, address: str) -> None:
    """Wait until sshd greets. Raises LabError."""
    deadline = time.monotonic() + BOOT_S
    while not greets(address):
        if time.monotonic() > deadline:
            raise LabError(
                f"{name} does not answer.",
                f"Its sshd at {address} has not greeted for {BOOT_S:.0f} s.",
                ["try again: homewright lab up", "or start over: homewright lab down, homewright lab up"],
            )
        time.sleep(0.1)


_ACTS: dict[Act, Callable[[Request, Say], Reply]] = {
    "image": _image,
    "base": _base,
    "up": _up,
    "down": _down,
    "power": _power,
    "cable": _cable,
    "break": _break,
    "mend": _mend,
}
