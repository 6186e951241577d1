"""Practice servers for every test that is marked `lab`."""

from __future__ import annotations

import functools
import gc
import os
import signal
from collections import Counter
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from driving import Practice, leave_forks
from practice_lab import Lab, own_lab

TESTS = Path(__file__).parent
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # what a shell starts in the background, and all that it starts
    signal.signal(signal.SIGINT, signal.default_int_handler)
os.environ.setdefault("HOMEWRIGHT_AT_BOOT", "no")  # the units of whoever runs the tests are not theirs to touch
TOGETHER = {
    "screens/test_tmux.py": "installing", "integration": "installing", "stages/test_stage_00.py": "beginning",
    "workspaces": "workspaces", "browser": "workspaces", "lab/test_life.py": "workspaces",
    "engine": "engine", "stages": "platform", "runners": "runners", "access": "runners",
    "house/test_wheel.py": "wheel",
}  # fmt: skip
"""Which tests follow each other in one worker: those of a row share what is installed on the practice servers.

A worker keeps its practice servers for the rows that it is given later, unless a row has left a platform on them.
"""
OTHERS = "others"
ORDER = ("engine", "platform", "installing", "workspaces", OTHERS, "beginning", "runners", "wheel")
"""The longest first, so that the workers end together; what belongs to no row fills the gaps."""
SERVERS = {"installing": 2, "beginning": 2}
"""Practice servers of a row, where they are not three: what stage 00 does costs as much on each of them."""


@functools.cache
def _place(file: Path) -> tuple[str | None, int]:
    """The row of a file, and the file's turn in it."""
    place = file.relative_to(TESTS)
    names = [str(path) for path in (place, *place.parents)]
    found = next((name for name in names if name in TOGETHER), None)
    return (TOGETHER[found], list(TOGETHER).index(found)) if found else (None, len(TOGETHER))


def _row(item: pytest.Item) -> str | None:
    marked = any(item.get_closest_marker(name) for name in ("lab", "install"))
    return (_place(item.path)[0] or OTHERS) if marked and "small_lab" not in getattr(item, "fixturenames", ()) else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Rows for the workers, and a mark for what drives screens without a server.

    First of all: xdist reads the groups in the same hook.
    """
    turns: dict[str, tuple[int, int]] = {}
    for item in items:
        row = _row(item)
        if row is not None:
            item.add_marker(pytest.mark.xdist_group(row))
        elif item.path.is_relative_to(TESTS / "screens"):
            item.add_marker(pytest.mark.screens)
        small = "small_lab" in getattr(item, "fixturenames", ())
        turns[item.nodeid] = ORDER.index(row) if row else (1 if small else len(ORDER)), _place(item.path)[1]
    items.sort(key=lambda item: turns[item.nodeid])


_NOW = pytest.StashKey[str]()
_LAB = pytest.StashKey[Lab]()
_TOLD = pytest.StashKey[bool]()


@pytest.hookimpl(optionalhook=True)  # of xdist
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Rows in turn, where workers are given rows."""
    from rows_in_turn import RowsInTurn

    return RowsInTurn(config, log) if config.getoption("dist") == "loadgroup" else None


def pytest_collection_finish() -> None:
    gc.freeze()  # what was imported and collected by now is no garbage, ever


def pytest_sessionfinish() -> None:
    leave_forks()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """The row that this worker is at; one that works on all of them has servers for all of them from the start."""
    stash = item.config.stash
    alone = "PYTEST_XDIST_WORKER" not in os.environ
    before = stash.get(_NOW, None)
    stash[_NOW] = OTHERS if alone else _row(item) or OTHERS
    if _row(item) is not None and _LAB in stash:
        if stash[_NOW] != before and stash[_LAB].is_built_on:
            stash[_LAB].run("lab", "down").check_returncode()
        _have(stash[_LAB], SERVERS.get(stash[_NOW], 3))


def _have(lab: Lab, count: int) -> None:
    """At least so many servers."""
    if not lab.lab_folder.exists() or len(lab.servers) < count:
        done = lab.run("lab", "up", "--servers", str(count), "--yes")
        assert done.returncode == 0, done.stderr


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """The first failure of a worker tells how its practice servers are: they are gone before anybody reads of it."""
    report = yield
    if report.failed and _LAB in item.config.stash and not item.config.stash.get(_TOLD, False):
        item.config.stash[_TOLD] = True
        report.sections.append(("practice servers", item.config.stash[_LAB].told()))
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What failed, in the order in which it did, at the very end: the first is the cause of most that come after it."""
    seen: set[str] = set()
    for report in sorted(
        (one for kind in ("failed", "error") for one in terminalreporter.getreports(kind)),
        key=lambda one: getattr(one, "start", 0.0),
    ):
        crash = getattr(report.longrepr, "reprcrash", None)
        message = (crash.message if crash else str(report.longrepr))[:1500]
        same = "  as before" if message in seen else "".join(f"\n    {line}" for line in message.splitlines())
        terminalreporter.write_line(f"{report.when} of {report.nodeid}:{same}")
        seen.add(message)
    for row, files in _spent(terminalreporter).items():
        longest = ", ".join(f"{file} {seconds:.0f}" for file, seconds in files.most_common())
        terminalreporter.write_line(f"{row}, {files.total():.0f} s: {longest}")


def _spent(terminalreporter: pytest.TerminalReporter) -> dict[str, Counter[str]]:
    """Seconds of each file by row, with what it needed first and put back: workers work beside each other."""
    found: dict[str, Counter[str]] = {}
    for report in (one for reports in terminalreporter.stats.values() for one in reports):
        if isinstance(report, pytest.TestReport) and (row := report.nodeid.rpartition("@")[2]) in ORDER:
            file = report.nodeid.partition("::")[0].removeprefix("tests/")
            found.setdefault(row, Counter())[file] += report.duration
    return found


@pytest.fixture(scope="session")
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """Practice servers of the tests' own, as `homewright lab up` makes them: nobody has signed in yet."""
    stash = request.config.stash
    with own_lab("tests") as made:
        _have(made, SERVERS.get(stash[_NOW], 3))
        stash[_LAB] = made
        yield made
        del stash[_LAB]


@pytest.fixture(scope="module")
def trusted_lab(request: pytest.FixtureRequest, lab: Lab) -> Lab:
    """The same servers after first contact with all of them, powered and plugged."""
    if not lab.is_trusted:
        if lab.run("lab", "up").returncode != 0:  # what failed before has cut one of them off
            lab.run("lab", "down").check_returncode()
            _have(lab, SERVERS.get(request.config.stash[_NOW], 3))
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
