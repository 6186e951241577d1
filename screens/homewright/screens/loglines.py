"""Lines of a run's log by absolute number, counted in the journal a page at a time.

Memory holds one number for a line (eight bytes) and a few hundred texts: it stays flat at a million events. Of a page
only the last lines are read, those that a pane shows that follows; every other one when somebody scrolls to it.
"""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from homewright.engine.events import Event
from homewright.engine.lines import PLAIN, render
from homewright.errors import HomewrightError

PAGE = 2000
"""Events read in one go."""
COUNTED = 20_000
"""Events counted in one go: a look at that many takes 50 ms."""
FIRST = 2_000
"""The same of the first look, which somebody waits for."""
TAIL = 100
"""Lines that are read with a page, the last ones: more than a pane has rows."""
KEPT = 1200
"""Texts kept in memory."""
_PARTS = 1 << 12
"""Lines that one event may have; what is beyond is not shown (a runner cuts long output before)."""


class Source(Protocol):
    """What the lines are read from: the journal's Reader."""

    def events(
        self, run: str, after: int = 0, limit: int = 1000, *, step: str | None = None, host: str | None = None
    ) -> list[Event]: ...

    def outline(
        self,
        run: str,
        plain: Sequence[str],
        after: int = 0,
        limit: int = 1000,
        *,
        step: str | None = None,
        host: str | None = None,
    ) -> list[int | Event]: ...


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
class Page:
    """Lines that were read, and where to read on from."""

    lines: tuple[Line, ...]
    after: int
    more: bool


@dataclass(frozen=True)
class Batch:
    """What one look at the journal brought: the place of each new line, the last ones' texts, where to look on from."""

    view: View
    codes: array[int]
    texts: Mapping[int, Line]
    after: int
    more: bool


def lines_of(event: Event) -> list[Line]:
    """The lines that an event is shown as."""
    text = render(event)
    if text is None:
        return []
    return [Line(part, str(event.level), str(event.kind)) for part in text.split("\n")[: _PARTS - 1]]


def read_on(source: Source, view: View, after: int, limit: int = PAGE) -> Page:
    """The lines of the next events after a seq. Runs in a thread."""
    events = source.events(view.run, after, limit, step=view.step, host=view.host)
    lines = tuple(line for event in events for line in lines_of(event))
    return Page(lines, events[-1].seq if events else after, len(events) == limit)


def look_on(source: Source, view: View, after: int, limit: int = 0) -> Batch:
    """Where the lines of the next events after a seq are, of so many at most. Runs in a thread."""
    limit = limit or (COUNTED if after else FIRST)
    found = source.outline(view.run, PLAIN, after, limit, step=view.step, host=view.host)
    codes = array("Q")
    for one in found:
        if isinstance(one, int):
            codes.append(one * _PARTS)
        else:
            codes.extend(one.seq * _PARTS + part for part in range(len(lines_of(one))))
    if found:
        after = found[-1] if isinstance(found[-1], int) else found[-1].seq
    tail = codes[-TAIL:]
    return Batch(view, codes, _texts(source, view, tail[0] // _PARTS) if tail else {}, after, len(found) == limit)


def _texts(source: Source, view: View, seq: int) -> dict[int, Line]:
    """The lines of events from this seq on, as many as a pane shows."""
    events = source.events(view.run, seq - 1, TAIL, step=view.step, host=view.host)
    return {event.seq * _PARTS + part: line for event in events for part, line in enumerate(lines_of(event))}


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
        for code, line in batch.texts.items():
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
        try:
            found = _texts(self.source, self.view, code // _PARTS)
        except HomewrightError:
            return  # an empty line, and not the end of the program; the feed says what is wrong with the journal
        for place, line in found.items():
            self._keep(place, line)

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
