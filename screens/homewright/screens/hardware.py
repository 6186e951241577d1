"""Hardware: one card a server, filled as facts arrive."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import ItemGrid, VerticalScroll

from homewright.errors import HomewrightError
from homewright.screens.page import Page
from homewright.screens.widgets.server_card import ServerCard

if TYPE_CHECKING:
    from homewright.discovery.facts import HostFacts
    from homewright.screens.services_checks import OnFacts
    from homewright.site.models import Site

Result = TypeVar("Result")

DRAW_S = 0.1
"""Cards are drawn ten times a second at most, however many servers answer."""


class Hardware(Page):
    """What every server is."""

    CSS_PATH = ["widgets/frame.tcss", "hardware.tcss"]
    WHERE = "Hardware"
    STEP = 2
    HELP = """
What each server is, as it says itself. Nothing is changed by looking, and nothing here goes into site.yaml:
facts are kept in the site's state folder, and every later screen works with them.

System    operating system and kernel
Machine   maker and model; bare metal or itself a guest; Secure Boot; whether a desktop runs
CPU       threads that can be used, on how many cores
VMs       what LXD's virtual machines need: /dev/kvm, vsock, the processor's VT-x or AMD-V
IOMMU     on, or off: without it no GPU can be passed through, and its groups are not known
Memory    all of it, what is free, and swap
Network   the interface with the default route first
GPU       its address, its IOMMU group and who shares it, its driver, and who uses it now
Clock     how far it is off ours, and what keeps it right
Unknown   what could not be read, with the reason

tab goes from server to server; up and down scroll. / shows only the servers whose card has a text.

