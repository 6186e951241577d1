"""Being in control of a run while it is watched line by line: asking for it, and answering another viewer who does.

The plain face of what the screens do with a key and a box: the same words to the engine, the same half a minute.
"""

from __future__ import annotations

import contextlib
import os
import select
import sys
import termios
import threading
from enum import StrEnum

from homewright.cli.output import Output
from homewright.engine.client import Presence
from homewright.engine.journal import Reader
from homewright.engine.viewers import ANSWER_S, Viewers
from homewright.errors import HomewrightError
from homewright.site.paths import StateFolder

LOOK_S = 0.3
"""Between two looks at who is in control."""


class Move(StrEnum):
    """What there is to do for somebody who wants to be in control."""

    NONE = ""
    ASK = "ask"
    ANSWER = "answer"


def move(now: Viewers | None, mine: str, *, asked: bool) -> Move:
    """The next move of the viewer `mine`, who has `asked` for control before or not. Pure."""
    if now is None or now.of(mine) is None:
        return Move.NONE
    if now.holder == mine:
        return Move.ANSWER if now.of(now.asking) is not None else Move.NONE
    return Move.ASK if now.in_control is not None and not asked else Move.NONE


def word(line: str) -> str | None:
    """What a typed line tells the engine; None where it is neither yes nor no. An empty one keeps control."""
    said = line.strip().lower()
    if said in ("y", "yes"):
        return "grant"
    return "refuse" if said in ("", "n", "no") else None


class InControl:
    """Takes control of the run that is watched, asks for it where another viewer has it, and answers who asks for it.

    A thread of its own, as the watched lines come meanwhile. Nobody is asked without a terminal: the question then
    lapses, since nobody is known to sit there.
    """

    def __init__(self, presence: Presence, state: StateFolder, run: str, output: Output) -> None:
        self._presence = presence
        self._reader = Reader(state)
        self._run = run
        self._output = output
        self._stop = threading.Event()
        self._asked = False
        self._thread = threading.Thread(target=self._keep, name="in-control", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Look away; a question that is open is left to the engine."""
        self._stop.set()
        self._thread.join()

    def _keep(self) -> None:
        while not self._stop.wait(LOOK_S):
            with contextlib.suppress(HomewrightError):  # the journal is the watcher's own to complain about
                self._next()

    def _next(self) -> None:
        match move(self._now(), self._presence.viewer, asked=self._asked):
            case Move.ASK:
                self._asked = True
                self._say("ask")
            case Move.ANSWER if _somebody_is_there():
                self._answer()

    def _answer(self) -> None:
        """Ask on the terminal until there is an answer, or the question is settled otherwise."""
        now = self._now()
        other = now.of(now.asking) if now is not None else None
        if other is None:
            return
        terminal = sys.stdin.fileno()
        termios.tcflush(terminal, termios.TCIFLUSH)  # what was typed before the question is no answer to it
        question = f"Hand control over to {other.described()}? Without an answer it passes in {ANSWER_S:.0f} s. [y/N]"
        self._output.progress(question)
        while not self._stop.is_set():
            now = self._now()
            if now is None or now.asking != other.id:
                return
            ready, _, _ = select.select([terminal], [], [], LOOK_S)
            if not ready:
                continue
            typed = os.read(terminal, 4096)
            said = word(typed.decode(errors="replace")) if typed else "refuse"
            if said is not None:
                self._say(said)
                return
            self._output.progress("y hands it over, n keeps it.")

    def _say(self, said: str) -> None:
        try:
            self._presence.say(said)
        except HomewrightError as error:
            self._output.progress(error.why or error.what)

    def _now(self) -> Viewers | None:
        return self._reader.viewers(self._reader.run(self._run))


def _somebody_is_there() -> bool:
    """Whether there is a terminal, and it is ours: a job in the background that reads from it would be stopped."""
    return sys.stdin.isatty() and os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
