"""Where recorded machines are found."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from homewright.discovery.bundle import RawBundle, of_texts


def recordings() -> Path:
    """The folder of published recordings: beside a checkout, or where the environment says. They are copied nowhere."""
    named = os.environ.get("HOMEWRIGHT_MACHINES")
    return Path(named) if named else Path(__file__).parents[3] / "shared" / "machines"


@pytest.fixture(scope="session")
def machines() -> Path:
    folder = recordings()
    if not folder.is_dir():
        pytest.skip(f"no recorded machines at {folder} (HOMEWRIGHT_MACHINES names another folder)")
    return folder


@pytest.fixture
def recorded_machine(machines: Path, request: pytest.FixtureRequest) -> RawBundle:
    return of_texts(machines / request.param)
