"""The viewers' side of the journal: read-only, short transactions, memory that does not grow with the journal.

Every call opens the file, reads one snapshot and closes it again (about 0.2 ms), so a Reader may be shared between
threads and never keeps the engine from checkpointing. A read-only connection cannot delete the WAL on close, which
a read-write one would do as the last to leave.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from homewright.engine import lock
from homewright.engine.events import Event
from homewright.engine.journal.integrity import damaged, is_damage
from homewright.engine.journal.records import ReceiptRow, RunRecord, StepRecord, receipt_row, run_record, step_record
from homewright.engine.journal.schema import CHANGES
from homewright.engine.states import State
from homewright.engine.viewers import Viewers
from homewright.errors import StateError, UsageError
from homewright.site.paths import StateFolder

Record = TypeVar("Record", RunRecord, StepRecord)
Made = TypeVar("Made")

BUSY_MS = 5000
"""How long to wait for a lock; readers of a WAL only ever meet one while a file is being made."""


class Reader:
    """Reads what runs did. All methods raise StateError where the journal cannot be read."""

    def __init__(self, state: StateFolder) -> None:
        self.state = state

    def exists(self) -> bool:
        """Whether anything was ever recorded."""
        return self.state.journal.exists()

    def runs(self, limit: int = 100) -> list[RunRecord]:
        """The latest runs, newest first, in the order in which they were recorded: clocks are set back."""
        rows = self._rows(self.state.journal, "SELECT * FROM runs ORDER BY rowid DESC LIMIT ?", (limit,))
        return [self._alive(_made(run_record, row)) for row in rows]

    def run(self, run: str | None = None) -> RunRecord:
        """One run; the latest where none is named. Raises UsageError where there is none."""
        if run is None:
            latest = self.runs(1)
            if latest:
                return latest[0]
            raise UsageError("Nothing was run yet.", "The journal of this site has no run.", ["homewright apply"])
        rows = self._rows(self.state.journal, "SELECT * FROM runs WHERE id = ?", (run,))
        if not rows:
            raise UsageError(f"There is no run {run}.", "The journal does not know it.", ["homewright status"])
        return self._alive(_made(run_record, rows[0]))

    def steps(self, run: str) -> list[StepRecord]:
        """The steps of a run in order, each (with an empty host) followed by its hosts."""
        rows = self._rows(self.state.journal, "SELECT * FROM steps WHERE run = ? ORDER BY position, step, host", (run,))
        records = [_made(step_record, row) for row in rows]
        if any(record.state is State.RUNNING for record in records) and self.run(run).state is State.INTERRUPTED:
            return [_interrupted(record) if record.state is State.RUNNING else record for record in records]
        return records

    def events(
        self, run: str, after: int = 0, limit: int = 1000, *, step: str | None = None, host: str | None = None
    ) -> list[Event]:
        """At most `limit` events of a run with a seq above `after`, in order; of one step or host where named.

        A host's events include those of the step as a whole.
        """
        where, values = _of(step, host)
        query = f"SELECT * FROM events WHERE seq > ?{where} ORDER BY seq LIMIT ?"
        file = self._events_file(run)
        found = [_event(row, run) for row in self._rows(file, query, (after, *values, limit))]
        _refuse_disorder(file, [after, *(event.seq for event in found)])
        return found

    def outline(
        self,
        run: str,
        plain: Sequence[str],
        after: int = 0,
        limit: int = 1000,
        *,
        step: str | None = None,
        host: str | None = None,
    ) -> list[int | Event]:
        """As `events`, but the seq alone of each that is of a `plain` kind and has no line feed in its text.

        For whoever counts lines and shows few of them: a tenth of the time that reading them takes.
        """
        where, values = _of(step, host)
        marks = ", ".join("?" for _ in plain)
        is_plain = f"kind IN ({marks}) AND NOT instr(text, char(10))"
        kinds, file = tuple(map(str, plain)), self._events_file(run)
        query = f"SELECT seq, {is_plain} FROM events WHERE seq > ?{where} ORDER BY seq LIMIT ?"
        rows = self._tuples(file, query, (*kinds, after, *values, limit))
        _refuse_disorder(file, [after, *(seq for seq, _ in rows)])
        whole = dict[int, Event]()
        if not all(is_one for _, is_one in rows):
            query = f"SELECT * FROM events WHERE seq > ? AND seq <= ? AND NOT ({is_plain}){where}"
            found = self._rows(file, query, (after, rows[-1][0], *kinds, *values))
            whole = {row["seq"]: _event(row, run) for row in found}
        # Nothing is taken out of a journal: what was there at the first question is there at the second.
        return [whole.get(seq, seq) for seq, _ in rows]

    def since_start(self, run: str, kinds: Sequence[str], after: int = 0) -> list[Event]:
        """The events of these kinds since the run's last engine began, with a seq above `after`."""
        marks = ", ".join("?" for _ in kinds)
        query = f"""
            SELECT * FROM events WHERE kind IN ({marks}) AND seq > ?
            AND seq > (SELECT coalesce(max(seq), 0) FROM events WHERE kind = 'run-started') ORDER BY seq
        """
        return [_event(row, run) for row in self._rows(self._events_file(run), query, (*map(str, kinds), after))]

    def last_events(self, run: str, limit: int, *, step: str, host: str | None = None) -> list[Event]:
        """The last events of one step (and host), in order: what a failure looked like."""
        query = "SELECT * FROM events WHERE step = ? AND (? IS NULL OR host IN (?, '')) ORDER BY seq DESC LIMIT ?"
        rows = self._rows(self._events_file(run), query, (step, host, host, limit))
        return [_event(row, run) for row in reversed(rows)]

    def kept(self, run: str) -> bool:
        """Whether the events of a run are still there: of all but the latest runs only the states are kept."""
        return self._events_file(run).exists()

    def changes(self) -> str | None:
        """Another one after every change of states; None where the engine is one that does not count them.

        A state may be written some time after the event that tells of it. Who waits for the next one asks for this
        before the states themselves.
        """
        return self.meta(CHANGES)

    def last_seq(self, run: str) -> int:
        """The seq of the newest event of a run; 0 where there is none."""
        rows = self._rows(self._events_file(run), "SELECT max(seq) AS seq FROM events", ())
        return int(rows[0]["seq"] or 0) if rows else 0

    def history(self) -> dict[str, float]:
        """Minutes that each step took, the mean of its last five successes."""
        query = """
            SELECT step, avg(minutes) AS minutes FROM (
                SELECT s.step, (s.finished - s.started) / 60.0 AS minutes,
                       row_number() OVER (PARTITION BY s.step ORDER BY r.rowid DESC) AS place
                FROM steps s JOIN runs r ON r.id = s.run
                WHERE s.host = '' AND s.state = 'succeeded' AND r.action = 'run' AND s.finished >= s.started
            ) WHERE place <= 5 GROUP BY step
        """
        return {row["step"]: float(row["minutes"]) for row in self._rows(self.state.journal, query, ())}

    def captures(self, step: str) -> dict[str, dict[str, Any]]:
        """What was recorded of the state before a step, by host."""
        rows = self._rows(self.state.journal, "SELECT host, data FROM captures WHERE step = ?", (step,))
        return {row["host"]: _made(lambda found: json.loads(found["data"]), row) for row in rows}

    def receipts(self, step: str | None = None, host: str | None = None) -> list[ReceiptRow]:
        """What steps found and left, those taken back included, in the order of their steps' ids; some where named."""
        query = "SELECT * FROM receipts WHERE (? IS NULL OR step = ?) AND (? IS NULL OR host = ?) ORDER BY step, host"
        return [_made(receipt_row, row) for row in self._rows(self.state.journal, query, (step, step, host, host))]

    def applied(self, besides: str = "") -> set[tuple[str, str]]:
        """Step and server of all that an apply began and no roll-back has taken back since, but for that run's own."""
        query = """
            SELECT s.step, s.host, r.action FROM steps s JOIN runs r ON r.id = s.run WHERE s.host != '' AND (
                (r.action = 'run' AND (s.started IS NOT NULL OR s.state NOT IN ('pending', 'skipped')))
                OR (r.action = 'rollback' AND s.state = 'rolled-back' AND r.id != ?)
            ) ORDER BY r.rowid
        """
        found: set[tuple[str, str]] = set()
        for row in self._rows(self.state.journal, query, (besides,)):
            (found.add if row["action"] == "run" else found.discard)((row["step"], row["host"]))
        return found

    def meta(self, key: str) -> str | None:
        rows = self._rows(self.state.journal, "SELECT value FROM meta WHERE key = ?", (key,))
        return str(rows[0]["value"]) if rows else None

    def viewers(self, run: RunRecord) -> Viewers | None:
        """Who looks at a run that goes on, and who is in control; None where no engine works on it."""
        if run.state.final:
            return None
        try:
            found = Viewers.from_json(self.meta("viewers") or "{}")
        except (ValueError, TypeError, KeyError):
            return None
        return found if found.run == run.id else None

    def _events_file(self, run: str) -> Path:
        return self.state.run(run) / "events.db"

    def _alive(self, record: RunRecord) -> RunRecord:
        """A run that is recorded as going on, without a live engine that says so, was interrupted."""
        if record.state.final:
            return record
        holder = lock.holder(self.state)
        if holder is not None and holder.run == record.id:
            return record
        fresh = self._rows(self.state.journal, "SELECT * FROM runs WHERE id = ?", (record.id,))
        record = _made(run_record, fresh[0]) if fresh else record  # it may have ended between the two looks
        return record if record.state.final else _interrupted(record)

    def _rows(self, file: Path, query: str, values: Sequence[object]) -> list[dict[str, Any]]:
        def named(cursor: sqlite3.Cursor) -> list[dict[str, Any]]:
            names = [column[0] for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor]

        return self._asked(file, query, values, named)

    def _tuples(self, file: Path, query: str, values: Sequence[object]) -> list[tuple[Any, ...]]:
        return self._asked(file, query, values, sqlite3.Cursor.fetchall)

    def _asked(
        self, file: Path, query: str, values: Sequence[object], take: Callable[[sqlite3.Cursor], list[Made]]
    ) -> list[Made]:
        if not file.exists():
            return []
        try:
            with opened(file) as connection:
                return take(connection.execute(query, values))
        except sqlite3.OperationalError as error:
            if "no such table" in str(error):
                return []  # made, and not yet filled
            raise _unreadable(file, error) from error
        except UnicodeDecodeError as error:  # in SQLite's own words about a schema that is garbage
            raise damaged(file, str(error)) from error
        except sqlite3.DatabaseError as error:
            raise (damaged(file, str(error)) if is_damage(error) else _unreadable(file, error)) from error


