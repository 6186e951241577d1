"""Events: what runners say to the engine as JSON lines, and what the journal keeps for viewers. Plain dataclasses.

One union for all three runners. `VERSION` rises when a kind or a field changes its meaning; new kinds and new fields
do not raise it, and a viewer shows an unknown kind as a line.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

VERSION = 1


BESIDE = "beside"
"""Key in the data of an event of a step beside which others are at work: a reader needs the step's name to follow."""


class Kind(StrEnum):
    RUN_STARTED = "run-started"
    RUN_FINISHED = "run-finished"  # data: state, changed
    STEP_STARTED = "step-started"  # data: action, attempt
    STEP_FINISHED = "step-finished"  # data: action, state, changed, seconds
    HOST_STARTED = "host-started"
    HOST_FINISHED = "host-finished"  # data: state, changed, reason
    TASK_STARTED = "task-started"  # text: the task's name
    TASK_FINISHED = "task-finished"  # data: result ok|changed|failed|skipped|unreachable
    LINE = "line"
    PROGRESS = "progress"  # data: percent (0-100), left_s (seconds, or null)
    RETRY = "retry"  # data: attempt (of the try to come), wait_s (seconds, or null)
    VERIFY = "verify"  # data: verdict proved|broken|cannot-tell; text: why
    DRIFT = "drift"
    CAPTURE = "capture"  # data: what rollback needs of the state before; kept once per step and host
    LOOK = "look"  # data: seen, what is there of what the step declares: text by kind and name
    CONTROL = "control"  # data: id, command; the acknowledgement of a control command
    VIEWER = "viewer"  # data: what (engine.viewers.WORDS), who: user, tty, pid, from


class Level(StrEnum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Event:
    """One event. `seq` rises without gaps within a run; 0 until the journal has given it one. `ts` is Unix seconds."""

    kind: Kind | str
    text: str = ""
    step: str = ""
    host: str = ""
    level: Level | str = Level.INFO
    data: dict[str, Any] = field(default_factory=dict)
    seq: int = 0
    ts: float = 0.0
    run: str = ""

    def as_json(self) -> str:
        """One line, as `--jsonl` and the runners' descriptor carry it."""
        record = {
            "v": VERSION,
            "seq": self.seq,
            "ts": round(self.ts, 3),
            "run": self.run,
            "step": self.step,
            "host": self.host,
            "kind": str(self.kind),
            "level": str(self.level),
            "text": self.text,
            "data": self.data,
        }
        return json.dumps(record, ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, line: str | bytes) -> Event:
        """Raises ValueError when the line is no event."""
        record = json.loads(line)
        if not isinstance(record, dict) or not isinstance(record.get("kind"), str):
            raise ValueError("no event")
        return cls(
            kind=record["kind"],
            text=str(record.get("text", "")),
            step=str(record.get("step", "")),
            host=str(record.get("host", "")),
            level=str(record.get("level", Level.INFO)),
            data=record.get("data") or {},
            seq=int(record.get("seq", 0)),
            ts=float(record.get("ts", 0)),
            run=str(record.get("run", "")),
        )
