"""The wheel, built once."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import wheelhouse

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def uv() -> str:
    """The uv that the Makefile fetched, or one on the PATH."""
    return wheelhouse.uv()


@pytest.fixture(scope="session")
def wheel(uv: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [uv, "build", "--quiet", "--wheel", "--out-dir", str(folder), str(ROOT)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stderr
    [built] = folder.glob("*.whl")
    return built
