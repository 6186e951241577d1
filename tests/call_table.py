"""At which calls of which verb a manager was killed, where and at which commit: kept, so that it can go on another day.

docs/api-calls.tsv has a row for each call that was a manager's last and after which doing the verb again converged.
Whoever changes what they prove takes rows away; the campaign kills at the calls that have none, and at every write each
time. HOMEWRIGHT_CALLS_S bounds the seconds that one verb of it takes. Rows are written where HOMEWRIGHT_CALLS_TABLE
names a file, docs/api-calls.tsv itself or another, and nowhere else.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from counting_proxy import WRITES

REPOSITORY = Path(__file__).parents[1]
HEAD = ("where", "verb", "call", "what", "end", "commit", "date")


class CallTable:
    """The rows of one verb at one place."""

    def __init__(self, where: str, verb: str) -> None:
        self.where, self.verb = where, verb
        named = os.environ.get("HOMEWRIGHT_CALLS_TABLE")
        self._kept = bool(named)
        self.file = Path(named or REPOSITORY / "docs" / "api-calls.tsv")
        limit = os.environ.get("HOMEWRIGHT_CALLS_S")
        self._end = time.monotonic() + float(limit) if limit else None
        described = ["git", "-C", str(REPOSITORY), "describe", "--always", "--dirty", "--exclude=*"]
        self._commit = subprocess.run(described, check=True, capture_output=True, text=True).stdout.strip()
        if self._kept and not self.file.exists():
            self._append(HEAD)
        rows = [line.split("\t") for line in self.file.read_text().splitlines()[1:]]
        self.proved = {(int(row[2]), row[3]) for row in rows if row[:2] == [where, verb]}
        """Number and words of calls that need no further kill."""

    @property
    def is_late(self) -> bool:
        """Whether no other call is to be tried."""
        return self._end is not None and time.monotonic() > self._end

    def due(self, calls: Sequence[str]) -> tuple[int, ...]:
        """Which calls are to be killed at, numbered from 1: those without a row first, then the other writes."""
        numbered = list(enumerate(calls, 1))
        writes = [one for one in numbered if one in self.proved and one[1].partition(" ")[0] in WRITES]
        return tuple(number for number, _ in (*(one for one in numbered if one not in self.proved), *writes))

    def add(self, number: int, what: str, killed: bool) -> None:
        """Enter a call after which the verb, done again, left what an uninterrupted one leaves; where it has no row."""
        if not self._kept or (number, what) in self.proved:
            return
        end = "killed" if killed else "not reached"
        date = f"{datetime.now(UTC):%Y-%m-%d}"
        self._append((self.where, self.verb, str(number), what, end, self._commit, date))

    def _append(self, row: tuple[str, ...]) -> None:
        with self.file.open("a") as file:
            file.write("\t".join(row) + "\n")
