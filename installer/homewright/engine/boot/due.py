"""Whether a run is to be gone on with at boot: decided from its row, and from what was asked of its engine. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from homewright.engine.journal.records import RunRecord
from homewright.engine.states import PAUSED, Action, State


@dataclass(frozen=True, slots=True)
class Due:
    """What the unit does with the latest run."""

    go: bool
    """It is gone on with."""
    keep: bool
    """The unit stays: something is left, now or once somebody has said so."""
    why: str


def look(latest: RunRecord | None, *, held: bool = False, paused: bool = False) -> Due:
    """A run that was cut off goes on; one that failed or was cancelled waits for the operator, and needs no unit.

    `held` says that its last engine only proved and waited for a word: how the run stood before is not in its row then,
    and a run that has failed must not go on because somebody looked at it. `paused` says that a pause was asked for
    last; it may not have come yet.
    """
    if latest is None:
        return Due(False, False, "Nothing was run yet.")
    if latest.state is not State.INTERRUPTED:
        return Due(False, not latest.state.final, f"The last run is {latest.state}.")
    if latest.action is Action.VERIFY:
        return Due(False, False, "It only proved; nothing was left half done.")
    if held:
        return Due(False, True, "Somebody was looking at it. It goes on once you say so: homewright resume")
    if paused and not latest.reason.startswith(PAUSED):
        return Due(False, True, "A pause was asked for. It goes on once you say so: homewright resume")
    if latest.reason.startswith(PAUSED):
        return Due(False, True, f"{latest.reason} It goes on once you say so: homewright resume")
    return Due(True, True, "It was cut off.")
