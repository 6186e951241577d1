"""The node's copies of code-server: one folder a version and checksum, root's, shared by all its workspaces."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from homewright.workspaces.nodeside.records import Refused, sync

ROOT = Path("/opt/homewright/code-server")
_CHUNK = 1 << 20


def folder(version: str, sha256: str, root: Path = ROOT) -> Path:
    return root / f"{version}-{sha256[:12]}"


def incoming(sha256: str, root: Path = ROOT) -> Path:
    return root / f".{sha256}.tar.gz"


def installed(root: Path = ROOT) -> list[str]:
    """The folders that are whole: a half-extracted one never has its final name."""
    if not root.is_dir():
        return []
    return sorted(str(entry) for entry in root.iterdir() if not entry.name.startswith("."))


def prepare(root: Path = ROOT) -> None:
    """The folder that uploads go to."""
    root.mkdir(mode=0o755, parents=True, exist_ok=True)


def install(version: str, sha256: str, root: Path = ROOT) -> str:
    """Extract the uploaded archive, after its checksum was seen to be right. Under the lock `bundle`. Raises Refused.

    Repeatable: what a cut-off extraction left is removed, and so is an archive that is not what it should be: the next
    try uploads it again.
    """
    target = folder(version, sha256, root)
    archive = incoming(sha256, root)
    if target.is_dir():
        archive.unlink(missing_ok=True)
        return str(target)
    found = checksum(archive)
    if found != sha256:
        archive.unlink(missing_ok=True)
        raise Refused(
            "bundle", "The code-server that arrived on the node is not the one that was sent.",
            f"Its checksum is {found}, wanted was {sha256}.", ("try again",),
        )  # fmt: skip
    for left in root.glob(".extract-*"):
        shutil.rmtree(left, ignore_errors=True)
    room = Path(tempfile.mkdtemp(prefix=".extract-", dir=root))
    try:
        done = subprocess.run(
            ["tar", "-xzf", str(archive), "-C", str(room), "--strip-components=1", "--no-same-owner",
             "--no-same-permissions"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            lines = done.stderr.strip().splitlines()[-2:]
            full = any("No space left" in line for line in lines)
            raise Refused(
                "storage-failed" if full else "bundle",
                "The disk of the node is full." if full else "The code-server bundle cannot be extracted on the node.",
                "\n".join(lines),
                (f"free some space under {root}, then try again",) if full else ("get the bundle anew",),
            )
        if not os.access(room / "bin" / "code-server", os.X_OK):
            raise Refused(
                "bundle", "The bundle is not code-server as it is released.",
                "There is no program bin/code-server in its top folder.",
                ("name another bundle: workspaces.code_server.bundle",),
            )  # fmt: skip
        room.chmod(0o755)
        # Thousands of files: one sync of their file system before the name that says they are whole.
        subprocess.run(["sync", "--file-system", str(room)], check=True)
        room.rename(target)
        sync(root)
    finally:
        shutil.rmtree(room, ignore_errors=True)
    archive.unlink(missing_ok=True)
    return str(target)


def checksum(file: Path) -> str:
    digest = hashlib.sha256()
    try:
        with file.open("rb") as handle:
            while data := handle.read(_CHUNK):
                digest.update(data)
    except FileNotFoundError:
        return "missing: nothing arrived"
    return digest.hexdigest()
