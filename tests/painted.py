"""What a terminal shows that is sent what a screen paints."""

from __future__ import annotations

import asyncio
import re
from typing import Any

from rich.cells import cell_len
from rich.color import ColorSystem
from textual.app import App
from textual.pilot import Pilot
from textual.screen import Screen
from textual.strip import Strip

LIMIT_S = 30.0


class Terminal:
    """Does what it is sent: moves, styles, characters. Of a wide character that is half painted over nothing stays."""

    SENT = re.compile(r"\x1b\[(\d+);(\d+)H|\x1b\[([\d;]*)m|\x1b\]8;[^\x1b]*\x1b\\|([^\x1b])", re.DOTALL)

    def __init__(self, size: tuple[int, int]) -> None:
        self.rows = [[(" ", "")] * size[0] for _ in range(size[1])]
        self.bytes = 0

    def take(self, sent: str) -> None:
        self.bytes += len(sent.encode())
        x = y = done = 0
        style = ""
        for found in self.SENT.finditer(sent):
            assert found.start() == done, f"not understood: {sent[done:][:40]!r}"
            done = found.end()
            row, column, asked, character = found.groups()
            if row:
                x, y = int(column) - 1, int(row) - 1
            elif asked is not None:
                kept, asked = ("", asked[1:]) if asked.startswith("0") else (style, asked)
                style = ";".join(part for part in (kept, asked.strip(";")) if part)
            elif character and character != "\n":
                x = self._put(x, y, character, style)
        assert done == len(sent)
        assert not style, "the next thing that is written would have it too"

    def _put(self, x: int, y: int, character: str, style: str) -> int:
        row, width = self.rows[y], cell_len(character)
        for at in (x, x + width):  # what is cut in two goes
            if at < len(row) and row[at][0] == "":
                row[at - 1] = row[at] = (" ", row[at][1])
        row[x : x + width] = [(character, style)] + [("", style)] * (width - 1)
        return x + width


class Painted(App[None]):
    """A program that is painted by the bytes alone that a terminal would be sent."""

    sent: Terminal

    def _display(self, screen: Screen[object], renderable: Any) -> None:
        if not hasattr(self, "sent"):
            self.sent = Terminal(self.size)
        if renderable is not None:
            self.sent.take(renderable.render_segments(self.console))
        super()._display(screen, renderable)

    def styled(self) -> list[list[tuple[str, str]]]:
        """What the screen means, cell by cell: the character, and what its style asks for."""
        rows = []
        for strip in self.screen._compositor.render_strips():
            row = list[tuple[str, str]]()
            for text, style, _ in strip:
                told = Strip.render_ansi(style, self.console._color_system or ColorSystem.TRUECOLOR) if style else ""
                for character in text:
                    row += [(character, told)] + [("", told)] * (cell_len(character) - 1)
            rows.append(row)
        return rows


async def painted(app: Painted, pilot: Pilot[None]) -> None:
    """Wait until what is shown is what is meant. Fails when it is not within LIMIT_S."""
    try:
        async with asyncio.timeout(LIMIT_S):
            while True:
                await _heard(app)
                await pilot.pause()
                if app.sent.rows == app.styled():
                    return
    except TimeoutError:
        raise AssertionError("what is shown is not what is meant") from None


async def _heard(app: Painted) -> None:
    """Wait until everything has done what it was told so far: to ask what a screen means draws it, and what has been
    drawn since it changed may not be painted for that."""
    for told in (app, *app.screen._compositor.visible_widgets):
        done = asyncio.Event()
        if told.call_later(done.set):
            await done.wait()
