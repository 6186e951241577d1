"""Practice servers for every test that is marked `lab`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from driving import Practice
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


@pytest.fixture(scope="module")
def practice(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Practice]:
    """Trusted practice servers; HOMEWRIGHT_TEST_SITE and HOMEWRIGHT_TEST_STATE name some that are there already."""
    work = tmp_path_factory.mktemp("runner")
    site, state = os.environ.get("HOMEWRIGHT_TEST_SITE"), os.environ.get("HOMEWRIGHT_TEST_STATE")
    if not site or not state:
        lab: Lab = request.getfixturevalue("trusted_lab")
        words = list(lab.state_args)
        site, state = str(lab.site_file), words[words.index("--state") + 1]
    practice = Practice.of(Path(site), Path(state), work)
    practice.hold()
    yield practice
    practice.give_back()
