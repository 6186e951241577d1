"""What goes wrong on practice servers in the middle of a run, and what is left then."""

from __future__ import annotations

import contextlib
import subprocess
import tarfile
from pathlib import Path

import pytest
from integration.sampling import ProcessSampler, forms
from practice_lab import COMMAND

from homewright.engine.events import Event, Kind
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


def test_secrets_of_a_failed_run_are_nowhere_and_its_bundle_replays(bench: Bench, tmp_path: Path) -> None:
    """One step uses a secret as it should, prints it in every form, and crashes with it in its memory."""
    secret = "zebra-Quartz-77-canary"
    Secrets(bench.state.secrets).set("workspace/canary@test/password", secret)
    bench.tiny.step(
        1,
        """
        import base64, json, os, resource, signal, sys

        def run(host):
            secret = host.secrets.get("workspace/canary@test/password")
            host.run("cat >/dev/null", stdin=secret.encode())
            host.say("plain " + secret)
            host.say(json.dumps({"password": secret}))
            host.say(base64.b64encode(("user:" + secret).encode()).decode())
            sys.stdout.write(secret[:9]); sys.stdout.flush()
            sys.stdout.write(secret[9:] + "\\n"); sys.stdout.flush()
            host.say(f"core files {resource.getrlimit(resource.RLIMIT_CORE)}")
            if host.name == host.site.servers[0].name:
                raise RuntimeError("refused " + secret)
        """,
    ).step(2, "import os\n\ndef run(host):\n    host.secrets.values()\n    os.abort()\n", requires=[])
    needles = forms(secret)
    try:
        with ProcessSampler() as sampler:
            done = bench.run("apply", "--yes")
        assert done.returncode == 1
        assert "plain ***" in done.stdout
        assert "core files (0, 0)" in done.stdout
        assert "was killed by SIGABRT" in done.stdout
        assert not [called for called in sampler.seen if any(needle in called for needle in needles)]
        run = bench.latest()
        recorded = [bench.state.journal, Path(f"{bench.state.journal}-wal"), *bench.state.run(run).rglob("*")]
        for file in recorded:
            if file.is_file():
                assert not file.name.startswith("core"), "a core file has all that was in memory"
                assert not [needle for needle in needles if needle in file.read_bytes()], file
        assert secret not in done.stdout + done.stderr
        bundle = tmp_path / "bundle.tar.gz"
        assert bench.run("support-bundle", str(bundle)).returncode == 0
        with tarfile.open(bundle) as archive:
            for member in archive:
                content = archive.extractfile(member)
                assert content is not None
                assert not [needle for needle in needles if needle in content.read()], member.name
        words = [*COMMAND, "--rehearse", str(bundle), "attach", "--jsonl"]
        replayed = subprocess.run(words, env=bench.lab.environment, capture_output=True, text=True, timeout=60)
        seen = [(event.seq, event.kind, event.text) for event in bench.events(run)]
        again = [Event.from_json(line) for line in replayed.stdout.splitlines()]
        assert [(event.seq, event.kind, event.text) for event in again] == seen
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
            if host.name == "{victim}" and not host.exists("/var/tmp/homewright-once"):
                host.run("touch /var/tmp/homewright-once; sync")
                host.say("asleep")
                host.run("sleep 400", timeout=None)
        """,
        limits={"soft": 1, "hard": 3, "silent": 3},
    ).step(2, TICKS.format(count=1))
    before = bench.latest() if bench.reader.runs(1) else ""
    assert bench.run("apply", "--yes", "--detach").returncode == 0
    run = bench.wait_for_text("asleep", before)
    bench.lab.lxc("stop", "-f", victim)
    try:
        bench.wait_for_text("it does not answer; it is waited for, up to 15 minutes")
        rows = {record.host: record for record in bench.reader.steps(run) if record.step == "90/10"}
        assert rows[victim].state is State.FAILED
        assert "lost" in rows[victim].reason
        assert "went away in the middle" in rows[""].say
        assert rows[bench.hosts[0]].state is State.SUCCEEDED
        assert bench.reader.run(run).state is State.RUNNING
        bench.lab.lxc("start", victim)
        wait_for(lambda: bench.reader.run(run).state.final, "the run's end", 240)
        assert bench.end_of(run) is State.SUCCEEDED
        began = [event.text for event in bench.events(run) if event.kind == Kind.STEP_STARTED]
        assert [text for text in began if "Step 1:" in text][1].endswith(f"started on {victim}")
        assert len(began) == 3, "what was done on the others was done again"
    finally:
        with contextlib.suppress(HomewrightError):
            bench.on(victim, "rm -f /var/tmp/homewright-once")

        def back() -> bool:
            try:
                bench.on(victim, "true")
            except HomewrightError:
                with contextlib.suppress(subprocess.CalledProcessError):
                    bench.lab.lxc("start", victim)  # says so where it is on already
                return False
            return True

        wait_for(back, f"{victim} to come back", 90)
