"""The wheel, built once."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from homewright.site.paths import cache_home

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def uv() -> str:
    """The uv that the Makefile fetched, or one on the PATH."""
    fetched = sorted((cache_home() / "tools").glob("uv*/bin/uv"))
    found = os.environ.get("UV") or (str(fetched[-1]) if fetched else shutil.which("uv"))
    assert found, "make fetches uv before it runs the tests"
    return found


@pytest.fixture(scope="session")
def wheel(uv: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [uv, "build", "--quiet", "--wheel", "--out-dir", str(folder), str(ROOT)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stderr
    [built] = folder.glob("*.whl")
    return built
