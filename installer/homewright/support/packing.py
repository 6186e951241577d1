"""Packs a support bundle: copies, masked, never the files themselves."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import sqlite3
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from homewright.access import key_change
from homewright.engine.journal import Reader
from homewright.engine.journal.reader import opened
from homewright.engine.redaction import Redactor
from homewright.errors import StateError
from homewright.site.paths import StateFolder, sync_folder
from homewright.site.secrets import Secrets
from homewright.support.contents import ABOUT, MEMBER, ROOT, Contents, described

MOST_RUNS = 5
"""Runs whose lines are packed: what is reported is nearly always the last one."""
MOST_BYTES = 128 * 1024 * 1024
"""Of all runs' lines together, before compression (about ten times smaller): what a mail or an issue still takes."""
PACKAGES = (
    "textual",
    "ansible-core",
    "ansible-runner",
    "mitogen",
    "pyinfra",
    "paramiko",
    "pydantic",
    "pylxd",
    "kubernetes",
)
_WORDS = {
    "runs": ("reason",),
    "steps": ("title", "reason", "say", "do"),
    "receipts": ("before", "after"),
    "events": ("host", "text", "data"),
}
"""The columns that hold text of others."""
_JSON = ("data", "do", "before", "after")
"""Those of them that hold JSON, and have to be JSON afterwards."""


def pack(site_file: Path, site: str, state: StateFolder, target: Path) -> Contents:
    """Write the bundle (0600) and say what is in it. Raises StateError where it cannot be read or written."""
    target = target.expanduser().absolute()
    redactor = _redactor(state)
    try:
        with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as folder:
            staged = Path(folder) / ROOT
            _stage(site_file, state, staged, redactor)
            runs, without = _stage_runs(state, staged, redactor)
            contents = _contents(site, staged, runs, without)
            (staged / ABOUT).write_text(contents.model_dump_json(indent=1))
            (staged / "README.txt").write_text(described(contents))
            whole = Path(folder) / "bundle"
            _archive(staged, whole)
            whole.replace(target)
        sync_folder(target.parent)
    except (OSError, sqlite3.Error) as error:
        raise StateError(
            f"The support bundle {target} could not be made.",
            f"{getattr(error, 'strerror', None) or error}.",
            ["name a place that can be written, with some room: homewright support-bundle FILE"],
        ) from error
    return contents.model_copy(update={"file": str(target)})


def _redactor(state: StateFolder) -> Redactor:
    secrets = list(Secrets(state.secrets).values()) if state.secrets.exists() else []
    for file in (state.key, *key_change.olds(state.key), state.authority / "ca.key"):
        with contextlib.suppress(OSError):
            secrets.append(file.read_text(errors="replace"))
    return Redactor(secrets)


def _stage(site_file: Path, state: StateFolder, staged: Path, redactor: Redactor) -> None:
    staged.mkdir(mode=0o700)
    _text(site_file, staged / "site.yaml", redactor)
    for name in ("facts", "machines"):
        for file in sorted((state.root / name).glob("*.json")):
            _json(file, staged / "state" / name / file.name, redactor)
    _json(state.root / "checks.json", staged / "state" / "checks.json", redactor)
    if state.journal.exists():
        with _copied(state.journal, staged / "state" / "journal.db") as journal:
            # Contents of files on the servers as they were before: needed by a rollback, by nobody else.
            journal.execute("DELETE FROM captures")
            _mask(journal, redactor, "runs", "steps", "receipts")