@contextlib.contextmanager
def opened(file: Path) -> Iterator[sqlite3.Connection]:
    """A read-only connection. In a folder that cannot be written no WAL can be made; without one, none is needed."""
    name = quote(str(file))
    connection = sqlite3.connect(f"file:{name}?mode=ro", uri=True, timeout=BUSY_MS / 1000, isolation_level=None)
    try:
        try:
            connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1")
        except sqlite3.OperationalError:
            connection.close()
            if Path(f"{file}-wal").exists():
                raise
            connection = sqlite3.connect(f"file:{name}?mode=ro&immutable=1", uri=True, isolation_level=None)
        yield connection
    finally:
        connection.close()


def _interrupted(record: Record) -> Record:
    return replace(record, state=State.INTERRUPTED, reason=record.reason or "The engine ended in the middle.")


def _made(make: Callable[[dict[str, Any]], Made], row: dict[str, Any]) -> Made:
    """A row as what it stands for. Raises StateError where it is none that we have written."""
    try:
        return make(row)
    except (ValueError, TypeError, KeyError) as error:
        raise StateError(
            "A record of the journal cannot be read.",
            f"It is damaged, or of a newer Homewright: {error}.",
            ["look whether the disk is healthy: sudo dmesg | tail -50", "or use the Homewright that wrote it"],
        ) from error


