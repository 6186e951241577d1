"""The intent record of a workspace on its node: written before anything else is made, removed last."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import tempfile
import uuid
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

ROOT = Path("/var/lib/homewright/workspaces")
HISTORY = 20
LAST_PORT = 65535


class Refused(Exception):
    """An answer to the controller: what happened, why, what to do."""

    def __init__(self, code: str, what: str, why: str = "", do: tuple[str, ...] = ()) -> None:
        super().__init__(what)
        self.answer = {"code": code, "what": what, "why": why, "do": list(do)}


@dataclass(frozen=True)
class Record:
    """One workspace as its node knows it. Nothing here is secret."""

    uid: str
    """Made with the record; a workspace that was deleted and made again has another."""
    generation: int
    """Rises with every write: the precondition that keeps two managers apart."""
    user: str
    """The true user id."""
    name: str
    node: str
    slug: str
    template: str
    preset: str
    port: int
    unit: str
    system_user: str
    data_root: str
    created_at: float
    complete: bool = False
    """Everything was made once, and it answered."""
    deleting: str = ""
    """What an unfinished deletion was to do with the storage: keep, or move."""
    bundle: str = ""
    """Folder of the code-server that it runs."""
    certificate_expires_at: float | None = None
    certificate_names: tuple[str, ...] = ()
    settings: str = ""
    """Digest of what its configuration was written from, without the password."""
    history: tuple[tuple[float, str, str], ...] = ()
    """The last changes: when, who, what."""
    version: int = field(default=1)

    def said(self, at: float, who: str, what: str) -> Record:
        """The next generation, with this change at the end of its history."""
        history = (*self.history, (at, who, what))[-HISTORY:]
        return replace(self, generation=self.generation + 1, history=history)


def parse(text: str) -> Record:
    """Raises ValueError where the text is no record of ours."""
    data = json.loads(text)
    if not isinstance(data, dict) or data.get("version") != 1:
        raise ValueError("it was written by a newer Homewright, or is no record")
    data["history"] = tuple(tuple(entry) for entry in data.get("history", ()))
    data["certificate_names"] = tuple(data.get("certificate_names", ()))
    try:
        return Record(**data)
    except TypeError as error:
        raise ValueError(str(error)) from error


def folder(slug: str, root: Path = ROOT) -> Path:
    return root / slug


def load(slug: str, root: Path = ROOT) -> Record | None:
    """The record, or None where there is none. Raises Refused where it cannot be read."""
    file = folder(slug, root) / "workspace.json"
    try:
        return parse(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise Refused(
            "workspace", f"The record {file} cannot be understood.", f"{error}.", ("look at the file on the node",)
        ) from error


def everything(root: Path = ROOT) -> tuple[list[Record], dict[str, str]]:
    """All records of the node, and the slugs whose record cannot be read, with the reason."""
    found: list[Record] = []
    unreadable: dict[str, str] = {}
    if root.is_dir():
        for entry in sorted(root.iterdir()):
            if not entry.is_dir() or entry.name.startswith("."):
                continue
            try:
                record = load(entry.name, root)
            except Refused as refused:
                unreadable[entry.name] = f"{refused.answer['what']} {refused.answer['why']}"
                continue
            if record is not None:
                found.append(record)
    return found, unreadable


def save(record: Record, root: Path = ROOT) -> Record:
    """Write a record durably (0600), and its folder's name with it."""
    make_private(root)
    make_private(folder(record.slug, root))
    write(folder(record.slug, root) / "workspace.json", json.dumps(asdict(record), indent=1).encode(), 0o600)
    return record


def remove(slug: str, root: Path = ROOT) -> None:
    """Take a record away, and its folder with what a write that was cut off left in it."""
    (folder(slug, root) / "workspace.json").unlink(missing_ok=True)
    shutil.rmtree(folder(slug, root), ignore_errors=True)
    sync(root)


def make_private(path: Path) -> None:
    if not path.is_dir():
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        sync(path.parent)


