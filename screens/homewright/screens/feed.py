"""Looks at the journal for a screen: at most ten times a second, one snapshot in flight, from a thread of its own.

Over SSH it looks less often: a log that is followed sends a pane's text to the terminal with every look.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from textual.message import Message
from textual.message_pump import MessagePump

from homewright.engine.journal import Reader, RunRecord, StepRecord
from homewright.engine.viewers import Viewers
from homewright.errors import HomewrightError
from homewright.screens.app import unforeseen
from homewright.screens.jobs import post
from homewright.screens.loglines import Batch, LogLines, look_on

INTERVAL_S = 0.1
"""The least time between two looks."""
SLOW_INTERVAL_S = 0.2
"""The same over SSH: 25 KB/s under a heavy log instead of 110 (measured)."""
IDLE_S = 0.5
"""Between two looks at a run that has ended."""


@dataclass(frozen=True)
class Snapshot:
    """A run as it was at one look."""

    run: RunRecord
    steps: tuple[StepRecord, ...]
    batches: tuple[Batch, ...]
    viewers: Viewers | None = None
    """Who looks at it; None where no engine works on it."""


@dataclass
class Looked(Message):
    """The feed has looked, and something is new."""

    snapshot: Snapshot | None
    error: HomewrightError | None = None


class Feed:
    """Reads a run and the lines of the panes until it is stopped."""

    def __init__(
        self,
        owner: MessagePump,
        reader: Reader,
        run: str | None,
        panes: Callable[[], Sequence[LogLines]],
        interval_s: float = INTERVAL_S,
    ) -> None:
        self._owner = owner
        self._reader = reader
        self._run = run
        self._panes = panes
        self._interval_s = interval_s
        self._stop = threading.Event()
        self._applied = threading.Event()
        self._applied.set()
        self._last: tuple[RunRecord, tuple[StepRecord, ...], Viewers | None] | None = None
        self._at: tuple[str, int] | None = None
        """How far states and events were at the last look."""

    def start(self) -> None:
        threading.Thread(target=self._loop, name="journal feed", daemon=True).start()

    def stop(self) -> None:
        self._stop.set()
        self._applied.set()

    def applied(self) -> None:
        """The screen has taken in the last snapshot: look again."""
        self._applied.set()

    def _loop(self) -> None:
        failing = ""
        while not self._stop.is_set():
            self._applied.wait()
            if self._stop.is_set():
                return
            pause = self._interval_s
            try:
                snapshot, more = self._look()
                failing = ""
                if snapshot is not None:
                    self._applied.clear()
                    post(self._owner, Looked(snapshot))
                    pause = 0.0 if more else self._interval_s
                elif self._last is not None and self._last[0].state.final:
                    pause = IDLE_S
            except Exception as error:
                # Whatever it is, the screen says so: a thread that ended in silence would look like a quiet run.
                what = error.what if isinstance(error, HomewrightError) else repr(error)
                if what != failing:
                    failing = what
                    told = error if isinstance(error, HomewrightError) else unforeseen(error)
                    post(self._owner, Looked(None, told))
                pause = IDLE_S
            self._stop.wait(pause)

    def _look(self) -> tuple[Snapshot | None, bool]:
        changes = self._reader.changes()  # first: what is written from now on is of the next look
        run = self._reader.run(self._run)
        seq = self._reader.last_seq(run.id)
        steps, viewers = self._last[1:] if self._last else ((), None)
        at = (changes, seq) if changes is not None else None
        if at is None or at != self._at or self._last is None or self._last[0] != run:
            steps = tuple(self._reader.steps(run.id))
            viewers = self._reader.viewers(run)
        batches = [
            batch
            for lines in self._panes()
            if lines.view.run == run.id
            and lines.after < seq
            and (batch := look_on(self._reader, lines.view, lines.after)).after > lines.after
        ]
        fresh, self._at = (run, steps, viewers), at
        if fresh == self._last and not batches:
            return None, False
        self._last = fresh
        return Snapshot(run, steps, tuple(batches), viewers), any(batch.more for batch in batches)