ctrl+s writes the facts into a file of their own. b writes what the servers literally said into a folder, one
file each: with it a problem on your machine can be looked at anywhere (homewright discover --from FOLDER).
"""
    BINDINGS = [
        Binding("r", "recheck", "look again"),
        Binding("ctrl+s", "save", "save facts", key_display="ctrl+s"),
        Binding("b", "bundles", "save raw"),
        Binding("slash", "filter", "filter", key_display="/"),
        Binding("ctrl+n", "next", "next", key_display="ctrl+n"),
        Binding("escape", "back", "back", key_display="esc"),
    ]
    AUTO_FOCUS = "ServerCard, #cards"

    def __init__(self) -> None:
        super().__init__()
        self._site: Site | None = None
        self._facts: dict[str, HostFacts] = {}
        self._errors: dict[str, HomewrightError] = {}
        self._looking: set[str] = set()
        self._changed: set[str] = set()
        """Servers whose cards are to be drawn again."""
        self._needle = ""
        self._passed = ""
        """The server that `next` stopped at last: pressed again, it goes on without it."""

    def body(self) -> ComposeResult:
        with VerticalScroll(id="cards", can_focus=False):
            yield ItemGrid(id="grid", min_column_width=60)

    def on_mount(self) -> None:
        super().on_mount()
        sitting = self.home.sitting
        assert sitting is not None
        services = self.home.services

        def loaded(found: tuple[Site, Mapping[str, HostFacts]]) -> None:
            self._site, facts = found
            self._facts = dict(facts)
            self.query_one("#grid").mount(*(ServerCard(one.name, one.address) for one in self._site.servers))
            self.call_after_refresh(self._begin)

        self.start("load", lambda: (services.load(sitting.file), services.facts(sitting.state)), loaded)
        self.set_interval(DRAW_S, self._draw_changed)

    def _begin(self) -> None:
        site = self._site
        if site is None:
            return
        cards = self.query(ServerCard)
        if cards and self.focused is None:
            cards.first().focus()
        if all(server.name in self._facts for server in site.servers):
            self._draw()
        else:
            self.action_recheck()

    def action_recheck(self) -> None:
        """Ask every server again; each card is filled as soon as its server has answered."""
        site, sitting = self._site, self.home.sitting
        if site is not None and sitting is not None:
            services, names = self.home.services, [server.name for server in site.servers]
            self._look("look", lambda heard: services.look(site, sitting.state, names, heard), lambda _: None)

    def action_bundles(self) -> None:
        """Ask every server again, and keep what each literally says."""
        site, sitting = self._site, self.home.sitting
        if site is None or sitting is None:
            return
        services = self.home.services
        folder = Path.home() / f"homewright-{sitting.name}-machines"

        def saved(number: int) -> None:
            few = "" if number == len(site.servers) else f" ({number} of {len(site.servers)} servers)"
            self.say(f"Saved in {folder}{few}: what they literally said. Look through it before you pass it on.", "ok")

        self.say("Asking every server again, to keep what it says …")
        self._look("bundles", lambda heard: services.save_bundles(site, sitting.state, folder, heard), saved)

    def _look(self, job: str, work: Callable[[OnFacts], Result], done: Callable[[Result], None]) -> None:
        """Run something that asks all servers, filling the cards as they answer."""
        site = self._site
        if site is None or self.jobs.running("look") or self.jobs.running("bundles"):
            return
        self._errors, self._passed = {}, ""
        self._looking = {server.name for server in site.servers}

        def arrived(found: tuple[str, HostFacts | HomewrightError]) -> None:
            name, outcome = found
            self._looking.discard(name)
            self._changed.add(name)
            if isinstance(outcome, HomewrightError):
                self._errors[name] = outcome
            else:
                self._facts[name] = outcome

        hear = self.jobs.teller(job, arrived)

        def ended(result: Result) -> None:
            self._looking.clear()
            self._draw()
            done(result)

        def failed(error: HomewrightError) -> None:
            self._looking.clear()
            self._draw()
            self.problem(error)

        self.start(job, lambda: work(lambda name, outcome: hear((name, outcome))), ended, failed)
        self._draw()

    def _draw(self) -> None:
        if self._site is not None:
            self._changed = {server.name for server in self._site.servers}
            self._draw_changed()

    def _draw_changed(self) -> None:
        site, changed = self._site, self._changed
        if site is None or not changed:
            return
        self._changed = set()
        with self.app.batch_update():
            for one in self.query(ServerCard):
                name = one.server
                if name in changed:
                    error = self._errors.get(name)
                    one.show(self._facts.get(name), error, name in self._looking, self.now(), self.ascii)
        self._sift()
        known = sum(1 for server in site.servers if server.name in self._facts and server.name not in self._errors)
        lost = [server.name for server in site.servers if server.name in self._errors]
        named = ", ".join(lost[:3]) + (f" and {len(lost) - 3} more" if len(lost) > 3 else "")
        words = [f"{known} of {len(site.servers)} known"] + ([f"{named} not reached"] if lost else [])
        self.retitle(" · ".join(words + ([f"filter: {self._needle}"] if self._needle else [])))
        self.refresh_bindings()

    def _sift(self) -> None:
        """Show the cards that the filter lets through."""
        for one in self.query(ServerCard):
            one.display = not self._needle or one.matches(self._needle)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "save":
            return bool(self._facts) and bool(super().check_action(action, parameters))
        if action in ("recheck", "bundles") and (self.jobs.running("look") or self.jobs.running("bundles")):
            return None
        return super().check_action(action, parameters)

    def action_filter(self) -> None:
        from homewright.screens.ask import LineBox

        def sift(needle: str | None) -> None:
            if needle is not None:
                self._needle = needle
                self._draw()
                shown = [one for one in self.query(ServerCard) if one.display]
                if shown:
                    shown[0].focus()
                else:
                    self.say(f"No server's card has the text {needle}. / and nothing shows all.", "warning")

        hint = "Shows the servers whose card has this text; nothing shows all"
        self.app.push_screen(LineBox("filter", "Text", value=self._needle, hint=hint, yes="filter"), sift)

    def action_save(self) -> None:
        from homewright.site.paths import write_atomically

        sitting = self.home.sitting
        assert sitting is not None
        file = Path.home() / f"homewright-{sitting.name}-facts.json"
        record = {name: facts.model_dump(mode="json") for name, facts in sorted(self._facts.items())}
        data = json.dumps(record, indent=2, ensure_ascii=False).encode()
        self.start("save", lambda: write_atomically(file, data), lambda _: self.say(f"Saved in {file}", "ok"))

    def action_next(self) -> None:
        """Go on to the checks. A server that was not seen is shown first; pressed again, it goes on without it."""
        site = self._site
        if site is None:
            return
        for server in site.servers:
            name = server.name
            if name in self._looking:
                self._show(name)
                self.say(f"{name} is still being looked at.", "failed")
                return
            if (name in self._errors or name not in self._facts) and self._passed != name:
                self._show(name)
                self._passed = name
                self.say(f"{name} was not reached: r looks again. ctrl+n again goes on without it.", "failed")
                return
            if self._passed == name:
                break
        self.onward()

    def _show(self, name: str) -> None:
        one = self.query_one(f"#card-{name}", ServerCard)
        one.display = True
        one.focus()
        one.scroll_visible(animate=False)

    def action_back(self) -> None:
        self.backward()
