"""The wheel, built once."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import wheelhouse

from .inside import PLACE, install

if TYPE_CHECKING:
    from practice_lab import Lab

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


@pytest.fixture(scope="session")
def installed_on_s1(lab: Lab, wheel: Path, uv: str) -> Iterator[None]:
    """The wheel of this checkout on a practice server, for everybody there."""
    install(lab, "s1", wheel, uv)
    yield
    lab.on("s1", f"rm -rf {PLACE}")
