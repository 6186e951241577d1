"""Limits and cancelling with every kind of runner, all three side by side on the same practice servers."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from homewright.engine.events import Kind
from homewright.engine.states import State

from .bench import Bench
from .conftest import wait_for

pytestmark = pytest.mark.lab

STEPS = {
    "python": """
def run(host):
    with host.task("First"):
        host.run("sleep {seconds}", timeout=None)
    with host.task("Second"):
        host.run("touch /tmp/homewright-second-python")
""",
    "pyinfra": """
from pyinfra.operations import server

server.shell(name="First", commands=["sleep {seconds}"])
server.shell(name="Second", commands=["touch /tmp/homewright-second-pyinfra"])
""",
    "ansible": """
- hosts: all
  gather_facts: false
  tasks:
    - name: First
      ansible.builtin.command: sleep {seconds}
    - name: Second
      ansible.builtin.command: touch /tmp/homewright-second-ansible
""",
}
PROOF = """
from homewright.engine.runners.host import proved

def verify(host):
    return proved("as wanted")
"""


def three(bench: Bench, seconds: int, limits: Mapping[str, dict[str, float]]) -> None:
    for number, (runner, text) in enumerate(STEPS.items(), start=1):
        more = {"requires": [], "shares_hosts": True, "runner": runner, "limits": limits[runner]}
        bench.tiny.step(number, text.format(seconds=seconds), PROOF, **more)


@pytest.mark.long
def test_every_runner_is_held_to_its_limits_and_the_limit_is_named(bench: Bench) -> None:
    three(
        bench,
        600,
        {
            "python": {"soft": 0.05, "hard": 0.2, "silent": 5},
            "pyinfra": {"soft": 5, "hard": 10, "silent": 0.2},
            "ansible": {"soft": 0.05, "hard": 0.3, "silent": 5},
        },
    )
    failed = bench.run("apply", "--yes")
    assert failed.returncode == 1, failed.stdout + failed.stderr
    rows = {record.step: record for record in bench.reader.steps(bench.latest()) if record.host == bench.hosts[0]}
    assert rows["90/10"].reason == "It took longer than its hard limit of 0.2 minutes."
    assert rows["90/20"].reason == "It said nothing for 0.2 minutes."
    assert rows["90/30"].reason == "It took longer than its hard limit of 0.3 minutes."
    warned = [event.step for event in bench.events(bench.latest()) if "its soft limit; it goes on" in event.text]
    assert sorted(warned) == ["90/10", "90/30"]
    for host in bench.hosts:
        assert bench.on(host, "pgrep -af 'sleep 60[0]'") == "", "what was ended goes on there"


def test_a_cancel_waits_for_the_safe_point_of_every_runner(bench: Bench) -> None:
    """The task that is going on takes longer than any runner was given before it is killed."""
    three(bench, 13, {runner: {"stop": 1.5} for runner in STEPS})
    try:
        assert bench.run("apply", "--yes", "--detach").returncode == 0
        run = bench.latest()

        def at_work() -> set[str]:
            return {event.step for event in bench.events(run) if event.kind == Kind.TASK_STARTED}

        wait_for(lambda: len(at_work()) == 3, "all three at work at the same time", 60)
        assert not [event for event in bench.events(run) if event.kind == Kind.STEP_FINISHED]
        assert bench.run("cancel").returncode == 0
        assert bench.end_of(run) is State.CANCELLED
        for record in bench.reader.steps(run):
            assert record.state is State.CANCELLED
            if record.host:
                assert record.reason == "It was cancelled, and stopped at a safe point after: First"
        for host in bench.hosts:
            assert bench.on(host, "ls /tmp/homewright-second-* 2>/dev/null") == ""
    finally:
        for host in bench.hosts:
            bench.on(host, "rm -f /tmp/homewright-second-*")
