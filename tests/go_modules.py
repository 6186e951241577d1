"""Go modules that tests alone need, at versions that tests/go pins: fetched by Go's own client, checked by go.sum.

They are built as the practice cluster's programs are, and kept in the same cache: each once.
"""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from homewright.lab import go
from homewright.lab.programs import Build

FOLDER = Path(__file__).parent / "go"


@dataclass(frozen=True)
class OfTests(Build):
    """A build whose module's files are the tests' own: nobody who installs Homewright gets them."""

    @property
    def folder(self) -> Path:  # type: ignore[override]  # it has what a Traversable is asked for
        return FOLDER / self.name


GITEA_VERSION = "1.27.3"
GITEA = OfTests(
    "gitea", GITEA_VERSION, (("gitea", "gitea.dev"),), (("main.Version", GITEA_VERSION),), ("netgo", "osusergo")
)
"""Its module is called gitea.dev, and published as code.gitea.io/gitea."""
ISTIO = OfTests("istio", "1.31.1", (("judge", "."),))
"""Istio's kinds, and a program that holds objects to the rules of its webhook (which has no versions of its own)."""


def source(build: OfTests, module: str) -> Path:
    """The folder of the files of a module that a build pins. Raises AssertionError where it is not what go.sum says."""
    toolchain = go.toolchain(print)
    done = subprocess.run(
        [str(toolchain), "mod", "download", "-json", module],
        cwd=build.folder, env=go._environment(build, toolchain), capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr + done.stdout
    found = json.loads(done.stdout)
    pinned = f"{found['Path']} {found['Version']} {found['Sum']}"
    assert pinned in (build.folder / "go.sum").read_text().splitlines(), f"not what is pinned: {pinned}"
    return Path(found["Dir"])
