"""Checks: every check and every server, what stands in the way, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll

from homewright.errors import HomewrightError
from homewright.screens.check_acts import CheckActs, count
from homewright.screens.check_board import GROUPS, SITE, Board, CheckRow, board_of
from homewright.screens.finding_text import cell_lines, subject
from homewright.screens.glyphs import look
from homewright.screens.page import age_text
from homewright.screens.widgets.cells import Cell
from homewright.screens.widgets.labelled import Labelled, Line
from homewright.screens.widgets.matrix import CELL, Matrix, MatrixRow
from homewright.screens.widgets.table import Table

if TYPE_CHECKING:
    from homewright.checks.models import Finding, Report
    from homewright.screens.services_checks import Heard
    from homewright.site.models import Site

OLD_S = 10
"""From when on the age of what is shown stands in the title, seconds."""


class Checks(CheckActs):
    """A row for each check, a column for each server; beneath it what the cell under the cursor means."""

    CSS_PATH = ["widgets/frame.tcss", "checks.tcss"]
    WHERE = "Checks"
    STEP = 3
    HELP = """
What has to be right before anything is changed. A row is a check, a column a server; the checks between
servers stand in the column of the one that measured. The box beneath says of the cell under the cursor what
was measured, what was wanted, why, and what to do.

✓ passed    as it should be
✗ failed    has to be put right: it stops the deployment, and cannot be accepted
! warning   goes, but not well: f fixes some, a accepts it with a reason
! accepted  a warning that you accepted; if another value is measured later, it asks again
? unknown   could not be found out; the box says why
· pending   its time has not come: a step of the deployment sees to it

n goes to the next problem, N to the one before. / shows only some: a part of a check's name, a state, a
server's name, or several of these. left and right go to other servers, enter shows all about a cell.

f repairs what is under the cursor, F everything that Homewright can repair by itself: both say first what they
will change, and then check again. r checks again what did not pass, R checks everything.

