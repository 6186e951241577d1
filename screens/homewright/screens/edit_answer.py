"""Edit an answer and retry: what a failed step reads, each answer on the page of the wizard that asks it, or here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from homewright.screens.page import Box, TooSmall
from homewright.screens.widgets.table import Column, Row, Table

if TYPE_CHECKING:
    from homewright.screens.services_runs import Read

PAGES = {
    "servers": "Servers",
    "network": "Network",
    "gpus": "GPUs",
    "instances": "Instances",
    "platform": "Platform",
    "zone": "Network",
}
"""Which page asks an answer, by the first part of its name; the others are edited where they are listed."""
FIXED = ("name", "profile")
"""Not changed in the middle of a run: what a site is called, and which thresholds its checks use."""


def page_of(field: str) -> str:
    """Name of the page that asks this answer; empty where none does."""
    return PAGES.get(field.partition(".")[0], "")


def rows_of(reads: Sequence[Read]) -> list[Row]:
    """The answers to choose from: every page once, and what is on none by itself."""
    pages: dict[str, list[str]] = {}
    rows = []
    for one in reads:
        page = page_of(one.field)
        if page:
            pages.setdefault(page, []).append(one.field)
        elif one.field not in FIXED:
            rows.append(Row(f"field {one.field}", (one.field, (" ".join(one.value.split()) or "–", "muted"))))
    asked = [Row(f"page {page}", (f"{page}, the page", (", ".join(fields), "muted"))) for page, fields in pages.items()]
    return [*asked, *rows]


class WhichAnswerBox(Box[str]):
    """Which answer to edit."""

    # Before the list gets the key: else the page beneath gets it too, once this is closed.
    BINDINGS = [Binding("enter", "take", show=False, priority=True)]
    AUTO_FOCUS = "Table"

    def __init__(self, step: str, reads: Sequence[Read]) -> None:
        super().__init__()
        self._step = step
        self._rows = rows_of(reads)

    def compose(self) -> ComposeResult:
        with Vertical(classes="box") as box:
            box.border_title = "edit an answer, then retry"
            yield Static(
                f"What {self._step} reads. A step that is done and reads the same answer runs again, too.\n",
                markup=False,
            )
            yield Table([Column(width=24), Column()], self._rows, empty="it reads no answer that can be edited")
            yield Static(
                Content.assemble(("enter ", "bold"), "edit it    ", ("esc ", "bold"), "back"), classes="buttons"
            )
        yield TooSmall()

    @on(Table.Chosen)
    def action_take(self) -> None:
        key = self.query_one(Table).cursor_key
        if key:
            self.dismiss(key)
