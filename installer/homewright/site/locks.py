"""Locks between processes around a read-modify-write; held for milliseconds, never for a run."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from homewright.errors import StateError

WAIT = 10.0
"""Seconds; a save takes a few milliseconds, a slow disk's fsync a second or two."""


@contextmanager
def hold(path: Path, *, wait: float = WAIT) -> Iterator[None]:
    """Hold the lock on a folder, or on a lock file that is made (0600) where it is missing.

    Waits up to `wait` seconds for another holder. Raises StateError after that, and where the path cannot be opened.
    """
    try:
        if path.is_dir():
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        else:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise StateError(
            f"{path} cannot be locked.", f"{error.strerror or error}.", ["mend its permissions, or free some space"]
        ) from error
    try:
        _wait_for(descriptor, path, wait)
        yield
    finally:
        os.close(descriptor)  # which releases the lock


def _wait_for(descriptor: int, path: Path, wait: float) -> None:
    deadline = time.monotonic() + wait
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise StateError(
                    f"{path} is in use.",
                    f"Another process has held it for {wait:.0f} s.",
                    [f"see which: fuser -v {path}", "end it, or try again"],
                ) from None
            time.sleep(0.02)
