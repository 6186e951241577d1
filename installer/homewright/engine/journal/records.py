"""Rows of the journal, as viewers get them. Times are Unix seconds, durations seconds unless a name says minutes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from homewright.engine.states import Action, State


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One run. A run recorded as running whose engine is dead is given out as interrupted."""

    id: str
    action: Action
    state: State
    created: float
    changed: int = 0
    started: float | None = None
    finished: float | None = None
    pid: int = 0
    host: str = ""
    """The machine that the engine ran on."""
    percent: float = 0.0
    left_s: float | None = None
    reason: str = ""
    catalogue_digest: str = ""
    plan_digest: str = ""
    only: str = ""
    start_at: str = ""
    attempt: int = 1
    """How many engines have worked on it: a run that is resumed keeps its id."""

    @property
    def seconds(self) -> float | None:
        """How long it took; None while it runs."""
        return None if self.started is None or self.finished is None else self.finished - self.started


@dataclass(frozen=True, slots=True)
class StepRecord:
    """One step of a run (host is empty), or that step on one host."""

    run: str
    step: str
    host: str
    stage: str
    title: str
    runner: str
    position: int
    state: State
    changed: int = 0
    started: float | None = None
    finished: float | None = None
    attempt: int = 0
    digest: str = ""
    """Which version of the step this was: a digest over its definition and files."""
    reason: str = ""
    minutes: float = 0.0
    """How long it was expected to take."""
    say: str = ""
    """What the failure means, from the remedy that matched it."""
    do: tuple[str, ...] = ()
    """What to do about it, in order."""
    answers: str = ""
    """Digest over the answers that it read when it ran last; empty where that is not known."""


@dataclass(frozen=True, slots=True)
class ReceiptRow:
    """What one step found and left on one server, of the things that it declares (`engine.receipts`).

    What was seen is text by kind and name: `{"file": {"/etc/hosts": "file 644 root:root, 231 bytes, sha256 …"}}`.
    """

    step: str
    host: str
    run: str
    """The run that found it."""
    taken: float
    before: dict[str, dict[str, str]]
    done: float | None = None
    after: dict[str, dict[str, str]] | None = None
    """None where the step was cut off or has failed before what it left could be looked at."""
    mixed: tuple[str, ...] = ()
    """Names of things that a later run of the step changed once more: others may have changed them in between."""
    back: float | None = None
    """When it was taken back."""


def receipt_row(row: dict[str, Any]) -> ReceiptRow:
    """A row of `receipts`; columns of a newer version are left out."""
    known = {name: row[name] for name in ReceiptRow.__dataclass_fields__ if name in row}
    after = json.loads(row["after"]) if row["after"] else None
    return ReceiptRow(
        **{**known, "before": json.loads(row["before"]), "after": after, "mixed": tuple(json.loads(row["mixed"]))}
    )


def run_record(row: dict[str, Any]) -> RunRecord:
    """A row of `runs`; columns of a newer version are left out."""
    known = {name: row[name] for name in RunRecord.__dataclass_fields__ if name in row}
    return RunRecord(**{**known, "action": Action(row["action"]), "state": State(row["state"])})


def step_record(row: dict[str, Any]) -> StepRecord:
    """A row of `steps`; columns of a newer version are left out."""
    known = {name: row[name] for name in StepRecord.__dataclass_fields__ if name in row}
    return StepRecord(**{**known, "state": State(row["state"]), "do": tuple(json.loads(row["do"] or "[]"))})
