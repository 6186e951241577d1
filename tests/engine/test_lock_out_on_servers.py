"""Steps that cut off the way to their own server, on practice servers: it comes back by itself, the run says why."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from homewright.catalogue.models import Revert
from homewright.engine import lock, ourselves
from homewright.engine.armed import BASE
from homewright.engine.context import Context
from homewright.engine.fence import Fences
from homewright.engine.journal.writer import Writer
from homewright.engine.states import State
from homewright.engine.trial import Trial

from .bench import Bench
from .conftest import wait_for

pytestmark = pytest.mark.lab

FILE = "/etc/systemd/network/00-cut.network"
CUTS = """
def run(host):
    cut = b"[Match]\\nName=eth0\\n[Network]\\nDHCP=no\\nLinkLocalAddressing=no\\n"
    with host.task("The network") as task:
        task.changed = host.write("/etc/systemd/network/00-cut.network", cut)
    {then}
"""
# the fifth of a second lets the command's answer out before there is no way for it
DOWN = """if host.name == "{host}":
        host.run("(sleep 0.2; networkctl reload; ip link set eth0 down) >/dev/null 2>&1 &")"""
PROOF = """
from homewright.engine.runners.host import broken, proved

def verify(host):
    return proved("there") if host.exists("/etc/systemd/network/00-cut.network") else broken("it is gone")
"""
BACK = """
def rollback(host):
    host.remove("/etc/systemd/network/00-cut.network")
"""
RISKY: dict[str, Any] = {
    "may_lock_out": True,
    "reads": ["network.lan"],
    "revert": {
        "files": ["/etc/systemd/network/"],
        "command": "networkctl reload; ip link set eth0 up; networkctl reconfigure eth0",
        "minutes": 0.35,
    },
}


def test_a_server_whose_network_the_step_cuts_comes_back_and_the_run_says_why(bench: Bench) -> None:
    """The others are confirmed, and what was confirmed is rolled back under the same precautions."""
    victim, other = bench.hosts[1], bench.hosts[2]
    bench.tiny.step(1, CUTS.format(then=DOWN.format(host=victim)), PROOF, BACK, **RISKY)
    try:
        failed = bench.run("apply", "--yes")
        assert failed.returncode == 1, failed.stdout + failed.stderr
        rows = {record.host: record for record in bench.reader.steps(bench.latest())}
        assert rows[victim].state is State.FAILED
        assert rows[victim].reason.startswith(
            "Nobody could get in afresh within 21 s, so the server put everything back"
        )
        assert "change the answers that it reads (network.lan): homewright site set" in rows[victim].do
        assert rows[other].state is State.SUCCEEDED
        assert bench.on(victim, f"ls {FILE} {BASE}/armed.json {BASE}/reverted.json 2>/dev/null") == ""
        assert bench.on(victim, "ls /etc/systemd/system/homewright-revert* 2>/dev/null") == ""
        assert bench.on(other, f"ls {FILE}").strip() == FILE
        back = bench.run("rollback", "90", "--yes")
        assert back.returncode == 0, back.stdout + back.stderr
        assert back.stdout.count("disarmed: a fresh connection came through") == len(bench.hosts)
        assert bench.on(other, f"ls {FILE} 2>/dev/null") == ""
    finally:
        for host in bench.hosts:
            bench.on(host, f"rm -f {FILE}; networkctl reload")


def test_what_a_dead_engine_left_armed_is_put_back_before_anything_else(bench: Bench) -> None:
    wait = "host.say('waiting'); host.run('test -e /tmp/homewright-awake || sleep 987', timeout=None)"
    risky = {**RISKY, "revert": {**RISKY["revert"], "minutes": 60}}
    bench.tiny.step(1, CUTS.format(then=wait), PROOF, BACK, **risky)
    try:
        assert bench.run("apply", "--yes", "--detach").returncode == 0
        run = bench.wait_for_text("waiting")
        everywhere = set(bench.hosts)
        wait_for(lambda: {e.host for e in bench.events(run) if e.text == "waiting"} == everywhere, "the step", 60)
        holder = lock.holder(bench.state)
        assert holder is not None
        os.kill(holder.pid, signal.SIGKILL)
        wait_for(lambda: lock.holder(bench.state) is None, "the engine's end")
        for host in bench.hosts:
            bench.on(host, "touch /tmp/homewright-awake")
            assert bench.on(host, f"cat {FILE}; ls {BASE}/armed.json")
        going = bench.run("resume", "--yes")
        assert going.returncode == 0, going.stdout + going.stderr
        assert going.stdout.count("was cut off here before it was confirmed: the server put everything back") == 3
        assert going.stdout.count("changed: The network") == 3, "the step began from what was before it"
    finally:
        for host in bench.hosts:
            bench.on(host, f"rm -f /tmp/homewright-awake {FILE}; networkctl reload")


def test_the_machine_that_we_run_on_is_confirmed_by_way_of_another(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """sshd's own log says from where the connection came that disarmed it."""
    first, second = bench.hosts[:2]
    addresses = {server.name: server.address for server in bench.site.servers}
    machine_id = tmp_path / "machine-id"
    machine_id.write_text(bench.on(first, "cat /etc/machine-id"))
    monkeypatch.setattr(ourselves, "MACHINE_ID", machine_id)
    writer = Writer(bench.state, "ours")
    writer.change(writer.add_run(action="run", state="succeeded", created=1.0))

    async def whole() -> bool:
        fences = Fences(bench.site, bench.state, writer, "test")
        context = Context("ours", bench.site, bench.state, None, {}, writer, "test", fences)  # type: ignore[arg-type]
        assert not await fences.hold([first])
        trial = Trial(context, "90/10", Revert(files=("/etc/hosts",)))
        assert not await trial.arm([first])
        outcome = await trial.settle(first, good=True)
        assert not await fences.release()
        return outcome.kept

    try:
        since = bench.on(first, "date +%s").strip()
        assert asyncio.run(whole())
        log = bench.on(first, f"journalctl -u ssh -o cat --since @{since}")
        assert f"Accepted publickey for lab from {addresses[second]}" in log, log
    finally:
        writer.close()
        bench.on(first, "rm -f /var/lib/homewright/fence.json")


