"""Servers without power in the middle of 20/10, 20/30 and 30/20, and the run all the same comes to its right end.

And with all of it there, what only whole runs reach: the resolvers of the instances.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import pytest
from practice_lab import Lab

from homewright.engine.journal import Reader
from homewright.engine.states import State

pytestmark = [pytest.mark.lab, pytest.mark.long]

LIMIT_S = 1500.0
"""For a step under load, and for a server to be waited for."""
ONE, ALL = False, True
CUTS = (
    # First the server that is in the middle of something: a join, an instance half made, a DNS server half installed.
    # Then, in the same step that goes on, all of them.
    ("20/10", "s2", "Join the cluster", ONE),
    ("20/10", "s3", "Join the cluster", ALL),
    ("20/30", "s2", "s2-node: instance", ONE),
    ("20/30", "s1", "s1-node: account and environment", ALL),
    ("30/20", "s1", "DNS server", ONE),
    ("30/20", "s1", "Zone", ALL),
)


def until(is_so: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + LIMIT_S
    while not is_so():
        assert time.monotonic() < end, f"no {what} within {LIMIT_S:.0f} s"
        time.sleep(0.2)


def is_at(reader: Reader, run: str, step: str, host: str, text: str) -> bool:
    """Whether the run says this, or has ended."""
    return reader.run(run).state.final or any(
        (event.host, event.text) == (host, text) for event in reader.last_events(run, 10_000, step=step, host=host)
    )


def cut(lab: Lab, servers: Sequence[str]) -> None:
    for server in servers:
        lab.lxc("stop", "-f", server)
    for server in servers:
        lab.lxc("start", server)


@pytest.fixture(scope="module")
def ready(lab: Lab) -> Iterator[Lab]:
    """Servers that let us in, and in the end without all that was applied here."""
    if not lab.is_trusted:
        lab.run("lab", "up").check_returncode()
        lab.run("trust", "--all", "--practice").check_returncode()
    yield lab
    assert_done(lab.run("rollback", "20", "--yes", timeout=LIMIT_S))


@pytest.fixture
def before_lxd(ready: Lab) -> Lab:
    """Servers on which nothing of stages 20 and 30 is."""
    if any(step.startswith("20/") for step, _ in Reader(ready.state).applied()):
        assert_done(ready.run("rollback", "20", "--yes", timeout=LIMIT_S))
    return ready


def assert_done(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def test_power_is_cut_in_the_middle_of_each_step(before_lxd: Lab) -> None:
    lab = before_lxd
    begun = lab.run("apply", "--yes", "--detach")
    assert begun.returncode == 0, begun.stderr
    reader = Reader(lab.state)
    run = reader.run().id
    for step, host, text, many in CUTS:
        until(partial(is_at, reader, run, step, host, text), f"{text} on {host}")
        assert not reader.run(run).state.final, reader.run(run).reason
        cut(lab, lab.servers if many else [host])
    until(lambda: reader.run(run).state.final, "end of the run")
    record = reader.run(run)
    told = [f"{one.step} {one.host} {one.state} {one.reason}" for one in reader.steps(run) if one.reason]
    assert record.state is State.SUCCEEDED, told
    assert_right(lab)


def assert_right(lab: Lab) -> None:
    """All is proved anew, a second run changes nothing, and the cluster has each instance once."""
    assert_done(lab.run("verify", timeout=LIMIT_S))
    again = lab.run("apply", "--yes", timeout=LIMIT_S)
    assert_done(again)
    assert Reader(lab.state).run().changed == 0, again.stdout[-3000:]
    listed: list[dict[str, Any]] = json.loads(lab.on("s1", "lxc query '/1.0/instances?recursion=1'"))
    assert sorted((one["name"], one["location"], one["status"]) for one in listed) == [
        (f"{server}-node", server, "Running") for server in lab.servers
    ]


RESOLV = "/etc/resolv.conf"
DAMAGE = (
    {"s1": f"echo nameserver 192.0.2.1 >{RESOLV}", "s2": f"rm {RESOLV}", "s3": f": >{RESOLV}"},
    {
        "s1": f"sed -i '1,/^nameserver/{{/^nameserver/d}}' {RESOLV}",  # ours, so that the others alone are asked
        "s2": f"sed -i /^options/d {RESOLV}",
        "s3": f"sed -i 's/^nameserver/#&/' {RESOLV}",
    },
)


@pytest.mark.parametrize("damage", DAMAGE, ids=["first", "second"])
def test_resolvers_of_instances_that_are_broken_are_seen_and_made_good(ready: Lab, damage: dict[str, str]) -> None:
    """30/25, three instances at once."""
    assert_done(ready.run("apply", "--yes", timeout=LIMIT_S))
    for server, command in damage.items():
        ready.on(server, f"lxc exec {server}-node -- sh -c {shlex.quote(command)}")
    seen = ready.run("verify", "--only", "30", timeout=LIMIT_S)
    mended = ready.run("apply", "--only", "30", "--yes", timeout=LIMIT_S)
    assert seen.returncode == 1, seen.stdout
    for server in damage:
        assert f"{RESOLV} on {server}-node does not ask s1 first" in seen.stdout, seen.stdout
    assert_done(mended)
    assert_done(ready.run("verify", "--only", "30", timeout=LIMIT_S))
    again = ready.run("apply", "--only", "30", "--yes", timeout=LIMIT_S)
    assert Reader(ready.state).run().changed == 0, again.stdout[-3000:]
