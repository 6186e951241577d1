"""Carrying out one step on its hosts: lock them, capture, run, prove."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from homewright.engine import remedies
from homewright.engine.calling import call, captures
from homewright.engine.context import Context
from homewright.engine.conversation import Conversation, HostEnd
from homewright.engine.events import Event, Kind, Level
from homewright.engine.precautions import GOOD, Precautions
from homewright.engine.receipting import Receipting
from homewright.engine.resume import answers
from homewright.engine.states import Action, State, Verdict
from homewright.engine.trial import put_back_leftovers
from homewright.errors import HomewrightError
from homewright.planning import PlanStep

WAITS_S = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
"""Pauses between proofs that cannot tell; a host that boots needs up to a minute."""
_OUT_OF_REACH = ("unreachable", "host-key", "busy", "new-machine")
_BEGIN = {Action.RUN: "started on", Action.VERIFY: "proving on", Action.ROLLBACK: "taking back on"}
_END = {
    State.SUCCEEDED: "done",
    State.ROLLED_BACK: "taken back",
    State.FAILED: "failed",
    State.CANCELLED: "cancelled",
    State.INTERRUPTED: "interrupted",
}


@dataclass
class StepEnd:
    """How a step ended."""

    state: State
    changed: int
    hosts: dict[str, HostEnd] = field(default_factory=dict)


class StepWork:
    """One step of a run."""

    def __init__(self, context: Context, plan: PlanStep, action: Action, *, attempt: int = 1) -> None:
        self._context = context
        self._attempt = attempt
        self._plan = plan
        self._action = action
        self._step = context.catalogue.step(plan.id)
        self._writer = context.writer
        self.silent: set[str] = set()
        """Hosts that `prove_again` could not reach."""
        self._ends: dict[str, HostEnd] = {}
        self._done: dict[str, HostEnd] = {}
        """Hosts on which the work was done and not yet proved."""
        self._talks: list[Conversation] = []
        self._receipts = Receipting(context, self._step)
        self._made = (time.time(), time.monotonic())
        self._precautions = Precautions(context, self._step, action)
        self._concluding: list[asyncio.Task[None]] = []

    async def carry_out(self, mend: Sequence[str] = ()) -> StepEnd:
        """To its recorded end. On the hosts to `mend` a step that says how looks first at what was left half done.

        Raises StateError where the journal cannot be written.
        """
        hosts = self._plan.hosts
        began = self._now()
        self._begin(began)
        held = await self._lock(self._there(hosts))
        if held and self._action is Action.RUN:
            held = await self._capture(held)
        if held and self._action is not Action.VERIFY and not self._stopping:
            held = await self._change(held, mend)
        if held and not self._stopping:
            await self._prove(held)
        for host in hosts:
            if host not in self._ends:
                self._fail(host, HostEnd(State.CANCELLED, 0, "The run was stopped before."))
        await asyncio.gather(*self._concluding)
        self._precautions.over()
        await self._look_at_the_rest()
        return self._end(began)

    async def prove_again(
        self, hosts: Sequence[str], patient: Sequence[str] | None = None
    ) -> dict[str, tuple[Verdict, str]]:
        """What the step's proof says now, and why. Changes nothing recorded.

        Waits for hosts that cannot tell (those in `patient`, by default all); `silent` then has those that could not be
        reached to the end. Raises StateError where the journal cannot be written.
        """
        verdicts: dict[str, tuple[Verdict, str]] = {}
        waiting = list(hosts)
        for attempt, pause in enumerate((*WAITS_S, None), start=1):
            errors = await self._hold(waiting)
            asked = [host for host in waiting if host not in errors]
            for host, error in errors.items():
                why = f"{error.what} {error.why}".strip()
                verdicts[host] = (Verdict.CANNOT_TELL, why)
                if error.code != "unreachable":  # which is waited for, and told then
                    data = {"verdict": Verdict.CANNOT_TELL}
                    told = Event(Kind.VERIFY, why, step=self._plan.id, host=host, level=Level.WARNING, data=data)
                    self._writer.transition(told)
            if asked:
                talk = await self._call(Action.VERIFY, asked)
                unsaid = {host: (Verdict.CANNOT_TELL, talk.ends[host].reason) for host in asked}
                verdicts |= unsaid | talk.verdicts
            # A host that boots will tell; one that another controller holds, or that is another machine, will not.
            self.silent = {host for host in waiting if host in errors and errors[host].code == "unreachable"}
            waiting = [
                host
                for host in waiting
                if (patient is None or host in patient)
                and verdicts[host][0] is Verdict.CANNOT_TELL
                and (host in asked or errors[host].code == "unreachable")
            ]
            if not waiting or pause is None or self._stopping:
                break
            await self._wait(waiting, {host: verdicts[host][1] for host in waiting}, attempt, pause)
        return verdicts

    async def _wait(self, hosts: Iterable[str], why: Mapping[str, str], attempt: int, pause: float) -> None:
        for host in hosts:
            data = {"attempt": attempt + 1, "wait_s": pause}
            text = f"the proof cannot tell: {why[host]}" if why[host] else "the proof cannot tell"
            retry = Event(Kind.RETRY, text, step=self._plan.id, host=host, level=Level.WARNING, data=data)
            self._writer.transition(retry)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._context.stop.wait(), pause)

    async def _recover(self, hosts: list[str], mend: Sequence[str]) -> list[str]:
        """Inspect what was cut off, and finish it or set it back; a host where that fails goes no further."""
        wanted = [host for host in hosts if host in mend]
        if not wanted:
            return hosts
        talk = await self._call(Action.RECOVER, wanted)
        for host in wanted:
            if talk.ends[host].state is not State.SUCCEEDED:
                self._fail(host, talk.ends[host])
        return [host for host in hosts if host not in self._ends]

    def _begin(self, began: float) -> None:
        text = f"{self._plan.id} {self._plan.title}: {_BEGIN[self._action]} {', '.join(self._plan.hosts)}"
        event = Event(
            Kind.STEP_STARTED, text, step=self._plan.id, data={"action": self._action, "attempt": self._attempt}
        )
        running = {"state": State.RUNNING, "started": began, "attempt": self._attempt, "reason": "", "say": ""}
        if self._action is Action.RUN:
            running["answers"] = answers(self._context.site, self._step.reads)
        rows = ("", *self._plan.hosts)
        self._writer.transition(event, *(self._writer.set_step(self._plan.id, host, **running) for host in rows))

    def _there(self, hosts: Sequence[str]) -> list[str]:
        """Where a step is taken back, without instances that are gone or never came to be: so is what was in them."""
        fences = self._context.fences
        gone = fences.gone(hosts) if self._action is Action.ROLLBACK else []
        # One that the site gives another address by now, which it does not have yet, has no host key there either.
        gone = [host for host in gone if not fences.was_there(host)]
        for host in gone:
            why = "There is no such instance, and nothing to be taken back in it."
            self._writer.line(Event(Kind.LINE, why, step=self._plan.id, host=host))
            self._settle(host, HostEnd(State.ROLLED_BACK, 0, why))
        return [host for host in hosts if host not in gone]

    async def _lock(self, hosts: Sequence[str]) -> list[str]:
        return self._without(hosts, await self._hold(hosts))

    async def _hold(self, hosts: Sequence[str]) -> dict[str, HomewrightError]:
        """Take the servers, and have those that a dead engine left armed put everything back first."""
        errors = await self._context.fences.hold(hosts)
        held = [host for host in hosts if host not in errors]
        return errors | await put_back_leftovers(self._context, held)

    def _without(self, hosts: Sequence[str], errors: Mapping[str, HomewrightError]) -> list[str]:
        """The servers where all is well; the others have failed, with the reason."""
        for host, error in errors.items():
            reason = f"{error.what} {error.why}".strip()
            self._fail(host, HostEnd(State.FAILED, 0, reason, error.code, tuple(error.do)), tell=True)
        return [host for host in hosts if host not in errors]

    async def _change(self, hosts: list[str], mend: Sequence[str]) -> list[str]:
        """Do the step's work, with all precautions that it asks for; the servers where it was done."""
        prepared = await self._precautions.prepare(hosts)
        self._without(hosts, prepared.errors)
        wanted = prepared.hosts
        if wanted and mend and self._step.recover is not None and not self._stopping:
            wanted = await self._recover(wanted, mend)
        if wanted and not self._stopping:
            wanted = await self._act(wanted)
            changed = {host: self._done[host].changed for host in wanted}
            wanted = self._without(wanted, await self._precautions.reboot(changed))
        self._done |= {host: HostEnd(State.SUCCEEDED, 1) for host in prepared.back}
        return [host for host in hosts if host in wanted or host in prepared.back]

    def _undecided(self, host: str, end: HostEnd) -> bool:
        """Whether this server is armed: its end is recorded once it is disarmed, or has put everything back."""
        if not self._precautions.undecided(host):
            return False

        async def conclude() -> None:
            certain = await self._precautions.conclude(host, end)
            if certain.state in GOOD:
                self._settle(host, certain)
            else:
                self._fail(host, certain, tell=True)

        self._concluding.append(asyncio.create_task(conclude()))
        return True

    async def _capture(self, hosts: list[str]) -> list[str]:
        """Record what rollback needs, once per step and host; a host where that fails is not touched."""
        if not captures(self._context.catalogue.file(self._step, "verify")):
            if unseen := self._receipts.unseen(hosts):
                talk = await self._call(Action.LOOK, unseen)
                self._writer.change(*self._receipts.found(talk.looks))
            return hosts
        wanted = [host for host in hosts if host not in self._captured()]
        if not wanted:
            return hosts
        talk = await self._call(Action.CAPTURE, wanted)
        for host in wanted:
            end = talk.ends[host]
            if end.state is State.SUCCEEDED and host in talk.captures:
                try:
                    keep = self._writer.keep_capture(self._plan.id, host, talk.captures[host])
                except HomewrightError as error:
                    self._fail(host, HostEnd(State.FAILED, 0, f"{error.what} {error.why}"), tell=True)
                    continue
                said = Event(Kind.CAPTURE, "the state before was recorded", step=self._plan.id, host=host)
                seen = {host: talk.looks[host]} if host in talk.looks else {}
                self._writer.transition(said, keep, *self._receipts.found(seen))
            else:
                reason = end.reason or "The step's capture function gave nothing."
                self._fail(host, HostEnd(_failed(end), 0, f"Before the step: {reason}", end.code))
        return [host for host in hosts if host not in self._ends]

    async def _act(self, hosts: list[str]) -> list[str]:
        if self._action is Action.ROLLBACK and (given := self._receipts.open(hosts)):
            self._receipts.until_now = (await self._call(Action.LOOK, given)).looks
        talk = await self._call(self._action, hosts)
        for host in hosts:
            if talk.ends[host].state is not State.SUCCEEDED:
                self._fail(host, talk.ends[host])
        self._done = {host: talk.ends[host] for host in hosts if host not in self._ends}
        return list(self._done)

    async def _prove(self, hosts: list[str]) -> None:
        """Prove, and wait where a proof cannot tell. After a rollback the proof must find it gone."""
        waiting = hosts
        for attempt, pause in enumerate((*WAITS_S, None), start=1):
            talk = await self._call(Action.VERIFY, waiting, watch=self._action is not Action.VERIFY)
            self._receipts.now |= talk.looks
            unsure = {}
            for host in waiting:
                end, (verdict, why) = talk.ends[host], talk.verdicts.get(host, (None, ""))
                if verdict is Verdict.CANNOT_TELL and (end.state is State.SUCCEEDED or end.code or self._stopping):
                    unsure[host] = why
                elif verdict is None or verdict is Verdict.CANNOT_TELL:  # its file cannot even be loaded
                    self._fail(host, HostEnd(_failed(end), 0, f"Its proof failed: {end.reason}", end.code))
                else:
                    self._judge(host, verdict, why, idle=host in talk.idle)
            if not unsure:
                return
            if self._stopping:
                for host in unsure:
                    self._fail(host, HostEnd(State.CANCELLED, 0, "The run was stopped before its proof could tell."))
                return
            if pause is None:
                for host, why in unsure.items():
                    self._judge(host, Verdict.CANNOT_TELL, why, talk.ends[host].code)
                return
            await self._wait(unsure, unsure, attempt, pause)
            waiting = list(unsure)

    def _judge(self, host: str, verdict: Verdict, why: str, code: str = "", *, idle: bool = False) -> None:
        changed = self._done[host].changed if self._action is not Action.VERIFY else 0
        back = self._action is Action.ROLLBACK
        if verdict is Verdict.CANNOT_TELL:
            said = f"Its proof could not tell, and waiting did not help: {why}"
            self._fail(host, HostEnd(State.FAILED, changed, said, code))
        elif back and verdict is Verdict.PROVED and not idle and not self._receipts.found_done(host):
            self._fail(host, HostEnd(State.FAILED, changed, "It was taken back, and yet its proof still holds."))
        elif back and (left := self._receipts.left_behind(host)):
            self._fail(host, HostEnd(State.FAILED, changed, left))
        elif back:
            for said in self._receipts.others_hands(host):
                self._writer.line(Event(Kind.DRIFT, said, step=self._plan.id, host=host, level=Level.WARNING))
            self._settle(host, HostEnd(State.ROLLED_BACK, changed))
        elif verdict is Verdict.PROVED:
            self._settle(host, HostEnd(State.SUCCEEDED, changed))
        else:
            self._fail(host, HostEnd(State.FAILED, changed, f"Its proof says broken: {why}"))

    async def _look_at_the_rest(self) -> None:
        """A step that failed has changed something as well: its receipt says what, where that can be looked at."""
        failed = [h for h, end in self._ends.items() if end.state is State.FAILED and end.code not in _OUT_OF_REACH]
        begun = [host for host in self._receipts.open(failed) if host not in self._receipts.now]
        if self._action is Action.RUN and begun and not self._stopping:
            talk = await self._call(Action.LOOK, begun)
            rows = [row for host, seen in talk.looks.items() for row in self._receipts.left(host, seen, changed=True)]
            self._writer.change(*rows)

    async def _call(self, action: Action, hosts: Sequence[str], *, watch: bool = False) -> Conversation:
        """One runner process to its end. With `watch` a proof also looks at what the receipt is about."""
        talk = Conversation(self._writer, self._plan.id, action, hosts)
        self._talks.append(talk)
        look = watch or action in (Action.CAPTURE, Action.LOOK)
        await call(
            self._context,
            self._step,
            action,
            hosts,
            talk,
            captured=self._captured(),
            watched=self._receipts.watched if look else lambda _: None,
            limits=self._step.limits,
        )
        return talk

    def _captured(self) -> dict[str, dict[str, Any]]:
        rows = self._writer.query("SELECT host, data FROM captures WHERE step = ?", self._plan.id)
        return {host: json.loads(data) for host, data in rows}

    def _settle(self, host: str, end: HostEnd) -> None:
        """A host has ended well."""
        self._ends[host] = end
        if self._undecided(host, end):
            return
        row = self._writer.set_step(
            self._plan.id, host, state=end.state, changed=end.changed, finished=self._now(), reason=end.reason
        )
        rows = (*self._precautions.rows(host, end), *self._receipts.settled(host, end))
        self._writer.change(row, *self._forgotten(host, end), *rows)

    def _forgotten(self, host: str, end: HostEnd) -> Iterable[Any]:
        """What was recorded of the state before is no longer needed once that state is back."""
        if end.state is State.ROLLED_BACK:
            yield lambda connection: connection.execute(
                "DELETE FROM captures WHERE step = ? AND host = ?", (self._plan.id, host)
            )

    def _fail(self, host: str, end: HostEnd, *, tell: bool = False) -> None:
        if end.state is State.CANCELLED:
            end = HostEnd(self._stopped(), end.changed, end.reason, end.code)
        self._ends[host] = end
        if self._undecided(host, end):
            return
        remedy = remedies.match(self._step.remedies, [end.reason, *self._lines([host])])
        row = self._writer.set_step(
            self._plan.id,
            host,
            state=end.state,
            changed=end.changed,
            finished=self._now(),
            reason=end.reason,
            say=remedy.say if remedy else "",
            do=json.dumps(remedy.do if remedy else end.do),
        )
        if tell:
            away = end.code in ("unreachable", "host-key")
            data = {"state": "unreachable" if away else str(end.state), "reason": end.reason}
            event = Event(Kind.HOST_FINISHED, step=self._plan.id, host=host, level=Level.ERROR, data=data)
            self._writer.transition(event, row, *self._precautions.rows(host, end))
        else:
            self._writer.change(row, *self._precautions.rows(host, end))

    def _now(self) -> float:
        """Unix seconds by a clock that nobody sets while the step goes on, so that how long it took is right."""
        made, then = self._made
        return made + time.monotonic() - then

    @property
    def _stopping(self) -> bool:
        return self._context.stop.is_set()

    def _stopped(self) -> State:
        return State.INTERRUPTED if self._context.interrupted else State.CANCELLED

    def _lines(self, hosts: Sequence[str]) -> list[str]:
        return [text for talk in self._talks for text in talk.lines(hosts)]

    def _end(self, began: float) -> StepEnd:
        bad = {host: end for host, end in self._ends.items() if end.state not in GOOD}
        changed = sum(end.changed for end in self._ends.values())
        good = State.ROLLED_BACK if self._action is Action.ROLLBACK else State.SUCCEEDED
        states = {end.state for end in bad.values()}
        state = good if not bad else State.FAILED if State.FAILED in states else states.pop()
        if self._action is Action.RUN and state is good and "instances" in self._step.reads:
            self._context.fences.took_away(self._context.site.instances.gone)
        finished = self._now()
        reason = "; ".join(f"{host}: {end.reason}" for host, end in list(bad.items())[:3])
        reason += f"; and {len(bad) - 3} more" if len(bad) > 3 else ""
        remedy = None
        if state is State.FAILED:
            remedy = remedies.match(self._step.remedies, [reason, *self._lines(list(bad))])
        where = f" on {', '.join(bad)}" if bad else ""
        made = "" if self._action is Action.VERIFY else f", {changed} changed" if changed else ", nothing changed"
        text = f"{self._plan.id} {self._plan.title}: {_END[state]}{where}{made}, {finished - began:.1f} s"
        data: dict[str, Any] = {
            "action": self._action,
            "state": state,
            "changed": changed,
            "seconds": round(finished - began, 3),
        }
        if reason:
            data["reason"] = reason
        do = remedy.do if remedy else tuple(dict.fromkeys(line for end in bad.values() for line in end.do))
        if remedy is not None or do:
            data["remedy"] = {"say": remedy.say if remedy else "", "do": list(do)}
        level = Level.INFO if not bad else Level.ERROR
        row = self._writer.set_step(
            self._plan.id,
            "",
            state=state,
            changed=changed,
            finished=finished,
            reason=reason,
            digest=self._context.catalogue.step_digest(self._step),
            say=remedy.say if remedy else "",
            do=json.dumps(do),
        )
        event = Event(Kind.STEP_FINISHED, text, step=self._plan.id, level=level, data=data)
        self._writer.transition(event, row)
        return StepEnd(state, changed, dict(self._ends))


def _failed(end: HostEnd) -> State:
    return State.FAILED if end.state is State.SUCCEEDED else end.state
