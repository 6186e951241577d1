"""The order of a run: each step after what it requires; after a failure only independent work goes on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from homewright.engine.context import Context, SecretsWatch
from homewright.engine.conversation import HostEnd
from homewright.engine.events import Event, Kind
from homewright.engine.progress import Portion, progress
from homewright.engine.states import Action, State
from homewright.engine.step import StepEnd, StepWork
from homewright.errors import HomewrightError
from homewright.planning import Plan, PlanStep

FLUSH_S = 0.1
PROGRESS_S = 2.0
SATISFIED = (State.SUCCEEDED, State.SKIPPED, State.ROLLED_BACK)
EXIT = {State.SUCCEEDED: 0, State.ROLLED_BACK: 0, State.FAILED: 1, State.INCOMPLETE: 1, State.INTERRUPTED: 1}


@dataclass(frozen=True)
class RunEnd:
    """How a run ended."""

    state: State
    changed: int
    reason: str
    exit_code: int
    """What the command returns: 1, or 3 and 5 where nothing else went wrong than another controller or the network."""


def hindrance(step: PlanStep, states: Mapping[str, State]) -> str:
    """Why a step cannot run: what it requires has not succeeded. Steps that are not in this run do not hinder."""
    for wanted in step.requires:
        state = states.get(wanted)
        if state is State.PENDING:
            return f"{wanted} did not run"
        if state is not None and state not in SATISFIED:
            return f"{wanted} {'failed' if state is State.FAILED else f'was {state}'}"
    return ""


def conclude(states: Mapping[str, State], ends: Sequence[HostEnd], stopped: State | None) -> tuple[State, int]:
    """The run's final state and the command's exit code."""
    found = set(states.values())
    if stopped is not None:
        return stopped, 4 if stopped is State.CANCELLED else 1
    if State.FAILED in found:
        codes = {end.code for end in ends if end.state is State.FAILED}
        if codes == {"busy"}:
            return State.FAILED, 3
        return State.FAILED, 5 if codes and codes <= {"unreachable", "host-key"} else 1
    if found - set(SATISFIED):
        return State.INCOMPLETE, 1
    return (State.ROLLED_BACK if State.ROLLED_BACK in found else State.SUCCEEDED), 0


class Schedule:
    """Carries the steps of a plan out, one after another."""

    def __init__(self, context: Context, plan: Plan, action: Action) -> None:
        self._context = context
        self._plan = plan
        self._action = action
        steps = plan.steps()
        self._steps = tuple(reversed(steps)) if action is Action.ROLLBACK else steps
        self._states = {step.id: State.PENDING for step in self._steps}
        self._began: dict[str, float] = {}
        self._ends: list[HostEnd] = []
        self._told = 0.0
        self._changed = 0
        self._watch = SecretsWatch(context.state, context.writer)

    def record(self) -> None:
        """Put every step of the plan into the journal as pending, those of skipped stages as skipped."""
        writer = self._context.writer
        rows = []
        for position, (stage, step, skipped) in enumerate(self._everything()):
            values = {
                "stage": stage,
                "title": step.title,
                "runner": step.runner,
                "position": position,
                "minutes": step.minutes,
                "state": State.SKIPPED if skipped else State.PENDING,
                "reason": skipped,
            }
            rows += [writer.add_step(step.id, host, **values) for host in ("", *step.hosts)]
        writer.change(*rows)

    def _everything(self) -> Iterator[tuple[str, PlanStep, str]]:
        stages = list(self._plan.stages)
        for stage in reversed(stages) if self._action is Action.ROLLBACK else stages:
            if stage.skipped == "it was not asked for":
                continue
            for step in reversed(stage.steps) if self._action is Action.ROLLBACK else stage.steps:
                yield stage.id, step, stage.skipped

    async def carry_out(self) -> RunEnd:
        """Until every step has ended or cannot run. Raises StateError where the journal cannot be written."""
        ticking = asyncio.create_task(self._tick())
        try:
            for step in self._steps:
                if self._context.stop.is_set():
                    break
                await self._one(step)
        finally:
            ticking.cancel()
        if self._context.failure is not None:
            raise self._context.failure
        self._context.writer.flush()
        stopped = None
        if self._context.stop.is_set():
            stopped = State.INTERRUPTED if self._context.interrupted else State.CANCELLED
            if all(state in SATISFIED for state in self._states.values()):
                stopped = None  # asked too late: everything was done
        state, code = conclude(self._states, self._ends, stopped)
        return RunEnd(state, self._changed, self._reason(), code)

    async def _one(self, step: PlanStep) -> None:
        writer = self._context.writer
        why = "" if self._action is Action.VERIFY else self._hindrance(step)
        if why:
            rows = ("", *step.hosts)
            writer.change(*(writer.set_step(step.id, host, reason=f"It did not run: {why}.") for host in rows))
            return
        if not step.hosts:
            self._states[step.id] = State.SKIPPED
            writer.change(writer.set_step(step.id, "", state=State.SKIPPED, reason="No server is in its group."))
            return
        self._states[step.id] = State.RUNNING
        self._began[step.id] = time.monotonic()
        self._watch.look()
        self._tell_progress()
        end: StepEnd = await StepWork(self._context, step, self._action).carry_out()
        self._states[step.id] = end.state
        self._ends += end.hosts.values()
        self._changed += end.changed
        self._tell_progress()

    def _hindrance(self, step: PlanStep) -> str:
        if self._action is Action.ROLLBACK:
            for other in self._steps:
                if step.id in other.requires and self._states[other.id] not in (State.ROLLED_BACK, State.SKIPPED):
                    return f"{other.id}, which depends on it, is not taken back"
            return ""
        return hindrance(step, self._states)

    def _reason(self) -> str:
        failed = [step for step, state in self._states.items() if state is State.FAILED]
        left = [step for step, state in self._states.items() if state is State.PENDING]
        parts = [f"{', '.join(failed)} failed"] if failed else []
        parts += [f"{', '.join(left)} did not run"] if left else []
        return "; ".join(parts)

    async def _tick(self) -> None:
        """Writes what waits ten times a second, and now and then how far the run is.

        Where that is not possible any more, nothing more may happen: the step that runs is stopped.
        """
        try:
            while True:
                await asyncio.sleep(FLUSH_S)
                self._watch.look()
                self._context.writer.flush()
                if time.monotonic() - self._told >= PROGRESS_S:
                    self._tell_progress()
        except HomewrightError as error:
            self._context.failure = self._context.failure or error
            self._context.stop.set()

    def _tell_progress(self) -> None:
        now = self._told = time.monotonic()
        portions = (
            Portion(step.minutes, self._states[step.id], now - self._began.get(step.id, now)) for step in self._steps
        )
        percent, left = progress(portions)
        writer = self._context.writer
        event = Event(Kind.PROGRESS, data={"percent": percent, "left_s": left})
        writer.transition(event, writer.set_run(percent=percent, left_s=left, changed=self._changed))
