"""What a site export holds: `about.json` in it, and what `site export --json` prints."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Literal

from pydantic import BaseModel, ConfigDict

ABOUT = "about.json"
SITE = "site.yaml"
STATE = "state"
JOURNAL = f"{STATE}/journal.db"
MOST_BYTES = 512 * 1024 * 1024
"""Of all members together: states, captures and facts of a large site are a hundredth of it."""

LEFT_OUT = ("ballast", "engine.lock", "engine.sock", "site-file", "export.json", "journal.db-wal", "journal.db-shm")
"""Of the state folder: what belongs to this machine alone."""
OF_A_RUN = ("request.json", "site.yaml", "facts.json")
"""Of a run's folder: what a resume needs. Log lines and artifacts stay behind."""


class Contents(BaseModel):
    """What is in it, and where it comes from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    site: str
    made_at: float
    """Unix seconds."""
    host: str
    """The machine that it was made on."""
    user: str
    homewright: str
    """The version that made it."""
    controller: str = ""
    """Who that machine is on the servers."""
    run: str = ""
    """The latest run; empty where nothing was run."""
    run_state: str = ""
    members: Mapping[str, str] = {}
    """SHA-256 of every file in it."""
    file: str = ""
    """Where it was written."""


def safe(name: str) -> bool:
    """Whether a member of this name stays inside the folders that it is unpacked into."""
    path = PurePosixPath(name)
    inside = name in (ABOUT, SITE) or (path.parts[:1] == (STATE,) and len(path.parts) > 1)
    return inside and not path.is_absolute() and ".." not in path.parts and "\\" not in name and "\0" not in name


def carried(name: str, latest: str) -> bool:
    """Whether a file of the state folder (by its path in it) belongs into an export."""
    parts = PurePosixPath(name).parts
    if parts[0] != "runs":
        return parts[0] not in LEFT_OUT and not parts[-1].endswith(".lock") and not parts[0].startswith(".")
    if len(parts) < 3:
        return False
    return parts[2] in OF_A_RUN or (parts[1] == latest and parts[2] == "catalogue" and "__pycache__" not in parts)
