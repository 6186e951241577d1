"""The course of a run: each step after what it requires, steps that do not depend on one another side by side; after
a failure only independent work goes on.

A run that another engine began is looked back on first (`engine.past`): what was done is proved, and only the rest is
done. See docs/decisions/0025-side-by-side.md.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Collection, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from homewright.engine import lost, reboots
from homewright.engine.calling import load_ahead, proofs_at_a_time, start_ahead
from homewright.engine.context import Context, SecretsWatch
from homewright.engine.conversation import HostEnd
from homewright.engine.events import Event, Kind
from homewright.engine.journal import Reader
from homewright.engine.launch import RunRequest
from homewright.engine.order import Turn, beginnings, left_s, turns, working
from homewright.engine.past import Past
from homewright.engine.progress import ALMOST, Portion, progress
from homewright.engine.states import PAUSED, Action, State, Verdict
from homewright.engine.step import StepEnd, StepWork
from homewright.errors import HomewrightError
from homewright.planning import Plan, PlanStep

FLUSH_S = 0.1
PROGRESS_S = 2.0
SATISFIED = (State.SUCCEEDED, State.SKIPPED, State.ROLLED_BACK)
NEVER_BEGUN = "No apply has ever begun it from here."
TAKEN_BACK = "It was taken back before, and nothing has begun it since."
EXIT = {State.SUCCEEDED: 0, State.ROLLED_BACK: 0, State.FAILED: 1, State.INCOMPLETE: 1, State.INTERRUPTED: 1}


@dataclass(frozen=True)
class RunEnd:
    """How a run ended."""

    state: State
    changed: int
    reason: str
    exit_code: int
    """What the command returns: 1, or 3 and 5 where nothing else went wrong than another controller or the network."""


def hindrance(step: PlanStep, states: Mapping[str, State], waived: Container[str] = ()) -> str:
    """Why a step cannot run: what it requires has not succeeded. Steps that are not in this run do not hinder.

    One that the operator left out (`waived`) does, unlike one whose stage this site does not need.
    """
    for wanted in step.requires:
        state = states.get(wanted)
        if wanted in waived:
            return f"{wanted} was skipped"
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
        if codes and codes <= {"busy", "retired"}:
            return State.FAILED, 3
        return State.FAILED, 5 if codes and codes <= {"unreachable", "host-key"} else 1
    if found - set(SATISFIED):
        return State.INCOMPLETE, 1
    return (State.ROLLED_BACK if State.ROLLED_BACK in found else State.SUCCEEDED), 0


class Schedule:
    """Carries the steps of a plan out."""

    def __init__(self, context: Context, plan: Plan, action: Action, request: RunRequest) -> None:
        self._context = context
        self._plan = plan
        self._action = action
        self._request = request
        self._steps = self._in_order(plan)
        self._states = {step.id: State.PENDING for step in self._steps}
        self._began: dict[str, float] = {}
        self._ends: list[HostEnd] = []
        self._told = 0.0
        self._changed = 0
        self._again = request.attempt > 1 and action is not Action.VERIFY
        """Another engine began this run: what it recorded counts, once it is proved."""
        self._waived = set(request.skips) if action is Action.RUN else set()
        self._past = Past(context, self._steps, request, self._waived)
        back, proofs = action is Action.ROLLBACK, action is Action.VERIFY
        sharing = [step.id for step in self._steps if context.catalogue.step(step.id).shares_hosts]
        self._turns = turns(self._steps, sharing, back=back, proofs=proofs)
        self._by_id = {step.id: step for step in self._steps}
        self._most = proofs_at_a_time(context, self._by_id) if proofs else context.site.runs.side_by_side
        self._asks = request.ask_first or context.site.runs.pause_before_risks
        self._watch = SecretsWatch(context.state, context.writer)

    def _in_order(self, plan: Plan) -> tuple[PlanStep, ...]:
        """The steps of the run, each with what it requires of those that have something to do in it."""
        steps = plan.steps()
        idle = {step.id for step in steps if not self._acts(step)}
        idle |= {step.id for stage in plan.stages if stage.skipped for step in stage.steps}
        wanted = working({step.id: step.requires for stage in plan.stages for step in stage.steps}, idle)
        found = [step.model_copy(update={"requires": wanted[step.id]}) for step in steps]
        return tuple(reversed(found)) if self._action is Action.ROLLBACK else tuple(found)

    def _acts(self, step: PlanStep) -> bool:
        return bool(step.hosts) and not (self._action is Action.ROLLBACK and self._nothing_to_take_back(step.id))

    def record(self) -> None:
        """Put every step of the plan into the journal as pending, those that the plan skips as skipped.

        Of a run that goes on, the steps and servers that it does not have yet; servers that left the site are skipped.
        """
        writer = self._context.writer
        asked = writer.query("SELECT step, host FROM steps WHERE run = ?", self._context.run)
        known = {(str(step), str(host)) for step, host in asked}
        wanted: set[tuple[str, str]] = set()
        rows = []
        for position, (stage, step, skipped) in enumerate(self._everything()):
            values: dict[str, Any] = {
                "stage": stage,
                "title": step.title,
                "runner": step.runner,
                "position": position,
                "minutes": step.minutes,
                "state": State.SKIPPED if skipped else State.PENDING,
                "reason": skipped,
            }
            keys = [(step.id, host) for host in ("", *step.hosts)]
            wanted |= set(keys)
            rows += [writer.add_step(*key, **values) for key in keys if key not in known]
        rows += [
            writer.set_step(step.id, host, state=State.SKIPPED, reason=skipped)
            for _, step, skipped in self._everything()
            for host in ("", *step.hosts)
            if skipped and (step.id, host) in known
        ]
        if self._request.attempt == 1 and self._action is not Action.VERIFY:
            # A reboot that another run wanted is no end of this one's step.
            rows += [reboots.anew(step.id, host) for step in self._steps for host in step.hosts]
        gone = "It is no server of this step any more."
        rows += [writer.set_step(*key, state=State.SKIPPED, reason=gone) for key in sorted(known - wanted)]
        writer.change(*rows)

    def _everything(self) -> Iterator[tuple[str, PlanStep, str]]:
        stages = list(self._plan.stages)
        for stage in reversed(stages) if self._action is Action.ROLLBACK else stages:
            if stage.skipped == "it was not asked for":
                continue
            for step in reversed(stage.steps) if self._action is Action.ROLLBACK else stage.steps:
                yield stage.id, step, stage.skipped or ("" if step.hosts else step.skipped)

    async def carry_out(self) -> RunEnd:
        """Until every step has ended or cannot run. Raises StateError where the journal cannot be written."""
        ticking = asyncio.create_task(self._tick())
        if self._action is not Action.VERIFY and not self._again:
            load_ahead(self._context)
        try:
            if self._again:
                recorded = self._context.writer.query("SELECT changed FROM runs WHERE id = ?", self._context.run)
                self._changed = int(recorded[0][0])
                await self._past.look(self._action)
                if not self._past.nothing_is_due or not self._context.going.is_set():
                    self._context.fences.hang_up()
                    self._context.writer.let_lapse(False)
                    load_ahead(self._context)
            if self._action is Action.VERIFY:
                start_ahead(self._context, [step.id for step in self._steps if step.hosts])
                # All servers at once, so that all proofs are asked for at once; each step is told what went wrong.
                await self._context.fences.hold({host for step in self._steps for host in step.hosts})
                self._context.writer.let_lapse(True)
            await self._work_off()
        finally:
            ticking.cancel()
            self._context.writer.let_lapse(False)
            await self._context.proofs.leave()
            await self._context.forks.leave()
        if self._context.failure is not None:
            raise self._context.failure
        self._context.writer.flush()
        stopped = None
        if self._context.stop.is_set():
            stopped = State.INTERRUPTED if self._context.interrupted else State.CANCELLED
            if all(state in SATISFIED for state in self._states.values()):
                stopped = None  # asked too late: everything was done
        state, code = conclude(self._states, self._ends, stopped)
        if (
            state is State.INCOMPLETE
            and self._past.away
            and not self._waived
            and State.PENDING not in self._states.values()
        ):
            code = 5  # nothing is wrong but that servers do not answer
        if state is State.SUCCEEDED:
            state = self._good  # also where nothing was left to take back
        if state is State.SUCCEEDED and self._waived & set(self._states):
            state, code = State.INCOMPLETE, 1
        reason = self._reason()
        if state is State.INTERRUPTED and not self._context.going.is_set():
            reason = f"{PAUSED}: {reason}." if reason else f"{PAUSED}."  # at boot it waits for a word as well
        return RunEnd(state, self._changed, reason, code)

    async def _work_off(self) -> None:
        """Every step to its end, or until the run is stopped: what may begin does, as soon as something has ended."""
        context = self._context
        waiting = list(self._turns)
        tasks: dict[asyncio.Task[None], Turn] = {}
        try:
            while waiting or tasks:
                if context.stop.is_set():
                    waiting = []
                elif context.going.is_set():
                    for turn in beginnings(waiting, list(tasks.values()), self._most):
                        waiting.remove(turn)
                        tasks[asyncio.create_task(self._one(self._by_id[turn.id]))] = turn
                elif not tasks:
                    await self._while_paused(self._by_id[waiting[0].id])
                    continue
                context.writer.several = len(tasks) > 1
                await self._until_something_ends(tasks)
                for task in [task for task in tasks if task.done()]:
                    del tasks[task]
                    task.result()
        except Exception:
            context.stop.set()  # the journal cannot be written, or a fault of ours: what is at work must end as well
            await asyncio.gather(*tasks, return_exceptions=True)
            raise
        finally:
            context.writer.several = False
            for task in tasks:
                if task.done() and not task.cancelled():
                    task.exception()  # one is told; asyncio would complain of the others

    async def _until_something_ends(self, tasks: Collection[asyncio.Task[None]]) -> None:
        """A step, or a pause."""
        if not tasks:
            return
        waiting: set[asyncio.Task[Any]] = set(tasks)
        going = asyncio.ensure_future(self._context.going.wait())
        if not self._context.going.is_set():
            waiting.add(going)
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        going.cancel()

    async def _ask_first(self, step: PlanStep, hosts: Sequence[str]) -> None:
        """Pause by ourselves before a step that reboots or may lock out, where that was asked for."""
        if not self._asks or self._action is Action.VERIFY or not (step.reboots or step.may_lock_out):
            return
        where = ", ".join(hosts)
        risks = [f"it reboots {where}"] if step.reboots else []
        risks += [f"it could lock you out of {where}"] if step.may_lock_out else []
        self._context.going.clear()
        await self._while_paused(step, f", because {' and '.join(risks)}")

    async def _while_paused(self, step: PlanStep, why: str = "") -> None:
        """Begin nothing as long as the run is paused; what was going on has ended before."""
        context = self._context
        if context.going.is_set() or context.stop.is_set():
            return
        said = f"{PAUSED} before {step.id} {step.title}{why}."
        context.writer.transition(Event(Kind.CONTROL, said), context.writer.set_run(reason=said))
        waiting = [asyncio.ensure_future(event.wait()) for event in (context.going, context.stop)]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for one in waiting:
            one.cancel()
        if context.going.is_set():  # else the end of the run says why
            context.writer.change(context.writer.set_run(reason=""))

    async def _one(self, step: PlanStep) -> None:
        writer = self._context.writer
        if step.id in self._waived:
            self._states[step.id] = State.SKIPPED
            reason = f"It was skipped: {self._request.skips[step.id]}"
            rows = ("", *step.hosts)
            writer.change(*(writer.set_step(step.id, host, state=State.SKIPPED, reason=reason) for host in rows))
            return
        if not step.hosts:
            self._states[step.id] = State.SKIPPED
            writer.change(writer.set_step(step.id, "", state=State.SKIPPED, reason=step.skipped))
            return
        if self._action is Action.ROLLBACK and (reason := self._nothing_to_take_back(step.id)):
            self._states[step.id] = State.SKIPPED
            rows = ("", *step.hosts)
            writer.change(*(writer.set_step(step.id, host, state=State.SKIPPED, reason=reason) for host in rows))
            return
        hosts, unsure = await self._past.remaining(step)
        # What is done already needs nothing any more, whatever becomes of what it required.
        why = self._hindrance(step) if hosts and self._action is not Action.VERIFY else ""
        if why and self._waived & set(step.requires) and await self._holds_all_the_same(step):
            return
        if why:
            rows = ("", *step.hosts)
            writer.change(*(writer.set_step(step.id, host, **self._hindered(step.id, host, why)) for host in rows))
            return
        if hosts:
            await self._ask_first(step, hosts)
            if self._context.stop.is_set():
                return
            self._states[step.id] = State.RUNNING
            self._began[step.id] = time.monotonic()
            self._watch.look()
            self._tell_progress()
            mend = self._past.mend(step.id)
            part = step.model_copy(update={"hosts": hosts})
            end: StepEnd = await lost.carry_out(self._context, part, self._action, mend)
            self._states[step.id] = end.state
            self._ends += end.hosts.values()
            self._changed += end.changed
            self._past.has_run(step.id)
        else:
            self._states[step.id] = self._good
            writer.change(writer.set_step(step.id, "", state=self._good, reason=""))
        if unsure and self._states[step.id] is self._good:
            self._states[step.id] = State.INCOMPLETE
        self._tell_progress()

    # A run that goes on

    @property
    def _good(self) -> State:
        return State.ROLLED_BACK if self._action is Action.ROLLBACK else State.SUCCEEDED

    async def _holds_all_the_same(self, step: PlanStep) -> bool:
        """Whether a step whose requirement was left out is proved on all its servers although it did not run."""
        verdicts = await StepWork(self._context, step, Action.VERIFY).prove_again(step.hosts)
        if any(verdict is not Verdict.PROVED for verdict, _ in verdicts.values()):
            return False
        self._states[step.id] = State.SUCCEEDED
        rows = ("", *step.hosts)
        values = {"state": State.SUCCEEDED, "reason": "It did not run, and its proof holds."}
        self._context.writer.change(*(self._context.writer.set_step(step.id, host, **values) for host in rows))
        return True

    @functools.cached_property
    def _journal(self) -> tuple[bool, set[str], set[str]]:
        """Whether other runs have an apply among them; the steps that one began, and those not taken back since."""
        query = (
            "SELECT DISTINCT r.id, s.step, s.started IS NOT NULL OR s.state NOT IN ('pending', 'skipped') "
            "FROM runs r LEFT JOIN steps s ON s.run = r.id WHERE r.action = 'run' AND r.id != ?"
        )
        rows = self._context.writer.query(query, self._context.run)
        applied = Reader(self._context.state).applied(self._context.run)
        return bool(rows), {str(step) for _, step, begun in rows if begun}, {step for step, _ in applied}

    def _nothing_to_take_back(self, step: str) -> str:
        """Why a step is left out of a roll-back; empty where it is not. A journal without any apply knows nothing.

        What was never begun is not taken back: a file that does so finds somebody else's work at most. One that failed
        half-way and was skipped or hindered later was begun all the same. Nor is anything taken back a second time:
        what it needed for that may have gone since, as LXD does after the instances.
        """
        any_apply, begun, applied = self._journal
        if not any_apply or step in applied:
            return ""
        return TAKEN_BACK if step in begun else NEVER_BEGUN

    def _hindrance(self, step: PlanStep) -> str:
        if self._action is Action.ROLLBACK:
            for other in self._steps:
                if step.id in other.requires and self._states[other.id] not in (State.ROLLED_BACK, State.SKIPPED):
                    return f"{other.id}, which depends on it, is not taken back"
            return ""
        return hindrance(step, self._states, self._waived)

    def _reason(self) -> str:
        failed = [step for step, state in self._states.items() if state is State.FAILED]
        left = [step for step, state in self._states.items() if state is State.PENDING]
        parts = [f"{', '.join(failed)} failed"] if failed else []
        parts += [f"{', '.join(left)} did not run"] if left else []
        unsure = [step for step, state in self._states.items() if state is State.INCOMPLETE]
        parts += [f"whether {', '.join(unsure)} still holds cannot be told"] if unsure else []
        skipped = [step for step in self._states if step in self._waived]
        parts += [f"{', '.join(skipped)} was skipped"] if skipped else []
        return "; ".join(parts)

    def _hindered(self, step: str, host: str, why: str) -> dict[str, Any]:
        """What the row of a step says that cannot run now: an earlier failure of its own is no longer what matters."""
        values: dict[str, Any] = {"reason": f"It did not run: {why}."}
        row = self._past.rows.get((step, host))
        if row is not None and row.state in (State.FAILED, State.INTERRUPTED, State.CANCELLED):
            values |= {"state": State.PENDING, "say": "", "do": "[]"}
        return values

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
        elapsed = {step: now - began for step, began in self._began.items()}
        # What has nothing to do here neither has been done nor is still to come; it keeps its place in the order.
        real = {step.id for step in self._steps if self._acts(step)} - self._waived
        percent = progress(
            Portion(step.minutes, self._states[step.id], elapsed.get(step.id, 0))
            for step in self._steps
            if step.id in real
        )
        running = {turn: self._rest_s(turn.id, elapsed) for turn in self._turns if self._is(turn, State.RUNNING)}
        waiting = [turn for turn in self._turns if self._is(turn, State.PENDING)]
        seconds = {step.id: step.minutes * 60 if step.id in real else 0.0 for step in self._steps}
        left = round(left_s(waiting, running, seconds, self._most), 1)
        writer = self._context.writer
        event = Event(Kind.PROGRESS, data={"percent": percent, "left_s": left})
        writer.transition(event, writer.set_run(percent=percent, left_s=left, changed=self._changed))

    def _rest_s(self, step: str, elapsed: Mapping[str, float]) -> float:
        expected = self._by_id[step].minutes * 60
        return max(expected - elapsed.get(step, 0), (1 - ALMOST) * expected)

    def _is(self, turn: Turn, state: State) -> bool:
        return self._states[turn.id] is state
