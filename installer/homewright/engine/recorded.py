"""All that is recorded of a run that has not ended well, read before another engine writes on. No pydantic here."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from homewright.engine.events import Event, Kind
from homewright.engine.journal import Reader, RunRecord, StepRecord
from homewright.engine.launch import RunRequest
from homewright.site.paths import StateFolder


@dataclass(frozen=True)
class Recorded:
    """One run, as its last engine left it."""

    run: RunRecord
    steps: tuple[StepRecord, ...]
    said: tuple[Event, ...]
    """What its proofs have said to its last engine, and where they are asked again."""
    request: RunRequest
    answers: bytes
    """The site file that its last engine worked with; empty where it cannot be read any more."""
    held: bool
    """Whether its engine waits for a word after its proofs."""


def held(reader: Reader, record: RunRecord) -> bool:
    """Whether the run's engine waits for a word after its proofs."""
    return not record.state.final and reader.meta("held") == record.id


def read(state: StateFolder, run: str | None = None) -> Recorded:
    """Of this run, by default of the latest. Raises UsageError where there is none, StateError."""
    reader = Reader(state)
    record = reader.run(run)
    answers = b""
    with contextlib.suppress(OSError):
        answers = (state.run(record.id) / "site.yaml").read_bytes()
    return Recorded(
        record,
        tuple(reader.steps(record.id)),
        tuple(reader.since_start(record.id, (Kind.VERIFY, Kind.RETRY))),
        RunRequest.read(state.run(record.id)),
        answers,
        held(reader, record),
    )