def _of(step: str | None, host: str | None) -> tuple[str, list[object]]:
    """What more is asked of events of one step, of one host and of no host in particular; with its values."""
    where, values = "", list[object]()
    if step is not None:
        where, values = " AND step = ?", [step]
    if host is not None:
        where, values = f"{where} AND host IN (?, '')", [*values, host]
    return where, values


def _refuse_disorder(file: Path, seqs: Sequence[int]) -> None:
    """Raises StateError where numbers do not rise: whoever pages through would never come to an end."""
    if any(later <= earlier for earlier, later in pairwise(seqs)):
        raise damaged(file, "Its events are not in order")


def _event(row: dict[str, Any], run: str) -> Event:
    return _made(lambda found: _as_event(found, run), row)


def _as_event(row: dict[str, Any], run: str) -> Event:
    return Event(
        kind=row["kind"],
        text=row["text"],
        step=row["step"],
        host=row["host"],
        level=row["level"],
        data=json.loads(row["data"]) if row["data"] else {},
        seq=row["seq"],
        ts=row["ts"],
        run=run,
    )


def _unreadable(file: Path, error: sqlite3.Error) -> StateError:
    return StateError(
        f"The journal {file} cannot be read.",
        f"{error}.",
        ["look at its permissions and whether its disk is healthy", "or choose another state folder: --state DIR"],
    )
