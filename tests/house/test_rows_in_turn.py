"""Rows of tests by pytest itself, whose worker dies in the middle of them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.programs

LIMIT_S = 120

CONFTEST = """
import pytest

@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    from rows_in_turn import RowsInTurn

    return RowsInTurn(config, log)
"""

ROWS = """
import os
import time
from pathlib import Path

import pytest

DIED = Path(__file__).with_name("died")

@pytest.mark.xdist_group("ended0")
def test_ended0():
    pass

@pytest.mark.xdist_group("beside")
def test_beside():
    limit = time.monotonic() + 30
    while os.environ["PYTEST_XDIST_WORKER_COUNT"] != "1" and not DIED.exists():
        assert time.monotonic() < limit
        time.sleep(0.05)
    time.sleep(1)  # until it is known that the other worker has died

@pytest.mark.parametrize("row", [pytest.param(n, marks=pytest.mark.xdist_group(f"ended{n}")) for n in range(1, 6)])
def test_ended(row):
    pass

@pytest.mark.xdist_group("dying")
def test_dying():
    if not DIED.exists():
        time.sleep(0.5)  # until it is known what the rows before have said
        DIED.touch()
        os._exit(9)

@pytest.mark.xdist_group("dying")
def test_dying_once_more():
    pass
"""
ENDED = {f"ended[{number}]@ended{number}" for number in range(1, 6)}
PASSED = {"ended0@ended0", "beside@beside", "dying@dying", "dying_once_more@dying"} | ENDED


@pytest.mark.parametrize("workers", [1, 2])
def test_rows_go_on_whose_worker_has_died_after_the_end_of_one(tmp_path: Path, workers: int) -> None:
    """The rows that it had ended come back with the others, and whoever is given one has nothing to tell of it."""
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_rows.py").write_text(ROWS)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    words = f"-v -n {workers} --dist loadgroup --no-loadscope-reorder -p xdist.plugin"
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *words.split()],
        cwd=tmp_path,
        env={**kept, "PYTHONPATH": str(Path(__file__).parents[1]), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )
    assert (tmp_path / "died").exists(), done.stdout + done.stderr
    assert "crashed while running 'test_rows.py::test_dying@dying'" in done.stdout, done.stdout
    assert set(re.findall(r"PASSED test_rows.py::test_(\S+)", done.stdout)) == PASSED, done.stdout
    assert done.returncode == 1, done.stdout + done.stderr
