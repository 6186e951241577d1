"""Proofs that are asked for at about the same time go into one process, which proves them side by side."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from homewright.catalogue.models import Limits
from homewright.engine import leftovers
from homewright.engine.events import Event, Kind
from homewright.engine.runner_process import Ending, RunnerProcess
from homewright.engine.runners.request import ProofsRequest, StepRequest
from homewright.site.paths import StateFolder, write_atomically

GATHER_S = 0.05
"""How long the last one waits for another: they are asked for one right after the other, each once its start is durable
in the journal."""
GATHER_MOST_S = 1.0
"""How long the first one waits for all."""

STOP_S = 60.0
"""How long proofs may take to stop; what they do can be left at any time, and systemd waits 90 s before it kills."""


@dataclass
class _Asked:
    """One step's proof that somebody waits for."""

    request: StepRequest
    folder: Path
    number: int
    limits: Limits
    take: Callable[[Event], None]
    ended: asyncio.Future[Ending]
    left: set[str] = field(default_factory=set)
    """Hosts that it has not said the end of."""

    def hear(self, event: Event) -> None:
        self.take(event)
        if event.kind == Kind.HOST_FINISHED:
            self.left.discard(event.host)
            if not self.left and not self.ended.done():
                self.ended.set_result(Ending(0))


class Proofs:
    """Gathers the proofs of one engine."""

    def __init__(self, state: StateFolder, run: str, stop: asyncio.Event) -> None:
        self._state = state
        self._run = run
        self._stop = stop
        self._waiting: list[_Asked] = []
        self._batches: set[asyncio.Task[None]] = set()

    async def ask(
        self, request: StepRequest, folder: Path, number: int, limits: Limits, take: Callable[[Event], None]
    ) -> Ending:
        """Prove one step; `take` gets every event of it. Comes back once all its hosts have ended."""
        ended: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()
        one = _Asked(request, folder, number, limits, take, ended, {host.name for host in request.hosts})
        self._waiting.append(one)
        if len(self._waiting) == 1:
            task = asyncio.create_task(self._batch())
            self._batches.add(task)
            task.add_done_callback(self._batches.discard)
        return await ended

    async def _batch(self) -> None:
        until, gathered = time.monotonic() + GATHER_MOST_S, 0
        while gathered < len(self._waiting) and time.monotonic() < until:
            gathered = len(self._waiting)
            await asyncio.sleep(GATHER_S)
        asked, self._waiting = self._waiting, []
        by_step = {one.request.step: one for one in asked}
        try:
            file = asked[0].folder / "request.json"
            request = ProofsRequest(proofs=tuple(one.request for one in asked))
            write_atomically(file, request.model_dump_json().encode())

            def hear(event: Event) -> None:
                named = by_step.get(event.step)
                if named is not None:
                    named.hear(event)
                    return
                for one in asked:  # the process itself, outside its proofs: often why they come to no end
                    if not one.ended.done():
                        one.hear(replace(event, step=one.request.step))

            limits = _widest([one.limits for one in asked])
            process = RunnerProcess(
                module="homewright.engine.runners.proofs",
                request=file,
                step="",
                mark=f"{leftovers.site_mark(self._state)}{self._run}:{asked[0].number}.",
                limits=limits,
                on_event=hear,
                patience=lambda: min(limits.stop * 60, STOP_S),
            )
            ending = await process.run(self._stop)
        except BaseException as error:
            for one in asked:
                if not one.ended.done():
                    one.ended.set_exception(error)
            if not isinstance(error, Exception):
                raise
            return
        for one in asked:
            if not one.ended.done():
                one.ended.set_result(ending)


def _widest(limits: list[Limits]) -> Limits:
    """What none of them is cut short by."""
    names = ("soft", "hard", "silent", "stop")
    return Limits.model_validate({name: max(getattr(one, name) for one in limits) for name in names})
