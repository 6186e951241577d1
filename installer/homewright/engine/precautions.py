"""What surrounds a step that reboots servers or could lock the operator out. Does nothing for any other step."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from homewright.catalogue.models import Step
from homewright.engine.context import Context
from homewright.engine.conversation import HostEnd
from homewright.engine.reboots import Reboots, Row
from homewright.engine.states import Action, State
from homewright.engine.trial import Trial
from homewright.errors import HomewrightError, Unreachable
from homewright.site.rehearsed import Rehearsed

TAKEN_BACK = "taken-back"
"""The code of a host's end where the server has put everything back, or will."""
GOOD = (State.SUCCEEDED, State.ROLLED_BACK)


@dataclass(frozen=True)
class Prepared:
    """Which servers a step may change now."""

    hosts: list[str]
    back: list[str] = field(default_factory=list)
    """Servers that the step changed and rebooted before this engine: only the proof is left."""
    errors: dict[str, HomewrightError] = field(default_factory=dict)


class Precautions:
    """The precautions for one action of one step."""

    def __init__(self, context: Context, step: Step, action: Action) -> None:
        real = action is not Action.VERIFY and not Rehearsed.of(context.state)
        self._context = context
        revert = step.revert if real else None
        self._trial = Trial(context, step.id, revert, step.reads) if revert is not None else None
        self._keeping: asyncio.Task[None] | None = None
        self._reboots = Reboots(context, step.id) if step.reboots and real else None

    async def prepare(self, hosts: list[str]) -> Prepared:
        """Before the first effect: note what boot each server is in, and arm it."""
        back: set[str] = set()
        errors: dict[str, HomewrightError] = {}
        if self._reboots is not None:
            back, errors = await self._reboots.note(hosts)
        to_do = [host for host in hosts if host not in errors and host not in back]
        if self._trial is not None:
            left = self._context.fences.left
            for host in sorted(back & set(left)):
                self._trial.adopt(host, left.pop(host))
            errors |= await self._trial.arm(to_do)
            self._keeping = asyncio.create_task(self._trial.keep())
        return Prepared(
            [host for host in to_do if host not in errors], [host for host in hosts if host in back], errors
        )

    async def reboot(self, changed: Mapping[str, int]) -> dict[str, HomewrightError]:
        """Reboot what was changed, one server after another; where one does not come back, no further one is."""
        if self._reboots is None:
            return {}
        due = self._reboots.due(changed)
        for number, host in enumerate(due):
            if self._context.stop.is_set():
                break
            error = await self._reboots.carry_out(host)
            if error is not None:
                why = f"{host}, before it, did not come back."
                rest = {other: HomewrightError(f"{other} was not rebooted.", why) for other in due[number + 1 :]}
                return {host: error, **rest}
            if self._trial is not None:
                self._trial.again(host)
        return {}

    def over(self) -> None:
        """Every server's end is certain."""
        if self._keeping is not None:
            self._keeping.cancel()

    def undecided(self, host: str) -> bool:
        """Whether this server's end may not be recorded yet: it could still put everything back."""
        return self._trial is not None and host in self._trial.armed

    async def conclude(self, host: str, end: HostEnd) -> HostEnd:
        """Disarm a server where the step ended well, else have it put everything back; how it has ended then."""
        assert self._trial is not None
        outcome = await self._trial.settle(host, good=end.state in GOOD)
        if outcome.kept:
            return end
        told = f"{outcome.told}. Besides: {end.reason}" if end.reason else outcome.told
        if self._context.interrupted or end.state not in (*GOOD, State.FAILED):
            return replace(end, state=State.CANCELLED, reason=told)
        if outcome.booted and self._reboots is None and (end.state in GOOD or end.code == Unreachable.code):
            # What cut it off was no doing of the step, which reboots nothing: it is one that went away (`engine.lost`).
            return HostEnd(State.FAILED, end.changed, outcome.booted, Unreachable.code)
        # Nobody knows whether it went away or the step cut it off: it is not tried again without being asked.
        return HostEnd(State.FAILED, end.changed, told, TAKEN_BACK, (*end.do, *outcome.do))

    def rows(self, host: str, end: HostEnd) -> list[Row]:
        """What the journal keeps for the next engine."""
        if self._reboots is None or end.state in (State.CANCELLED, State.INTERRUPTED):
            return []
        return self._reboots.over(host, good=end.state in GOOD)
