"""Deploy: the run that goes on, or how the last one ended. Everything shown here is read from the journal."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult, RenderResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from homewright.engine.journal import RunRecord
from homewright.engine.states import Action, State
from homewright.errors import HomewrightError
from homewright.screens import failure, progress
from homewright.screens.feed import INTERVAL_S, SLOW_INTERVAL_S, Feed, Looked
from homewright.screens.glyphs import look
from homewright.screens.loglines import LogLines, View, first_error, look_on
from homewright.screens.run_control import RunControl
from homewright.screens.widgets.framed import entitle
from homewright.screens.widgets.log_pane import LogPane
from homewright.screens.widgets.table import Column, Table

QUIET_S = 5.0
"""After this long without a line, the pane says for how long there was none."""
PANES = 4
"""At most so many panes side by side on a very wide terminal."""


class Bar(Widget):
    """How far the run is: a bar as wide as there is room, and the step in words."""

    percent = 0.0
    words = ""

    def show(self, percent: float, words: str) -> None:
        if (percent, words) != (self.percent, self.words):
            self.percent, self.words = percent, words
            self.refresh()

    def render(self) -> RenderResult:
        full, rest = progress.bar(self.percent, max(self.size.width - len(self.words) - 2, 10))
        return Content.assemble((full, "$primary"), (rest, "$quiet"), f"  {self.words}")


class Deploy(RunControl):
    """Stage tree, log, hosts and progress; a failure takes the lower half."""

    CSS_PATH = ["widgets/frame.tcss", "deploy.tcss"]
    WHERE = "Deploy"
    STEP = 9
    HELP = """
The run goes on without this screen: you may leave with d or ctrl+q, lose the connection or close the terminal.
`homewright` brings you back here; `homewright --site NAME attach` shows the same line by line.

Left     the stages and their steps; a running step names the servers that it is at work on
Right    the log: of the whole run while it follows (f), of one step when you move to it
Beneath  every server with its state, and how far the run is

Several people may look at one run; one of them is in control of it. The line at the bottom says who. t asks
whoever has it for control: they hand it over or keep it, and without an answer it passes in half a minute.

v shows the receipts of the step under the cursor: what it changed on each server, and what takes it back.

tab goes through the servers: all, then each alone. Enter puts you into the log, esc back to the stages.
In the log, up and down scroll, left and right show long lines. Scrolled up, nothing slides away.