def _stage_runs(state: StateFolder, staged: Path, redactor: Redactor) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The latest runs whose lines fit, and those of which only the states are there."""
    runs: list[str] = []
    without: list[str] = []
    size = 0
    for record in Reader(state).runs() if state.journal.exists() else ():
        folder = state.run(record.id)
        events = folder / "events.db"
        bytes_ = sum(
            Path(f"{events}{tail}").stat().st_size for tail in ("", "-wal") if Path(f"{events}{tail}").exists()
        )
        if not events.exists() or len(runs) >= MOST_RUNS or size + bytes_ > MOST_BYTES:
            without.append(record.id)
            continue
        size += bytes_
        runs.append(record.id)
        place = staged / "state" / "runs" / record.id
        with _copied(events, place / "events.db") as copy:
            _mask(copy, redactor, "events")
        _json(folder / "request.json", place / "request.json", redactor)
        for name in ("site.yaml", "engine.log"):
            _text(folder / name, place / name, redactor)
        for file in sorted((folder / "catalogue").rglob("*")):
            if file.is_file() and MEMBER.fullmatch(f"state/runs/{record.id}/{file.relative_to(folder)}"):
                _text(file, place / file.relative_to(folder), redactor)
    return tuple(runs), tuple(without)


@contextlib.contextmanager
def _copied(database: Path, target: Path) -> Iterator[sqlite3.Connection]:
    """A copy of one moment of a database that others may be writing; compacted, so that nothing deleted stays in it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    copy = sqlite3.connect(target, isolation_level=None)
    try:
        with opened(database) as source:
            source.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE")
        copy.execute("PRAGMA secure_delete = ON")
        yield copy
        copy.execute("VACUUM")
    finally:
        copy.close()


def _mask(database: sqlite3.Connection, redactor: Redactor, *tables: str) -> None:
    """Mask again what was masked when it was written: a secret may have become known since."""

    def masked(value: str | float | bytes | None, column: str) -> str | float | bytes | None:
        if not isinstance(value, str) or not value:
            return value
        if column not in _JSON:
            return redactor.text(value)
        return json.dumps(redactor.data(json.loads(value)), ensure_ascii=False, separators=(",", ":"))

    database.create_function("masked", 2, masked)
    there = {str(name) for (name,) in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    for table in tables:
        if table not in there:
            continue  # no run has brought this journal up to date yet
        sets = ", ".join(f"{column} = masked({column}, '{column}')" for column in _WORDS[table])
        database.execute(f"UPDATE {table} SET {sets}")


def _text(source: Path, target: Path, redactor: Redactor) -> None:
    with contextlib.suppress(FileNotFoundError):
        text = source.read_text(encoding="utf-8", errors="replace")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(redactor.text(text), encoding="utf-8")


def _json(source: Path, target: Path, redactor: Redactor) -> None:
    """Masked inside its strings, so that it stays JSON; one that is none is left out."""
    with contextlib.suppress(FileNotFoundError, ValueError):
        data = redactor.data(json.loads(source.read_bytes()))
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(data, indent=1), encoding="utf-8")


def _contents(site: str, staged: Path, runs: tuple[str, ...], without: tuple[str, ...]) -> Contents:
    packages = {}
    for name in PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            packages[name] = version(name)
    try:
        system = platform.freedesktop_os_release().get("PRETTY_NAME", "")
    except OSError:
        system = platform.system()
    members = sorted(str(file.relative_to(staged)) for file in staged.rglob("*") if file.is_file())
    return Contents(
        site=site,
        made_at=time.time(),
        homewright=version("homewright"),
        python=".".join(map(str, sys.version_info[:3])),
        system=f"{system}, {platform.machine()}",
        packages=packages,
        runs=runs,
        runs_without_lines=without,
        members=tuple(members),
    )


def _archive(staged: Path, target: Path) -> None:
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as handle:
        with tarfile.open(fileobj=handle, mode="w:gz", compresslevel=6) as archive:
            for file in sorted(staged.rglob("*")):
                if file.is_file():
                    member = tarfile.TarInfo(f"{ROOT}/{file.relative_to(staged)}")
                    member.size, member.mtime, member.mode = file.stat().st_size, int(time.time()), 0o600
                    with file.open("rb") as data:
                        archive.addfile(member, data)
        handle.flush()
        os.fsync(handle.fileno())
