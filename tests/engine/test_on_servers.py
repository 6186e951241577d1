"""The whole engine on practice servers: what goes wrong in the world, and what is left then."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from homewright.access.connection import Connection
from homewright.access.endpoint import Endpoint
from homewright.engine import leftovers, lock
from homewright.engine.events import Event, Kind
from homewright.engine.journal import Reader
from homewright.engine.runners.guard import FENCE_FILE
from homewright.engine.states import State
from homewright.errors import HomewrightError
from homewright.site import files
from homewright.site.paths import StateFolder
from homewright.site.secrets import Secrets

from .catalogues import Tiny
from .conftest import wait_for

pytestmark = pytest.mark.lab

TICKS = """
import time

def run(host):
    for number in range({count}):
        host.say(f"tick {{number}}")
        time.sleep(0.05)
"""


class Bench:
    """A site of practice servers, and a catalogue of the test's own."""

    def __init__(self, lab: Any, folder: Path) -> None:
        self.lab = lab
        self.site = files.load(lab.site_file)
        words = list(lab.state_args)
        chosen = words[words.index("--state") + 1] if "--state" in words else None
        self.state = StateFolder.of(self.site.name, chosen)
        self.reader = Reader(self.state)
        self.tiny = Tiny(folder / "catalogue")
        self.hosts = [server.name for server in self.site.servers]

    def words(self, *arguments: str) -> list[str]:
        verb, *rest = arguments
        stages = ["--stages", str(self.tiny.root)]
        only = ["--only", "90"] if verb in ("apply", "verify", "plan") else []
        return [verb, *stages, *only, *rest]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        done: subprocess.CompletedProcess[str] = self.lab.run(*self.words(*arguments))
        return done

    def command(self, *arguments: str) -> list[str]:
        """The same as words for a shell."""
        command = [sys.executable, "-c", "import sys; from homewright.cli import main; sys.exit(main())"]
        return [*command, "--site", str(self.lab.site_file), *self.lab.state_args, *self.words(*arguments)]

    def on(self, host: str, command: str) -> str:
        with Connection.open(Endpoint.of(self.site.server(host), self.state)) as connection:
            return connection.run(command, sudo=True, check=False).stdout

    def events(self, run: str) -> list[Event]:
        return self.reader.events(run, limit=100_000)

    def latest(self) -> str:
        return self.reader.run().id

    def wait_for_text(self, text: str, before: str = "") -> str:
        """The id of the run that says this, once it does."""

        def said() -> bool:
            runs = self.reader.runs(1)
            return bool(runs) and runs[0].id != before and any(e.text == text for e in self.events(runs[0].id))

        wait_for(said, f"the text {text}", 60)
        return self.latest()

    def end_of(self, run: str) -> State:
        wait_for(lambda: self.reader.run(run).state.final and lock.holder(self.state) is None, "the run's end", 90)
        return self.reader.run(run).state


@pytest.fixture
def bench(trusted_lab: Any, tmp_path: Path) -> Iterator[Bench]:
    made = Bench(trusted_lab, tmp_path)
    yield made
    holder = lock.holder(made.state)
    if holder is not None:
        os.kill(holder.pid, signal.SIGTERM)
        wait_for(lambda: lock.holder(made.state) is None, "the engine's end", 60)


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


def test_a_second_apply_is_refused_with_who_is_at_work(bench: Bench) -> None:
    bench.tiny.step(1, TICKS.format(count=100))
    assert bench.run("apply", "--yes", "--detach").returncode == 0
    run = bench.latest()
    refused = bench.run("apply", "--yes")
    assert refused.returncode == 3
    assert f"run {run}" in refused.stderr
    assert bench.end_of(run) is State.SUCCEEDED


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
        other["released"] = True  # type: ignore[assignment]
        bench.on(host, f"printf '%s' '{json.dumps(other)}' > {FENCE_FILE}")
        assert bench.run("apply", "--yes").returncode == 0
        assert json.loads(bench.on(host, f"cat {FENCE_FILE}"))["fence"] > 10**6
    finally:
        bench.on(host, f"rm -f {FENCE_FILE}")


def test_a_full_disk_a_broken_playbook_and_what_does_not_depend_on_them(bench: Bench) -> None:
    host = bench.hosts[0]
    bench.on(host, "mkdir -p /mnt/homewright-small && mount -t tmpfs -o size=64k none /mnt/homewright-small")
    try:
        bench.tiny.step(
            1,
            """
            def run(host):
                host.run("mkdir -p /mnt/homewright-small; head -c 100000 /dev/zero > /mnt/homewright-small/big")
            """,
        )
        bench.tiny.step(2, TICKS.format(count=1))
        bench.tiny.step(3, TICKS.format(count=2), requires=[])
        bench.tiny.step(
            4,
            """
            - hosts: all
              tasks:
                - name: Two things at once
                  copy: {content: x, dest: /tmp/x}
                  file: {path: /tmp/x}
            """,
            requires=[],
        )
        failed = bench.run("apply", "--yes")
        assert failed.returncode == 1
        steps = {record.step: record for record in bench.reader.steps(bench.latest()) if not record.host}
        assert steps["90/10"].state is State.FAILED
        assert "No space left" in steps["90/10"].reason
        assert "disk is full" in steps["90/10"].say
        assert steps["90/20"].state is State.PENDING
        assert steps["90/20"].reason == "It did not run: 90/10 failed."
        assert steps["90/30"].state is State.SUCCEEDED
        assert steps["90/40"].state is State.FAILED
        assert "catalogue" in steps["90/40"].say
        shown = bench.run("status").stdout
        assert "that means: A disk is full on the server." in shown
        assert "Traceback" not in failed.stdout + failed.stderr
    finally:
        bench.on(host, "umount /mnt/homewright-small")
        for name in bench.hosts:
            bench.on(name, "rm -rf /mnt/homewright-small")