Where it ends up: an accepted warning in site.yaml (accepted: check, subjects, reason, what was measured then).
The report is kept in the state folder; ctrl+s saves it in a file of its own. The same on the command line:
homewright check, check --fix ID, check --accept ID --reason WHY.
"""
    BINDINGS = [
        Binding("n", "problem(1)", "next problem"),
        Binding("f", "fix", "fix"),
        Binding("a", "accept", "accept"),
        Binding("r", "recheck", "recheck"),
        Binding("slash", "filter", "filter", key_display="/"),
        Binding("ctrl+n", "next", "next", key_display="ctrl+n"),
        Binding("enter", "open", "open", key_display="enter"),
        Binding("F", "fix_all", "fix all"),
        Binding("R", "check", "check everything"),
        Binding("N", "problem(-1)", "problem before", show=False),
        Binding("ctrl+s", "save", "save the report", key_display="ctrl+s"),
        Binding("escape", "back", "back", key_display="esc"),
    ]
    AUTO_FOCUS = "Matrix"

    def __init__(self) -> None:
        super().__init__()
        self._needle = ""
        self._answered: set[str] = set()
        self._lost: dict[str, str] = {}
        """Servers that could not be reached, and why."""
        self._passed_over = False
        """`next` has said that a server could not be reached: pressed again, it goes on."""
        self._shown: tuple[CheckRow, ...] = ()
        self._news = False
        """Something came in that is not drawn yet."""

    def body(self) -> ComposeResult:
        yield Matrix(self._cell, self._under, id="checks", empty="No check has this. / and nothing shows all.")
        with VerticalScroll(id="finding", classes="frame", can_focus=False):
            yield Labelled(id="finding-text")

    def on_mount(self) -> None:
        super().on_mount()
        sitting = self.home.sitting
        assert sitting is not None
        services = self.home.services

        def load() -> tuple[Site, Report | None, Board]:
            site, report = services.checked(sitting.file, sitting.state)
            return site, report, board_of([server.name for server in site.servers], services.check_rows(), report)

        def loaded(found: tuple[Site, Report | None, Board]) -> None:
            self._site, self._report, self._board = found
            self._lost = dict(self._report.unreachable) if self._report else {}
            self._sift()
            if self._report is None:
                self.action_check()
            else:
                self.action_problem(1, first=True)

        self.start("load", load, loaded)
        self.set_interval(1.0, self._retitle)
        self.set_interval(0.1, self._draw_news)

    @property
    def busy(self) -> bool:
        """Whether checks run, or a repair does."""
        return self.jobs.running("check") or self.jobs.running("fix")

    # What is shown

    def _cell(self, check: str, column: str) -> Cell:
        state = self._board.state(check, column)
        if not state:
            if self.busy and column not in self._lost:
                return f"{look('pending').mark(self.ascii)} …", "muted"
            return ("? unknown", "warning") if column in self._lost and self._report is None else ("–", "muted")
        seen = look(state)
        text = f"{seen.mark(self.ascii)} {seen.word}"
        if column == SITE:
            found = self._board.findings(check, column)
            text += f" · {found[0].measured or found[0].reason}" if found else ""
        return text, seen.tone

    def _under(self, host: str) -> Cell:
        """How a server stands, in the line beneath its name."""
        if host in self._lost:
            return f"{look('failed').mark(self.ascii)} unreached", "failed"
        counts = self._board.counts(host)
        words = [f"{counts[s]}{look(s).mark(self.ascii)}" for s in ("failed", "unknown", "warning") if counts.get(s)]
        if words:
            together = " ".join(words)
            return together if len(together) <= CELL else "".join(words), "failed" if counts.get(
                "failed"
            ) else "warning"
        if not counts:
            return f"{look('running').mark(self.ascii)} …" if self.busy else "", "muted"
        return f"{look('passed').mark(self.ascii)} all", "ok"

    def _sift(self) -> None:
        """Show the rows and the servers that the filter leaves."""
        self._shown, hosts = self._board.sifted(self._needle)
        rows: list[MatrixRow] = []
        group = ""
        for row in self._shown:
            if row.group != group:
                group = row.group
                rows.append(MatrixRow(f"group {group}", GROUPS[group], heading=True))
            rows.append(MatrixRow(row.id, row.title, wide=row.wide))
        self.query_one(Matrix).set_matrix(rows, hosts)
        self._draw()

    def _draw(self) -> None:
        self._news = False
        self.query_one(Matrix).refresh()
        self._retitle()
        self._detail()
        self.refresh_bindings()

    def _retitle(self) -> None:
        site = self._site
        if site is None:
            return
        counts = self._board.counts()
        states = [state for state in ("failed", "unknown", "warning") if counts.get(state)]
        if self.app.size.width < 100:  # a short line has room for the glyphs alone
            words = [" ".join(f"{counts[state]}{look(state).mark(self.ascii)}" for state in states)] if states else []
        else:
            words = [
                count(counts[state], "warning") if state == "warning" else f"{counts[state]} {state}"
                for state in states
            ]
        if self.jobs.running("check"):
            words = [f"{len(self._answered)} of {len(site.servers)} answered", *words]
        elif self.jobs.running("fix"):
            words = ["repairing", *words]
        elif self._report is not None:
            words = words or ([] if self._lost else ["all passed"])
            age = self.now() - self._report.at
            words += [f"{age_text(age)} ago"] if age > OLD_S else []
        if self._lost:
            words.append(self._lost_words())
        words += [f"filter: {self._needle}"] if self._needle else []
        self.retitle(" · ".join(words))

    def _lost_words(self) -> str:
        """Which server could not be reached, or how many."""
        return f"{next(iter(self._lost)) if len(self._lost) == 1 else len(self._lost)} not reached"

    def _here(self) -> tuple[str, str]:
        """The check and the column under the cursor."""
        matrix = self.query_one(Matrix)
        return matrix.cursor_key, matrix.column

    def _findings(self) -> tuple[Finding, ...]:
        return self._board.findings(*self._here())

    @on(Table.Highlighted)
    def _detail(self) -> None:
        check, column = self._here()
        box, text = self.query_one("#finding"), self.query_one("#finding-text", Labelled)
        row = next((row for row in self._shown if row.id == check), None)
        if row is None:
            box.border_title, lines = "", []
        else:
            state = self._board.state(check, column)
            seen = look(state)
            word = f" · {seen.mark(self.ascii)} {seen.word}" if state else ""
            box.border_title = f"{row.title} · {column or 'the site'}{word}"
            lines = cell_lines(self._findings(), self.ascii) or [self._nothing(column)]
        text.show_lines(lines)
        box.scroll_to(y=0, animate=False)

    def _nothing(self, column: str) -> Line:
        if column in self._lost:
            return Line("", f"{column} could not be reached: {self._lost[column]}", "failed", whole=True)
        if self.busy:
            return Line("", "Being looked at.", "quiet", whole=True)
        return Line("", "This check does not apply here.", "quiet", whole=True)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in ("fix", "fix_all", "accept", "recheck", "check") and self.busy:
            return None
        if action in ("save", "fix", "fix_all", "accept", "recheck") and self._report is None:
            return False
        if action == "fix_all" and not self._fixable(self._all()):
            return False
        return super().check_action(action, parameters)

    # Moving about

    def action_problem(self, by: int, first: bool = False) -> None:
        """Go to the next cell with something to be dealt with, around the end; or to the first of them."""
        matrix = self.query_one(Matrix)
        places = [(row.id, column) for row, column in self._board.problems(self._shown, matrix.across)]
        if not places:
            if not first:
                self.say("Nothing failed, nothing unknown, no warning that is not accepted.", "ok")
            return
        if first:
            matrix.go_to(*places[0])
            return
        order = [row.id for row in self._shown]

        def place(at: tuple[str, str]) -> tuple[int, int]:
            return order.index(at[0]), matrix.across.index(at[1]) if at[1] in matrix.across else 0

        check, column = self._here()
        here = place((check, column)) if check in order else (-1, 0)
        ahead = [at for at in places if (place(at) > here if by > 0 else place(at) < here)]
        matrix.go_to(*((ahead or places)[0] if by > 0 else (ahead or places)[-1]))

    def _begin_at_a_problem(self) -> None:
        """The cursor goes to the first problem, where nobody has moved it yet."""
        matrix = self.query_one(Matrix)
        if self._shown and self._here() == (self._shown[0].id, matrix.across[0]):
            self.action_problem(1, first=True)

    def action_filter(self) -> None:
        from homewright.screens.ask import LineBox

        def sift(needle: str | None) -> None:
            if needle is not None:
                self._needle = needle
                self._sift()

        hint = "A part of a name, a state, a server; nothing shows all"
        self.app.push_screen(LineBox("filter", "Text", value=self._needle, hint=hint, yes="filter"), sift)

    @on(Table.Chosen)
    def action_open(self) -> None:
        """All about the cell under the cursor, with room."""
        from homewright.screens.text_box import TextBox

        box = self.query_one("#finding")
        text = self.query_one("#finding-text", Labelled)
        if text.lines:
            self.app.push_screen(TextBox(str(box.border_title), text.lines))

    # Checking

    def action_check(self) -> None:
        """Check everything."""
        sitting, services = self.home.sitting, self.home.services
        if sitting is None or self.busy:
            return
        self._board.forget()
        self._run(lambda heard: services.check(sitting.file, sitting.state, heard))

    def action_recheck(self) -> None:
        """Check again what did not pass, and what depended on it."""
        sitting, services, report = self.home.sitting, self.home.services, self._report
        if sitting is None or report is None or self.busy:
            return
        self._run(lambda heard: services.recheck(sitting.file, sitting.state, report, heard))

    def _run(self, checking: Callable[[Callable[[Heard], None]], Report]) -> None:
        """Check in a thread, which makes a board of the report, too: of 50 servers it has thousands of findings."""
        hear = self.jobs.teller("check", self._heard)
        self._answered, self._lost, self._passed_over = set(), {}, False
        hosts, rows = self._board.hosts, self._board.rows

        def work() -> tuple[Report, Board]:
            report = checking(hear)
            return report, board_of(hosts, rows, report)

        self.start("check", work, self._done, self._failed)
        self._draw()

    def _heard(self, heard: Heard) -> None:
        """A server has answered: what its facts decide is shown at once."""
        if heard.part == "facts":
            self._answered.add(heard.host)
            if heard.error:
                self._lost[heard.host] = heard.error
                self._board.lose(self._lost)
        self._board.put(heard.findings)
        self._news = True

    def _draw_news(self) -> None:
        """Draw what came in meanwhile: ten times a second at most, however many servers answer."""
        if self._news:
            self._draw()

    def _done(self, found: tuple[Report, Board]) -> None:
        report, board = found
        self._report, self._board = report, board
        self._lost = dict(report.unreachable)
        self._sift()
        self._begin_at_a_problem()
        again = "" if len(report.ran) >= len(report.findings) else f" {len(report.ran)} were judged again."
        counts = self._board.counts()
        failed, warnings, unknown = counts["failed"], counts["warning"], counts["unknown"]
        if failed:
            self.say(f"{count(failed, 'check')} failed.{again} n goes to the next.", "failed")
        elif warnings or unknown or self._lost:
            words = ([count(warnings, "warning")] if warnings else []) + ([f"{unknown} unknown"] if unknown else [])
            words += [self._lost_words()] if self._lost else []
            self.say(f"Nothing failed; {', '.join(words)}.{again}", "warning")
        else:
            self.say(f"Every check passed.{again}", "ok")

    def _failed(self, error: HomewrightError) -> None:
        self._draw()
        self.problem(error)

    # Going on

    def action_next(self) -> None:
        """Go on; a check that failed is shown first, and so is, once, a server that could not be reached."""
        report = self._report
        if self.busy or report is None:
            self.say("The checks still run; what has failed is shown as it is found.", "warning")
            return
        blocking = report.blocking()
        if blocking:
            first = next(
                (row.id, column)
                for row in self._board.rows
                for column in self._board.columns(row)
                if self._board.state(row.id, column) == "failed"
            )
            if self._needle:
                self._needle = ""
                self._sift()
            self.query_one(Matrix).go_to(*first)
            rest = f" It is the first of {len(blocking)}." if len(blocking) > 1 else ""
            one = self._board.findings(*first)[0]
            how = "f fixes it" if self._fixable([one]) else "enter shows what to do"
            self.say(f"{one.title} · {subject(one)} has failed: {how}.{rest}", "failed")
        elif self._lost and not self._passed_over:
            self._passed_over = True
            name = next(iter(self._lost))
            self.query_one(Matrix).go_to(self._here()[0], name)
            self.say(f"{name} could not be reached: {self._lost[name]} ctrl+n again goes on without it.", "failed")
        else:
            self.onward()

    def action_back(self) -> None:
        self.backward()