When a step fails, what could go on without it goes on, and then the run ends. What happened, why, and what
to do stand in the lower half; w puts you into it to scroll, esc back; j shows the first error in the log. r
tries again: steps that are done are proved, not done again, and answers that you have changed meanwhile
count. e shows the answers that the step reads, leads to their page, and then to what the edit changes.
"""
    BINDINGS = [
        Binding("r", "again", "retry"),
        Binding("w", "why", "why"),
        Binding("e", "edit", "edit an answer"),
        Binding("k", "skip", "skip"),
        Binding("j", "to_failure", "to the failure"),
        Binding("c", "cancel", "cancel"),
        Binding("p", "pause", "pause"),
        Binding("p", "continue", "go on"),
        Binding("t", "take_control", "take control"),
        Binding("c,p", "read_only", show=False),
        Binding("d", "detach", "detach"),
        Binding("f", "follow", "follow"),
        Binding("tab", "host", "host", key_display="tab"),
        Binding("enter", "read", "log", key_display="enter"),
        Binding("slash", "search", "search", key_display="/"),
        Binding("s", "save", "save log"),
        Binding("b", "bundle", "support bundle", show=False),
        Binding("v", "receipts", "receipts", show=False),
        Binding("ctrl+n", "next", "next", key_display="ctrl+n"),
        Binding("escape", "back", "back", key_display="esc"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._feed: Feed | None = None
        self._titles: dict[str, str] = {}
        self._step: str | None = None
        self._host: str | None = None
        self._problem = ""
        self._shown: tuple[LogLines, ...] = ()
        """What the panes show. The feed's thread reads this; the widgets themselves are the screen's alone."""
        self._news: tuple[tuple[View, int] | None, float] = (None, 0.0)
        """How far the log was when a line came last, and when that was."""
        self._bell = True
        self._learned = False
        self._called = ""
        """What was called for last: the step that failed, or how the run has ended."""
        self._found_at: tuple[str, int] | None = None
        """The text that was searched for last, and the line that has it."""

    def body(self) -> ComposeResult:
        with Horizontal(id="panes"):
            yield Table([Column(), Column(width=8, right=True)], id="tree", empty="getting ready")
            with Horizontal(id="logs"):
                yield LogPane(id="log", empty="Waiting for the first line.")
        with VerticalScroll(id="problem"):
            yield Static(id="problem-text")
        with Vertical(id="progress"):
            yield Bar()

    def on_mount(self) -> None:
        super().on_mount()
        for id in ("tree", "log", "problem", "progress"):
            self.query_one(f"#{id}").add_class("frame")
        self.query_one("#tree").border_title = "stages"
        self.query_one("#problem").display = False
        self.query_one("#tree", Table).focus()
        self._watch()
        self.be_present()
        self.set_interval(1.0, self._tick)

    def on_unmount(self) -> None:
        super().on_unmount()
        if self._feed is not None:
            self._feed.stop()

    def _watch(self) -> None:
        """Read the newest run from the journal, from its first line."""
        sitting = self.home.sitting
        assert sitting is not None
        if self._feed is not None:
            self._feed.stop()
        self.run_shown = None
        self._problem = ""
        reader = self.home.services.reader(sitting.state)
        self._shown = ()
        pause_s = SLOW_INTERVAL_S if self.home.terminal.slow else INTERVAL_S
        self._feed = Feed(self, reader, None, lambda: self._shown, pause_s)
        self._feed.start()

    def _learn(self) -> None:
        """What takes the stages' and the answers' modules: 0.2 s of processor time, and the log is to be seen first."""
        services, stages, sitting = self.home.services, self.home.options.stages, self.home.sitting
        if self._learned or self.departed or sitting is None:
            return
        self._learned = True
        self.start("titles", lambda: services.stage_titles(stages), self._named, lambda _: None, quiet=True)
        self.start("bell", lambda: services.rings(sitting.file), self._rings, lambda _: None, quiet=True)

    def _rings(self, rings: bool) -> None:
        self._bell = rings

    def _call(self, before: str, fresh: bool) -> None:
        """Call whoever is not looking: a step has failed, or the run has ended."""
        run = self.run_shown
        failed = progress.failed_step(self.steps_shown)
        self._called = "" if run is None else str(run.state) if run.state.final else failed.step if failed else ""
        if run is None or fresh or not self._called or self._called == before or not self._bell:
            return
        word = f"run {look(run.state).word}" if run.state.final else f"{self._called} failed"
        self.home.attract(f"homewright {self.home.site_name}: {word}")

    def _named(self, titles: dict[str, str]) -> None:
        self._titles = titles
        self._draw()

    # What the feed brings

    def on_looked(self, message: Looked) -> None:
        if self.departed:
            return
        snapshot = message.snapshot
        if snapshot is None:
            if message.error is not None:
                self.say(message.error.what, "failed")
            return
        fresh = self.run_shown is None or self.run_shown.id != snapshot.run.id
        ended = not fresh and self.run_shown is not None and not self.run_shown.state.final and snapshot.run.state.final
        self.show_run(snapshot.run, snapshot.steps)
        self.show_viewers(snapshot.viewers)
        if fresh:
            self._step = None
            self._show_log()
            self._arrange()
        for batch in snapshot.batches:
            for pane in self.query(LogPane):
                pane.add(batch)
        self._draw()
        self._call(self._called, fresh)
        if self._feed is not None:
            self._feed.applied()
        self.call_after_refresh(self._learn)
        if (ended or fresh) and snapshot.run.state is State.SUCCEEDED:
            self.say(self._end_words(snapshot.run), "ok")
        self.refresh_bindings()

    def _end_words(self, run: RunRecord) -> str:
        changed = f"{run.changed} changed" if run.changed else "nothing changed"
        if run.action is Action.RUN:
            return f"Done, {changed}. ctrl+n: what was proved, and what to do next."
        return f"Done, {changed}."

    def _draw(self) -> None:
        run = self.run_shown
        if run is None:
            return
        table = self.query_one("#tree", Table)
        rows = progress.tree(run, self.steps_shown, self._titles, self.now(), self.ascii)
        table.set_columns([Column(), Column(width=progress.aside(rows), right=True)])
        table.set_rows(rows)
        if self.query_one("#log", LogPane).follow:
            self._place(table)
        entitle(self.query_one("#progress"), progress.host_line(self.steps_shown, self.ascii), self.standing)
        self._tick()
        self._draw_problem()

    def _place(self, table: Table) -> None:
        """While following, the cursor is on the step that runs, or on the one that failed."""
        at = next((step for step in progress.whole(self.steps_shown) if step.state is State.RUNNING), None)
        at = at or progress.failed_step(self.steps_shown)
        if at is not None and at.step != table.cursor_key:
            table.move_to(at.step)

    def standing_changed(self) -> None:
        self._draw()
        self.refresh_bindings()

    def _tick(self) -> None:
        run = self.run_shown
        if run is None:
            return
        self.retitle(progress.summary(run, self.steps_shown, self.now()))
        percent = 100.0 if run.state is State.SUCCEEDED else run.percent
        self.query_one(Bar).show(percent, progress.counted(self.steps_shown))
        pane = self.query_one("#log", LogPane)
        quiet = ""
        if not run.state.final and pane.lines is not None and len(pane.lines):
            since = self.now() - self._last_ts(pane.lines)
            waited = progress.at_work(self.steps_shown)
            for_whom = f"waiting for {', '.join(waited)}, " if waited else ""
            quiet = f"{for_whom}no output for {since:.0f} s" if since >= QUIET_S else ""
        entitle(pane, subtitle=quiet or ("following" if pane.follow and not run.state.final else ""))

    def _last_ts(self, lines: LogLines) -> float:
        at = (lines.view, len(lines))
        if self._news[0] != at:
            self._news = (at, self.now())
        return self._news[1]

    def where(self) -> str:
        if self.run_shown is None:
            return super().where()
        return progress.heading(self.run_shown, self.steps_shown, self._titles)

    # The log

    def _hosts(self) -> list[str]:
        return sorted(progress.hosts(self.steps_shown))

    def _show_log(self) -> None:
        """Show the lines of the step and the host that are chosen, from the journal."""
        run = self.run_shown
        sitting = self.home.sitting
        if run is None or sitting is None:
            return
        reader = self.home.services.reader(sitting.state)
        panes = list(self.query(LogPane))
        for number, pane in enumerate(panes):
            host = self._host if len(panes) == 1 else self._hosts()[number]
            view = View(run.id, self._step, host)
            if pane.lines is None or pane.lines.view != view:
                pane.show(LogLines(reader, view), "No line yet.")
            entitle(pane, f"{self._step_title()} · {host or 'all servers'}")
        self._shown = tuple(pane.lines for pane in panes if pane.lines is not None)
        self._fill()

    def _fill(self) -> None:
        """Bring up to date at once what a change of view shows (the feed only comes by when there is news)."""
        for pane in self.query(LogPane):
            lines = pane.lines
            if lines is not None and not len(lines):
                try:
                    pane.add(look_on(lines.source, lines.view, 0))
                except HomewrightError as error:
                    self.say(error.what, "failed")

    def _step_title(self) -> str:
        if self._step is None:
            return "whole run"
        record = next((step for step in self.steps_shown if step.step == self._step and not step.host), None)
        return f"{self._step} {record.title}" if record else self._step

    def action_receipts(self) -> None:
        """What the step under the cursor, or every step, changed on each server."""
        from homewright.screens.receipts import show_receipts

        show_receipts(self, self._step, self._step_title())

    def on_resize(self) -> None:
        super().on_resize()
        self._arrange()

    def _arrange(self) -> None:
        """One pane, or on a very wide terminal one for each server."""
        hosts = self._hosts()
        wanted = len(hosts) if self.app.size.width >= 160 and 2 <= len(hosts) <= PANES else 1
        panes = list(self.query(LogPane))
        if not panes or len(panes) == wanted:
            return
        box = self.query_one("#logs", Horizontal)
        for pane in panes[wanted:]:
            pane.remove()
        for _ in range(wanted - len(panes)):
            pane = LogPane()
            pane.add_class("frame")
            pane.follow = panes[0].follow
            box.mount(pane)
        self.call_after_refresh(self._show_log)

    @on(Table.Highlighted, "#tree")
    def _moved(self, message: Table.Highlighted) -> None:
        if not message.by_hand:
            return
        self._set_follow(False)
        self._step = None if message.key.startswith("stage ") else message.key
        self._show_log()

    def _set_follow(self, follow: bool) -> None:
        for pane in self.query(LogPane):
            pane.set_follow(follow)
        self.refresh_bindings()
        self._tick()

    @on(LogPane.ScrolledAway)
    def _scrolled(self) -> None:
        self._set_follow(False)

    # A failure

    def _draw_problem(self) -> None:
        run = self.run_shown
        box = self.query_one("#problem")
        step = progress.failed_step(self.steps_shown)
        if run is None or (step is None and not (run.state.final and run.state is not State.SUCCEEDED)):
            box.display = False
            return
        told = f"{run.id} {run.state} {step.step if step else ''} {step.state if step else ''}"
        if told == self._problem:
            return
        self._problem = told
        box.display = True
        box.border_title = "what went wrong"
        sitting = self.home.sitting
        assert sitting is not None
        words = failure.words(self.home.services.reader(sitting.state), run, self.steps_shown, step)
        self.query_one("#problem-text", Static).update(words)
        self.call_after_refresh(lambda: self.query_one("#tree", Table).reveal())

    # Keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if not super().check_action(action, parameters):
            return False
        run = self.run_shown
        if action == "follow":
            return run is not None and not run.state.final
        if action in ("host", "search", "save", "read", "bundle"):
            return run is not None
        if action == "again":
            return run is not None and run.state.final and run.state is not State.SUCCEEDED
        if action == "to_failure":
            return run is not None and progress.failed_step(self.steps_shown) is not None
        if action == "why":
            return any(box.display for box in self.query("#problem"))
        theirs = self.others is not None
        if action in ("take_control", "read_only"):
            return run is not None and not run.state.final and theirs and (action == "read_only" or not self._asks)
        if action in ("cancel", "pause", "continue") and theirs:
            return False
        if action in ("pause", "continue") and self.pausing != (action == "continue"):
            return False
        if action in ("pause", "continue") and self.jobs.running("control"):
            return None  # one after the other: which the engine hears last, counts
        if action in ("detach", "cancel", "pause", "continue"):
            return run is not None and not run.state.final
        if action in ("skip", "edit"):
            failed = progress.failed_step(self.steps_shown)
            return run is not None and run.state.final and run.action is Action.RUN and failed is not None
        if action == "next":
            return run is not None and run.state is State.SUCCEEDED
        return True

    def action_follow(self) -> None:
        self._step = None
        self._set_follow(True)
        self._show_log()
        self._draw()

    def action_host(self) -> None:
        """All servers, then each alone."""
        around: list[str | None] = [None, *self._hosts()]
        at = around.index(self._host) if self._host in around else 0
        self._host = around[(at + 1) % len(around)]
        self._show_log()

    def action_read(self) -> None:
        self.query_one("#log", LogPane).focus()

    def action_to_failure(self) -> None:
        """Show the failed step's log on the server where it failed, from its first error."""
        step = progress.failed_step(self.steps_shown)
        if step is None:
            return
        rows = progress.failed_hosts(self.steps_shown, step.step)
        self._set_follow(False)
        self._step, self._host = step.step, rows[0].host if rows else None
        self.query_one("#tree", Table).move_to(step.step)
        self._show_log()
        pane = self.query_one("#log", LogPane)
        lines = pane.lines
        if lines is None:
            return

        def found(at: int | None) -> None:
            pane.focus()
            pane.jump(at if at is not None else max(len(lines) - 1, 0))

        self.start("search", lambda: first_error(lines), found)

    def action_why(self) -> None:
        """Put the keys into the lower half, to scroll it."""
        self.query_one("#problem").focus()

    def action_back(self) -> None:
        tree = self.query_one("#tree", Table)
        if self.focused is not None and self.focused is not tree:
            tree.focus()
        else:
            self.home.back_to_welcome()

    def action_search(self) -> None:
        from homewright.screens.ask import LineBox

        pane = self.query_one("#log", LogPane)

        def wanted(needle: str | None) -> None:
            if needle is None:
                return
            pane.found = needle
            lines = pane.lines
            if not needle or lines is None:
                pane.refresh()
                return
            again = self._found_at is not None and self._found_at[0] == needle
            start = self._found_at[1] + 1 if again and self._found_at else pane.top
            self.start("search", lambda: lines.find(needle, start, 1), lambda at: self._found(needle, at))

        box = LineBox("search the log", "Text", value=pane.found, hint="The next line with this text", yes="find")
        self.app.push_screen(box, wanted)

    def _found(self, needle: str, at: int | None) -> None:
        pane = self.query_one("#log", LogPane)
        if at is None:
            self.say(f"No line of this log has {needle}.", "warning")
            return
        self._found_at = (needle, at)
        self._set_follow(False)
        pane.focus()
        pane.jump(at)
        self.say(f"Line {at + 1}. / again for the next one.")

    def watch_again(self) -> None:
        self._host = None
        self._set_follow(True)
        self._watch()

    def action_detach(self) -> None:
        self.app.exit(0, message="The run goes on. Come back to it with: homewright")

    def action_next(self) -> None:
        self.home.go("finished")
