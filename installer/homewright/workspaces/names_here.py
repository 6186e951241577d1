"""Whether names of the site's zone are found on this machine, as its own programs look them up."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

KEPT_S = 30.0
"""How long an answer holds: lists are made anew every few seconds, and a resolver is seldom changed."""
LIMIT_S = 2.0
"""How long somebody waits for an answer: a dead DNS server takes five seconds and more, for each name."""

Resolve = Callable[[str], frozenset[str]]


def looked_up(name: str) -> frozenset[str]:
    """The IPv4 addresses that programs of this machine find for a name; none where they find nothing."""
    try:
        found = socket.getaddrinfo(name, None, socket.AF_INET, socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return frozenset()
    return frozenset(str(address[0]) for *_, address in found)


@dataclass
class _Asked:
    at: float
    answered: threading.Event = field(default_factory=threading.Event)
    addresses: frozenset[str] = frozenset()


class NamesHere:
    """Lookups that are kept for a while. Safe to be asked by several threads."""

    def __init__(self, resolve: Resolve = looked_up, limit_s: float = LIMIT_S) -> None:
        self._resolve = resolve
        self._limit_s = limit_s
        self._lock = threading.Lock()
        self._asked: dict[str, _Asked] = {}
        self._silent_until = 0.0
        """After a lookup that took too long nobody waits for the next ones."""

    def lead_to(self, name: str, address: str) -> bool:
        """Whether this machine finds this address, and no other, under a name.

        Waits for `limit_s` seconds at most; an answer that comes later counts from then on.
        """
        now = time.monotonic()
        with self._lock:
            asked = self._asked.get(name)
            if asked is None or (asked.answered.is_set() and now - asked.at > KEPT_S):
                asked = self._asked[name] = _Asked(now)
                threading.Thread(target=self._look_up, args=(name, asked), daemon=True).start()
            wait_s = 0.0 if now < self._silent_until else self._limit_s
        if not asked.answered.wait(wait_s):
            with self._lock:
                self._silent_until = max(self._silent_until, now + KEPT_S)
            return False
        return asked.addresses == {address}

    def _look_up(self, name: str, asked: _Asked) -> None:
        asked.addresses = self._resolve(name)
        asked.answered.set()
