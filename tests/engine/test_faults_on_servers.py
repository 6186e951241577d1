"""What goes wrong on practice servers in the middle of a run, and what is left then."""

from __future__ import annotations

import contextlib
import subprocess
from pathlib import Path

import pytest

from homewright.engine.events import Kind
from homewright.engine.states import State
from homewright.errors import HomewrightError
from homewright.site.secrets import Secrets

from .bench import TICKS, Bench
from .conftest import wait_for

pytestmark = pytest.mark.lab


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
