"""Servers that went away in the middle of a step: they are waited for, and then the step goes on there.

A server that lost power comes back by itself, and so does a network whose switch did. An unattended run that gave up at
that would wait for a person in the morning, with nothing for them to mend.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace

from homewright.engine.context import Context
from homewright.engine.events import Event, Kind, Level
from homewright.engine.states import Action, State
from homewright.engine.step import StepEnd, StepWork
from homewright.planning import PlanStep

LIMIT_S = 900.0
"""How long silent servers are waited for. A server's firmware with much memory takes up to five minutes by itself."""
PAUSES_S = (1.0, 2.0, 5.0, 10.0)
"""Between two looks whether they answer; the last one from then on."""
GOOD = (State.SUCCEEDED, State.ROLLED_BACK)
TIMES = 3
"""How often a step is begun again because servers went away: one whose work itself cuts them off ends some time."""


async def carry_out(context: Context, step: PlanStep, action: Action, mend: Sequence[str] = ()) -> StepEnd:
    """The step to its end. Where nothing else went wrong than servers that went away, it goes on once they are back.

    What it left half done there is inspected and ended first, as after any other interruption.
    Raises StateError where the journal cannot be written.
    """
    end = await StepWork(context, step, action, attempt=context.attempt).carry_out(mend)
    done = dict(end.hosts)
    for _ in range(TIMES):
        failed = [host for host, one in end.hosts.items() if one.state not in GOOD]
        away = [host for host in failed if _went_away(context, host, end.hosts[host].code)]
        if not away or failed != away or action is Action.VERIFY or context.stop.is_set():
            break
        if await silent(context, away, step=step.id):
            break
        # The same number again would let a command that was cut off from us go on beside the one that begins now.
        context.fences.lose(away)
        part = step.model_copy(update={"hosts": tuple(away)})
        end = await StepWork(context, part, action, attempt=context.attempt).carry_out(away)
        done |= end.hosts
    return replace(end, hosts=done, changed=sum(one.changed for one in done.values()))


def _went_away(context: Context, host: str, code: str) -> bool:
    """Whether a server answered this engine and then did not. One that was off from the start is told at once."""
    return code == "unreachable" and host in context.fences.reached


async def silent(context: Context, hosts: Iterable[str], *, step: str = "", limit_s: float = LIMIT_S) -> list[str]:
    """Wait until these servers let us in again; those that did not within the limit, or before the run was stopped."""
    waiting = list(hosts)
    begin = time.monotonic()
    told = False
    for look in range(2**31):
        errors = await asyncio.gather(*(asyncio.to_thread(context.fences.enter, host) for host in waiting))
        back = [host for host, error in zip(waiting, errors, strict=True) if error is None]
        if told:
            for host in back:
                context.writer.transition(Event(Kind.LINE, "it answers again", step=step, host=host))
        waiting = [host for host in waiting if host not in back]
        # Another host key, or a sign-in that is refused, does not mend itself.
        final = any(error is not None and error.code != "unreachable" for error in errors)
        left_s = begin + limit_s - time.monotonic()
        if not waiting or final or left_s <= 0 or context.stop.is_set():
            break
        if not told:
            told = True
            for host in waiting:
                text = f"it does not answer; it is waited for, up to {limit_s / 60:.0f} minutes"
                context.writer.transition(Event(Kind.RETRY, text, step=step, host=host, level=Level.WARNING))
        with contextlib.suppress(TimeoutError):
            pause = min(PAUSES_S[min(look, len(PAUSES_S) - 1)], left_s)
            await asyncio.wait_for(context.stop.wait(), pause)
    return waiting
