"""The whole engine on practice servers: a run as it ought to be, watched, cancelled, and left alone."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from homewright.engine import lock
from homewright.engine.events import Event, Kind
from homewright.engine.runners.guard import FENCE_FILE
from homewright.engine.states import State

from .bench import SLOW, TICKS, Bench
from .conftest import wait_for

pytestmark = pytest.mark.lab


def test_a_run_with_changes_and_one_without(bench: Bench) -> None:
    bench.tiny.step(
        1,
        """
        def run(host):
            with host.task("The file") as task:
                task.changed = host.write("/tmp/homewright-tiny", b"made", mode=0o644)
        """,
        """
        from homewright.engine.runners.host import broken, proved

        def verify(host):
            return proved("it is there") if host.read("/tmp/homewright-tiny") == b"made" else broken("it is gone")
        """,
        """
        def rollback(host):
            host.remove("/tmp/homewright-tiny")
        """,
    )
    first = bench.run("apply", "--yes")
    assert first.returncode == 0, first.stdout + first.stderr
    assert f"Done: {len(bench.hosts)} changes." in first.stdout
    second = bench.run("apply", "--yes", "--jsonl")
    assert second.returncode == 0
    events = [Event.from_json(line) for line in second.stdout.splitlines()]
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert events[-1].data["changed"] == 0
    assert "nothing changed" in events[-1].text
    assert bench.run("verify").returncode == 0
    back = bench.run("rollback", "90", "--yes")
    assert back.returncode == 0, back.stdout + back.stderr
    document = json.loads(bench.run("status", "--json").stdout)
    assert document["state"] == "rolled-back"
    verified = bench.run("verify")
    assert verified.returncode == 1
    assert "it is gone" in verified.stdout


def test_the_login_is_killed_and_the_run_goes_on(bench: Bench) -> None:
    """kill -9 of the command, of its shell and of everything that has their terminal, in the middle of a step."""
    bench.tiny.step(1, TICKS.format(count=60))
    before = bench.latest() if bench.reader.runs(1) else ""
    login, terminal = pty.fork()
    if login == 0:
        shell = ["/bin/sh", "-c", '"$@"; exit', "sh", *bench.command("apply", "--yes")]
        os.execv(shell[0], shell)
    run = bench.wait_for_text("tick 5", before)
    tree = _tree(login)
    assert len(tree) >= 2, "a shell and the command"
    for pid in tree:
        os.kill(pid, signal.SIGKILL)
    os.waitpid(login, 0)
    os.close(terminal)
    assert lock.holder(bench.state) is not None, "the engine went with the login"
    assert bench.end_of(run) is State.SUCCEEDED
    shown = bench.run("attach", "--jsonl")
    assert shown.returncode == 0
    events = [Event.from_json(line) for line in shown.stdout.splitlines()]
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    for host in bench.hosts:
        ticks = [event.text for event in events if event.host == host and event.text.startswith("tick")]
        assert ticks == [f"tick {number}" for number in range(60)]
    middle = len(events) // 2
    rest = bench.run("attach", "--jsonl", "--since", str(middle)).stdout.splitlines()
    assert [Event.from_json(line).seq for line in rest] == list(range(middle + 1, len(events) + 1))
    plain = bench.run("attach", "--plain").stdout
    assert plain.count("tick 59") == len(bench.hosts)


@contextlib.contextmanager
def going_on(bench: Bench) -> Iterator[None]:
    """What is `SLOW` goes on until this ends."""
    for host in bench.hosts:
        bench.on(host, "touch /tmp/homewright-slow")
    try:
        yield
    finally:
        for host in bench.hosts:
            bench.on(host, "rm /tmp/homewright-slow")


def test_a_second_apply_is_refused_with_who_is_at_work(bench: Bench) -> None:
    bench.tiny.step(1, SLOW)
    with going_on(bench):
        assert bench.run("apply", "--yes", "--detach").returncode == 0
        run = bench.latest()
        refused = bench.run("apply", "--yes")
        assert refused.returncode == 3
        assert f"run {run}" in refused.stderr
    assert bench.end_of(run) is State.SUCCEEDED


def test_cancel(bench: Bench) -> None:
    bench.tiny.step(1, SLOW).step(2, TICKS.format(count=1))
    before = bench.latest() if bench.reader.runs(1) else ""
    with going_on(bench):
        watcher = subprocess.Popen(bench.command("apply", "--yes"), stdout=subprocess.PIPE, text=True)
        run = bench.wait_for_text("tick 3", before)
        assert bench.run("cancel").returncode == 0
    # What goes on is told to stop, and does so where it may: here at its end.
    shown, _ = watcher.communicate(timeout=60)
    assert watcher.returncode == 4, shown
    assert bench.end_of(run) is State.CANCELLED
    control = [event for event in bench.events(run) if event.kind == Kind.CONTROL]
    assert control[0].data["command"] == "cancel"
    states = {record.step: record.state for record in bench.reader.steps(run) if not record.host}
    assert states == {"90/10": State.CANCELLED, "90/20": State.PENDING}
    assert bench.run("status").returncode == 0


def test_ctrl_c_leaves_the_run_alone_and_a_shutdown_interrupts_it(bench: Bench) -> None:
    bench.tiny.step(1, SLOW).step(2, TICKS.format(count=1))
    before = bench.latest() if bench.reader.runs(1) else ""
    with going_on(bench):
        watcher = subprocess.Popen(
            bench.command("apply", "--yes"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        run = bench.wait_for_text("tick 3", before)
        watcher.send_signal(signal.SIGINT)
        _, said = watcher.communicate(timeout=30)
        assert watcher.returncode == 130
        assert "goes on without you" in said
        assert "attach" in said
        holder = lock.holder(bench.state)
        assert holder is not None and holder.run == run
        os.kill(holder.pid, signal.SIGTERM)
        # A step that ends before the engine has seen it has succeeded, and the next one begins.
        wait_for(lambda: any(e.text.startswith("asked to stop") for e in bench.events(run)), "the engine's stopping")
    assert bench.end_of(run) is State.INTERRUPTED
    states = {record.step: record.state for record in bench.reader.steps(run) if not record.host}
    assert states == {"90/10": State.INTERRUPTED, "90/20": State.PENDING}
    for host in bench.hosts:
        assert json.loads(bench.on(host, f"cat {FENCE_FILE}"))["released"] is True


@pytest.mark.long
def test_what_was_before_is_captured_once_and_given_to_the_rollback(bench: Bench) -> None:
    proof = """
    from homewright.engine.runners.host import broken, proved

    def capture(host):
        return {"before": host.run("cat /tmp/homewright-kept").stdout.strip()}

    def verify(host):
        return proved("changed") if host.read("/tmp/homewright-kept") == b"after" else broken("as before")
    """
    back = """
    def rollback(host):
        host.write("/tmp/homewright-kept", host.capture["before"].encode())
    """
    bench.tiny.step(1, 'def run(host):\n    host.write("/tmp/homewright-kept", b"after")\n', proof, back)
    for host in bench.hosts:
        bench.on(host, f"printf 'of {host}' > /tmp/homewright-kept")
    assert bench.run("apply", "--yes").returncode == 0
    assert bench.run("apply", "--yes").returncode == 0
    assert bench.reader.captures("90/10") == {host: {"before": f"of {host}"} for host in bench.hosts}
    assert bench.run("rollback", "90", "--yes").returncode == 0
    for host in bench.hosts:
        assert bench.on(host, "cat /tmp/homewright-kept; rm /tmp/homewright-kept") == f"of {host}"
    assert bench.reader.captures("90/10") == {}


def _tree(root: int) -> list[int]:
    """A process with all its descendants, and everything else of its session."""
    parents: dict[int, int] = {}
    sessions: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents[int(entry.name)], sessions[int(entry.name)] = int(fields[1]), int(fields[3])
    found = {root}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return sorted(found | {pid for pid, session in sessions.items() if session == root}, reverse=True)
