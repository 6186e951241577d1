"""Whether a site export is worth making now: nobody else can go on with the site without one.

No pydantic, no cryptography: status, Welcome and Finished ask this for every site.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Sequence
from pathlib import Path

from homewright.site.paths import StateFolder, write_atomically

RECORD = "export.json"
COMMAND = "homewright site export --encrypt FILE"


def made(state: StateFolder, file: Path, at: float) -> None:
    """Remember that everything as it is now was exported. Raises StateError."""
    record = {"version": 1, "at": at, "file": str(file), "digest": digest(state)}
    write_atomically(state.root / RECORD, json.dumps(record).encode())


def due(state: StateFolder) -> str:
    """Why an export is worth making, in a sentence; empty where the last one is good, or nothing can be lost yet."""
    if not state.key.exists():
        return ""
    try:
        record = json.loads((state.root / RECORD).read_bytes())
        at, known = float(record["at"]), str(record["digest"])
    except (OSError, ValueError, KeyError, TypeError):
        return "No site export has been made: if this machine is lost, so are the site's keys."
    if known == digest(state):
        return ""
    when = time.strftime("%Y-%m-%d", time.localtime(at))
    return f"Secrets or keys have changed since the site export of {when}."


def old_key(hosts: Sequence[str]) -> str:
    """That these may still let in the key of the controller before this one, in a sentence; empty for none."""
    return f"May still let the old controller's key in, until next reached: {', '.join(hosts)}" if hosts else ""


def digest(state: StateFolder) -> str:
    """Over what cannot be had again: keys, secrets, trusted host keys and the certificate authority."""
    found = hashlib.sha256()
    for file in (state.secrets, state.key, state.known_hosts, state.authority / "ca.key", state.authority / "ca.crt"):
        with contextlib.suppress(OSError):
            found.update(file.name.encode() + b"\0" + hashlib.sha256(file.read_bytes()).digest())
    return found.hexdigest()
