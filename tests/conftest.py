"""Practice servers for every test that is marked `lab`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from driving import Practice
from practice_lab import Lab, own_lab

TESTS = Path(__file__).parent
os.environ.setdefault("HOMEWRIGHT_AT_BOOT", "no")  # the units of whoever runs the tests are not theirs to touch
TOGETHER = {
    "stages": "installing", "screens/test_tmux.py": "installing", "integration": "installing",
    "workspaces": "workspaces", "browser": "workspaces", "lab/test_life.py": "workspaces",
    "house/test_wheel.py": "wheel",
}  # fmt: skip
"""Which tests follow each other in one worker: those of a row share practice servers and what is installed on them."""
OTHERS = "engine"
SERVERS = {"installing": 2}
"""Practice servers of a row, where they are not three: what stage 00 does costs as much on each of them."""
ORDER = ("installing", "workspaces", OTHERS, "wheel")
"""The longest first, so that the workers end together; what belongs to no row fills the gaps."""


def _row(item: pytest.Item) -> str | None:
    place = item.path.relative_to(TESTS)
    names = [str(path) for path in (place, *place.parents)]
    found = next((TOGETHER[name] for name in names if name in TOGETHER), None)
    marked = any(item.get_closest_marker(name) for name in ("lab", "install"))
    return (found or OTHERS) if marked and "small_lab" not in getattr(item, "fixturenames", ()) else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Rows for the workers, and a mark for what drives screens without a server.

    First of all: xdist reads the groups in the same hook.
    """
    places: dict[str, int] = {}
    for item in items:
        row = _row(item)
        if row is not None:
            item.add_marker(pytest.mark.xdist_group(row))
        elif item.path.is_relative_to(TESTS / "screens"):
            item.add_marker(pytest.mark.screens)
        small = "small_lab" in getattr(item, "fixturenames", ())
        places[item.nodeid] = ORDER.index(row) if row else (1 if small else len(ORDER))
    inside = list(TOGETHER)

    def place(item: pytest.Item) -> tuple[int, int]:
        names = [str(path) for path in (item.path.relative_to(TESTS), *item.path.relative_to(TESTS).parents)]
        return places[item.nodeid], next((inside.index(name) for name in names if name in inside), len(inside))

    items.sort(key=place)


_NOW = pytest.StashKey[str]()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """The row that this worker is at. One that works on all of them has a lab for all of them."""
    alone = "PYTEST_XDIST_WORKER" not in os.environ
    item.config.stash[_NOW] = OTHERS if alone else _row(item) or OTHERS


@pytest.fixture(scope="session")
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """Practice servers of the tests' own, as `homewright lab up` makes them: nobody has signed in yet."""
    with own_lab("tests") as made:
        count = SERVERS.get(request.config.stash[_NOW], 3)
        done = made.run("lab", "up", "--servers", str(count), "--yes")
        assert done.returncode == 0, done.stderr
        made.install_from_wheels()
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
