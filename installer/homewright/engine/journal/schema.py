"""Tables of the journal and how an older file becomes a newer one (only ever under the engine's lock)."""

from __future__ import annotations

import sqlite3

from homewright.errors import StateError

CHANGES = "changes"
"""In `meta`: how often states were changed."""
STATES = (
    """
    CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE runs (
        id TEXT PRIMARY KEY, action TEXT NOT NULL, state TEXT NOT NULL, created REAL NOT NULL,
        changed INTEGER NOT NULL DEFAULT 0, started REAL, finished REAL,
        pid INTEGER NOT NULL DEFAULT 0, host TEXT NOT NULL DEFAULT '',
        percent REAL NOT NULL DEFAULT 0, left_s REAL, reason TEXT NOT NULL DEFAULT '',
        catalogue_digest TEXT NOT NULL DEFAULT '', plan_digest TEXT NOT NULL DEFAULT '',
        only TEXT NOT NULL DEFAULT '', start_at TEXT NOT NULL DEFAULT ''
    );
    CREATE TABLE steps (
        run TEXT NOT NULL, step TEXT NOT NULL, host TEXT NOT NULL DEFAULT '',
        stage TEXT NOT NULL, title TEXT NOT NULL, runner TEXT NOT NULL, position INTEGER NOT NULL,
        state TEXT NOT NULL, changed INTEGER NOT NULL DEFAULT 0, started REAL, finished REAL,
        attempt INTEGER NOT NULL DEFAULT 0, digest TEXT NOT NULL DEFAULT '', reason TEXT NOT NULL DEFAULT '',
        minutes REAL NOT NULL DEFAULT 0, say TEXT NOT NULL DEFAULT '', do TEXT NOT NULL DEFAULT '[]',
        PRIMARY KEY (run, step, host)
    ) WITHOUT ROWID;
    CREATE TABLE captures (
        step TEXT NOT NULL, host TEXT NOT NULL, data TEXT NOT NULL, run TEXT NOT NULL, taken REAL NOT NULL,
        PRIMARY KEY (step, host)
    ) WITHOUT ROWID;
    CREATE TABLE fences (
        host TEXT PRIMARY KEY, fence INTEGER NOT NULL, run TEXT NOT NULL, taken REAL NOT NULL, released REAL
    ) WITHOUT ROWID;
    CREATE TABLE children (
        run TEXT NOT NULL, pid INTEGER NOT NULL, ticks INTEGER NOT NULL, boot TEXT NOT NULL,
        PRIMARY KEY (run, pid)
    ) WITHOUT ROWID;
    """,
    """
    ALTER TABLE runs ADD COLUMN attempt INTEGER NOT NULL DEFAULT 1;
    ALTER TABLE steps ADD COLUMN answers TEXT NOT NULL DEFAULT '';
    CREATE TABLE machines (host TEXT PRIMARY KEY, machine TEXT NOT NULL, seen REAL NOT NULL) WITHOUT ROWID;
    """,
    """
    CREATE TABLE receipts (
        step TEXT NOT NULL, host TEXT NOT NULL, run TEXT NOT NULL, taken REAL NOT NULL, before TEXT NOT NULL,
        done REAL, after TEXT NOT NULL DEFAULT '', mixed TEXT NOT NULL DEFAULT '[]', back REAL,
        PRIMARY KEY (step, host)
    ) WITHOUT ROWID;
    DROP TABLE children;
    """,
    """
    CREATE TABLE boots (
        step TEXT NOT NULL, host TEXT NOT NULL, boot TEXT NOT NULL, state TEXT NOT NULL, PRIMARY KEY (step, host)
    ) WITHOUT ROWID;
    """,
)
"""Scripts that lead from one version of `journal.db` to the next; the version is how many of them were run."""

EVENTS = (
    """
    CREATE TABLE events (
        seq INTEGER PRIMARY KEY, ts REAL NOT NULL, step TEXT NOT NULL, host TEXT NOT NULL,
        kind TEXT NOT NULL, level TEXT NOT NULL, text TEXT NOT NULL, data TEXT NOT NULL
    );
    CREATE INDEX events_of_step ON events (step, host, seq);
    """,
)
"""The same for a run's `events.db`."""


def migrate(connection: sqlite3.Connection, scripts: tuple[str, ...]) -> None:
    """Bring a file to the newest version, one transaction a step. Raises StateError where the file is newer than we."""
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version > len(scripts):
        raise StateError(
            "The journal was written by a newer Homewright.",
            f"Its version is {version}; this program knows up to {len(scripts)}.",
            ["use the newer Homewright"],
        )
    for number, script in enumerate(scripts[version:], start=version + 1):
        connection.executescript(f"BEGIN IMMEDIATE; {script}; PRAGMA user_version = {number}; COMMIT;")
