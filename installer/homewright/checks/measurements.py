"""What is measured for the checks beside the facts: between servers, and on their disks."""

from __future__ import annotations

from functools import cached_property
from typing import Literal

from homewright.checks.models import Document


class Pair(Document):
    """The way from one server to another, as measured on the first."""

    source: str
    target: str
    rtt_ms: float | None = None
    """Mean round trip, milliseconds."""
    loss_percent: float | None = None
    """Packets that got no answer, of a hundred."""
    mtu: int | None = None
    """The largest IPv4 packet that gets through in one piece, bytes, its header included."""
    error: str = ""
    """Why something could not be measured: no ping there, no connection."""


class Measurements(Document):
    """All that was measured; what is missing was not."""

    version: Literal[1] = 1
    pairs: tuple[Pair, ...] = ()
    """Every ordered pair of servers."""
    disk_ms: dict[str, float] = {}
    """By server: the 99th percentile of fdatasync after small writes in the account's home, milliseconds."""
    resolves: dict[str, dict[str, tuple[str, ...]]] = {}
    """By server: what it makes of the other servers' names; they win over the facts' own, being newer."""
    resolvers_answer: dict[str, dict[str, bool]] = {}
    """By server: whether each of its resolvers answers at all."""
    outbound: dict[str, dict[str, bool]] = {}
    """By server: whether it gets out, by `udp/9993`; only what the site needs is tried."""
    errors: dict[str, dict[str, str]] = {}
    """By server and by the name of the field above: why it could not be measured."""

    @cached_property
    def _pairs(self) -> dict[tuple[str, str], Pair]:
        return {(pair.source, pair.target): pair for pair in self.pairs}

    def pair(self, source: str, target: str) -> Pair | None:
        """The way from one server to the other; None where it was not measured."""
        return self._pairs.get((source, target))

    def why_not(self, host: str, what: str) -> str:
        """Why something was not measured there."""
        return self.errors.get(host, {}).get(what, "it was not measured")
