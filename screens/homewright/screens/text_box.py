"""A text with room: what a small box on a page holds, as large as the terminal allows."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Static

from homewright.screens.page import Box, TooSmall
from homewright.screens.widgets.labelled import Labelled, Line


class TextBox(Box[None]):
    """Lines to read; up and down scroll."""

    BINDINGS = [Binding("enter,q", "close", show=False)]
    AUTO_FOCUS = "VerticalScroll"

    def __init__(self, title: str, lines: Sequence[Line]) -> None:
        super().__init__()
        self._title = title
        self._lines = lines

    def compose(self) -> ComposeResult:
        with Vertical(classes="box wide") as box:
            box.border_title = self._title
            with VerticalScroll(classes="tall"):
                yield Labelled(self._lines)
            yield Static(
                Content.assemble(("esc ", "bold"), "back    ", ("up down ", "bold"), "scroll"), classes="buttons"
            )
        yield TooSmall()
