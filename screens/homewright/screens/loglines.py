"""Lines of a run's log by absolute number, read from the journal a page at a time.

Memory holds one number for a line (eight bytes) and a few hundred texts: it stays flat at a million events.
"""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from homewright.engine.events import Event
from homewright.engine.lines import render
from homewright.errors import HomewrightError

PAGE = 2000
"""Events read in one go."""
KEPT = 1200
"""Texts kept in memory."""
_PARTS = 1 << 12
"""Lines that one event may have; what is beyond is not shown (a runner cuts long output before)."""


class Source(Protocol):
    """What the lines are read from: the journal's Reader."""

    def events(
        self, run: str, after: int = 0, limit: int = 1000, *, step: str | None = None, host: str | None = None
    ) -> list[Event]: ...


@dataclass(frozen=True)
class Line:
    """One line as it is shown."""

    text: str
    level: str = "info"
    kind: str = "line"


@dataclass(frozen=True)
class View:
    """Which lines: of one run, perhaps of one step, perhaps of one host."""

    run: str
    step: str | None = None
    host: str | None = None


@dataclass(frozen=True)
class Batch:
    """What one look at the journal brought: the place of each new line, its text, and where to look on from."""

    view: View
    codes: tuple[int, ...]
    lines: tuple[Line, ...]
    after: int
    more: bool


def lines_of(event: Event) -> list[Line]:
    """The lines that an event is shown as."""
    text = render(event)
    if text is None:
        return []
    return [Line(part, str(event.level), str(event.kind)) for part in text.split("\n")[: _PARTS - 1]]


def read_on(source: Source, view: View, after: int, limit: int = PAGE) -> Batch:
    """The lines of the next events after a seq. Runs in a thread."""
    events = source.events(view.run, after, limit, step=view.step, host=view.host)
    codes: list[int] = []
    lines: list[Line] = []
    for event in events:
        for part, line in enumerate(lines_of(event)):
            codes.append(event.seq * _PARTS + part)
            lines.append(line)
    return Batch(view, tuple(codes), tuple(lines), events[-1].seq if events else after, len(events) == limit)


def first_error(lines: LogLines) -> int | None:
    """Number of the first line that says what went wrong; None where no line does. Runs in a thread."""
    number, after = 0, 0
    while True:
        batch = read_on(lines.source, lines.view, after)
        for line in batch.lines:
            if line.level == "error":
                return number
            number += 1
        if not batch.more:
            return None
        after = batch.after


class LogLines:
    """The lines of one view: how many there are, and the text of each by its number."""

    def __init__(self, source: Source, view: View) -> None:
        self.source = source
        self.view = view
        self.after = 0
        self._codes = array("Q")
        self._texts: OrderedDict[int, Line] = OrderedDict()

    def __len__(self) -> int:
        return len(self._codes)

    def add(self, batch: Batch) -> None:
        """Take in what a look at the journal brought."""
        self._codes.extend(batch.codes)
        for code, line in zip(batch.codes[-KEPT:], batch.lines[-KEPT:], strict=True):
            self._keep(code, line)
        self.after = batch.after

    def line(self, number: int) -> Line:
        """The line of this number; read from the journal when it is not in memory."""
        code = self._codes[number]
        found = self._texts.get(code)
        if found is None:
            self._fetch(code)
            found = self._texts.get(code, Line(""))
        return found

    def _fetch(self, code: int) -> None:
        seq = code // _PARTS
        try:
            events = self.source.events(self.view.run, seq - 1, 100, step=self.view.step, host=self.view.host)
        except HomewrightError:
            return  # an empty line, and not the end of the program; the feed says what is wrong with the journal
        for event in events:
            for part, line in enumerate(lines_of(event)):
                self._keep(event.seq * _PARTS + part, line)

    def _keep(self, code: int, line: Line) -> None:
        self._texts[code] = line
        if len(self._texts) > KEPT:
            self._texts.popitem(last=False)

    def find(self, needle: str, start: int, way: int) -> int | None:
        """Number of the next line with this text, from `start` in one direction and round. Runs in a thread."""
        count = len(self._codes)
        wanted = needle.lower()
        numbers = self._matches(wanted)
        if not numbers or not count:
            return None
        if way > 0:
            return next((number for number in numbers if number >= start), numbers[0])
        return next((number for number in reversed(numbers) if number <= start), numbers[-1])

    def _matches(self, wanted: str) -> Sequence[int]:
        found: list[int] = []
        number, after = 0, 0
        while True:
            batch = read_on(self.source, self.view, after)
            for line in batch.lines:
                if wanted in line.text.lower():
                    found.append(number)
                number += 1
            if not batch.more:
                return found
            after = batch.after
