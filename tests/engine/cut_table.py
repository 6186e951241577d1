"""Which boundaries a campaign of power cuts has proved, and at which commit: kept, so that it can go on another day.

docs/power-cuts.tsv has a row for each cut whose run was compared at its end. Whoever changes what they prove takes rows
away; a campaign makes the cuts that have none. HOMEWRIGHT_CUTS_S bounds the seconds that one test of it takes, and
HOMEWRIGHT_CUTS_TABLE names another file.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
HEAD = ("cuts in one run", "boundary", "commit", "date")


class CutTable:
    """The rows of one kind of run: so many cuts together."""

    def __init__(self, together: int) -> None:
        self.together = together
        self.file = Path(os.environ.get("HOMEWRIGHT_CUTS_TABLE") or REPOSITORY / "docs" / "power-cuts.tsv")
        limit = os.environ.get("HOMEWRIGHT_CUTS_S")
        self._end = time.monotonic() + float(limit) if limit else None
        described = ["git", "-C", str(REPOSITORY), "describe", "--always", "--dirty", "--exclude=*"]
        self._commit = subprocess.run(described, check=True, capture_output=True, text=True).stdout.strip()
        if not self.file.exists():
            self._append(HEAD)

    @property
    def is_late(self) -> bool:
        """Whether no other run is to be started."""
        return self._end is not None and time.monotonic() > self._end

    @property
    def proved(self) -> list[str]:
        """Boundaries that need no further cut in this kind of run."""
        rows = [line.split("\t") for line in self.file.read_text().splitlines()[1:]]
        return [row[1] for row in rows if row[0] == str(self.together)]

    def add(self, boundaries: Sequence[str]) -> None:
        """Enter what was cut at, compared and found the same."""
        for boundary in boundaries:
            self._append((str(self.together), boundary, self._commit, f"{datetime.now(UTC):%Y-%m-%d}"))

    def _append(self, row: Sequence[str]) -> None:
        with self.file.open("a") as file:
            file.write("\t".join(row) + "\n")
