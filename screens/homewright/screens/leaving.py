"""A server that leaves a site that runs: what becomes of each of its instances is asked, and what is lost is typed.

Once it leaves it is shown until it is gone: what is still to be done for it, and that it may be lost on its way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.widgets import Input, Static

from homewright.screens.ask import AskBox
from homewright.screens.glyphs import look
from homewright.screens.instance_boxes import FormBox
from homewright.screens.page import Page, TooSmall
from homewright.screens.receipts import to_be_asked
from homewright.screens.widgets.cells import Cell
from homewright.screens.widgets.field import Choice, Field, first_wrong

if TYPE_CHECKING:
    from homewright.engine.departure import Departing
    from homewright.engine.receipts import Receipt
    from homewright.site.models import Server, Site

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


def state_of(one: Departing, ascii_only: bool) -> Cell:
    """Where it stands, in the table of servers."""
    if one.server.lost:
        return f"{look('warning').mark(ascii_only)} lost: leaves by force", "warning"
    if one.begun:
        return f"{look('rolled-back').mark(ascii_only)} leaves the site", "muted"
    return f"{look('rolled-back').mark(ascii_only)} leaves: nothing is on it", "muted"


def told(one: Departing) -> str:
    """What is still to be done for it."""
    name = one.server.name
    if one.server.lost:
        return (
            f"{name} is lost, and leaves the site. Plan and Deploy have the cluster forget it by force; what was to be "
            "made anew elsewhere is made there, empty. Then the site names it no more."
        )
    if one.begun:
        return (
            f"{name} leaves the site. Plan and Deploy drain it: its instances go where you said. Then R takes back "
            "what was put on it, and the site names it no more.\nD, where it does not come back: it is lost."
        )
    return f"{name} leaves the site, and nothing of ours is on it any more. D has the site name it no more."


def ask_to_give_up(page: Page, site: Site, one: Departing, saved: Callable[[Site], None]) -> None:
    """What D asks of a server that leaves already: it is lost on its way, or it is to be forgotten."""
    sitting, services, name = page.home.sitting, page.home.services, one.server.name
    assert sitting is not None
    file, state = sitting.file, sitting.state
    if one.server.lost:
        page.say(f"{name} is lost already; Plan and Deploy have the cluster forget it: ctrl+n.")
        return
    if one.begun:
        title, yes = f"{name} is lost?", "it is lost"
        root = site.workspaces.data_root
        lines = [
            f"{name} is lost, and with it whatever was on its disks alone: its instances, and {root}.",
            "The next run has the cluster forget it by force, and nothing is taken back there.",
        ]
    else:
        title, yes = f"forget {name}?", "forget it"
        lines = [f"Nothing of ours is on {name} any more. The site names it no more."]

    def work() -> Site:
        if one.begun:
            return services.lose_leaving(file, site, name)
        return services.forget_leaving(file, site, state, name)

    def done(after: Site) -> None:
        page.say("Saved in site.yaml. Plan says what is done, before anything is." if one.begun else "Saved.", "ok")
        saved(after)

    def answered(sure: bool | None) -> None:
        if sure:
            page.start("leave", work, done)

    page.app.push_screen(AskBox(title, lines, yes, typed=name), answered)


def ask_to_take_back(page: Page, one: Departing) -> None:
    """What R asks: whether all that was put on a server that leaves is taken back there."""
    sitting, services, name = page.home.sitting, page.home.services, one.server.name
    assert sitting is not None
    file, state, stages = sitting.file, sitting.state, page.home.options.stages

    def begun(_: str) -> None:
        page.home.go("deploy")

    def answered(sure: bool | None) -> None:
        if sure:
            page.say("Taking back …")
            page.start("begin", lambda: services.roll_back_server(file, state, name, stages), begun)

    def known(found: list[Receipt]) -> None:
        lines = [
            f"Everything that was put on {name} is taken back there, its last step first; other servers stay as they "
            "are. An instance that is still on it is not drained, and is refused.",
            *to_be_asked([receipt for receipt in found if receipt.host == name], one.begun),
        ]
        page.app.push_screen(AskBox(f"take everything back on {name}?", lines, "take it back", typed=name), answered)

    page.start("receipts", lambda: services.receipts(state), known)
