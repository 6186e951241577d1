"""Whether a run is to be gone on with at boot: decided from its row alone. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from homewright.engine.journal.records import RunRecord
from homewright.engine.schedule import PAUSED
from homewright.engine.states import Action, State


@dataclass(frozen=True, slots=True)
class Due:
    """What the unit does with the latest run."""

    go: bool
    """It is gone on with."""
    keep: bool
    """The unit stays: something is left, now or once somebody has said so."""
    why: str


def look(latest: RunRecord | None) -> Due:
    """A run that was cut off goes on; one that failed or was cancelled waits for the operator, and needs no unit."""
    if latest is None:
        return Due(False, False, "Nothing was run yet.")
    if latest.state is not State.INTERRUPTED:
        return Due(False, not latest.state.final, f"The last run is {latest.state}.")
    if latest.action is Action.VERIFY:
        return Due(False, False, "It only proved; nothing was left half done.")
    if latest.reason.startswith(PAUSED):
        return Due(False, True, f"{latest.reason} It goes on once you say so: homewright resume")
    return Due(True, True, "It was cut off.")
