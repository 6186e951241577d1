"""How far a run is, weighted by how long its steps are expected to take. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from homewright.engine.states import State

ALMOST = 0.95
"""A step that takes longer than expected stays here until it has ended."""


@dataclass(frozen=True)
class Portion:
    """One step's share of a run."""

    minutes: float
    """Expected."""
    state: State
    elapsed_s: float = 0.0
    """How long it has been running."""


def progress(portions: Iterable[Portion]) -> float:
    """Percent done (0 to 100), by expectation."""
    total = done = 0.0
    for portion in portions:
        expected = max(portion.minutes * 60, 0.5)
        total += expected
        if portion.state is State.RUNNING:
            done += min(portion.elapsed_s / expected, ALMOST) * expected
        elif portion.state is not State.PENDING:
            done += expected
    return round(100 * done / total, 1) if total else 100.0
