"""The engine's side of the journal: the one connection that writes.

A state's transition is committed at once, after every line that came before it. Lines are batched. On a full disk a
ballast file is freed so that the final states can still be recorded; lines are then counted and dropped, until there is
room for the ballast again.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from homewright.engine.events import BESIDE, Event, Kind, Level
from homewright.engine.journal import integrity, schema, volumes
from homewright.engine.redaction import Redactor
from homewright.errors import StateError
from homewright.site.paths import StateFolder, make_folder, moving, recorded_above, remedies, sync_folder

BALLAST = 4 * 1024 * 1024
"""Bytes kept in reserve for final states: the WAL pages of some hundred transitions."""
LOOK_AGAIN_S = 5.0
"""How often a full disk is looked at for room again."""
MOST_LINES = 20_000
"""Lines that may wait for the next batch; past them lines are counted and dropped."""
MOST_BYTES = 16 * 1024 * 1024
"""Characters of text that may wait for the next batch."""


class Writer:
    """Writes one run. Made and used by the engine alone, while it holds the site's lock."""

    def __init__(self, state: StateFolder, run: str, redactor: Redactor | None = None) -> None:
        """Opens or makes both files. Raises StateError where that cannot be."""
        self.state = state
        self.run = run
        self.redactor = redactor or Redactor()
        self.full = False
        """The disk is full: final states are still recorded, lines are dropped."""
        self.dropped = 0
        self._full_since = 0.0
        """When it was found full, or looked at last (monotonic seconds)."""
        self.several = False
        """Several steps are at work: an event of one of them says so, and viewers then name its step."""
        self._waiting: list[Event] = []
        self._waiting_bytes = 0
        make_folder(state.root)
        make_folder(state.runs)
        make_folder(state.run(run))
        volumes.refuse_network(state.root)
        self._ballast = state.root / "ballast"
        integrity.refuse_headless(state, run)
        with _as_state_error(state.journal):
            _reserve(self._ballast)
            self._states = _open(state.journal, schema.STATES)
        with _as_state_error(state.run(run) / "events.db"):
            self._events = _open(state.run(run) / "events.db", schema.EVENTS)
            self._seq = int(self._events.execute("SELECT coalesce(max(seq), 0) FROM events").fetchone()[0])

    @property
    def last_seq(self) -> int:
        return self._seq

    def close(self) -> None:
        """Write what waits and leave. The last to leave a WAL folds it into its database."""
        self.flush()
        self._events.close()
        self._states.close()

    def let_lapse(self, may: bool) -> None:
        """Whether what is recorded from now on may be lost with the machine's power: where nothing is done that depends
        on it. What was lost then never happened; the files stay whole. With False, all that was recorded is on the disk
        with the next change."""
        for connection in (self._events, self._states):
            connection.execute(f"PRAGMA synchronous = {'NORMAL' if may else 'FULL'}")

    # Events

    def line(self, event: Event) -> None:
        """Take an event that may wait for the next batch; past the bound it is counted and dropped."""
        if self.full or len(self._waiting) >= MOST_LINES or self._waiting_bytes >= MOST_BYTES:
            self.dropped += 1
            return
        self._take(event)

    def flush(self) -> None:
        """Commit the events that wait."""
        self._look_for_room()
        self._tell_dropped()
        if not self._waiting:
            return
        batch, self._waiting, self._waiting_bytes = self._waiting, [], 0
        rows = [self._row(event) for event in batch]
        self._commit(self._events, lambda: self._events.executemany(_INSERT, rows), lines=True)

    def transition(self, event: Event, *changes: Callable[[sqlite3.Connection], object]) -> int:
        """Commit an event, everything that came before it, and then the changes of state that it stands for.

        A viewer that sees the new state therefore finds all events that led to it. Returns the event's seq.
        """
        self._tell_dropped()  # before it: a run's last event is its end
        self._take(event)
        seq = self._waiting[-1].seq
        self.flush()
        if changes:
            self.change(*changes)
        return seq

    def change(self, *changes: Callable[[sqlite3.Connection], object]) -> None:
        """Commit changes of state in one transaction, and count it: so viewers know that there is something new."""

        def work() -> None:
            for change in changes:
                change(self._states)
            self._states.execute(_COUNT, (schema.CHANGES,))

        self._commit(self._states, work)

    # Rows of state

    def add_run(self, **values: Any) -> Callable[[sqlite3.Connection], object]:
        """The row of this run. Give to `change` or `transition`."""
        return _insert("runs", {"id": self.run, **values})

    def set_run(self, **values: Any) -> Callable[[sqlite3.Connection], object]:
        return _update("runs", self._clean(values), {"id": self.run})

    def add_step(self, step: str, host: str, **values: Any) -> Callable[[sqlite3.Connection], object]:
        return _insert("steps", {"run": self.run, "step": step, "host": host, **values})

    def set_step(self, step: str, host: str, **values: Any) -> Callable[[sqlite3.Connection], object]:
        return _update("steps", self._clean(values), {"run": self.run, "step": step, "host": host})

    def keep_capture(self, step: str, host: str, data: Mapping[str, Any]) -> Callable[[sqlite3.Connection], object]:
        """What was there before the step; an earlier capture is never overwritten.

        Raises StateError on a secret, and on bytes that are no UTF-8 (lone surrogates in Python): JSON cannot bring
        them back to a rollback, so the step must not begin.
        """
        text = json.dumps(data, ensure_ascii=False)
        try:
            text.encode()
        except UnicodeEncodeError:
            raise StateError(
                f"What step {step} recorded of {host} holds bytes that are no UTF-8.",
                "They could not be put back as they were.",
                [f"look on {host} at the files that the step changes: file -i FILE", "make them UTF-8, then try again"],
            ) from None
        if self.redactor.holds_secret(text):
            raise StateError(
                f"What step {step} recorded of {host} holds a secret.",
                "Secrets are never written to the journal.",
                ["mend the step's capture function: leave secrets out"],
            )
        values = {"step": step, "host": host, "data": text, "run": self.run, "taken": time.time()}
        return _insert("captures", values, otherwise="IGNORE")

    def forget_captures(self, host: str) -> Callable[[sqlite3.Connection], object]:
        """What was recorded of a machine that is no longer there, its receipts and reboots included."""

        def forget(connection: sqlite3.Connection) -> None:
            for table in ("captures", "receipts", "boots"):
                connection.execute(f"DELETE FROM {table} WHERE host = ?", (host,))

        return forget

    def set_machine(self, host: str, machine: str) -> Callable[[sqlite3.Connection], object]:
        """Which machine a server is: its machine-id."""
        return _insert("machines", {"host": host, "machine": machine, "seen": time.time()}, otherwise="REPLACE")

    def set_meta(self, key: str, value: str) -> Callable[[sqlite3.Connection], object]:
        return _insert("meta", {"key": key, "value": value}, otherwise="REPLACE")

    def set_fence(self, host: str, fence: int, released: float | None) -> Callable[[sqlite3.Connection], object]:
        values = {"host": host, "fence": fence, "run": self.run, "taken": time.time(), "released": released}
        return _insert("fences", values, otherwise="REPLACE")

    def query(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Read through the writing connection (the engine alone)."""
        return self._states.execute(query, values).fetchall()

    # Inside

    def _look_for_room(self) -> None:
        """After a full disk: lines are kept again once the ballast is back."""
        now = time.monotonic()
        if not self.full or now - self._full_since < LOOK_AGAIN_S:
            return
        self._full_since = now
        with contextlib.suppress(OSError):
            _reserve(self._ballast)
            self.full = False
            count, self.dropped = self.dropped, 0
            said = f"There is room on the disk again; {count} lines were dropped while it was full."
            self._take(Event(Kind.LINE, said, level=Level.WARNING, data={"dropped": count}))

    def _tell_dropped(self) -> None:
        if self.dropped and not self.full:
            count, self.dropped = self.dropped, 0
            said = f"{count} lines came faster than they could be kept and were dropped."
            self._take(Event(Kind.LINE, said, level=Level.WARNING, data={"dropped": count}))

    def _take(self, event: Event) -> None:
        self._seq += 1
        if self.several and event.step:
            event = replace(event, data={**event.data, BESIDE: True})
        cleaned = replace(
            event,
            seq=self._seq,
            run=self.run,
            ts=event.ts or time.time(),
            host=self.redactor.text(event.host),
            text=self.redactor.text(event.text),
            data=self.redactor.data(event.data) if event.data else {},
        )
        self._waiting.append(cleaned)
        self._waiting_bytes += len(cleaned.text)

    def _row(self, event: Event) -> tuple[object, ...]:
        data = json.dumps(event.data, ensure_ascii=False, separators=(",", ":")) if event.data else ""
        return (event.seq, event.ts, event.step, event.host, str(event.kind), str(event.level), event.text, data)

    def _clean(self, values: Mapping[str, Any]) -> dict[str, Any]:
        return {key: self.redactor.text(value) if isinstance(value, str) else value for key, value in values.items()}

    def _commit(self, connection: sqlite3.Connection, work: Callable[[], object], *, lines: bool = False) -> None:
        try:
            _transaction(connection, work)
            return
        except sqlite3.DatabaseError as error:
            if not _is_full(error):
                raise _failed(error, self.state.root) from error
        if not self.full:
            self.full = True
            self._full_since = time.monotonic()
            with contextlib.suppress(OSError):
                self._ballast.unlink()
        try:
            _transaction(connection, work)
        except sqlite3.DatabaseError as error:
            if not lines:
                raise _failed(error, self.state.root) from error


_COUNT = "INSERT INTO meta VALUES (?, '1') ON CONFLICT (key) DO UPDATE SET value = value + 1"
_INSERT = "INSERT INTO events (seq, ts, step, host, kind, level, text, data) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"


def _insert(table: str, values: Mapping[str, Any], otherwise: str = "ABORT") -> Callable[[sqlite3.Connection], object]:
    names = ", ".join(values)
    marks = ", ".join("?" for _ in values)
    query = f"INSERT OR {otherwise} INTO {table} ({names}) VALUES ({marks})"
    return lambda connection: connection.execute(query, tuple(values.values()))


def _update(table: str, values: Mapping[str, Any], where: Mapping[str, Any]) -> Callable[[sqlite3.Connection], object]:
    sets = ", ".join(f"{name} = ?" for name in values)
    keys = " AND ".join(f"{name} = ?" for name in where)
    query = f"UPDATE {table} SET {sets} WHERE {keys}"
    return lambda connection: connection.execute(query, (*values.values(), *where.values()))


def _transaction(connection: sqlite3.Connection, work: Callable[[], object]) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        work()
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _open(file: Path, scripts: tuple[str, ...]) -> sqlite3.Connection:
    os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    connection = sqlite3.connect(file, timeout=5.0, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        integrity.prove(connection, file)
        schema.migrate(connection, scripts)
        sync_folder(file.parent)
    except BaseException:
        connection.close()
        raise
    return connection


def _reserve(file: Path) -> None:
    """Really take the space: a sparse file would free nothing. Raises OSError, and takes nothing, where it is not."""
    if file.exists() and file.stat().st_size >= BALLAST:
        return
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, BALLAST)
    except OSError:
        file.unlink()  # what it got is less than it is there for, and is needed by others
        raise
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _as_state_error(file: Path) -> Iterator[None]:
    try:
        yield
    except UnicodeDecodeError as error:  # in SQLite's own words about a schema that is garbage
        raise integrity.damaged(file, str(error)) from error
    except (OSError, sqlite3.Error) as error:
        raise _failed(error, file) from error


def _is_full(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorname", "").startswith(("SQLITE_FULL", "SQLITE_IOERR_WRITE"))


def _failed(error: OSError | sqlite3.Error, place: Path) -> StateError:
    if isinstance(error, sqlite3.DatabaseError) and integrity.is_damage(error):
        return integrity.damaged(place, str(error))
    folder = place if place.is_dir() else place.parent
    if not isinstance(error, OSError) and volumes.read_only(folder):
        error = OSError(errno.EROFS, os.strerror(errno.EROFS))  # which SQLite calls an error of writing, as a full disk
    if (isinstance(error, OSError) and error.errno == errno.ENOSPC) or (
        isinstance(error, sqlite3.Error) and _is_full(error)
    ):
        state = recorded_above(folder) or folder
        return StateError(
            "The disk that holds the state folder is full.",
            f"{place} could not be written.",
            [
                "free some space on it: df -h shows which disk; then go on: homewright resume",
                f"or go on on another disk: {moving(state)}, then: homewright --state DIR resume",
            ],
        )
    return StateError(
        "The journal cannot be written.",
        f"{place}: {getattr(error, 'strerror', None) or error}.",
        remedies(folder, error if isinstance(error, OSError) else OSError(str(error))),
    )