def write(file: Path, data: bytes, mode: int, owner: tuple[int, int] | None = None) -> None:
    """Replace a file so that a power loss leaves the old or the new one whole."""
    descriptor, temporary = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
    try:
        with os.fdopen(descriptor, "wb") as handle:
            handle.write(data)
            if owner is not None:
                os.fchown(handle.fileno(), *owner)
            os.fchmod(handle.fileno(), mode)
            handle.flush()
            os.fsync(handle.fileno())
        Path(temporary).replace(file)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    sync(file.parent)


def sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def locked(name: str, root: Path = ROOT) -> Iterator[None]:
    """Hold the node's lock `name`: `ports`, or a slug. A holder may remove its file with `unlock_for_ever`."""
    make_private(root)
    descriptor = _lock(_lock_file(name, root))
    try:
        yield
    finally:
        os.close(descriptor)


def unlock_for_ever(name: str, root: Path = ROOT) -> None:
    """Remove the file of a lock that the caller holds, as the last thing done with it: others may enter at once."""
    _lock_file(name, root).unlink(missing_ok=True)


def _lock_file(name: str, root: Path) -> Path:
    return root / f".{name}.lock"


def _lock(file: Path) -> int:
    while True:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            # The holder before us may have removed the file: others would then lock a new one beside us.
            with suppress(FileNotFoundError):
                if file.stat().st_ino == os.fstat(descriptor).st_ino:
                    return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def require(slug: str, key: dict[str, Any], uid: str | None, root: Path = ROOT) -> Record:
    """The record of exactly this workspace. Raises Refused where it is missing, another user's, or another one."""
    record = load(slug, root)
    shown = f"{key['user']}/{key['name']}"
    if record is None:
        raise Refused("instance-not-found", f"There is no workspace {shown} here.", "", ("homewright workspace list",))
    same_owner(record, key)
    if uid is not None and record.uid != uid:
        raise Refused(
            "changed-meanwhile", f"{shown} was deleted and made again meanwhile.", "", ("look again, then repeat",)
        )
    return record


def same_owner(record: Record, key: dict[str, Any]) -> None:
    """Refuse to act on a workspace whose true user or name differs from the one that was meant."""
    if (record.user, record.name) != (key["user"], key["name"]):
        raise Refused(
            "not-ours",
            f"The workspace {record.slug} on this node belongs to another user.",
            f"Its record says {record.user}/{record.name}; asked for was {key['user']}/{key['name']}.",
            ("nothing was changed",),
        )


def claim(request: dict[str, Any], listening: Collection[int], root: Path = ROOT) -> tuple[Record, bool]:
    """The record of the workspace that is asked for, made (with a port of its own) where it is missing.

    Returns the record and whether it is new. Raises Refused.
    """
    key = request["key"]
    with locked("ports", root):
        existing = load(request["slug"], root)
        if existing is not None:
            same_owner(existing, key)
            if existing.deleting:
                raise Refused(
                    "changed-meanwhile",
                    f"The deletion of {existing.user}/{existing.name} was cut off.",
                    "What is left of it must go first.",
                    ("delete it again, then create it",),
                )
            return existing, False
        others, _ = everything(root)
        port = free_port(request["first_port"], {other.port for other in others}, listening)
        record = Record(
            uid=str(uuid.uuid4()),
            generation=0,
            user=key["user"],
            name=key["name"],
            node=key["node"],
            slug=request["slug"],
            template=request["template"],
            preset=request["preset"],
            port=port,
            unit=request["unit"],
            system_user=request["system_user"],
            data_root=request["data_root"],
            created_at=request["at"],
        )
        return save(record.said(request["at"], request["who"], "created"), root), True


def free_port(first: int, given: Collection[int], listening: Collection[int]) -> int:
    """The lowest port from `first` that is neither given to a workspace nor listened on. Raises Refused."""
    for port in range(first, LAST_PORT + 1):
        if port not in given and port not in listening:
            return port
    raise Refused(
        "instance-failed", "No port is left for another workspace.", f"All from {first} on are taken.",
        ("set workspaces.first_port lower",),
    )  # fmt: skip
