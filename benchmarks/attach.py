"""Opening a run whose journal has 1,000,000 events: from the start of the process to the log on the screen.

The whole program in a real pty of 120x40, at a run that goes on; the journal is written by the engine's own writer.
Goals: the first line within 0.5 s, at most 120 MiB held. How long it takes until the newest line is shown, which is
what the log follows, and the processor time of both, are told beside it.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from flood import HOSTS, RUN, STEP, Wizard, prepared
from screen_doubles import write_run

from homewright.engine.events import Event, Kind
from homewright.engine.journal.writer import Writer
from homewright.engine.lock import EngineLock
from homewright.site.paths import StateFolder

EVENTS = 1_000_000
ROUNDS = 3
GOAL_S, GOAL_MIB = 0.5, 120


def write(state: StateFolder, events: int) -> None:
    """A run that is in the middle of its second step."""
    write_run(state, lines=0)
    writer = Writer(state, RUN)
    for number in range(events):
        text = f"line {number} of what a package manager has to say of its work"
        writer.line(Event(Kind.LINE, text, step=STEP, host=HOSTS[number % 3]))
        if number % 10_000 == 9_999:
            writer.flush()
    writer.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=EVENTS)
    events = parser.parse_args().events
    first, newest, held = list[float](), list[float](), list[int]()
    spent_first, spent = list[float](), list[float]()
    with tempfile.TemporaryDirectory(prefix="homewright-attach-") as name:
        state, environment = prepared(Path(name), lambda state: write(state, events))
        lock = EngineLock.take(state, RUN)
        for _ in range(ROUNDS):
            load = os.getloadavg()[0]
            wizard = Wizard(environment)
            try:
                first.append(wizard.until(b" of what a package") - wizard.began)
                spent_first.append(wizard.spent())
                newest.append(wizard.until(f"line {events - 1} of".encode()) - wizard.began)
                held.append(wizard.held())
                spent.append(wizard.spent())
            finally:
                wizard.close()
            print(f"first line after {first[-1]:.2f} s, the newest after {newest[-1]:.2f} s, at a load of {load:.1f}")
        lock.release()
    seconds, most = statistics.median(first), max(held) / (1 << 20)
    print(f"a journal of {events} events, median of {ROUNDS}, from the start of the process")
    print(f"first line on the screen  {seconds:6.2f} s, goal {GOAL_S} s: {'met' if seconds <= GOAL_S else 'missed'}")
    print(f"memory until the newest   {most:6.0f} MiB, goal {GOAL_MIB} MiB: {'met' if most <= GOAL_MIB else 'missed'}")
    cpu = statistics.median(spent)
    print(f"newest line on the screen {statistics.median(newest):6.2f} s")
    print(
        f"processor time until then {cpu:6.2f} s, of which {statistics.median(spent_first):.2f} s until the first line"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
