"""What runners leave behind: found by a mark in their environment, which every descendant inherits, also one that made
a session of its own (a playbook on its terminal, a master connection of ssh)."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import time
from pathlib import Path

from homewright.engine.launch import MARK
from homewright.site.paths import StateFolder


def site_mark(state: StateFolder) -> str:
    """What the marks of all runs of one site begin with."""
    return hashlib.sha256(os.fsencode(state.root.resolve())).hexdigest()[:16] + ":"


def found(mark: str) -> list[int]:
    """Processes of ours whose mark begins with this; never the caller itself."""
    wanted = f"{MARK}={mark}".encode()
    result = []
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            environment = Path(f"/proc/{entry.name}/environ").read_bytes()
            if any(variable.startswith(wanted) for variable in environment.split(b"\0")):
                result.append(int(entry.name))
    return result


def end(mark: str, *, ask_s: float = 0.0, limit_s: float = 10.0) -> list[int]:
    """End them: asked first for `ask_s` seconds, then by force. Returns those that are left after `limit_s`."""
    begin = time.monotonic()
    left = found(mark)
    asked = False
    while left and time.monotonic() - begin < limit_s:
        forced = time.monotonic() - begin >= ask_s
        if forced or not asked:
            for pid in left:
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL if forced else signal.SIGTERM)
        asked = True
        time.sleep(0.02)
        left = found(mark)
    return left


def described(pids: list[int]) -> str:
    """Process numbers and names, for an error."""
    names = []
    for pid in pids[:5]:
        with contextlib.suppress(OSError):
            names.append(f"{pid} ({Path(f'/proc/{pid}/comm').read_text().strip()})")
    return ", ".join(names)
