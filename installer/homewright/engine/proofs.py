"""Proofs that are asked for at about the same time go into one process, which proves them side by side.

Where it is known that they will be asked for, it is started before, and loads what they need while the servers are
taken.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from homewright.catalogue.models import Limits
from homewright.engine import leftovers
from homewright.engine.events import Event, Kind
from homewright.engine.forks import Forks
from homewright.engine.runner_process import Ending, RunnerProcess
from homewright.engine.runners.request import ProofsRequest, StepRequest
from homewright.site.paths import StateFolder, make_folder, write_atomically

GATHER_S = 0.05
"""How long the last one waits for another: they are asked for one right after the other, each once its start is durable
in the journal."""
GATHER_MOST_S = 1.0
"""How long the first one waits for all."""

EARLY = 200
"""Events that are kept of a process that nothing was asked of yet."""

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


@dataclass
class _Ahead:
    """A process that nothing was asked of yet."""

    process: RunnerProcess
    running: asyncio.Task[Ending]
    gate: int
    """What its standard input hangs on: closed once its request is there, or never will be."""
    early: deque[Event]
    """What it has said until then."""

    async def run(self, limits: Limits, hear: Callable[[Event], None]) -> Ending:
        """Its request is there: from now on it is heard, and held to its limits."""
        self.process.limits, self.process.on_event, self.process.since = limits, hear, time.monotonic()
        while self.early:
            hear(self.early.popleft())
        self.leave()
        return await self.running

    def leave(self) -> None:
        """Wait no longer; harmless when done twice."""
        if self.gate >= 0:
            os.close(self.gate)
        self.gate = -1

    @property
    def spent(self) -> bool:
        """Whether it has ended, or is being ended, before anything was asked of it: by how long that took, perhaps."""
        return self.running.done() or bool(self.process.reason)

    async def end(self) -> None:
        """Ask nothing of it any more, and wait until it is gone; how it ended is no verdict on anything."""
        self.leave()
        await asyncio.gather(self.running, return_exceptions=True)


class Proofs:
    """Gathers the proofs of one engine."""

    def __init__(self, state: StateFolder, run: str, stop: asyncio.Event, forks: Forks | None = None) -> None:
        self._state = state
        self._forks = forks
        self._run = run
        self._stop = stop
        self._waiting: list[_Asked] = []
        self._batches: set[asyncio.Task[None]] = set()
        self._ahead: _Ahead | None = None

    def start_ahead(self, files: Sequence[Path]) -> None:
        """Start a process that loads these files and what they import; the next proofs are its own.

        Where one waits already, that one is asked, and loads what it lacks.
        """
        if self._ahead is not None:
            return
        folder = self._state.run(self._run) / "proofs"
        make_folder(folder)
        (folder / "request.json").unlink(missing_ok=True)  # another engine's, which was cut off: it is asked no more
        reader, gate = os.pipe()
        early: deque[Event] = deque(maxlen=EARLY)
        process = self._process(folder / "request.json", 0, Limits(), early.append)
        process.further, process.stdin = tuple(map(str, files)), reader
        self._ahead = _Ahead(process, asyncio.create_task(process.run(self._stop)), gate, early)

    async def leave(self) -> None:
        """Nothing more will be asked: a process that still waits for it ends by itself, and is waited for."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            await ahead.end()

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
        ahead, self._ahead = self._ahead, None
        try:
            if ahead is not None and ahead.spent:
                await ahead.end()
                ahead = None

            def hear(event: Event) -> None:
                named = by_step.get(event.step)
                if named is not None:
                    named.hear(event)
                    return
                for one in asked:  # the process itself, outside its proofs: often why they come to no end
                    if not one.ended.done():
                        one.hear(replace(event, step=one.request.step))

            limits = _widest([one.limits for one in asked])
            file = ahead.process.request if ahead is not None else asked[0].folder / "request.json"
            make_folder(file.parent)
            request = ProofsRequest(proofs=tuple(one.request for one in asked))
            write_atomically(file, request.model_dump_json().encode())
            if ahead is not None:
                ending = await ahead.run(limits, hear)
            else:
                process = self._process(file, asked[0].number, limits, hear)
                process.forks, process.files = self._forks, [one.request.file for one in asked]
                ending = await process.run(self._stop)
        except BaseException as error:
            if ahead is not None:
                ahead.leave()
            for one in asked:
                if not one.ended.done():
                    one.ended.set_exception(error)
            if not isinstance(error, Exception):
                raise
            return
        for one in asked:
            if not one.ended.done():
                one.ended.set_result(ending)

    def _process(self, request: Path, number: int, limits: Limits, on_event: Callable[[Event], None]) -> RunnerProcess:
        process = RunnerProcess(
            module="homewright.engine.runners.proofs",
            request=request,
            step="",
            mark=f"{leftovers.site_mark(self._state)}{self._run}:{number}.",
            limits=limits,
            on_event=on_event,
        )
        process.patience = lambda: min(process.limits.stop * 60, STOP_S)
        return process


def _widest(limits: list[Limits]) -> Limits:
    """What none of them is cut short by."""
    names = ("soft", "hard", "silent", "stop")
    return Limits.model_validate({name: max(getattr(one, name) for one in limits) for name in names})
