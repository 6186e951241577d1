"""Published recordings, which these tests read where they lie."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def machines() -> Path:
    named = os.environ.get("HOMEWRIGHT_MACHINES")
    folder = Path(named) if named else Path(__file__).parents[3] / "shared" / "machines"
    if not folder.is_dir():
        pytest.skip(f"no recorded machines at {folder} (HOMEWRIGHT_MACHINES names another folder)")
    return folder
