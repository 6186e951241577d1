"""Resume of a finished site of three servers, against carrying everything out once more; goal: 1/20 of the time.

The site is finished when the power goes before the run's last record: that is what `resume` finds, proves whole and
records. Carrying out once more is `apply` where nothing is left to do: every playbook and every deploy file runs again,
each proved after it; and beside it the same files by hand (`benchmarks/stages.py`), where nothing is proved.
"""

from __future__ import annotations

import os
import sqlite3
import statistics
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "benchmarks")]

from driving import Practice  # noqa: E402 - the tests drive runners as the engine does; they are no package
from lxd import homewright, timed  # noqa: E402 - a script beside this one
from playbook import practice_site  # noqa: E402 - as above
from stages import ByHand, requests  # noqa: E402 - as above

from homewright.engine.journal import Reader  # noqa: E402 - after the path
from homewright.engine.states import State  # noqa: E402 - as above
from homewright.site.paths import StateFolder  # noqa: E402 - as above

GOAL = 1 / 20
ROUNDS = 3


def cut_off(state: StateFolder) -> None:
    """As if the power had gone before the run's end was recorded."""
    with sqlite3.connect(state.journal) as connection:
        run = Reader(state).run().id
        connection.execute("UPDATE runs SET state = ?, finished = NULL WHERE id = ?", (State.RUNNING, run))


def busy_s() -> float:
    """Seconds that this machine's processors have worked until now; the practice servers' are its own."""
    with Path("/proc/stat").open() as file:
        user, nice, system, _, _, *rest = map(int, file.readline().split()[1:])
    return (user + nice + system + sum(rest[:3])) / os.sysconf("SC_CLK_TCK")


def resumed(site: Path, state: Path) -> float:
    """Seconds of one resume. Raises RuntimeError where it does anything but prove."""
    folder = StateFolder(state)
    cut_off(folder)
    before, load = busy_s(), os.getloadavg()[0]
    took = timed("resume", lambda: homewright(site, state, "resume", "--yes", "--plain"))
    print(f"    at a load of {load:.1f} before it; the machine worked {busy_s() - before:.1f} s on all that it does")
    record = Reader(folder).run()
    again = [step.step for step in Reader(folder).steps(record.id) if step.host and step.attempt > 1]
    if record.state is not State.SUCCEEDED or again:
        raise RuntimeError(f"the run is {record.state}, and began again: {again}")
    return took


def by_hand(site: Path, state: Path) -> float:
    """Seconds of the latest run's files, one after the other, by their own tools."""
    with tempfile.TemporaryDirectory(prefix="homewright-bench-") as folder:
        practice = Practice.of(site, state, Path(folder))
        asked = requests(practice.state)
        practice.hold()
        try:
            carried = ByHand(practice, site, Path(folder))
            return timed("the same files by hand", lambda: carried.carry_out(asked))
        finally:
            practice.give_back()


def main() -> int:
    """Carry everything out, resume it some times, carry it out once more, and take it back."""
    with practice_site() as (site, state):
        homewright(site, state, "apply", "--yes", "--plain")
        try:
            median = statistics.median(resumed(site, state) for _ in range(ROUNDS))
            again = timed("everything once more", lambda: homewright(site, state, "apply", "--yes", "--plain"))
            hand = by_hand(site, state)
        finally:
            homewright(site, state, "rollback", "--all", "--yes", "--plain")
    print(f"resume of a finished site, median of {ROUNDS}: {median:.1f} s")
    for what, seconds in (("`apply` once more", again), ("the same files by hand", hand)):
        ratio = median / seconds
        print(f"against {what:24} ratio {ratio:.3f}, goal {GOAL:.3f}: {'met' if ratio <= GOAL else 'missed'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