def test_servers_that_a_step_changed_are_rebooted_one_after_another_and_no_others(bench: Bench) -> None:
    """Of a step that also may lock out: armed through the reboot."""
    once = """
    def run(host):
        with host.task("The file") as task:
            if not host.exists("/etc/homewright-rebooted"):
                host.run("cp /proc/sys/kernel/random/boot_id /etc/homewright-rebooted")
                task.changed = True
    """
    proof = """
    from homewright.engine.runners.host import broken, proved

    def verify(host):
        before = host.read("/etc/homewright-rebooted")
        now = host.run(["cat", "/proc/sys/kernel/random/boot_id"]).stdout_bytes
        return proved("another boot") if before not in (None, now) else broken("still in the boot of before")
    """
    first, second = bench.hosts[1:]
    revert = {"files": ["/etc/homewright-rebooted"], "minutes": 3}
    more = {"reboots": True, "may_lock_out": True, "revert": revert, "hosts": "kubernetes_workers"}
    bench.tiny.step(1, once, proof, **more)
    try:
        done = bench.run("apply", "--yes")
        assert done.returncode == 0, done.stdout + done.stderr
        told = [(e.host, e.text) for e in bench.events(bench.latest()) if "reboot" in e.text or "is back" in e.text]
        assert [host for host, _ in told] == [first, first, second, second]
        assert [text.split(" after")[0] for _, text in told] == ["rebooting it", "it is back"] * 2
        assert done.stdout.count("disarmed: a fresh connection came through") == 2
        again = bench.run("apply", "--yes")
        assert again.returncode == 0, again.stdout + again.stderr
        assert "rebooting" not in again.stdout
    finally:
        for host in bench.hosts:
            bench.on(host, "rm -f /etc/homewright-rebooted")
