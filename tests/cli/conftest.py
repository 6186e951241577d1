"""The real command, in a home of the test's own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., "subprocess.CompletedProcess[str]"]

COMMAND = [sys.executable, "-c", "import sys; from homewright.cli import main; sys.exit(main())"]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """An environment whose config, state and cache lie in the test's folder."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HOMEWRIGHT", "LC_", "LANG"))}
    homes = {f"XDG_{name}_HOME": str(tmp_path / name.lower()) for name in ("CONFIG", "STATE", "CACHE")}
    return {**kept, **homes, "LANG": "C.UTF-8", "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


@pytest.fixture
def homewright(tmp_path: Path, environment: dict[str, str]) -> Run:
    """Run `homewright …` there; keyword arguments go to the environment, `stdin` to its standard input."""
    (tmp_path / "here").mkdir()

    def run(*arguments: str, stdin: str = "", **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="surrogateescape",
            cwd=tmp_path / "here",
            env={**environment, **more},
            timeout=60,
            check=False,
        )

    return run
