"""A controller that lost its servers to another one in the middle of a step: refused there, and told by whom."""

from __future__ import annotations

import json

import pytest

from homewright.engine.runners.guard import FENCE_FILE
from homewright.engine.states import State

from .bench import TICKS, Bench

pytestmark = pytest.mark.lab

WRITES = """
import time

def run(host):
    for number in range(200):
        host.say(f"tick {number}")
        host.run("echo >>/tmp/homewright-taken", sudo=True)
        time.sleep(0.05)
"""


def test_the_one_with_the_old_fence_is_refused_and_the_new_one_is_named(bench: Bench) -> None:
    """Ours goes on all the while, as after a suspend: nobody has told it that its server was taken over."""
    host = bench.hosts[0]
    bench.tiny.step(1, WRITES).step(2, TICKS.format(count=1))
    before = bench.latest() if bench.reader.runs(1) else ""
    theirs = {
        "controller": "f00", "fence": 10**6, "run": "theirs", "host": "far-away", "site": "attic", "since": 0,
        "released": False,
    }  # fmt: skip
    try:
        assert bench.run("apply", "--yes", "--detach").returncode == 0
        run = bench.wait_for_text("tick 3", before)
        # As their engine does it: the file is replaced in one piece.
        write = f"printf '%s\\n' '{json.dumps(theirs)}' >{FENCE_FILE}.theirs && mv {FENCE_FILE}.theirs {FENCE_FILE}"
        count = int(bench.on(host, f"{write}; wc -l </tmp/homewright-taken"))
        assert bench.end_of(run) is State.FAILED
        rows = {record.host: record for record in bench.reader.steps(run) if record.step == "90/10"}
        assert rows[host].state is State.FAILED
        assert "run theirs of far-away for the site attic" in rows[host].reason
        assert [rows[name].state for name in bench.hosts[1:]] == [State.SUCCEEDED] * len(bench.hosts[1:])
        after = int(bench.on(host, "wc -l </tmp/homewright-taken"))
        assert after - count in (0, 1), "it went on there, with more than the command that had just begun"
        assert json.loads(bench.on(host, f"cat {FENCE_FILE}")) == theirs, "what is theirs was given back by us"
        again = bench.run("apply", "--yes")
        assert again.returncode == 3, again.stdout + again.stderr
        assert f"Another controller holds {host}." in again.stdout
    finally:
        for name in bench.hosts:
            bench.on(name, f"rm -f /tmp/homewright-taken; grep -qs f00 {FENCE_FILE} && rm {FENCE_FILE}")
