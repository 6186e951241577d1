"""A server that leaves a site that runs: what becomes of each of its instances is asked, and what is lost is typed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.widgets import Input, Static

from homewright.screens.instance_boxes import FormBox
from homewright.screens.page import TooSmall
from homewright.screens.widgets.field import Choice, Field, first_wrong

if TYPE_CHECKING:
    from homewright.site.models import Server

AWAY = ""
"""The choice that an instance is taken away."""


@dataclass(frozen=True)
class Departure:
    """How a server leaves."""

    moved: dict[str, str]
    gone: tuple[str, ...]
    lost: bool


class LeaveBox(FormBox[Departure]):
    """How one server leaves, and where its instances go."""

    def __init__(self, server: Server, instances: Sequence[str], others: Sequence[str]) -> None:
        super().__init__()
        self._server = server
        self._instances = instances
        self._others = others

    def compose(self) -> ComposeResult:
        name = self._server.name
        how = [("", "it is drained, then taken back"), ("lost", "it is lost and does not come back")]
        goes = [*((other, f"goes to {other}") for other in self._others), (AWAY, "is taken away")]
        with Vertical(classes="box") as box:
            box.border_title = f"{name} leaves the site"
            with VerticalScroll(can_focus=False):
                yield Field("how", "How", value="", options=how)
                for number, instance in enumerate(self._instances):
                    yield Field(f"to-{number}", instance, value=goes[0][0], options=goes)
                yield Static("", id="meaning", markup=False)
                yield Field("name", "Its name", value="", rule=self._typed, hint=f"Type {name} to go on")
            yield self.buttons()
        yield TooSmall()

    def on_mount(self) -> None:
        super().on_mount()
        self.call_after_refresh(self._tell)

    def _typed(self, value: str) -> str:
        return "" if value == self._server.name else f"that is not {self._server.name}"

    @on(Choice.Changed)
    def _tell(self) -> None:
        found = self._departure()
        said = [f"{one} is lost: nothing else is a copy of what is in it." for one in found.gone]
        if found.lost:
            said = [f"What was on {self._server.name} alone is lost; what goes elsewhere is made anew there, empty."]
        elif found.moved:
            said.append(f"{', '.join(found.moved)}: stopped, copied with all that is in it, started.")
        self.query_one("#meaning", Static).update("\n".join(said))

    def _departure(self) -> Departure:
        to = {
            instance: self.query_one(f"#field-to-{number}", Field).value
            for number, instance in enumerate(self._instances)
        }
        moved = {instance: host for instance, host in to.items() if host != AWAY}
        gone = tuple(instance for instance, host in to.items() if host == AWAY)
        return Departure(moved, gone, self.query_one("#field-how", Field).value == "lost")

    @on(Input.Submitted)
    def _entered(self) -> None:
        self.action_save()

    def action_save(self) -> None:
        if first_wrong(list(self.query(Field))) is None:
            self.dismiss(self._departure())
