"""The engine killed on practice servers, and others who hold them or stand in for them."""

from __future__ import annotations

import json
import os
import signal

import pytest

from homewright.engine import leftovers, lock
from homewright.engine.events import Event
from homewright.engine.runners.guard import FENCE_FILE
from homewright.engine.states import State

from .bench import TICKS, Bench
from .conftest import wait_for

pytestmark = pytest.mark.lab


def test_the_engine_is_killed_and_nothing_of_it_goes_on(bench: Bench) -> None:
    bench.tiny.step(
        1,
        """
        def run(host):
            host.say("asleep")
            if not host.exists("/tmp/homewright-awake"):
                host.run("sleep 987", timeout=None)
        """,
    )
    started = bench.run("apply", "--yes", "--detach")
    assert started.returncode == 0, started.stderr
    run = bench.wait_for_text("asleep")

    def asleep() -> bool:
        return all("987" in bench.on(host, "pgrep -af 'sleep 98[7]'") for host in bench.hosts)

    wait_for(asleep, "the sleeping command on every server")
    holder = lock.holder(bench.state)
    assert holder is not None
    mark = leftovers.site_mark(bench.state)
    assert leftovers.found(mark)
    os.kill(holder.pid, signal.SIGKILL)
    wait_for(lambda: not leftovers.found(mark), "the end of its runners")
    document = json.loads(bench.run("status", "--json").stdout)
    assert (document["id"], document["state"]) == (run, "interrupted")
    assert document["steps"][0]["state"] == "interrupted"
    for host in bench.hosts:
        bench.on(host, "touch /tmp/homewright-awake")
    try:
        again = bench.run("apply", "--yes")
        assert again.returncode == 0, again.stdout + again.stderr
        for host in bench.hosts:
            assert bench.on(host, "pgrep -af 'sleep 98[7]'") == "", "the dead engine's command still works"
        assert bench.reader.run(run).state is State.INTERRUPTED
    finally:
        for host in bench.hosts:
            bench.on(host, "rm -f /tmp/homewright-awake")


def test_a_run_that_was_cut_off_goes_on_and_does_nothing_twice(bench: Bench) -> None:
    """The engine is killed in its second step; meanwhile something of the first is undone on one server."""
    counted = """
        def run(host):
            host.run("echo >> /tmp/homewright-count-{number}; touch /tmp/homewright-there-{number}")
            host.say("did {number}")
            {then}
        """
    proof = """
        from homewright.engine.runners.host import broken, proved

        def verify(host):
            return proved("there") if host.exists("/tmp/homewright-there-{number}") else broken("it is gone")
        """
    wait = "host.run('test -e /tmp/homewright-awake || sleep 987', timeout=None)"
    for number, then in ((1, "pass"), (2, wait), (3, "pass")):
        bench.tiny.step(number, counted.format(number=number, then=then), proof.format(number=number))
    first, *others = bench.hosts
    try:
        assert bench.run("apply", "--yes", "--detach").returncode == 0
        run = bench.wait_for_text("did 2")
        wait_for(
            lambda: {e.host for e in bench.events(run) if e.text == "did 2"} == set(bench.hosts),
            "the second step on every server",
        )
        holder = lock.holder(bench.state)
        assert holder is not None
        os.kill(holder.pid, signal.SIGKILL)
        wait_for(lambda: lock.holder(bench.state) is None, "the engine's end")
        for host in bench.hosts:
            bench.on(host, "touch /tmp/homewright-awake")
        bench.on(first, "rm /tmp/homewright-there-1")
        going = bench.run("resume", "--yes")
        assert going.returncode == 0, going.stdout + going.stderr
        assert "it was done, and is not any more: it is gone" in going.stdout
        assert (bench.latest(), bench.reader.run(run).state) == (run, State.SUCCEEDED)
        for host in bench.hosts:
            counts = [len(bench.on(host, f"cat /tmp/homewright-count-{number}")) for number in (1, 2, 3)]
            assert counts == [2 if host == first else 1, 2, 1]
            assert bench.on(host, "pgrep -af 'sleep 98[7]'") == ""
        again = bench.run("resume", "--yes")
        assert (again.returncode, "Nothing remains" in again.stdout) == (0, True)
        shown = [Event.from_json(line).seq for line in bench.run("attach", "--jsonl").stdout.splitlines()]
        assert shown == list(range(1, len(shown) + 1))
    finally:
        for host in (first, *others):
            bench.on(host, "rm -f /tmp/homewright-awake /tmp/homewright-count-* /tmp/homewright-there-*")


def test_another_machine_under_a_servers_name_is_asked_about(bench: Bench) -> None:
    bench.tiny.step(1, TICKS.format(count=1))
    assert bench.run("apply", "--yes").returncode == 0
    host = bench.hosts[0]
    before = bench.on(host, "cat /etc/machine-id").strip()
    bench.on(host, f"echo {'f' * 32} > /etc/machine-id")
    try:
        refused = bench.run("apply", "--yes")
        assert refused.returncode == 1
        assert f"{host} is another machine than before" in refused.stdout
        assert f"--new-machine {host}" in bench.run("status").stdout
        assert "tick 0" not in [e.text for e in bench.events(bench.latest()) if e.host == host]
        accepted = bench.run("resume", "--yes", "--new-machine", host)
        assert accepted.returncode == 0, accepted.stdout + accepted.stderr
    finally:
        bench.on(host, f"echo {before} > /etc/machine-id")
        back = bench.run("resume", "--yes", "--new-machine", host)
        assert back.returncode == 0, back.stdout + back.stderr


def test_another_controller_keeps_us_off_its_server(bench: Bench) -> None:
    bench.tiny.step(1, TICKS.format(count=1))
    host = bench.hosts[0]
    other = {"controller": "f00", "fence": 10**6, "run": "theirs", "host": "far-away", "site": "x", "since": 0}
    bench.on(host, f"printf '%s' '{json.dumps(other)}' > {FENCE_FILE}")
    try:
        refused = bench.run("apply", "--yes")
        assert refused.returncode == 3, refused.stdout + refused.stderr
        assert f"Another controller holds {host}" in refused.stdout
        assert "far-away" in refused.stdout
        assert not [e for e in bench.events(bench.latest()) if e.text == "tick 0" and e.host == host]
        other["released"] = True  # type: ignore[assignment]  # read from JSON
        bench.on(host, f"printf '%s' '{json.dumps(other)}' > {FENCE_FILE}")
        assert bench.run("apply", "--yes").returncode == 0
        assert json.loads(bench.on(host, f"cat {FENCE_FILE}"))["fence"] > 10**6
    finally:
        bench.on(host, f"rm -f {FENCE_FILE}")
