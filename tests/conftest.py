"""Practice servers for every test that is marked `lab`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from practice_lab import Lab, own_lab


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """Three practice servers of the tests' own, as `homewright lab up` makes them: nobody has signed in yet."""
    with own_lab("tests") as made:
        done = made.run("lab", "up", "--servers", "3", "--yes")
        assert done.returncode == 0, done.stderr
        yield made


@pytest.fixture(scope="module")
def trusted_lab(lab: Lab) -> Lab:
    """The same servers after first contact with all of them, powered and plugged."""
    if not lab.is_trusted:
        up = lab.run("lab", "up")
        assert up.returncode == 0, up.stderr
        done = lab.run("trust", "--all", "--practice")
        assert done.returncode == 0, done.stderr
    return lab
