"""One step runner as a child process: started, listened to, limited in time, and gone when it is over.

The engine waits for the process, not for the end of its pipes, which a master connection of ssh may hold open.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from homewright.catalogue.models import Limits
from homewright.engine import leftovers
from homewright.engine.events import Event, Kind, Level
from homewright.engine.forks import Forked, Forks, NoFork
from homewright.engine.launch import MARK, environment
from homewright.engine.redaction import LineAssembler

LONGEST_EVENT = 4 * 1024 * 1024
"""Bytes of one event's line; only a capture comes near it."""
CHUNK = 64 * 1024
GRACE_S = 10.0
"""From asking a runner that has run into a limit to stop until it is ended by force."""
TICK_S = 0.5


@dataclass(frozen=True)
class Ending:
    """How a runner process ended."""

    exit_code: int
    reason: str = ""
    """Why the engine ended it; empty where it ended by itself."""
    cancelled: bool = False
    forced: bool = False
    """It was asked to stop, and did not in time."""


@dataclass
class RunnerProcess:
    """Runs one request. `on_event` gets every event; stray output comes as line events."""

    module: str
    request: Path
    step: str
    mark: str
    """Value of the mark that all its descendants carry."""
    limits: Limits
    on_event: Callable[[Event], None]
    patience: Callable[[], float] | None = None
    """How many seconds it may take from a cancel to its next safe point; by default what its limits say."""
    further: Sequence[str] = ()
    """Further words of its command line."""
    stdin: int = subprocess.DEVNULL
    """A descriptor that becomes its standard input, and is closed here once it has."""
    forks: Forks | None = None
    """What it is forked from, where it need not be started by itself."""
    files: Sequence[Path] = ()
    """Numbered files that it will load: the modules of ours that they name are loaded before it is forked."""
    since: float = field(default_factory=time.monotonic)
    """From when on its limits count (monotonic seconds): its start, or when something was asked of it."""
    reason: str = ""
    """Why it is being ended; empty where nobody has asked it to."""

    async def run(self, stop: asyncio.Event) -> Ending:
        """Until the process has ended, by itself, by a limit or because `stop` was set; nothing of it is left then."""
        reader, writer = os.pipe()
        try:
            process = await self._begun(writer)
        except BaseException:
            os.close(reader)
            raise
        finally:
            os.close(writer)
            if self.stdin >= 0:
                os.close(self.stdin)
        assert process.stdout is not None and process.stderr is not None
        sources = [
            _Source(reader, LineAssembler(LONGEST_EVENT), self._event_line),
            _Source(process.stdout.fileno(), LineAssembler(), self._stray_line),
            _Source(process.stderr.fileno(), LineAssembler(), self._stray_line),
        ]
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        watched = os.dup(process.told.fileno()) if isinstance(process, Forked) else os.pidfd_open(process.pid)
        try:
            for source in sources:
                os.set_blocking(source.descriptor, False)
                loop.add_reader(source.descriptor, source.read, loop)
            loop.add_reader(watched, ended.set)
            return await self._watch(process, sources, ended, stop)
        finally:
            loop.remove_reader(watched)
            os.close(watched)
            if process.poll() is None:
                _signal_group(process.pid, signal.SIGKILL)
            left = await asyncio.to_thread(leftovers.end, self.mark)
            process.wait()
            for source in sources:
                source.drain(loop)
            os.close(reader)
            process.stdout.close()
            process.stderr.close()
            if left:
                said = f"What it started here could not be ended: {leftovers.described(left)}."
                self.on_event(Event(Kind.LINE, said, step=self.step, level=Level.WARNING))

    async def _begun(self, events: int) -> subprocess.Popen[bytes] | Forked:
        """Forked from what has loaded what it needs, else started by itself."""
        words = [str(self.request), *self.further]
        if self.forks is not None:
            with contextlib.suppress(NoFork):
                return await self.forks.fork(self.module, words, (MARK, self.mark), self.files, events)
        command = [sys.executable, "-m", "homewright.engine.child", str(events), str(os.getpid()), self.module]
        return _started([*command, *words], events, self.mark, self.stdin)

    async def _watch(
        self,
        process: subprocess.Popen[bytes] | Forked,
        sources: list[_Source],
        ended: asyncio.Event,
        stop: asyncio.Event,
    ) -> Ending:
        self.since = time.monotonic()
        warned = False
        cancelled, asked_at = False, 0.0
        patience = self.patience or (lambda: self.limits.stop * 60)
        forced = False
        stopping = asyncio.ensure_future(stop.wait())
        ending = asyncio.ensure_future(ended.wait())
        try:
            while not ended.is_set():
                waiting = {ending} if cancelled else {ending, stopping}
                await asyncio.wait(waiting, timeout=TICK_S, return_when=asyncio.FIRST_COMPLETED)
                now = time.monotonic()
                if ended.is_set():
                    break
                if asked_at:
                    if now >= asked_at + (patience() if cancelled else GRACE_S):
                        forced = True
                        _signal_group(process.pid, signal.SIGKILL)
                    continue
                quiet = now - max(self.since, *(source.heard for source in sources))
                if stop.is_set():
                    self.reason, cancelled = "It was cancelled.", True
                    said = f"asked to stop at its next safe point; after {patience():.0f} s it is ended by force"
                    self.on_event(Event(Kind.LINE, said, step=self.step))
                elif now - self.since > self.limits.hard * 60:
                    self.reason = f"It took longer than its hard limit of {self.limits.hard:g} minutes."
                elif quiet > self.limits.silent * 60:
                    self.reason = f"It said nothing for {self.limits.silent:g} minutes."
                elif now - self.since > self.limits.soft * 60 and not warned:
                    warned = True
                    said = f"It takes longer than {self.limits.soft:g} minutes, its soft limit; it goes on."
                    self.on_event(Event(Kind.LINE, said, step=self.step, level=Level.WARNING))
                if self.reason:
                    _signal_group(process.pid, signal.SIGTERM)
                    asked_at = now
        finally:
            stopping.cancel()
            ending.cancel()
        return Ending(process.wait(), self.reason, cancelled, forced)

    def _event_line(self, line: bytes) -> None:
        try:
            event = Event.from_json(line)
            if not isinstance(event.data, dict):
                raise ValueError("its data is no object")
        except (ValueError, TypeError):
            text = line[:2000].decode("utf-8", "replace")
            said = f"The runner said something that is no event: {text}"
            event = Event(Kind.LINE, said, step=self.step, level=Level.WARNING)
        self.on_event(event)

    def _stray_line(self, line: bytes) -> None:
        self.on_event(Event(Kind.LINE, line.decode("utf-8", "replace"), step=self.step))


