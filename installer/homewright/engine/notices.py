"""Telling somebody who is not looking: the site's own command, at a failure and at a run's end.

The command is a list of words, run without a shell, by the engine: so it runs when nobody looks on, too. What happened
comes as one JSON object on its standard input, redacted like the journal. It gets little time and no output, and ends
with the engine.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from homewright.engine.events import Event, Kind, Level
from homewright.engine.journal.writer import Writer
from homewright.engine.launch import environment
from homewright.engine.states import Action, State
from homewright.errors import HomewrightError

LIMIT_S = 10.0
"""How long the command may take: less than the next engine waits for this one to be gone (`lock.FINISHING_S`)."""
LOOK_S = 1.0
"""Between two looks for steps that have failed while others go on."""
META = "notice"
"""Where the journal keeps that the last command did not do its work."""


@dataclass(frozen=True, slots=True)
class FailedStep:
    """A step that has failed."""

    id: str
    title: str
    reason: str
    say: str
    """What it means, where a remedy matched it."""
    do: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Notice:
    """What the command reads: an object with these fields."""

    event: str
    """`step-failed`, while what does not need the step goes on, or `run-ended`."""
    site: str
    run: str
    action: str
    state: str
    """Of the run: running, succeeded, failed, …"""
    reason: str = ""
    changed: int = 0
    exit_code: int | None = None
    failed: tuple[FailedStep, ...] = ()
    host: str = ""
    """The machine that the engine runs on."""
    at: float = 0.0
    """Unix seconds."""
    version: int = 1


class Notices:
    """The notices of one engine."""

    def __init__(self, command: Sequence[str], site: str, action: Action, writer: Writer) -> None:
        self._command = tuple(command)
        self._site = site
        self._action = action
        self._writer = writer
        self._told = self._failed() if self._command else {}
        if self._command:
            with contextlib.suppress(HomewrightError):  # the engine meets the same journal by itself
                writer.change(writer.set_meta(META, ""))

    async def watch(self) -> None:
        """Tell of every step that fails, until cancelled. Where its command does no good, the log says so."""
        while self._command:
            await asyncio.sleep(LOOK_S)
            now = self._failed()
            fresh = [key for key in now if key not in self._told]
            if not fresh:
                continue
            self._told |= now
            notice = self._notice("step-failed", State.RUNNING, failed=tuple(now[key] for key in fresh))
            wrong = await tell(self._command, self._text(notice))
            if wrong:
                self._writer.line(Event(Kind.LINE, f"The notification command {wrong}.", level=Level.WARNING))

    async def ended(self, state: State, reason: str, changed: int, exit_code: int) -> None:
        """Tell of the run's end. It is recorded, and the last line of the log: `status` says what went wrong here."""
        if not self._command:
            return
        failed = tuple(self._failed().values())
        notice = self._notice("run-ended", state, reason, changed, exit_code, failed)
        wrong = await tell(self._command, self._text(notice))
        if wrong:
            said = f"The notification command {wrong}: nobody may have been told of the end."
            self._writer.change(self._writer.set_meta(META, json.dumps({"run": self._writer.run, "said": said})))

    def _notice(
        self,
        event: str,
        state: State,
        reason: str = "",
        changed: int = 0,
        exit_code: int | None = None,
        failed: tuple[FailedStep, ...] = (),
    ) -> Notice:
        return Notice(
            event,
            self._site,
            self._writer.run,
            str(self._action),
            str(state),
            reason,
            changed,
            exit_code,
            failed,
            socket.gethostname(),
            round(time.time(), 3),
        )

    def _text(self, notice: Notice) -> bytes:
        data = json.loads(json.dumps(asdict(notice)))
        return json.dumps(self._writer.redactor.data(data), ensure_ascii=False).encode()

    def _failed(self) -> dict[tuple[str, float], FailedStep]:
        rows = self._writer.query(
            "SELECT step, coalesce(finished, 0), title, reason, say, do FROM steps "
            "WHERE run = ? AND host = '' AND state = 'failed' ORDER BY position",
            self._writer.run,
        )
        return {
            (step, finished): FailedStep(step, title, reason, say, tuple(json.loads(do or "[]")))
            for step, finished, title, reason, say, do in rows
        }


async def tell(
    command: Sequence[str], data: bytes, limit_s: float = LIMIT_S, spawned: Callable[[int], None] = lambda _: None
) -> str:
    """Run a command with this on its standard input; how it failed (`ended with 1`), empty where it did not."""
    # It dies with the engine: a hook that hangs must not outlive the run that it tells of.
    tied = ["setpriv", "--pdeathsig", "KILL", "--"] if shutil.which("setpriv") else []
    try:
        process = await asyncio.create_subprocess_exec(
            *tied,
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
            cwd="/",
            env=environment(os.environ),
        )
    except OSError as error:
        return f"could not be started ({error.strerror})"
    spawned(process.pid)
    try:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it need not read
            await asyncio.wait_for(process.communicate(data), limit_s)
        code = await asyncio.wait_for(process.wait(), limit_s)
    except TimeoutError:
        return f"took longer than {limit_s:.0f} s and was ended"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # and whatever it has left behind
        await process.wait()
    if code == 127 and tied:
        return "could not be started (no such program)"
    return "" if code == 0 else f"ended with {code}" if code > 0 else f"was ended by signal {-code}"
