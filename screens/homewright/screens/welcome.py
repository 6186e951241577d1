"""Welcome: what was found on this machine, and what can be done from here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.widgets import Static

from homewright.errors import HomewrightError
from homewright.screens.glyphs import look
from homewright.screens.page import Page, age_text
from homewright.screens.widgets.table import Column, Row, Table
from homewright.site.paths import StateFolder

if TYPE_CHECKING:
    from homewright.screens.services import RunGlimpse, SiteGlimpse


class Welcome(Page):
    """Sites with their last run, and the ways to begin."""

    WHERE = "welcome"
    HELP = """
Homewright turns home servers into a platform for AI development, and looks after the workspaces of the
people who use it. This screen shows the sites that it found: in ./site.yaml, in HOMEWRIGHT_SITE and in your
configuration folder. A site is one file, site.yaml, with all answers and no secrets.

Enter on a site goes on where it was left: at the servers, the hardware, the plan, a run that is going on, or
the workspaces. A run never depends on this program: it goes on when you leave.

Practice servers are real LXD containers on this machine. They cost nothing but some disk and memory, and
`homewright lab down` removes them.
"""
    BINDINGS = [
        Binding("enter", "enter", "open", key_display="enter"),
        Binding("n", "new", "new site"),
        Binding("w", "workspaces", "workspaces"),
        Binding("p", "practice", "practise here"),
        Binding("o", "open", "open a file"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._sites: dict[str, SiteGlimpse] = {}
        self._runs: dict[str, RunGlimpse | None] = {}
        self._answering: dict[str, int] = {}
        self._contacted: dict[str, int] = {}
        """With how many of a site's servers first contact was made: a port that answers lets nobody in yet."""
        self._due: dict[str, str] = {}
        """Why a site export is worth making, by site."""
        self._clusters: set[str] = set()
        """Sites that have a cluster's kubeconfig: its workspaces are there whether or not anything was deployed."""

    def body(self) -> ComposeResult:
        yield Static(
            "Home servers in, a platform for AI development out, with a VS Code workspace for "
            "each of your people. No server is changed before you have approved a plan.",
            classes="lead",
            id="lead",
        )
        yield Table([Column(width=26), Column()], id="choices")

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one(Table).focus()

    def on_screen_resume(self) -> None:
        super().on_screen_resume()
        self.look_again()

    def exported(self) -> None:
        """An export was made: it is no longer worth saying."""
        self.look_again()

    def look_again(self) -> None:
        """Read the sites' files now; their runs and servers in threads."""
        options = self.home.options
        self._sites = {str(site.file): site for site in self.home.services.sites(options.site)}
        self._draw()
        for site in self._sites.values():
            self._look_at(site)

    def _look_at(self, site: SiteGlimpse) -> None:
        state = StateFolder.of(site.name, self.home.options.state, site.file)
        services, key = self.home.services, str(site.file)

        def ran(run: RunGlimpse | None) -> None:
            self._runs[key] = run
            self._draw()
            if run is not None and self.home.opens and self._is_meant(key):
                self.home.opens = False  # once: whoever comes back here means to be here
                if self.home.screen is self:
                    self._continue(key)

        def answered(found: tuple[int, int | None]) -> None:
            self._answering[key], met = found
            if met is not None:
                self._contacted[key] = met
            self._draw()

        def reminded(due: str) -> None:
            self._due[key] = due
            self._draw()

        self.start(f"run {key}", lambda: services.last_run(state), ran, lambda _: None, quiet=True)

        def found(there: bool) -> None:
            if there:
                self._clusters.add(key)
                self._draw()

        self.start(f"cluster {key}", lambda: services.has_cluster(state), found, lambda _: None, quiet=True)
        self.start(f"due {key}", lambda: services.export_due(state), reminded, lambda _: None, quiet=True)

        def look() -> tuple[int, int | None]:
            answering = services.answering(site.servers)
            try:
                return answering, services.contacted(site.servers, state)
            except HomewrightError:
                return answering, None  # the state folder cannot be read: that Servers says

        if site.servers:
            self.start(f"reach {key}", look, answered, lambda _: None, quiet=True)

    def _is_meant(self, key: str) -> bool:
        """Whether this is the site that a command without a choice would work on."""
        return len(self._sites) == 1 or (key == next(iter(self._sites)) and self.home.options.site is not None)

    def _draw(self) -> None:
        rows: list[Row] = []
        if self._sites:
            rows.append(Row("", (("Your sites" if len(self._sites) > 1 else "Your site", "strong"),), heading=True))
            for key, site in self._sites.items():
                rows.append(Row(f"site {key}", (site.name, self._about(key, site))))
                run = self._runs.get(key)
                if run is None and key in self._clusters:
                    about = "who works in its cluster"
                    rows.append(Row(f"workspaces {key}", (f"  workspaces of {site.name}", (about, "muted"))))
                if run is not None and run.state == "succeeded":
                    about = "add or change one, or any answer; then plan again"
                    rows.append(Row(f"servers {key}", (f"  servers of {site.name}", (about, "muted"))))
                    rows.append(
                        Row(f"workspaces {key}", (f"  workspaces of {site.name}", ("who works on it", "muted")))
                    )
                if run is not None and run.state == "succeeded" and (due := self._due.get(key)):
                    said = "none yet" if due.startswith("No") else "keys have changed since the last one"
                    rows.append(Row(f"export {key}", (f"  export of {site.name}", (said, "muted"))))
            rows.append(Row("", ("",), heading=True))
        if not self.home.services.makes_sites:
            self.query_one(Table).set_rows(rows)
            self.refresh_bindings()
            return
        rows.append(Row("", (("Begin something", "strong"),), heading=True))
        rows.append(Row("new", ("New site", ("name it, list its servers", "muted"))))
        if self.home.services.lab_possible():
            rows.append(
                Row("practice", ("Practise on this machine", ("three practice servers to try it all on", "muted")))
            )
        rows.append(Row("open", ("Open a site file", ("a site.yaml kept elsewhere", "muted"))))
        self.query_one(Table).set_rows(rows)
        self.refresh_bindings()

    def _about(self, key: str, site: SiteGlimpse) -> tuple[str, str]:
        count = len(site.servers)
        words = ["no servers yet" if not count else f"{count} server{'s' if count != 1 else ''}"]
        if key in self._answering and count:
            there = self._answering[key]
            words[0] += ", all answer" if there == count else f", {there} answer{'s' if there == 1 else ''}"
        run = self._runs.get(key)
        tone = "plain"
        if run is not None:
            seen = look(run.state)
            tone = seen.tone if seen.tone in ("failed", "running", "warning") else "plain"
            what = (
                "a run goes on"
                if run.state == "running"
                else f"run {seen.word} {age_text(self.now() - run.ended_at)} ago"
            )
            words.append(f"{seen.mark(self.ascii)} {what}")
        if (made := self._contacted.get(key, count)) < count:
            words.append(f"first contact with {made}" if made else "no first contact yet")
        elif run is None and key in self._runs:
            words.append("nothing done yet")
        return " · ".join(words), tone

    # What can be done

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "workspaces":
            key = self._site_key()
            run = self._runs.get(key)
            return key in self._clusters or (run is not None and run.state == "succeeded")
        if action == "practice":
            return self.home.services.lab_possible()
        if action in ("new", "open"):
            return self.home.services.makes_sites
        return super().check_action(action, parameters)

    def _site_key(self) -> str:
        for table in self.query(Table):
            kind, _, key = table.cursor_key.partition(" ")
            if kind in ("site", "servers", "workspaces", "export"):
                return key
        return next(iter(self._sites), "")

    @on(Table.Highlighted)
    def _moved(self) -> None:
        self.refresh_bindings()

    @on(Table.Chosen)
    def _chosen(self, message: Table.Chosen) -> None:
        kind, _, key = message.key.partition(" ")
        if kind == "site":
            self._continue(key)
        elif kind in ("servers", "workspaces"):
            self._open(key, kind)
        elif kind == "export":
            site = self._sites[key]
            self.home.open_site(site.file, site.name)
            self.home.action_site_export()
        elif kind == "new":
            self.action_new()
        elif kind == "practice":
            self.action_practice()
        elif kind == "open":
            self.action_open()

    def action_enter(self) -> None:
        self.query_one(Table).action_choose()

    def action_new(self) -> None:
        self.home.go("site")

    def action_workspaces(self) -> None:
        self._open(self._site_key(), "workspaces")

    def action_practice(self) -> None:
        self.home.go("practice")

    def action_open(self) -> None:
        from homewright.screens.ask import LineBox

        def there(value: str) -> str:
            if not value:
                return "type where the file is"
            return "" if Path(value).expanduser().is_file() else "there is no such file"

        def opened(value: str | None) -> None:
            if not value:
                return
            file = Path(value).expanduser().absolute()
            if self.home.services.is_export(file):
                self._take_over(file)
            else:
                self._continue(str(file))

        hint = "Such as ~/attic/site.yaml, or a site export"
        self.app.push_screen(LineBox("open a site file", "Site file", rule=there, hint=hint, yes="open"), opened)

    def _take_over(self, file: Path) -> None:
        """Go on with a site that another machine looked after."""
        from homewright.screens.exporting import TakeOverBox

        def taken(where: Path | None) -> None:
            if where is not None:
                self.look_again()
                self._continue(str(where))

        self.app.push_screen(TakeOverBox(file), taken)

    def _open(self, key: str, page: str) -> None:
        site = self._sites[key]
        self.home.open_site(site.file, site.name)
        self.home.go(page)

    def _continue(self, key: str) -> None:
        self.say("Opening …")

        def opened(where: tuple[str, str]) -> None:
            name, page = where
            self.say("")
            self.home.open_site(Path(key), name)
            self.home.go(page)

        services, state = self.home.services, self.home.options.state
        named = self._sites[key].name if key in self._sites else ""
        self.start("open", lambda: services.where_to_go(Path(key), state, named), opened)
