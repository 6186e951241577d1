"""Workspaces: all of the site in one table that updates in place, and every verb on them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding

from homewright.errors import HomewrightError
from homewright.screens.glyphs import look
from homewright.screens.page import age_text, size_text
from homewright.screens.widgets.cells import Cell
from homewright.screens.widgets.labelled import Labelled, Line
from homewright.screens.widgets.table import Column, Row, Table
from homewright.screens.workspace_verbs import WorkspaceVerbs, in_cluster
from homewright.workspaces.ordering import in_order, natural

if TYPE_CHECKING:
    from homewright.workspaces.live import Live
    from homewright.workspaces.manager import Listing
    from homewright.workspaces.models import Workspace
    from homewright.workspaces.one_manager import OneManager as Manager

SERVERS_EVERY_S = 5.0
DRAIN_S = 0.25
"""How often what has changed is taken over: a quarter of the second within which a change is to be seen."""
STALE_S = 10.0
LOOKS = {"running": "done", "starting": "starting", "pending": "starting", "stopping": "stopping", "error": "failed"}
"""What the states of a workspace look like: one that runs is fine, not busy."""
SORTS = ("user", "state", "node", "cpu", "mem", "idle")
RANKS: dict[str, Callable[[Workspace], tuple[object, ...]]] = {
    "state": lambda one: (str(one.state), *in_order(one)),
    "node": lambda one: (natural(one.node), *in_order(one)),
    "cpu": lambda one: (-(one.cpu or 0), *in_order(one)),
    "mem": lambda one: (-(one.memory or 0), *in_order(one)),
    "idle": lambda one: (one.last_active_at or 0, *in_order(one)),
}
"""By what they are sorted; by user and name otherwise, as they come."""


class Workspaces(WorkspaceVerbs):
    """The manager's screen."""

    CSS_PATH = ["widgets/frame.tcss", "workspaces.tcss"]
    WHERE = "workspaces"
    HELP = """
Every workspace of the site, on one of the servers or in its cluster, each for one user. Servers are looked
at every 5 seconds; a cluster is watched, and a change in it is here within a second.

cpu    processors in use
mem    memory in use
idle   how long ago its editor was last open in a browser

enter shows all of one workspace, o its address, p its password, E what happened to it. s and x start and
stop the marked ones (space; A marks all that are shown), else the one under the cursor; R ends and starts
them again. Ending one ends its open sessions, so that asks and says who is on. Its data stays. D deletes:
you type its name, and choose whether its own storage goes too. u shows storage that was given up, to take
back or to be rid of. w writes what one is made of to a file, for kubectl. c changes its size, T its title.
The shared folders (projects, datasets, jobs) are never touched. ! is a terminal inside
of one in the cluster, y shows its repository and brings it up to date, k gives, tests and forgets what its
user's git signs in with.
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
        Binding("k", "credentials", "its user's git credentials", show=False),
        Binding("D", "delete", "delete"),
        Binding("slash", "filter", "filter", key_display="/"),
        Binding("S", "sort", "sort", show=False),
        Binding("A", "mark_all", "mark all that are shown", show=False),
        Binding("E", "events", "events", show=False),
        Binding("c", "change", "change its size", show=False),
        Binding("T", "rename", "change its title", show=False),
        Binding("u", "given_up", "storage that was given up", show=False),
        Binding("w", "write", "write its objects to a file", show=False),
        Binding("e", "export", "export the list", show=False),
        Binding("t", "trust", "trust the certificates", show=False),
        Binding("escape", "back", "back", key_display="esc", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._manager: Manager | None = None
        self._live: Live | None = None
        self._news = False
        """Something has changed since the last look; set from other threads."""
        self._rows: dict[str, tuple[Workspace, bool, str, str, Row]] = {}
        """Of each workspace the row that was made of it, and what it was made from: most stay as they are."""
        self._order: tuple[str, ...] = ()
        self._found: dict[str, Workspace] = {}
        self._marked: set[str] = set()
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
        self.query_one("#workspace").border_subtitle = f"all are looked at every {SERVERS_EVERY_S:.0f} s"
        sitting = self.home.sitting
        assert sitting is not None
        services = self.home.services
        self.start("manager", lambda: services.manager(sitting.file, sitting.state), self._ready)
        self.set_interval(DRAIN_S, self._drain)
        self.set_interval(1.0, self._changed)  # that nothing has changed makes what is shown no older

    def on_unmount(self) -> None:
        manager = self._manager
        if self._live is not None:
            self._live.close()
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
        # In a thread: it asks for the kubeconfig, and a file system may hang.
        self.start("live", lambda: manager.live(self._changed), self._follow)

    def _follow(self, live: Live) -> None:
        self._live = live
        self._news = True

    def _changed(self) -> None:
        """Called from other threads, as often as anything changes."""
        self._news = True

    def poll(self) -> None:
        """Look at the servers now."""
        if self._live is not None:
            self._live.poke()
            self._news = True

    def _drain(self) -> None:
        """Take over what has changed: a storm of changes is one look."""
        if self._live is not None and self._news and not self.jobs.running("look"):
            self._news = False
            self.jobs.start("look", self._live.listing, self._looked, self._poll_failed)

    def _looked(self, listing: Listing) -> None:
        before, self.listing = self.listing, listing
        same = before is not None and before.workspaces is listing.workspaces
        self._complaint = ""
        if not same:
            self._found = {str(one.key): one for one in listing.workspaces}
            self._marked &= set(self._found)
            if self._rows.keys() - self._found.keys():
                self._rows = {key: made for key, made in self._rows.items() if key in self._found}
            self._order = ()
        if listing.heard_at is not None:
            every = f"servers are looked at every {SERVERS_EVERY_S:.0f} s, the cluster is watched"
            self.query_one("#workspace").border_subtitle = listing.notes[0] if listing.notes else every
        if same and before is not None and _about_places(before) == _about_places(listing):
            self._age()
        else:
            self.draw()
        if self._goto and self.query_one("#workspaces", Table).move_to(self._goto):
            self._goto = ""

    def _poll_failed(self, error: HomewrightError) -> None:
        if error.what != self._complaint:
            self._complaint = error.what
            self.say(error.what, "failed")

    # What is shown

    def draw(self) -> None:
        table = self.query_one("#workspaces", Table)
        listing = self.listing
        if listing is None:
            return
        table.empty = (
            f"Looking at {listing.looking} …" if listing.looking else "No workspaces yet. Press n to make one."
        )
        if not self._order:
            rank = RANKS.get(self._sort, in_order)
            self._order = tuple(key for key, _ in sorted(self._found.items(), key=lambda known: rank(known[1])))
        now = self.now()
        rows = [self._row(key, self._found[key], now) for key in self._order]
        failed = look("failed")
        for node, reason in sorted(listing.unreachable.items()):
            text = f"  {failed.mark(self.ascii)} {node} does not answer: {reason}"
            rows.append(Row(f"node {node}", ((text, "failed"),), heading=True))
        table.set_rows(rows)
        self._age()
        self._about()
        self.refresh_bindings()

    def _row(self, key: str, one: Workspace, now: float) -> Row:
        marked = key in self._marked
        idle = age_text(now - one.last_active_at) if one.last_active_at else "–"
        doing = self.acting.get(key, "")
        known = self._rows.get(key)
        if known is not None and known[0] is one and known[1] == marked and known[2] == idle and known[3] == doing:
            return known[4]  # of thousands all but a few, four times a second
        state, tone = self._state(key, one)
        cells: tuple[Cell, ...] = (
            f"{'*' if marked else ''}{one.key.user}",
            one.key.name,
            one.template,
            (state, tone),
            one.node,
            "–" if one.cpu is None else f"{one.cpu:.1f}",
            size_text(one.memory),
            idle,
        )
        row = Row(key, cells)
        self._rows[key] = (one, marked, idle, doing, row)
        return row

    def _state(self, key: str, one: Workspace) -> tuple[str, str]:
        acting = self.acting.get(key)
        if acting:
            seen = look("running")
            return f"{seen.mark(self.ascii)} {acting}", seen.tone
        seen = look(LOOKS.get(str(one.state), str(one.state)))
        words = one.reason or str(one.state) if seen.tone == "failed" else str(one.state)
        if seen.tone != "failed" and one.reason:
            words += f" · {one.reason}"
        return f"{seen.mark(self.ascii)} {words}", seen.tone

    def _age(self) -> None:
        listing = self.listing
        if listing is None:
            return
        states = Counter(str(one.state) for one in self._found.values())
        words = [f"{len(self._found)}", f"{states['running']} running"]
        trouble = states["error"] + states["unknown"] + len(listing.unreachable)
        words += [f"{trouble} need{'s' if trouble == 1 else ''} attention"] if trouble else []
        words += [f"{len(self._marked)} marked"] if self._marked else []
        table = self.query_one("#workspaces", Table)
        words += [f"filter: {table.needle}"] if table.needle else []
        words += [f"by {self._sort}"] if self._sort != "user" else []
        age = self.now() - listing.oldest()
        words += [f"seen {age_text(age)} ago"] if age > STALE_S and not listing.looking else []
        self.retitle(" · ".join(words))

    @on(Table.Highlighted)
    def _about(self) -> None:
        box = self.query_one("#workspace", Labelled)
        one = self.here()
        if one is None:
            box.border_title = "workspaces"
            box.show_lines([Line("", "Make the first one: n." if self.listing is not None else "", whole=True)])
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

    def here(self) -> Workspace | None:
        for table in self.query(Table):
            return self._found.get(table.cursor_key)
        return None

    def chosen(self) -> list[Workspace]:
        """The marked ones, else the one under the cursor."""
        if self._marked:
            return [self._found[key] for key in sorted(self._marked, key=lambda key: in_order(self._found[key]))]
        here = self.here()
        return [here] if here is not None else []

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if not super().check_action(action, parameters):
            return False
        here = self.here()
        if action in ("details", "mark", "logs", "address", "password", "delete"):
            return here is not None
        if action == "shell":
            return here is not None and in_cluster(here)
        if action == "repository":
            return here is not None and here.repository is not None
        if action == "start":
            return any(self.may_start(one) or self.stops(one) for one in self.chosen())
        if action in ("stop", "restart"):
            return any(str(one.state) in ("running", "starting", "error", "unknown") for one in self.chosen())
        if action in ("events", "write", "rename"):
            return here is not None and in_cluster(here)
        if action == "change":
            return any(in_cluster(one) for one in self.chosen())
        if action == "given_up":
            return self.listing is not None and self.listing.heard_at is not None
        if action in ("filter", "sort", "export", "mark_all"):
            return bool(self._found)
        return True

    # The table

    def action_new(self) -> None:
        from homewright.screens.new_workspace import NewWorkspace

        if self._manager is not None:
            self.app.push_screen(NewWorkspace(self._manager, self.go_to))

    def action_mark(self) -> None:
        key = self.query_one("#workspaces", Table).cursor_key
        if key in self._found:
            self._marked ^= {key}
            self.draw()
            self.query_one("#workspaces", Table).action_move(1)

    def action_mark_all(self) -> None:
        """Mark all that are shown; none where all of them are marked."""
        shown = {row.key for row in self.query_one("#workspaces", Table).rows} & set(self._found)
        self._marked = self._marked - shown if shown <= self._marked else self._marked | shown
        self.draw()

    def action_sort(self) -> None:
        """Sort by the next column."""
        self._sort = SORTS[(SORTS.index(self._sort) + 1) % len(SORTS)]
        self._order = ()
        self.draw()

    def action_filter(self) -> None:
        from homewright.screens.ask import LineBox

        table = self.query_one("#workspaces", Table)

        def sift(needle: str) -> None:
            table.set_needle(needle)
            self._age()

        hint = "Shows the rows with this text; nothing shows all"
        box = LineBox("filter", "Text", value=table.needle, hint=hint, yes="filter", typed=table.set_needle)
        before = table.needle
        self.app.push_screen(box, lambda needle: sift(before if needle is None else needle))

    def action_trust(self) -> None:
        self.home.go("finished")

    def action_back(self) -> None:
        self.home.back_to_welcome()


def _about_places(listing: Listing) -> tuple[object, ...]:
    """What is shown besides the workspaces."""
    return listing.unreachable, listing.looking
