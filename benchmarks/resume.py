"""Resume of a finished site of three servers, against carrying everything out once more; goal: 1/20 of the time.

The site is finished when the power goes before the run's last record: that is what `resume` finds, proves whole and
records. Carrying out once more is `apply` where nothing is left to do: every playbook and every deploy file runs again.
"""

from __future__ import annotations

import os
import sqlite3
import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from lxd import homewright, timed
from playbook import practice_site

from homewright.engine.journal import Reader
from homewright.engine.states import State
from homewright.site.paths import StateFolder

GOAL = 1 / 20
ROUNDS = 3


def cut_off(state: StateFolder) -> None:
    """As if the power had gone before the run's end was recorded."""
    with sqlite3.connect(state.journal) as connection:
        run = Reader(state).run().id
        connection.execute("UPDATE runs SET state = ?, finished = NULL WHERE id = ?", (State.RUNNING, run))


def resumed(site: Path, state: Path) -> float:
    """Seconds of one resume. Raises RuntimeError where it does anything but prove."""
    folder = StateFolder(state)
    cut_off(folder)
    took = timed("resume", lambda: homewright(site, state, "resume", "--yes", "--plain"))
    record = Reader(folder).run()
    again = [step.step for step in Reader(folder).steps(record.id) if step.host and step.attempt > 1]
    if record.state is not State.SUCCEEDED or again:
        raise RuntimeError(f"the run is {record.state}, and began again: {again}")
    return took


def main() -> int:
    """Carry everything out, resume it some times, carry it out once more, and take it back."""
    load = os.getloadavg()[0]
    with practice_site() as (site, state):
        homewright(site, state, "apply", "--yes", "--plain")
        try:
            median = statistics.median(resumed(site, state) for _ in range(ROUNDS))
            again = timed("everything once more", lambda: homewright(site, state, "apply", "--yes", "--plain"))
        finally:
            homewright(site, state, "rollback", "--all", "--yes", "--plain")
    ratio = median / again
    print(f"resume of a finished site, median of {ROUNDS}, against `apply` once more; at a load of {load:.1f} before")
    print(f"ratio {ratio:.3f}, goal {GOAL:.3f}: {'met' if ratio <= GOAL else 'missed'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
