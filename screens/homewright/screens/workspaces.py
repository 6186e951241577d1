"""Workspaces: all of the site in one table that updates in place, and every verb on them."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding

from homewright.errors import HomewrightError
from homewright.screens.glyphs import look
from homewright.screens.page import Page, age_text, size_text
from homewright.screens.widgets.cells import Cell
from homewright.screens.widgets.labelled import Labelled, Line
from homewright.screens.widgets.table import Column, Row, Table

if TYPE_CHECKING:
    from homewright.workspaces.manager import Listing
    from homewright.workspaces.models import Workspace
    from homewright.workspaces.one_manager import OneManager as Manager

POLL_S = 5.0
STALE_S = 10.0
LOOKS = {"running": "done", "starting": "starting", "pending": "starting", "stopping": "stopping", "error": "failed"}
"""What the states of a workspace look like: one that runs is fine, not busy."""
SORTS = ("user", "state", "node", "cpu", "mem", "idle")


class Workspaces(Page):
    """The manager's screen."""

    CSS_PATH = ["widgets/frame.tcss", "workspaces.tcss"]
    WHERE = "workspaces"
    HELP = """
Every workspace of the site, on one of the servers or in its cluster, each for one user. Servers and cluster
are looked at every 5 seconds, and what is shown is what they say.

cpu    processors in use
mem    memory in use
idle   how long ago its editor was last open in a browser

enter shows all of one workspace, o its address, p its password. s and x start and stop the marked ones
(space), else the one under the cursor; R ends and starts them again. Ending one ends its open sessions, so
that asks and says who is on. Its data stays. D deletes: you type its name, and choose whether its own
storage goes too. The shared folders (projects, datasets, jobs) are never touched. ! is a terminal inside
of one in the cluster, y shows its repository and brings it up to date.
"""
    BINDINGS = [
        Binding("n", "new", "new"),
        Binding("enter", "details", "open", key_display="enter"),
        Binding("space", "mark", "mark", key_display="space", show=False),
        Binding("o", "address", "address"),
        Binding("p", "password", "password"),
        Binding("s", "start", "start"),
        Binding("x", "stop", "stop"),
        Binding("R", "restart", "restart", show=False),
        Binding("l", "logs", "logs"),
        Binding("exclamation_mark", "shell", "shell", key_display="!"),
        Binding("y", "repository", "repository", show=False),
        Binding("D", "delete", "delete"),
        Binding("slash", "filter", "filter", key_display="/"),
        Binding("S", "sort", "sort", show=False),
        Binding("e", "export", "export the list", show=False),
        Binding("t", "trust", "trust the certificates", show=False),
        Binding("escape", "back", "back", key_display="esc", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._manager: Manager | None = None
        self._listing: Listing | None = None
        self._found: dict[str, Workspace] = {}
        self._marked: set[str] = set()
        self._acting: dict[str, str] = {}
        self._sort = "user"
        self._complaint = ""
        self._goto = ""

    def body(self) -> ComposeResult:
        columns = [
            Column("user", 13),
            Column("name", 8),
            Column("template", 11),
            Column("state"),
            Column("node", 6),
            Column("cpu", 5, right=True),
            Column("mem", 5, right=True),
            Column("idle", 4, right=True),
        ]
        yield Table(columns, id="workspaces", empty="Looking at the nodes …")
        yield Labelled(id="workspace", label=8, classes="frame")

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one("#workspace").border_subtitle = f"all are looked at every {POLL_S:.0f} s"
        sitting = self.home.sitting
        assert sitting is not None
        services = self.home.services
        self.start("manager", lambda: services.manager(sitting.file, sitting.state), self._ready)
        self.set_interval(POLL_S, self.poll)
        self.set_interval(1.0, self._age)

    def on_unmount(self) -> None:
        manager = self._manager
        if manager is not None:
            self.jobs.start("close", manager.close, lambda _: None, lambda _: None, quiet=True)

    def on_screen_resume(self) -> None:
        super().on_screen_resume()
        self.poll()

    def go_to(self, key: str) -> None:
        """Put the cursor on this workspace as soon as it is seen."""
        self._goto = key

    @property
    def manager(self) -> Manager:
        assert self._manager is not None
        return self._manager

    def _ready(self, manager: Manager) -> None:
        self._manager = manager
        self.poll()

    def poll(self) -> None:
        """Look at the nodes again, unless that is being done."""
        if self._manager is not None and not self.jobs.running("poll"):
            self.start("poll", self._manager.list, self._polled, self._poll_failed)

    def _polled(self, listing: Listing) -> None:
        self._listing = listing
        self._complaint = ""
        self._found = {str(one.key): one for one in listing.workspaces}
        self._marked &= set(self._found)
        self._draw()
        if self._goto and self.query_one("#workspaces", Table).move_to(self._goto):
            self._goto = ""

    def _poll_failed(self, error: HomewrightError) -> None:
        if error.what != self._complaint:
            self._complaint = error.what
            self.say(error.what, "failed")

    # What is shown

    def _draw(self) -> None:
        table = self.query_one("#workspaces", Table)
        listing = self._listing
        if listing is None:
            return
        table.empty = "No workspaces yet. Press n to make one."
        rows = [self._row(key, one) for key, one in sorted(self._found.items(), key=lambda pair: self._rank(pair[1]))]
        failed = look("failed")
        for node, reason in sorted(listing.unreachable.items()):
            text = f"  {failed.mark(self.ascii)} {node} does not answer: {reason}"
            rows.append(Row(f"node {node}", ((text, "failed"),), heading=True))
        table.set_rows(rows)
        self._age()
        self._about()
        self.refresh_bindings()

    def _rank(self, one: Workspace) -> tuple[object, ...]:
        name = (one.key.user, one.key.name, one.node)
        return {
            "state": (str(one.state), *name),
            "node": (one.node, *name),
            "cpu": (-(one.cpu or 0), *name),
            "mem": (-(one.memory or 0), *name),
            "idle": (one.last_active_at or 0, *name),
        }.get(self._sort, name)

    def _row(self, key: str, one: Workspace) -> Row:
        state, tone = self._state(key, one)
        mark = "*" if key in self._marked else ""
        idle = "–"
        if one.last_active_at:
            idle = age_text(self.now() - one.last_active_at)
        cells: tuple[Cell, ...] = (
            f"{mark}{one.key.user}",
            one.key.name,
            one.template,
            (state, tone),
            one.node,
            "–" if one.cpu is None else f"{one.cpu:.1f}",
            size_text(one.memory),
            idle,
        )
        return Row(key, cells)

    def _state(self, key: str, one: Workspace) -> tuple[str, str]:
        acting = self._acting.get(key)
        if acting:
            seen = look("running")
            return f"{seen.mark(self.ascii)} {acting}", seen.tone
        seen = look(LOOKS.get(str(one.state), str(one.state)))
        words = one.reason or str(one.state) if seen.tone == "failed" else str(one.state)
        if seen.tone != "failed" and one.reason:
            words += f" · {one.reason}"
        return f"{seen.mark(self.ascii)} {words}", seen.tone

    def _age(self) -> None:
        listing = self._listing
        if listing is None:
            return
        running = sum(1 for one in self._found.values() if str(one.state) == "running")
        trouble = sum(1 for one in self._found.values() if str(one.state) in ("error", "unknown"))
        words = [f"{len(self._found)}", f"{running} running"]
        trouble += len(listing.unreachable)
        words += [f"{trouble} need{'s' if trouble == 1 else ''} attention"] if trouble else []
        words += [f"{len(self._marked)} marked"] if self._marked else []
        table = self.query_one("#workspaces", Table)
        words += [f"filter: {table.needle}"] if table.needle else []
        words += [f"by {self._sort}"] if self._sort != "user" else []
        age = self.now() - listing.polled_at
        words += [f"seen {age_text(age)} ago"] if age > STALE_S else []
        self.retitle(" · ".join(words))

    @on(Table.Highlighted)
    def _about(self) -> None:
        box = self.query_one("#workspace", Labelled)
        one = self._here()
        if one is None:
            box.border_title = "workspaces"
            box.show_lines([Line("", "Make the first one: n." if self._listing is not None else "", whole=True)])
            return
        box.border_title = str(one.key)
        box.show_lines(self._short(one))
        self.refresh_bindings()

    def _short(self, one: Workspace) -> list[Line]:
        lines: list[Line] = []
        if one.reason:
            whose = f" · {one.whose_words} to solve" if one.whose else ""
            lines.append(Line("Why", f"{one.reason}{whose}"))
        if one.remedy:
            lines.append(Line("To do", one.remedy))
        lines.append(Line("Address", one.address or "none"))
        count = f"{one.connections} connection{'' if one.connections == 1 else 's'} open"
        unknown = one.key.node is None and bool(one.node)  # a pod does not tell
        on = count if one.connections else "who is on cannot be told" if unknown else "nobody is on"
        lines.append(Line("Now", f"{on} · preset {one.preset}"))
        lines += [Line("", f"! {note}", whole=True) for note in one.notes]
        return lines

    def _here(self) -> Workspace | None:
        for table in self.query(Table):
            return self._found.get(table.cursor_key)
        return None

    def _chosen(self) -> list[Workspace]:
        """The marked ones, else the one under the cursor."""
        if self._marked:
            return [self._found[key] for key in sorted(self._marked)]
        here = self._here()
        return [here] if here is not None else []

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if not super().check_action(action, parameters):
            return False
        here = self._here()
        if action in ("details", "mark", "logs", "address", "password", "delete"):
            return here is not None
        if action == "shell":
            return here is not None and _in_cluster(here)
        if action == "repository":
            return here is not None and here.repository is not None
        if action == "start":
            return any(str(one.state) in ("stopped", "error") for one in self._chosen())
        if action in ("stop", "restart"):
            return any(str(one.state) in ("running", "starting", "error", "unknown") for one in self._chosen())
        if action in ("filter", "sort", "export"):
            return bool(self._found)
        return True

    # Verbs

    def action_new(self) -> None:
        from homewright.screens.new_workspace import NewWorkspace

        if self._manager is not None:
            self.app.push_screen(NewWorkspace(self._manager, self.go_to))

    def action_mark(self) -> None:
        key = self.query_one("#workspaces", Table).cursor_key
        if key in self._found:
            self._marked ^= {key}
            self._draw()
            self.query_one("#workspaces", Table).action_move(1)

    def action_sort(self) -> None:
        """Sort by the next column."""
        self._sort = SORTS[(SORTS.index(self._sort) + 1) % len(SORTS)]
        self._draw()

    def action_filter(self) -> None:
        from homewright.screens.ask import LineBox

        table = self.query_one("#workspaces", Table)

        def sift(needle: str | None) -> None:
            if needle is not None:
                table.set_needle(needle)
                self._age()

        hint = "Shows the rows with this text; nothing shows all"
        self.app.push_screen(LineBox("filter", "Text", value=table.needle, hint=hint, yes="filter"), sift)

    def action_export(self) -> None:
        from homewright.site.paths import write_atomically

        listing, sitting = self._listing, self.home.sitting
        if listing is None or sitting is None:
            return
        file = Path.home() / f"homewright-{sitting.name}-workspaces.json"
        data = json.dumps(listing.document().model_dump(mode="json"), indent=2, ensure_ascii=False).encode()
        self.start("export", lambda: write_atomically(file, data), lambda _: self.say(f"Saved in {file}", "ok"))

    def _act(self, one: Workspace, doing: str, work: Callable[[], object], done: str) -> None:
        key = str(one.key)
        self._acting[key] = f"{doing} …"
        self._draw()

        def ended(_: object) -> None:
            self._acting.pop(key, None)
            self.say(f"{key}: {done}.", "ok")
            self._draw()
            self.poll()

        def failed(error: HomewrightError) -> None:
            self._acting.pop(key, None)
            self._draw()
            self.problem(error)
            self.poll()

        self.start(f"act {key}", work, ended, failed)

    def action_start(self) -> None:
        for one in self._chosen():
            if str(one.state) in ("stopped", "error") and str(one.key) not in self._acting:
                work = partial(self.manager.start, one.key, in_cluster=_in_cluster(one))
                self._act(one, "starting", work, "runs")

    def action_stop(self) -> None:
        """Stop; where somebody is on, ask first and say who."""
        self._end("stop", "Stopping", "stopped", self.manager.stop)

    def action_restart(self) -> None:
        """End and start again; where somebody is on, ask first and say who."""
        self._end("restart", "Restarting", "runs", self.manager.restart)

    def _end(self, verb: str, doing: str, done: str, work: Callable[..., object]) -> None:
        from homewright.screens.ask import AskBox

        chosen = [one for one in self._chosen() if str(one.key) not in self._acting]
        manager = self.manager

        def end(yes: bool | None) -> None:
            if yes:
                for one in chosen:
                    self._act(one, doing.lower(), partial(work, one.key, in_cluster=_in_cluster(one)), done)

        def seen(on: list[str]) -> None:
            self.say("")
            if not on:
                end(True)
                return
            names = ", ".join(str(one.key) for one in chosen)
            lines = [f"{doing} ends these sessions; unsaved work in their terminals is lost:", *on]
            self.app.push_screen(AskBox(f"{verb} {names}?", lines, verb), end)

        self.say("Looking who is on …")
        self.start("sessions", lambda: _who(manager, chosen), seen)

    def action_delete(self) -> None:
        from homewright.screens.workspace_boxes import DeleteBox

        one = self._here()
        if one is None:
            return
        manager = self.manager

        def answered(with_storage: bool | None) -> None:
            if with_storage is not None:
                work = partial(manager.delete, one.key, with_storage, in_cluster=_in_cluster(one))
                self._act(one, "deleting", work, "deleted")

        def seen(on: list[str]) -> None:
            self.say("")
            self.app.push_screen(DeleteBox(one, on), answered)

        self.say("Looking who is on …")
        self.start("sessions", lambda: _who(manager, [one]), seen, lambda _: seen([]))

    def action_details(self) -> None:
        from homewright.screens.workspace_boxes import DetailBox

        one = self._here()
        if one is not None:
            self.app.push_screen(DetailBox(one, self.manager, self.now()))

    def action_logs(self) -> None:
        from homewright.screens.workspace_boxes import LogBox

        one = self._here()
        if one is not None:
            self.app.push_screen(LogBox(one, self.manager))

    def action_shell(self) -> None:
        """A terminal inside of it."""
        from homewright.screens import workspace_inside

        one = self._here()
        if one is not None:
            workspace_inside.shell(self, self.manager, one)

    def action_repository(self) -> None:
        """How its repository is, and bringing it up to date."""
        from homewright.screens.workspace_inside import RepositoryBox

        one = self._here()
        if one is not None:
            self.app.push_screen(RepositoryBox(one, self.manager))

    def action_address(self) -> None:
        from homewright.screens.workspace_boxes import CopyBox
        from homewright.screens.workspace_inside import ForwardBox

        one = self._here()
        if one is not None and not one.address:
            self.app.push_screen(ForwardBox(one, self.manager))
        elif one is not None:
            lines = [
                "Open it in a browser. The browser must trust this site's certificate authority once:",
                "t on the workspaces screen says how.",
            ]
            if one.by_name not in ("", one.address):
                lines += ["", "For computers that ask the site's DNS server:", one.by_name]
            self.app.push_screen(CopyBox(f"address of {one.key}", one.address, lines, "address"))

    def action_password(self) -> None:
        from homewright.screens.workspace_boxes import CopyBox

        one = self._here()
        if one is None:
            return
        manager = self.manager

        def known(password: str) -> None:
            lines = ["Its editor asks for this password. Give it to nobody but its user."]
            self.app.push_screen(CopyBox(f"password of {one.key}", password, lines, ""))

        self.start("password", lambda: manager.password(one.key), known)

    def action_trust(self) -> None:
        self.home.go("finished")

    def action_back(self) -> None:
        self.home.back_to_welcome()


def _in_cluster(one: Workspace) -> bool:
    """Whether it was listed in the cluster; then its verbs go there, whatever has its name on a server."""
    return one.key.node is None


def _who(manager: Manager, chosen: list[Workspace]) -> list[str]:
    """Who is on, a line each. A node that does not answer is shown by the verb itself."""
    lines = []
    for one in chosen:
        for session in manager.sessions(one.key):
            count = "1 connection" if session.connections == 1 else f"{session.connections} connections"
            known = f"from {session.address}, {count}" if session.connections else session.address
            lines.append(f"  {one.key}: {known}")
    return lines
