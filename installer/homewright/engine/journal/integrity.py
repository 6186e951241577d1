"""Whether a journal is whole: looked at when an engine opens it, before anything is believed or written.

A power cut leaves a WAL whose last frames are not whole; SQLite leaves those out, and everything before them counts.
What is found here is worse: bytes that a disk lost or turned, or a file that somebody cut.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from homewright.errors import StateError
from homewright.site.paths import StateFolder

MOST_BYTES = 256 * 1024 * 1024
"""Files up to this size are read whole: 0.4 s for 100 MB. A bigger one has only its shape looked at, as it is used."""
_DAMAGES = ("SQLITE_CORRUPT", "SQLITE_NOTADB")


def prove(connection: sqlite3.Connection, file: Path) -> None:
    """Raises StateError where the database is not whole."""
    if file.stat().st_size > MOST_BYTES:
        return
    found = [str(line) for (line,) in connection.execute("PRAGMA quick_check(3)")]
    if found != ["ok"]:
        raise damaged(file, "; ".join(line.replace("\n", " ") for line in found))


def refuse_headless(state: StateFolder, run: str) -> None:
    """Raises StateError where the states are gone and runs that have them are still there: nothing may begin anew."""
    if state.journal.exists() and state.journal.stat().st_size > 0:
        return
    if Path(f"{state.journal}-wal").exists() or not state.runs.exists():
        return
    others = [folder.name for folder in state.runs.iterdir() if folder.name != run and (folder / "events.db").exists()]
    if others:
        count = "1 run" if len(others) == 1 else f"{len(others)} runs"
        raise damaged(state.journal, f"It is empty or gone, and the lines of {count} are still there")


def is_damage(error: sqlite3.Error) -> bool:
    """Whether SQLite says that the file itself is damaged."""
    return getattr(error, "sqlite_errorname", "").startswith(_DAMAGES)


def damaged(file: Path, why: str) -> StateError:
    """The error for a journal that is not whole."""
    folder = file.parent
    if file.name == "events.db":
        do = [
            f"move it aside: mv {file} {file}.damaged; rm -f {file}-wal {file}-shm",
            "the states of its run are elsewhere and are whole: go on with it: homewright resume",
        ]
    else:
        do = [
            f"keep a copy of the whole folder before anything else: cp -a {folder} {folder}.damaged",
            "put back a journal.db that you have from before: of a backup, or of an export of the site",
            f"or begin anew: mv {file} {folder / 'runs'} SOMEWHERE; rm -f {file}-wal {file}-shm; homewright apply. "
            "What is done already is not done twice, but a roll-back no longer knows what was there before",
        ]
    return StateError(f"The journal {file} is damaged.", f"{why.rstrip('.')}.", do)
