"""Saved states of the cluster: listed, one more saved, and the cluster put back to one once its cost was agreed to."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from homewright.screens.ask import AskBox
from homewright.screens.glyphs import look
from homewright.screens.page import Box, Page, TooSmall, size_text
from homewright.screens.widgets.table import Column, Row, Table

if TYPE_CHECKING:
    from homewright.cluster.snapshots import SnapshotsDocument

SAVE = "save"
"""The box's answer where one more is to be saved; any other is a state, as SERVER/NAME."""


class SavedStatesBox(Box[str]):
    """Every saved state; enter takes one, s saves one more."""

    BINDINGS = [Binding("s", "save", show=False)]

    def __init__(self, found: SnapshotsDocument, now: datetime, *, ascii_only: bool) -> None:
        super().__init__()
        self._found = found
        self._now = now
        self._ascii = ascii_only

    def compose(self) -> ComposeResult:
        from homewright.cluster.snapshots import age

        columns = [Column("saved (UTC)", 20), Column("ago"), Column("on", 12), Column("size", 10, right=True)]
        rows = [
            Row(
                f"{one.server}/{one.name}",
                (f"{one.at:%Y-%m-%d %H:%M:%S}", age(one.at, self._now), one.server, size_text(one.size)),
            )
            for one in self._found.snapshots
        ]
        take: tuple[str | tuple[str, str], ...] = (("enter ", "bold"), "put the cluster back to it    ") if rows else ()
        with Vertical(classes="box") as box:
            box.border_title = "saved states of the cluster"
            yield Table(columns, rows, empty="Nothing was saved yet.")
            mark = look("warning").mark(self._ascii)
            for one in self._found.silent:
                yield Static(f"{mark} {one.server} could not be asked. {one.why}", markup=False)
            yield Static(
                Content.assemble(*take, ("s ", "bold"), "save one now    ", ("esc ", "bold"), "back"), classes="buttons"
            )
        yield TooSmall()

    def on_mount(self) -> None:
        self.query_one(Table).focus()

    @on(Table.Chosen)
    def _chosen(self) -> None:
        if key := self.query_one(Table).cursor_key:
            self.dismiss(key)

    def action_save(self) -> None:
        self.dismiss(SAVE)


def open_saved_states(page: Page) -> None:
    """What `homewright cluster snapshots`, `save` and `restore` do, from a page of a site."""
    sitting, services = page.home.sitting, page.home.services
    assert sitting is not None
    file, state, stages = sitting.file, sitting.state, page.home.options.stages

    def now() -> datetime:
        return datetime.fromtimestamp(page.home.clock(), UTC)

    def begun(_: str) -> None:
        page.home.go("deploy")

    def known(found: SnapshotsDocument) -> None:
        page.say("")
        page.app.push_screen(SavedStatesBox(found, now(), ascii_only=page.ascii), chosen)

    def chosen(answer: str | None) -> None:
        if answer == SAVE:
            page.say("Saving …")
            page.start("begin", lambda: services.save_state(file, state, stages), begun)
        elif answer:
            page.say("Asking the cluster what that costs …")
            page.start(
                "cost", lambda: services.going_back(file, state, answer, now()), lambda lines: ask(answer, lines)
            )

    def ask(named: str, lines: list[str]) -> None:
        page.say("")
        title, typed = "put the cluster back?", named.partition("/")[0]
        page.app.push_screen(AskBox(title, lines, "put it back", typed=typed), lambda sure: agreed(named, sure))

    def agreed(named: str, sure: bool | None) -> None:
        if sure:
            page.say("Putting the cluster back …")
            page.start("begin", lambda: services.put_back(file, state, named, stages), begun)

    page.say("Asking the control planes …")
    page.start("states", lambda: services.saved_states(file, state), known)
