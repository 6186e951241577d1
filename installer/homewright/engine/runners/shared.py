"""What several proofs share: one connection to each host, with as many commands at a time as its sshd allows, and what
they reach by other ways than SSH."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar

from homewright.access.connection import Connection
from homewright.access.endpoint import Endpoint
from homewright.errors import HomewrightError

SESSIONS = 8
"""Commands at a time on one connection; sshd's own limit is ten (MaxSessions)."""
AWAY_S = 30.0
"""How long a host that could not be reached is not tried again: others would wait for it one after the other."""


class _Closes(Protocol):
    def close(self) -> None: ...


Kept = TypeVar("Kept", bound=_Closes)


class SharedConnections:
    """Opened when first asked for, and closed together. Its methods may be called from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._opening: dict[Hashable, threading.Lock] = {}
        self._open: dict[Endpoint, Connection] = {}
        self._others: dict[Hashable, _Closes] = {}
        self._away: dict[Hashable, tuple[float, HomewrightError | None]] = {}
        self._turns: dict[Endpoint, threading.BoundedSemaphore] = {}

    def to(self, endpoint: Endpoint) -> Connection:
        """The connection to a host. Raises Unreachable or HostKeyError, again without a try for a while."""
        with self._one_at_a_time(endpoint):
            found = self._open.get(endpoint)
            if found is not None and found.alive:
                return found
            with self._tried(endpoint):
                below = self.to(endpoint.through) if endpoint.through is not None else None
                found = self._open[endpoint] = Connection.open(endpoint, below=below)
            return found

    def kept(self, name: Hashable, make: Callable[[], Kept]) -> Kept:
        """What was made under this name before, or is made now. Raises as `make`, again without a try for a while."""
        with self._one_at_a_time(name):
            found: Kept | None = self._others.get(name)  # type: ignore[assignment]  # made by the same `make`
            if found is None:
                with self._tried(name):
                    found = self._others[name] = make()
            return found

    @contextmanager
    def _one_at_a_time(self, name: Hashable) -> Iterator[None]:
        with self._lock:
            opening = self._opening.setdefault(name, threading.Lock())
        with opening:
            yield

    @contextmanager
    def _tried(self, name: Hashable) -> Iterator[None]:
        since, error = self._away.get(name, (0.0, None))
        if error is not None and time.monotonic() - since < AWAY_S:
            raise error
        try:
            yield
        except HomewrightError as failure:
            self._away[name] = (time.monotonic(), failure)
            raise

    @contextmanager
    def turn(self, endpoint: Endpoint) -> Iterator[None]:
        """Wait until one more command may run there."""
        with self._lock:
            turns = self._turns.setdefault(endpoint, threading.BoundedSemaphore(SESSIONS))
        with turns:
            yield

    def close(self) -> None:
        """Hang up on all of them."""
        with self._lock:
            closing: list[_Closes] = [*self._others.values(), *self._open.values()]
            self._others.clear()
            self._open.clear()
        for one in closing:
            one.close()
