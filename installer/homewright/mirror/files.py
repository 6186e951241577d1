"""Files by HTTP, each with its SHA-256 published beside it."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

from homewright.mirror.errors import MirrorError, unwritable, wrong
from homewright.mirror.registry import TIMEOUT_S, away, pieces, refusal
from homewright.site.paths import sync_folder


def place(folder: Path, reference: str) -> Path:
    """Where the copy of a published file lies: below the name of its server, so that the folder can be given out."""
    parts = urlsplit(reference)
    return folder / parts.netloc / parts.path.lstrip("/")


def published(url: str, name: str = "") -> str:
    """The digest that is published at this address: in a list of several, that of the file of this name.

    Raises MirrorAway, and MirrorError for something else there.
    """
    text = _read(url).decode("ascii", errors="replace")
    found = re.search(rf"(?m)^([0-9a-fA-F]{{64}})\s+\*?{re.escape(name)}\s*$", text) if name else None
    found = found or re.fullmatch(r"\s*([0-9a-fA-F]{64})\b[^\n]*\s*", text)
    if found is None:
        raise MirrorError(f"{url} holds no SHA-256.", f"It begins with {text[:40]!r}.")
    return f"sha256:{found[1].lower()}"


def _read(url: str) -> bytes:
    host = urlsplit(url).netloc
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:
            return bytes(answer.read(65536))
    except HTTPError as error:
        with error:
            raise refusal(f"{host}{urlsplit(url).path}", error.code, b"") from error
    except (URLError, HTTPException, OSError) as error:
        raise away(host, error) from error


def checksum(file: Path) -> str:
    """The digest of a file. Raises OSError."""
    with file.open("rb") as handle:
        return f"sha256:{hashlib.file_digest(handle, 'sha256').hexdigest()}"


def fetch(url: str, target: Path, digest: str) -> bool:
    """Have a file with this digest at `target`; whether it had to be fetched. It gets its name when it is whole.

    Raises MirrorAway and MirrorError.
    """
    try:
        if target.is_file() and checksum(target) == digest:
            return False
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    except OSError as error:
        raise unwritable(target.parent, error) from error
    part = Path(temporary)
    try:
        with os.fdopen(descriptor, "wb") as handle:
            found = _stream(url, handle.write)
            handle.flush()
            os.fsync(handle.fileno())
        if found != digest:
            raise wrong(url, digest, found)
        part.chmod(0o644)
        part.replace(target)
        hexadecimal = digest.partition(":")[2]
        name = ".sha256sum" if target.name.endswith(".tar.gz") else ".sha256"
        target.with_name(target.name + name).write_text(f"{hexadecimal}  {target.name}\n", encoding="ascii")
        sync_folder(target.parent)
    except OSError as error:
        raise unwritable(target.parent, error) from error
    finally:
        part.unlink(missing_ok=True)
    return True


def _stream(url: str, write: Callable[[bytes], object]) -> str:
    host = urlsplit(url).netloc
    told = hashlib.sha256()
    try:
        answer = urllib.request.urlopen(url, timeout=TIMEOUT_S)
    except HTTPError as error:
        with error:
            raise refusal(f"{host}{urlsplit(url).path}", error.code, b"") from error
    except (URLError, HTTPException, OSError) as error:
        raise away(host, error) from error
    with answer:
        for data in pieces(answer, host):
            told.update(data)
            write(data)
    return f"sha256:{told.hexdigest()}"
