"""`homewright verify` of three servers and an instance on each, after a whole apply; limit: 5 s from start to end.

The servers' own work is done on this machine too, where they are practice servers: whatever else runs here is in the
figure, so the load before each round is told beside it.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from lxd import homewright
from playbook import practice_site

LIMIT_S = 5.0
ROUNDS = 3


def measure(site: Path, state: Path) -> float:
    """The median of some rounds in seconds, each printed; raises RuntimeError where something is not proved."""
    taken = []
    for number in range(1, ROUNDS + 1):
        load = os.getloadavg()[0]
        began = time.monotonic()
        homewright(site, state, "verify", "--plain")
        taken.append(time.monotonic() - began)
        print(f"round {number}: {taken[-1]:.1f} s, at a load of {load:.1f} before it", flush=True)
    return statistics.median(taken)


def main() -> int:
    """Carry everything out, measure, and take it back. Prints the median and whether it is within the limit."""
    with practice_site() as (site, state):
        homewright(site, state, "apply", "--yes", "--plain")
        try:
            median = measure(site, state)
        finally:
            homewright(site, state, "rollback", "--all", "--yes", "--plain")
        verdict = "met" if median <= LIMIT_S else "missed"
        print(f"verify: {median:.1f} s (median of {ROUNDS}), limit {LIMIT_S:g} s: {verdict}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
