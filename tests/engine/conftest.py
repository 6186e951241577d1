"""Runs of a tiny kind: runner processes that this folder's own modules play, and journals in a folder of the test's."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from homewright.engine import lock
from homewright.engine.journal.writer import Writer
from homewright.site.paths import StateFolder

if TYPE_CHECKING:
    from .bench import Bench

LIMIT_S = 60.0


def wait_for(condition: Callable[[], object], what: str, limit_s: float = LIMIT_S) -> None:
    """Until the condition holds; fails with `what` after the limit."""
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {limit_s} s"
        time.sleep(0.01)


@pytest.fixture
def state(tmp_path: Path) -> StateFolder:
    return StateFolder(tmp_path / "state").create()


@pytest.fixture
def writer(state: StateFolder) -> Iterator[Writer]:
    made = Writer(state, "r1")
    made.change(made.add_run(action="run", state="running", created=time.time()))
    yield made
    made.close()


@pytest.fixture
def bench(trusted_lab: Any, tmp_path: Path) -> Iterator[Bench]:
    from .bench import Bench  # which waits as this module says

    made = Bench(trusted_lab, tmp_path)
    yield made
    holder = lock.holder(made.state)
    if holder is not None:
        os.kill(holder.pid, signal.SIGTERM)
        wait_for(lambda: lock.holder(made.state) is None, "the engine's end", 60)
