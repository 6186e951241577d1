"""Exactly one engine a site: a flock for the engine's life, and who holds it.

Viewers never take the lock, not even to try it (an engine that starts in that moment would find the site taken): they
look whether the process that wrote its name into the file is still the one that it was.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pwd
import socket
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from homewright.errors import Busy, StateError
from homewright.site.paths import StateFolder, remedies

FINISHING_S = 15.0
"""How long a new engine waits for one that has recorded its end and is on its way out."""


@dataclass(frozen=True, slots=True)
class Holder:
    """The engine that holds a site."""

    pid: int
    ticks: int
    """When the process started, in clock ticks since boot: tells it from a later one with the same number."""
    boot: str
    host: str
    user: str
    run: str
    since: float
    finishing: bool = False

    def described(self) -> str:
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.since))
        return f"run {self.run} by {self.user} on {self.host} (process {self.pid}), since {since}"


class EngineLock:
    """The engine's lock, held until `release` or the process's end. The descriptor is not inherited by children."""

    def __init__(self, descriptor: int, holder: Holder) -> None:
        self._descriptor = descriptor
        self.holder = holder

    @classmethod
    def take(cls, state: StateFolder, run: str) -> EngineLock:
        """Raises Busy, with who holds it, and StateError where the file cannot be made."""
        try:
            descriptor = os.open(state.engine_lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StateError(
                f"The engine's lock {state.engine_lock} cannot be made.",
                f"{error.strerror}.",
                remedies(state.root, error),
            ) from error
        limit = time.monotonic() + FINISHING_S
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                found = _read(state.engine_lock)
                if (found is None or found.finishing) and time.monotonic() < limit:
                    time.sleep(0.02)
                    continue
                os.close(descriptor)
                raise busy(found) from None
        mine = cls(descriptor, _myself(run))
        mine._write()
        return mine

    def finishing(self) -> None:
        """Say that this engine has recorded its end, so that the next one waits instead of giving up."""
        self.holder = replace(self.holder, finishing=True)
        self._write()

    def release(self) -> None:
        with contextlib.suppress(OSError):
            os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)

    def _write(self) -> None:
        data = json.dumps(asdict(self.holder)).encode()
        with contextlib.suppress(OSError):  # on a full disk the lock itself still holds
            os.pwrite(self._descriptor, data.ljust(512), 0)


def busy(holder: Holder | None) -> Busy:
    """The error for a site that another engine holds."""
    return Busy(
        "Another engine is at work on this site.",
        f"It is {holder.described()}." if holder else "It has not said its name yet.",
        ["watch it: homewright attach", "or wait until it has finished: homewright status"],
    )


def holder(state: StateFolder) -> Holder | None:
    """The engine that is alive and holds this site; None where there is none."""
    found = _read(state.engine_lock)
    return found if found is not None and _lives(found) else None


def boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def start_ticks(pid: int) -> int | None:
    """When a process started, in clock ticks since boot; None where there is none (or a zombie)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in ("Z", "X") else int(fields[19])


def _lives(found: Holder) -> bool:
    return found.boot == boot_id() and start_ticks(found.pid) == found.ticks


def _myself(run: str) -> Holder:
    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        user = str(os.getuid())
    ticks = start_ticks(os.getpid())
    return Holder(os.getpid(), ticks or 0, boot_id(), socket.gethostname(), user, run, time.time())


def _read(file: Path) -> Holder | None:
    try:
        return Holder(**json.loads(file.read_text()))
    except (OSError, ValueError, TypeError):
        return None
