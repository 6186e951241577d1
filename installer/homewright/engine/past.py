"""What an earlier engine of a run has recorded: proved before anything else happens, and what is left to do."""

from __future__ import annotations

import asyncio
from collections.abc import Container, Iterable, Mapping, Sequence

from homewright.engine import reboots
from homewright.engine.calling import load_ahead, proofs_at_a_time, start_ahead
from homewright.engine.context import Context
from homewright.engine.events import Event, Kind, Level
from homewright.engine.journal import Reader
from homewright.engine.journal.records import StepRecord
from homewright.engine.launch import RunRequest
from homewright.engine.resume import Fate, Outlook, answers, dependents, outlook
from homewright.engine.states import Action, State, Verdict
from homewright.engine.step import StepWork
from homewright.engine.trial import put_back_leftovers
from homewright.planning import PlanStep


class Past:
    """The past of a run that goes on; of one that begins, nothing."""

    def __init__(
        self, context: Context, steps: Sequence[PlanStep], request: RunRequest, waived: Container[str]
    ) -> None:
        self._context = context
        self._steps = steps
        self._request = request
        self._waived = waived
        self._known = False
        self._outlooks: dict[str, Outlook] = {}
        self._verdicts: dict[str, dict[str, tuple[Verdict, str]]] = {}
        """What the proofs said of what was recorded as done, by step and server."""
        self._suspect: set[str] = set()
        """Steps of which something that they require has run again since they were proved."""
        self.rows: dict[tuple[str, str], StepRecord] = {}
        self.away: set[str] = set()
        """Servers that stayed silent as long as one that boots may: from then on each step asks them only once."""

    async def look(self, action: Action) -> None:
        """Decide what every step needs, and prove what was recorded as done before anything else happens."""
        self._known = True
        records = Reader(self._context.state).steps(self._context.run)
        self.rows = {(record.step, record.host): record for record in records}
        for step in self._steps:
            rows = {record.host: record for record in records if record.step == step.id and record.host}
            if action is Action.ROLLBACK:
                left = {h: Fate.RUN for h in step.hosts if h not in rows or rows[h].state is not State.ROLLED_BACK}
                self._outlooks[step.id] = Outlook(left)
                continue
            now = answers(self._context.site, self._context.catalogue.step(step.id).reads)
            self._forget_reboots(step, rows, now)
            self._outlooks[step.id] = found = outlook(
                step.hosts,
                rows,
                now,
                anew=step.id in self._request.anew,
                new_machines=self._request.new_machines,
            )
            if found.why:
                text = f"{step.id} {step.title}: {found.why}, so it runs again"
                self._context.writer.transition(Event(Kind.DRIFT, text, step=step.id, level=Level.WARNING))
        if any(found.of(Fate.RUN, Fate.MEND) for found in self._outlooks.values()):
            load_ahead(self._context)  # else nothing may have to run at all
        await self._prove_all()

    def _forget_reboots(self, step: PlanStep, rows: Mapping[str, StepRecord], now: str) -> None:
        """Where the step is done with other answers, on another machine or anew, being back from a reboot is no end."""
        others = {host for host, row in rows.items() if row.answers not in ("", now)}
        others |= set(step.hosts) if step.id in self._request.anew else set(self._request.new_machines)
        self._context.writer.change(*(reboots.anew(step.id, host) for host in step.hosts if host in others))

    async def _prove_all(self) -> None:
        """As many at a time as may be at work. The first step alone where not all servers can be taken: it waits for
        those that are silent."""
        context = self._context
        proved = [
            step for step in self._steps if self._outlooks[step.id].of(Fate.PROVE) and step.id not in self._waived
        ]
        if not proved:
            return
        names = [step.id for step in proved]
        places = asyncio.Semaphore(proofs_at_a_time(context, names))
        start_ahead(context, names)
        context.fences.keeps = True
        hosts = {host for step in proved for host in self._outlooks[step.id].of(Fate.PROVE)}
        errors = await context.fences.hold(hosts)
        if context.fences.left:
            context.fences.hang_up()  # one that puts its network back leaves a connection that answers no more
        errors |= await put_back_leftovers(context, hosts - set(errors))
        # What is heard now is heard again by whoever goes on after a power cut. Our number is on the disk already.
        context.writer.let_lapse(not errors)

        async def prove(step: PlanStep) -> None:
            async with places:
                if not self._context.stop.is_set():
                    await self._prove_again(step)

        alone = proved[:1] if errors else []
        try:
            for step in alone:
                await prove(step)
            found = await asyncio.gather(*(prove(step) for step in proved[len(alone) :]), return_exceptions=True)
        finally:
            await context.proofs.leave()  # where no server could be taken nobody has asked it, and nobody will soon
        for error in found:
            if error is not None:
                raise error

    @property
    def nothing_is_due(self) -> bool:
        """Whether all that was recorded is proved, or cannot be told, and nothing is left to do."""
        due = any(found.of(Fate.RUN, Fate.MEND) for found in self._outlooks.values())
        said = (verdict for verdicts in self._verdicts.values() for verdict, _ in verdicts.values())
        return self._known and not due and Verdict.BROKEN not in said and not self._waived

    def mend(self, step: str) -> tuple[str, ...]:
        """Servers where the step was cut off or has failed."""
        return self._outlooks[step].of(Fate.MEND) if self._known else ()

    def has_run(self, step: str) -> None:
        """What requires this step has to be proved once more before it is its turn."""
        self._suspect |= dependents(step, {other.id: other.requires for other in self._steps})

    async def remaining(self, step: PlanStep) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The servers that the step has to run on, and those that it cannot be told of."""
        if not self._known:
            return step.hosts, ()
        if step.id in self._suspect:
            await self._prove_again(step)
        due = set(self._outlooks[step.id].of(Fate.RUN, Fate.MEND))
        verdicts = self._verdicts.get(step.id, {})
        due |= {host for host, (verdict, _) in verdicts.items() if verdict is Verdict.BROKEN}
        unsure = tuple(host for host, (verdict, _) in verdicts.items() if verdict is Verdict.CANNOT_TELL)
        for host in unsure:
            said = f"whether it is still done cannot be told: {verdicts[host][1]}"
            self._context.writer.transition(Event(Kind.LINE, said, step=step.id, host=host, level=Level.WARNING))
        return tuple(host for host in step.hosts if host in due), unsure

    async def _prove_again(self, step: PlanStep) -> None:
        said = self._verdicts.setdefault(step.id, {})
        broken = {host for host, (verdict, _) in said.items() if verdict is Verdict.BROKEN}
        hosts = [host for host in self._outlooks[step.id].of(Fate.PROVE) if host not in broken]
        if not hosts or step.id in self._waived:
            return
        work = StepWork(self._context, step, Action.VERIFY)
        verdicts = await work.prove_again(hosts, patient=self._patient(hosts))
        self.away |= work.silent
        said |= verdicts
        for host, (verdict, why) in verdicts.items():
            if verdict is Verdict.BROKEN:
                text = f"it was done, and is not any more: {why}"
                event = Event(Kind.DRIFT, text, step=step.id, host=host, level=Level.WARNING)
                self._context.writer.transition(event)

    def _patient(self, hosts: Iterable[str]) -> list[str]:
        return [host for host in hosts if host not in self.away]
