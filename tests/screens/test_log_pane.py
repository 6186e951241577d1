"""A log that is followed paints its lines and nothing besides, and what is painted is what the journal says."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from painted import Painted, painted
from textual.app import ComposeResult
from textual.pilot import Pilot
from textual.screen import Screen

from homewright.engine.events import Event, Kind
from homewright.engine.journal import Reader
from homewright.engine.journal.writer import Writer
from homewright.screens.loglines import LogLines, View, look_on
from homewright.screens.painting import Painting
from homewright.screens.widgets.framed import entitle
from homewright.screens.widgets.log_pane import LogPane, SteadyBar
from homewright.site.paths import StateFolder

SIZE = (60, 20)
RUN = "20260101-000000-abcd"
LINES = 300


class Log(Screen[None]):
    """A pane in a frame."""

    def __init__(self) -> None:
        super().__init__()
        self._compositor = Painting()

    def compose(self) -> ComposeResult:
        yield LogPane()


class Viewer(Painted):
    """A program that shows a log and nothing else."""

    CSS = "LogPane { border: round green; scrollbar-size-vertical: 1; }"

    def get_default_screen(self) -> Log:
        return Log()

    @property
    def pane(self) -> LogPane:
        return self.screen.query_one(LogPane)


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Writer]:
    writer = Writer(StateFolder(tmp_path).create(), RUN)
    yield writer
    writer.close()


def say(writer: Writer, count: int, first: int) -> None:
    for number in range(first, first + count):
        writer.line(Event(Kind.LINE, f"line {number} of what a package manager has to say", step="00/20", ts=1.0))
    writer.flush()


def test_a_flood_is_shown_to_its_end_in_few_bytes(writer: Writer) -> None:
    """Every look brings a pane full of new lines; what is sent is their text and a move for each, whose style stays."""

    async def flow(app: Viewer, pilot: Pilot[None]) -> None:
        lines = LogLines(Reader(writer.state), View(RUN))
        app.pane.show(lines)
        said = 0
        for _ in range(30):
            say(writer, LINES, said)
            said += LINES
            before = app.sent.bytes
            app.pane.add(look_on(lines.source, lines.view, lines.after))
            await painted(app, pilot)
        assert f"line {said - 1} of" in "".join(character for character, _ in app.sent.rows[-2])
        rows = SIZE[1] - 2
        assert app.sent.bytes - before < rows * (SIZE[0] + len("\x1b[18;02H")), "more than text and moves"
        assert len(lines) == said

    showing(flow)


def test_the_scroll_bar_follows_what_is_scrolled(writer: Writer) -> None:
    """It is painted only when it looks another way; what is on the terminal is what it means all the same."""
    looks: set[str] = set()

    async def flow(app: Viewer, pilot: Pilot[None]) -> None:
        say(writer, LINES, 0)
        lines = LogLines(Reader(writer.state), View(RUN))
        app.pane.show(lines)
        app.pane.add(look_on(lines.source, lines.view, 0))
        app.pane.focus()
        for key in ("home", "down", "pagedown", "pagedown", "pageup", "end", "up"):
            await pilot.press(key)
            await painted(app, pilot)
            looks.add("".join(f"{row[-2]}" for row in app.sent.rows))
        assert isinstance(app.pane.vertical_scrollbar, SteadyBar)

    showing(flow)
    assert len(looks) >= 4


def test_other_words_in_the_frame_bring_no_line_along(writer: Writer) -> None:
    """Each key that begins or ends following changes them: over a slow line the lines are three times as much."""

    async def flow(app: Viewer, pilot: Pilot[None]) -> None:
        say(writer, LINES, 0)
        lines = LogLines(Reader(writer.state), View(RUN))
        app.pane.show(lines)
        app.pane.add(look_on(lines.source, lines.view, 0))
        await painted(app, pilot)
        before = app.sent.bytes
        app.pane.refresh()
        await painted(app, pilot)
        whole = app.sent.bytes - before
        for title, subtitle, top, bottom, gone in (
            ("whole run", "following", "whole run", "following", "00/20"),
            (None, "", "whole run", "", "following"),
            ("00/20 · 世界", "no output for 5 s", "00/20 · 世界", "no output for 5 s", "whole run"),
            ("", None, "", "no output for 5 s", "00/20"),
        ):
            before = app.sent.bytes
            entitle(app.pane, title, subtitle)
            await painted(app, pilot)
            assert app.sent.bytes - before < whole / 3, "more than the rows of the frame"
            shown = ["".join(character for character, _ in app.sent.rows[y]) for y in (0, -1)]
            assert top in shown[0] and bottom in shown[1]
            assert gone not in "".join(shown)

    showing(flow)


def showing(flow: object) -> None:
    async def run() -> None:
        app = Viewer()
        async with app.run_test(size=SIZE) as pilot:
            await pilot.pause()
            await flow(app, pilot)  # type: ignore[operator]

    asyncio.run(run())