class _Source:
    """One pipe from the runner."""

    def __init__(self, descriptor: int, lines: LineAssembler, take: Callable[[bytes], None]) -> None:
        self.descriptor = descriptor
        self.heard = 0.0
        """When it last said something (monotonic seconds)."""
        self._lines = lines
        self._take = take

    def read(self, loop: asyncio.AbstractEventLoop) -> None:
        """One chunk; the event loop calls again while there is more."""
        if not self._read_once():
            loop.remove_reader(self.descriptor)

    def drain(self, loop: asyncio.AbstractEventLoop) -> None:
        """What is still in the pipe when the process has ended."""
        loop.remove_reader(self.descriptor)
        with contextlib.suppress(BlockingIOError):
            while self._read_once(patient=False):
                pass
        for line in self._lines.rest():
            self._take(line)

    def _read_once(self, patient: bool = True) -> bool:
        try:
            chunk = os.read(self.descriptor, CHUNK)
        except BlockingIOError:
            return patient
        except OSError:
            return False
        if chunk:
            self.heard = time.monotonic()
            for line in self._lines.feed(chunk):
                self._take(line)
        return bool(chunk)


def environment_of(outer: Mapping[str, str], mark: str) -> dict[str, str]:
    return environment(outer) | {MARK: mark, "PYTHONUNBUFFERED": "1", "LC_ALL": "C.UTF-8"}


def _started(command: list[str], writer: int, mark: str, stdin: int) -> subprocess.Popen[bytes]:
    """Leader of a session of its own. Started by the engine's main thread, whose end the kernel tells the child of."""
    return subprocess.Popen(
        command,
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pass_fds=(writer,),
        start_new_session=True,
        env=environment_of(os.environ, mark),
    )


def _signal_group(pid: int, number: signal.Signals) -> None:
    """The runner leads a session and a group of its own, so both have its number. Group 1 would be every process."""
    if pid <= 1:
        return
    with contextlib.suppress(OSError):
        os.killpg(pid, number)
