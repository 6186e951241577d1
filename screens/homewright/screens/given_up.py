"""Storage that was given up: kept for seven days, to be taken back, or to be rid of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from homewright.errors import HomewrightError
from homewright.screens.ask import AskBox, ProblemBox
from homewright.screens.page import TooSmall, WorkingBox, age_text
from homewright.screens.widgets.table import Column, Row, Table

if TYPE_CHECKING:
    from homewright.workspaces.models import GivenUp
    from homewright.workspaces.one_manager import OneManager


class GivenUpBox(WorkingBox[None]):
    """One row a workspace that was deleted with its storage."""

    BINDINGS = [
        Binding("u,enter", "take_back", show=False),
        Binding("P", "purge", show=False),
    ]

    def __init__(self, manager: OneManager) -> None:
        super().__init__()
        self._manager = manager
        self._found: dict[str, GivenUp] = {}

    def compose(self) -> ComposeResult:
        columns = [Column("workspace"), Column("claims"), Column("given up", 10), Column("kept for", 8)]
        with Vertical(classes="box wide") as box:
            box.border_title = "storage that was given up"
            yield Table(columns, id="given-up", empty="Looking …")
            yield Static("", id="outcome", markup=False)
            yield Static(
                Content.assemble(
                    ("u ", "bold"),
                    "take it back    ",
                    ("P ", "bold"),
                    "remove it for good    ",
                    ("esc ", "bold"),
                    "back",
                ),
                classes="buttons",
            )
        yield TooSmall()

    def on_mount(self) -> None:
        self.query_one(Table).focus()
        self._look()

    def _look(self) -> None:
        self.jobs.start("look", self._manager.given_up, self._seen, self._failed)

    def _seen(self, found: tuple[GivenUp, ...]) -> None:
        now = self.home.clock()
        self._found = {str(one.key): one for one in found}
        table = self.query_one(Table)
        table.empty = "Nothing was given up."
        table.set_rows(
            Row(
                key,
                (key, ", ".join(one.claims), f"{age_text(now - one.at)} ago",
                 age_text(one.due - now) if one.due > now else "it is due"),
            )
            for key, one in self._found.items()
        )  # fmt: skip

    def _failed(self, error: HomewrightError) -> None:
        self.app.push_screen(ProblemBox(error))

    def _here(self) -> GivenUp | None:
        return self._found.get(self.query_one(Table).cursor_key)

    def _say(self, text: str) -> None:
        self.query_one("#outcome", Static).update(text)
        self._look()

    def action_take_back(self) -> None:
        """Take it back, for the next workspace of that name."""
        one, manager = self._here(), self._manager
        if one is not None:
            done = f"The storage of {one.key} is taken back: the next workspace of that name gets it."
            self.jobs.start("undelete", lambda: manager.undelete(one.key), lambda _: self._say(done), self._failed)

    def action_purge(self) -> None:
        """Remove it for good: its name is typed."""
        one, manager = self._here(), self._manager
        if one is None:
            return

        def answered(yes: bool | None) -> None:
            if yes:
                done = f"The storage of {one.key} is removed."
                self.jobs.start("purge", lambda: manager.purge(one.key), lambda _: self._say(done), self._failed)

        lines = [f"What {one.key} had in {', '.join(one.claims)} is lost for ever."]
        self.app.push_screen(
            AskBox(f"remove the storage of {one.key}?", lines, "remove it", typed=str(one.key)), answered
        )
