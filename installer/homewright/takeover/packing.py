"""Makes an export: the site file, the journal's states, and the state folder without what is this machine's alone."""

from __future__ import annotations

import contextlib
import getpass
import hashlib
import io
import os
import socket
import sqlite3
import tarfile
import time
from importlib.metadata import version
from pathlib import Path

from homewright.engine.journal import Reader
from homewright.engine.journal.reader import opened
from homewright.errors import StateError
from homewright.site import files
from homewright.site.paths import StateFolder, sync_folder
from homewright.takeover import reminding, sealing
from homewright.takeover.contents import ABOUT, JOURNAL, MOST_BYTES, SITE, STATE, Contents, carried


def export(site_file: Path, state: StateFolder, target: Path, passphrase: str) -> Contents:
    """Write the export (0600) and remember that it was made; what is in it.

    Nothing is written over. Raises UsageError for a passphrase that is too short, SiteError where the site's answers
    cannot be read, StateError where the target exists or cannot be written, or there is nothing to export yet.
    """
    target = target.expanduser().absolute()
    if target.exists():
        raise StateError(f"{target} is there already.", "An export is not written over.", ["name another file"])
    contents, archive = packed(site_file, state)
    _write(target, sealing.seal(archive, passphrase))
    with contextlib.suppress(StateError):  # on a disk that takes nothing any more, the reminder alone stays as it was
        reminding.made(state, target, contents.made_at)
    return contents.model_copy(update={"file": str(target)})


def packed(site_file: Path, state: StateFolder) -> tuple[Contents, bytes]:
    """What an export holds, as a gzipped tar that is not encrypted yet. Raises as `export`."""
    site = files.load(site_file)
    if not state.key.exists():
        raise StateError(
            "There is nothing to export yet.",
            "The site has no key of its own: that is made at first contact.",
            ["homewright trust --all"],
        )
    members = _members(site_file, state)
    now = time.time()
    latest = next(iter(Reader(state).runs(1)), None)
    contents = Contents(
        site=site.name,
        made_at=now,
        host=socket.gethostname(),
        user=getpass.getuser(),
        homewright=version("homewright"),
        controller=Reader(state).meta("controller") or "",
        run=latest.id if latest else "",
        run_state=str(latest.state) if latest else "",
        members={name: hashlib.sha256(data).hexdigest() for name, data in members.items()},
    )
    about = {ABOUT: contents.model_dump_json(indent=1).encode()}
    return contents, _archive({**about, **members}, now)


def _members(site_file: Path, state: StateFolder) -> dict[str, bytes]:
    """Everything that is carried, by its name in the archive."""
    reader = Reader(state)
    latest = next((run.id for run in reader.runs(1)), "")
    found: dict[str, bytes] = {}
    size = 0
    try:
        found[SITE] = site_file.read_bytes()
        for file in sorted(state.root.rglob("*")):
            name = file.relative_to(state.root).as_posix()
            if file.is_symlink() or not file.is_file() or name == "journal.db" or not carried(name, latest):
                continue
            found[f"{STATE}/{name}"] = file.read_bytes()
            size += len(found[f"{STATE}/{name}"])
            if size > MOST_BYTES:
                raise StateError(
                    "The state folder is too large to export.",
                    f"It holds more than {MOST_BYTES >> 20} MiB besides logs; {name} is not expected there.",
                    [f"look what fills it: du -ah {state.root} | sort -h | tail"],
                )
        if state.journal.exists():
            found[JOURNAL] = _copy(state.journal)
    except (OSError, sqlite3.Error) as error:
        raise StateError(
            "The site could not be read for the export.",
            f"{getattr(error, 'filename', None) or state.root}: {getattr(error, 'strerror', None) or error}.",
            ["look at the permissions in the state folder"],
        ) from error
    return found


def _copy(journal: Path) -> bytes:
    """One moment of the journal, which an engine may be writing: states, captures and receipts, without log lines."""
    with opened(journal) as source, contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as copy:
        source.backup(copy)
        copy.execute("PRAGMA temp_store = MEMORY")
        copy.execute("VACUUM")
        return copy.serialize()


def _archive(members: dict[str, bytes], now: float) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=6) as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size, member.mtime, member.mode = len(data), int(now), 0o600
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def _write(target: Path, data: bytes) -> None:
    """Durably, and never over another file."""
    try:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as handle:
                handle.write(data)
                handle.flush()
                os.fsync(handle.fileno())
            sync_folder(target.parent)
        except OSError:
            target.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise StateError(
            f"The export {target} could not be written.",
            f"{error.strerror or error}.",
            ["name a place that can be written, with some room"],
        ) from error
