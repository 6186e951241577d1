"""What is in a support bundle, and what never is. Pure."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import BaseModel, ConfigDict

ABOUT = "about.json"
ROOT = "homewright-support"
MEMBER = re.compile(
    r"(README\.txt|about\.json|site\.yaml|state/(journal\.db|checks\.json)|state/(facts|machines)/[A-Za-z0-9._-]+\.json"
    r"|state/runs/[A-Za-z0-9-]+/(events\.db|request\.json|site\.yaml|engine\.log|catalogue/[A-Za-z0-9._/-]+))"
)
"""The names that a bundle may have; nothing else is taken out of one."""

LEFT_OUT = (
    "secrets and passwords",
    "private keys, and the site's certificate authority",
    "host keys that were trusted",
    "what was recorded of files on the servers before a step changed them",
)


class Contents(BaseModel):
    """about.json: what a bundle is of, and what `homewright support-bundle --json` prints."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    file: str = ""
    """Where it was written; empty inside the bundle itself."""
    site: str
    made_at: float
    """Unix seconds."""
    homewright: str
    """The version that made it."""
    python: str
    system: str
    """Operating system of the machine that it was made on."""
    packages: dict[str, str]
    """Versions of what Homewright stands on."""
    runs: tuple[str, ...]
    """The runs whose lines are in it, the newest first."""
    runs_without_lines: tuple[str, ...]
    """Runs of which only the states are in it: their lines were too many, or are no longer kept."""
    members: tuple[str, ...]
    left_out: tuple[str, ...] = LEFT_OUT


def described(contents: Contents) -> str:
    """README.txt: the same in words, for whoever opens the file."""
    runs = ", ".join(contents.runs) or "none"
    lines = [
        f"Support bundle of the Homewright site {contents.site}",
        "",
        f"Made by Homewright {contents.homewright} on {contents.system}, Python {contents.python}.",
        f"Lines of the runs: {runs}.",
        "",
        "It opens as a rehearsal, which contacts nobody and replays the run as it was seen:",
        "    homewright --rehearse THIS-FILE",
        "",
        "In it: the answers (site.yaml), facts of the servers and what they literally said, findings of the checks,",
        "the journal with states of all runs, and lines and stage files of the latest ones. It names servers,",
        "addresses and users. Known secrets are masked.",
        "",
        "Not in it: " + "; ".join(contents.left_out) + ".",
        "",
    ]
    return "\n".join(lines)