@pytest.mark.long
def test_a_proof_that_cannot_tell_is_waited_for(bench: Bench) -> None:
    bench.tiny.step(
        1,
        """
        def run(host):
            host.run("rm -f /tmp/homewright-tries")
        """,
        """
        from homewright.engine.runners.host import cannot_tell, proved

        def verify(host):
            host.run("echo >> /tmp/homewright-tries")
            tries = len(host.read("/tmp/homewright-tries"))
            return proved("now") if tries > 2 else cannot_tell("it still starts")
        """,
    )
    done = bench.run("apply", "--yes")
    assert done.returncode == 0, done.stdout
    retries = [event for event in bench.events(bench.latest()) if event.kind == Kind.RETRY]
    assert [event.data["wait_s"] for event in retries if event.host == bench.hosts[0]] == [1.0, 2.0]


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


def test_cancel(bench: Bench) -> None:
    bench.tiny.step(1, TICKS.format(count=100)).step(2, TICKS.format(count=1))
    watcher = subprocess.Popen(bench.command("apply", "--yes"), stdout=subprocess.PIPE, text=True)
    before = bench.latest() if bench.reader.runs(1) else ""
    run = bench.wait_for_text("tick 3", before)
    assert bench.run("cancel").returncode == 0
    shown, _ = watcher.communicate(timeout=60)
    assert watcher.returncode == 4, shown
    assert bench.end_of(run) is State.CANCELLED
    control = [event for event in bench.events(run) if event.kind == Kind.CONTROL]
    assert control[0].data["command"] == "cancel"
    states = {record.step: record.state for record in bench.reader.steps(run) if not record.host}
    assert states == {"90/10": State.CANCELLED, "90/20": State.PENDING}
    assert bench.run("status").returncode == 0


def test_ctrl_c_leaves_the_run_alone_and_a_shutdown_interrupts_it(bench: Bench) -> None:
    bench.tiny.step(1, TICKS.format(count=200)).step(2, TICKS.format(count=1))
    before = bench.latest() if bench.reader.runs(1) else ""
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
    assert bench.end_of(run) is State.INTERRUPTED
    states = {record.step: record.state for record in bench.reader.steps(run) if not record.host}
    assert states == {"90/10": State.INTERRUPTED, "90/20": State.PENDING}
    for host in bench.hosts:
        assert json.loads(bench.on(host, f"cat {FENCE_FILE}"))["released"] is True


def test_secrets_are_nowhere_in_what_is_recorded(bench: Bench) -> None:
    secret = "zebra-Quartz-77-canary"
    Secrets(bench.state.secrets).set("workspace/canary@test/password", secret)
    bench.tiny.step(
        1,
        f"""
        import base64, json, sys

        def run(host):
            secret = "{secret[:8]}" + "{secret[8:]}"
            host.say("plain " + secret)
            host.say(json.dumps({{"password": secret}}))
            host.say(base64.b64encode(("user:" + secret).encode()).decode())
            sys.stdout.write(secret[:9]); sys.stdout.flush()
            sys.stdout.write(secret[9:] + "\\n"); sys.stdout.flush()
            raise RuntimeError("refused " + secret)
        """,
    )
    try:
        done = bench.run("apply", "--yes")
        assert done.returncode == 1
        assert "plain ***" in done.stdout
        folder = bench.state.run(bench.latest())
        recorded = [bench.state.journal, Path(f"{bench.state.journal}-wal"), *folder.rglob("*")]
        for file in recorded:
            if file.is_file() and "catalogue" not in file.parts:
                assert secret.encode() not in file.read_bytes(), file
        assert secret not in done.stdout + done.stderr
    finally:
        Secrets(bench.state.secrets).delete("workspace/canary@test/password")


@pytest.mark.long
def test_a_server_that_loses_power_in_the_middle(bench: Bench) -> None:
    victim = bench.hosts[-1]
    bench.tiny.step(
        1,
        f"""
        def run(host):
            host.say("begin")
            if host.name == "{victim}":
                host.run("sleep 400", timeout=None)
        """,
        limits={"soft": 1, "hard": 3, "silent": 3},
    ).step(2, TICKS.format(count=1))
    before = bench.latest() if bench.reader.runs(1) else ""
    assert bench.run("apply", "--yes", "--detach").returncode == 0
    run = bench.wait_for_text("begin", before)
    bench.lab.lxc("stop", "-f", victim)
    try:
        wait_for(lambda: bench.reader.run(run).state.final, "the run's end", 120)
        rows = {record.host: record for record in bench.reader.steps(run) if record.step == "90/10"}
        assert rows[victim].state is State.FAILED
        assert "lost" in rows[victim].reason
        assert "went away in the middle" in rows[""].say
        assert rows[bench.hosts[0]].state is State.SUCCEEDED
    finally:

        def back() -> bool:
            try:
                bench.on(victim, "true")
            except HomewrightError:
                with contextlib.suppress(subprocess.CalledProcessError):
                    bench.lab.lxc("start", victim)  # says so where it is on already
                return False
            return True

        wait_for(back, f"{victim} to come back", 90)


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
