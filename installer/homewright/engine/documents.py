"""What `status --json` prints: a run, its steps and how each of them ended, in a versioned shape."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from homewright.engine.journal import RunRecord, StepRecord
from homewright.engine.states import Action, State
from homewright.engine.viewers import Viewers
from homewright.planning.documents import AtBoot


class Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class HostDocument(Document):
    """A step on one host."""

    host: str
    state: State
    changed: int
    """How many things it changed."""
    reason: str


class StepDocument(Document):
    """One step of the run. Times are Unix seconds."""

    id: str
    title: str
    runner: str
    state: State
    changed: int
    started: float | None
    finished: float | None
    attempt: int
    digest: str
    """Which version of the step it was."""
    reason: str
    say: str
    """What the failure means."""
    do: tuple[str, ...]
    """What to do about it."""
    hosts: tuple[HostDocument, ...]


class ViewerDocument(Document):
    """Somebody who looks at the run."""

    user: str
    tty: str
    """Its terminal; empty where it has none."""
    pid: int
    origin: str
    """The address that the login came from; empty on the machine itself."""
    face: str
    """screens, attach or command."""
    since: float
    in_control: bool
    asks: bool
    """It asks for control."""


class RunDocument(Document):
    """One run. Times are Unix seconds."""

    version: Literal[1] = 1
    id: str | None
    """None where nothing was run yet."""
    action: Action | None = None
    state: State | None = None
    changed: int = 0
    started: float | None = None
    finished: float | None = None
    percent: float = 0
    left_s: float | None = None
    """Seconds left, by expectation."""
    reason: str = ""
    engine_pid: int | None = None
    """The engine's process, while it lives."""
    last_seq: int = 0
    viewers: tuple[ViewerDocument, ...] = ()
    """Who looks at it now; at most one is in control."""
    at_boot: AtBoot | None = None
    """Whether it goes on after the machine of its engine was off; None where nothing is left to go on with."""
    notice: str = ""
    """That the site's notification command did not tell of the run's end, and why; empty where it did."""
    export_due: str = ""
    """Why a site export is worth making now; empty where the last one is good."""
    old_key: tuple[str, ...] = ()
    """Hosts that may still let in the key of the controller that this one took the place of."""
    steps: tuple[StepDocument, ...] = ()


def run_document(run: RunRecord, steps: list[StepRecord], last_seq: int, viewers: Viewers | None = None) -> RunDocument:
    """The document of one run."""
    return RunDocument(
        id=run.id,
        action=run.action,
        state=run.state,
        changed=run.changed,
        started=run.started,
        finished=run.finished,
        percent=run.percent,
        left_s=run.left_s,
        reason=run.reason,
        engine_pid=None if run.state.final else run.pid,
        last_seq=last_seq,
        viewers=_viewers(viewers) if viewers is not None else (),
        steps=tuple(_step(step, steps) for step in steps if not step.host),
    )


def _viewers(viewers: Viewers) -> tuple[ViewerDocument, ...]:
    return tuple(
        ViewerDocument(
            user=one.user,
            tty=one.tty,
            pid=one.pid,
            origin=one.origin,
            face=one.face,
            since=one.since,
            in_control=one.id == viewers.holder,
            asks=one.id == viewers.asking,
        )
        for one in viewers.all
    )


def _step(step: StepRecord, rows: list[StepRecord]) -> StepDocument:
    hosts = tuple(
        HostDocument(host=row.host, state=row.state, changed=row.changed, reason=row.reason)
        for row in rows
        if row.step == step.step and row.host
    )
    return StepDocument(
        id=step.step,
        title=step.title,
        runner=step.runner,
        state=step.state,
        changed=step.changed,
        started=step.started,
        finished=step.finished,
        attempt=step.attempt,
        digest=step.digest,
        reason=step.reason,
        say=step.say,
        do=step.do,
        hosts=hosts,
    )
