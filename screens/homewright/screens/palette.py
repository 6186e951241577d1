"""Every action that works now, found by typing a few letters of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input, Static

from homewright.screens.page import Box, TooSmall
from homewright.screens.widgets.line import Line
from homewright.screens.widgets.table import Column, Row, Table


@dataclass(frozen=True)
class Command:
    """An action: its name, the key that does the same, and what to run."""

    name: str
    key: str
    action: str


class PaletteBox(Box[str]):
    """Type to narrow the list; enter runs the one under the cursor."""

    BINDINGS = [
        Binding("up", "move(-1)", show=False, priority=True),
        Binding("down", "move(1)", show=False, priority=True),
    ]

    def __init__(self, commands: Sequence[Command]) -> None:
        super().__init__()
        self._commands = {str(number): command for number, command in enumerate(commands)}

    def compose(self) -> ComposeResult:
        rows = [Row(key, (command.name, (command.key, "muted"))) for key, command in self._commands.items()]
        with Vertical(classes="box") as box:
            box.border_title = "what to do"
            yield Line(placeholder="type a few letters", compact=True)
            table = Table([Column(), Column(width=12)], rows, empty="nothing is called that")
            table.can_focus = False
            yield table
            yield Static(Content.assemble(("enter ", "bold"), "do it    ", ("esc ", "bold"), "back"), classes="buttons")
        yield TooSmall()

    def on_mount(self) -> None:
        self.query_one(Input).focus()

    def on_input_changed(self, message: Input.Changed) -> None:
        self.query_one(Table).set_needle(message.value)

    def action_move(self, by: int) -> None:
        self.query_one(Table).action_move(by)

    @on(Input.Submitted)
    @on(Table.Chosen)
    def _do(self) -> None:
        key = self.query_one(Table).cursor_key
        if key:
            self.dismiss(self._commands[key].action)
