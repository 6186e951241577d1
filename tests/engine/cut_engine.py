"""An engine whose power fails right after a commit: ``python cut_engine.py CUTS BOUNDARIES ENGINE'S ARGUMENTS…``.

CUTS is a JSON list of boundaries, of which the first that is met ends everything; `but [...]` in it stands for all
boundaries but those in that list. BOUNDARIES is a file that takes the names of all that were met, so that a campaign
knows where a whole run can be cut. At a cut the runners and all that they have started here die with the engine, by
SIGKILL and at once: nothing gets to say or to tidy up anything.

A boundary is one commit to one of the journal's two files, called by what it records: `events step-started 00/10`,
`states step-started 00/10`, `states row 00/10 s1 succeeded`. Commits of lines and of progress alone are none: what they
record is nothing that a resume looks at. `line TEXT` is the commit of a line with that text, `begun s2 TEXT` and
`ended s2 TEXT` those of a task's beginning and end there: a cut in the middle of a step is asked for by what it says.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from homewright.engine import __main__ as engine
from homewright.engine import leftovers, process
from homewright.engine.events import Event, Kind
from homewright.engine.journal.writer import Writer

QUIET = (Kind.PROGRESS, Kind.LINE, Kind.DRIFT, Kind.RETRY)
SAID = {Kind.LINE: "line", Kind.TASK_STARTED: "begun", Kind.TASK_FINISHED: "ended"}


class CutWriter(Writer):
    """A writer that knows what it has committed, and after which commit the power fails."""

    cuts: frozenset[str] = frozenset()
    spared: frozenset[str] | None = None
    """Where every boundary is to be cut at but these."""
    boundaries: Path

    _event: Event | None = None
    _lines: tuple[str, ...] = ()
    _rows: tuple[str, ...] = ()

    def transition(self, event: Event, *changes: Callable[[sqlite3.Connection], object]) -> int:
        self._event = event
        try:
            return super().transition(event, *changes)
        finally:
            self._event = None

    def flush(self) -> None:
        self._lines = tuple(_said(event) for event in self._waiting if event.kind in SAID)
        super().flush()

    def set_step(self, step: str, host: str, **values: Any) -> Callable[[sqlite3.Connection], object]:
        if values.get("state"):
            self._rows += (" ".join(part for part in ("row", step, host, str(values["state"])) if part),)
        return super().set_step(step, host, **values)

    def _commit(self, connection: sqlite3.Connection, work: Callable[[], object], *, lines: bool = False) -> None:
        super()._commit(connection, work, lines=lines)
        event = self._event
        if event is not None and event.kind not in QUIET:
            told = " ".join(part for part in (str(event.kind), event.step, event.host) if part)
            self._met(f"{'events' if lines else 'states'} {told}")
        elif event is None and not lines:
            self._met(f"states {', '.join(dict.fromkeys(self._rows)) or 'of the engine'}")
        if lines:
            self._cut(self._lines)
        else:
            self._rows = ()

    def _met(self, name: str) -> None:
        if name not in self.cuts:
            with self.boundaries.open("a") as file:
                file.write(f"{name}\n")
        self._cut([name], new=self.spared is not None and name not in self.spared)

    def _cut(self, met: Iterable[str], *, new: bool = False) -> None:
        here = [name for name in met if name in self.cuts]
        if here:
            with self.boundaries.open("a") as file:
                file.write(f"{here[0]}\n")
        if new or here:
            for pid in leftovers.found(leftovers.site_mark(self.state)):
                os.kill(pid, signal.SIGKILL)
            os.kill(os.getpid(), signal.SIGKILL)


def _said(event: Event) -> str:
    return f"line {event.text}" if event.kind == Kind.LINE else f"{SAID[event.kind]} {event.host} {event.text}"


if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    CutWriter.cuts = frozenset(cut for cut in asked if not cut.startswith("but "))
    CutWriter.spared = next((frozenset(json.loads(cut[4:])) for cut in asked if cut.startswith("but ")), None)
    CutWriter.boundaries = Path(sys.argv[2])
    process.Writer = CutWriter  # type: ignore[misc]  # in place of the one that has nothing to fear
    sys.argv[1:3] = []
    code = engine.main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
