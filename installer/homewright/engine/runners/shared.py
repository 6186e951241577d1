"""Connections that several proofs share: one to each host, with as many commands at a time as its sshd allows."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from homewright.access.connection import Connection
from homewright.access.endpoint import Endpoint
from homewright.errors import HomewrightError

SESSIONS = 8
"""Commands at a time on one connection; sshd's own limit is ten (MaxSessions)."""
AWAY_S = 30.0
"""How long a host that could not be reached is not tried again: others would wait for it one after the other."""


class SharedConnections:
    """Opened when first asked for, and closed together. Its methods may be called from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._opening: dict[Endpoint, threading.Lock] = {}
        self._open: dict[Endpoint, Connection] = {}
        self._away: dict[Endpoint, tuple[float, HomewrightError | None]] = {}
        self._turns: dict[Endpoint, threading.BoundedSemaphore] = {}

    def to(self, endpoint: Endpoint) -> Connection:
        """The connection to a host. Raises Unreachable or HostKeyError, again without a try for a while."""
        with self._lock:
            opening = self._opening.setdefault(endpoint, threading.Lock())
        with opening:
            found = self._open.get(endpoint)
            if found is not None and found.alive:
                return found
            since, error = self._away.get(endpoint, (0.0, None))
            if error is not None and time.monotonic() - since < AWAY_S:
                raise error
            try:
                below = self.to(endpoint.through) if endpoint.through is not None else None
                found = self._open[endpoint] = Connection.open(endpoint, below=below)
            except HomewrightError as failure:
                self._away[endpoint] = (time.monotonic(), failure)
                raise
            return found

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
            connections = list(self._open.values())
            self._open.clear()
        for connection in connections:
            connection.close()
