"""States of a run, a step and a step on one host. Plain enums: viewers import this before anything heavy."""

from __future__ import annotations

from enum import StrEnum

PAUSED = "Paused"
"""How the reason of a run begins that is paused."""


class State(StrEnum):
    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"
    ROLLED_BACK = "rolled-back"
    INCOMPLETE = "incomplete"

    @property
    def final(self) -> bool:
        """Whether nothing more happens by itself."""
        return self not in (State.PENDING, State.RUNNING)


class Action(StrEnum):
    """What a runner is asked to do with a step."""

    RUN = "run"
    VERIFY = "verify"
    ROLLBACK = "rollback"
    RECOVER = "recover"
    CAPTURE = "capture"
    """Record what rollback needs of the state before: `capture(host)` of the x8 file, once per step and host."""
    LOOK = "look"
    """See what is there of the things that the step declares to change; touches nothing."""


class Verdict(StrEnum):
    """What a proof (x8) found. Cannot-tell never causes a re-run."""

    PROVED = "proved"
    BROKEN = "broken"
    CANNOT_TELL = "cannot-tell"
