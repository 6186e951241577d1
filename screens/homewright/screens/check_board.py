"""What the checks screen shows, as data: a row for each check, a column for each server, and how bad each cell is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from homewright.checks.models import Finding, Report

SITE = ""
"""The column of what is about the site as a whole."""
WORST = ("failed", "unknown", "warning", "unreached", "pending", "accepted", "passed")
"""States, the worst first; `unreached` is unknown because a server did not answer, which is said once, of it."""
PROBLEMS = frozenset({"failed", "unknown", "warning"})
GROUPS = {
    "host": "Servers",
    "network": "Network",
    "gpu": "GPUs",
    "topology": "Topology",
    "pair": "Between servers, each to all others",
    "site": "The site as a whole",
}


@dataclass(frozen=True)
class CheckRow:
    """One check. `group` is its heading: the scope of a pair's or the site's, else the category."""

    id: str
    title: str
    group: str

    @property
    def wide(self) -> bool:
        """One cell for the whole site."""
        return self.group == "site"


def state_of(finding: Finding) -> str:
    """The state of a finding as it is shown: an accepted warning is one of its own."""
    return "accepted" if finding.status == "warning" and finding.accepted is not None else finding.status


def group_of(scope: str, category: str) -> str:
    """The heading that a check stands under."""
    return category if scope == "host" else scope


class Board:
    """All findings by check and column. What is put in replaces what was there about the same."""

    def __init__(self, hosts: Sequence[str], rows: Sequence[CheckRow]) -> None:
        self.hosts = tuple(hosts)
        order = list(GROUPS)
        self.rows = tuple(sorted(rows, key=lambda row: order.index(row.group)))
        self._lost: frozenset[str] = frozenset()
        self._cells: dict[tuple[str, str], dict[tuple[str, ...], Finding]] = {}
        self._states: dict[tuple[str, str], str] = {}
        self._counts: dict[str, Counter[str]] = {}
        """How many findings of each state there are, by column; kept up as findings come in."""

    def lose(self, hosts: Iterable[str]) -> None:
        """These servers did not answer."""
        self._lost = frozenset(hosts)
        self._states.clear()
        self._counts.clear()
        for (_, column), cell in self._cells.items():
            self._counts.setdefault(column, Counter()).update(self.state_of(finding) for finding in cell.values())

    def state_of(self, finding: Finding) -> str:
        """The state of a finding on this board."""
        state = state_of(finding)
        return "unreached" if state == "unknown" and not self._lost.isdisjoint(finding.subjects) else state

    def put(self, findings: Iterable[Finding]) -> None:
        """Take these findings in."""
        for finding in findings:
            at = finding.check, finding.subjects[0] if finding.subjects else SITE
            cell = self._cells.setdefault(at, {})
            counts = self._counts.setdefault(at[1], Counter())
            if (before := cell.get(finding.subjects)) is not None:
                counts[self.state_of(before)] -= 1
            counts[self.state_of(finding)] += 1
            cell[finding.subjects] = finding
            self._states.pop(at, None)

    def forget(self) -> None:
        """Nothing is known any more."""
        self._cells.clear()
        self.lose(())

    def findings(self, check: str, column: str) -> tuple[Finding, ...]:
        """What is in a cell, the worst first."""
        found = self._cells.get((check, column), {}).values()
        return tuple(sorted(found, key=lambda finding: WORST.index(self.state_of(finding))))

    def state(self, check: str, column: str) -> str:
        """The worst state in a cell; empty where nothing is known, or the check does not apply there."""
        at = check, column
        if at not in self._states:
            states = {self.state_of(finding) for finding in self._cells.get(at, {}).values()}
            self._states[at] = next((state for state in WORST if state in states), "")
        return self._states[at]

    def row_states(self, row: CheckRow) -> set[str]:
        """The states that a row has anywhere."""
        return {state for column in self.columns(row) if (state := self.state(row.id, column))}

    def columns(self, row: CheckRow) -> tuple[str, ...]:
        """The columns that a row has cells in."""
        return (SITE,) if row.wide else self.hosts

    def counts(self, column: str | None = None) -> Counter[str]:
        """How many findings there are of each state, in one column or in all."""
        if column is not None:
            return +self._counts.get(column, Counter())
        return +sum(self._counts.values(), Counter())

    def problems(self, rows: Sequence[CheckRow], columns: Sequence[str]) -> Iterator[tuple[CheckRow, str]]:
        """The cells with something to be dealt with, in reading order."""
        for row in rows:
            for column in self.columns(row):
                if (row.wide or column in columns) and self.state(row.id, column) in PROBLEMS:
                    yield row, column

    def sifted(self, needle: str) -> tuple[tuple[CheckRow, ...], tuple[str, ...]]:
        """The rows and the servers that a filter leaves.

        Each of its words is a server's name, a state, or a part of the check's name; all must fit.
        """
        words = needle.lower().split()
        hosts = tuple(host for host in self.hosts if host in words) or self.hosts
        others = [word for word in words if word not in self.hosts]
        return tuple(row for row in self.rows if all(self._fits(row, word, hosts) for word in others)), hosts

    def _fits(self, row: CheckRow, word: str, hosts: Sequence[str]) -> bool:
        if word in f"{row.id} {row.title} {GROUPS[row.group]}".lower():
            return True
        columns = (SITE,) if row.wide else hosts
        return any(self.state(row.id, column).startswith(word) for column in columns)


def board_of(hosts: Sequence[str], rows: Sequence[CheckRow], report: Report | None) -> Board:
    """The board of a report; checks that only the report knows have rows too."""
    known = {row.id for row in rows}
    found = {} if report is None else {one.check: one for one in report.findings if one.check not in known}
    more = [CheckRow(one.check, one.title, group_of(one.scope, one.category)) for one in found.values()]
    board = Board(hosts, [*rows, *more])
    if report is not None:
        board.lose(report.unreachable)
        board.put(report.findings)
        for row in board.rows:
            board.row_states(row)  # worked out here, in a thread, and not when the first key is pressed
    return board
