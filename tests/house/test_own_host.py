"""Homewright on a server of its own site, and the run's own steps reboot that server, or cut it off."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from homewright.engine.armed import BASE
from homewright.engine.runners.guard import FENCE_FILE

from .inside import Inside, ended

if TYPE_CHECKING:
    from practice_lab import Lab

pytestmark = [pytest.mark.lab, pytest.mark.long]

SERVERS = ("s1", "s2", "s3")
BOOTED, MADE = "/etc/homewright-booted", "/var/homewright-made"
CUT = "/etc/systemd/network/00-cut.network"
REBOOTS = f"""\
id: "90"
title: Reboots
requires: []
steps:
  - id: 90/10
    title: Reboots
    runner: python
    run: 10_reboot.py
    verify: 18_reboot.py
    rollback: 19_reboot.py
    reboots: true
    may_lock_out: true
    revert: {{files: [{BOOTED}], minutes: 6}}
"""
REBOOT = f"""\
def run(host):
    with host.task("The file") as task:
        if not host.exists("{BOOTED}"):
            host.run("cp /proc/sys/kernel/random/boot_id {BOOTED} && echo made >>{MADE} && sync")
            task.changed = True
"""
REBOOTED = f"""\
from homewright.engine.runners.host import broken, proved


def verify(host):
    before = host.read("{BOOTED}")
    now = host.run(["cat", "/proc/sys/kernel/random/boot_id"]).stdout_bytes
    return proved("another boot") if before not in (None, now) else broken("still in the boot of before")
"""
CUTS = """\
id: "91"
title: Cuts
requires: []
steps:
  - id: 91/10
    title: Cuts its own server off
    runner: python
    run: 10_cut.py
    verify: 18_cut.py
    rollback: 19_cut.py
    hosts: controller
    may_lock_out: true
    revert:
      files: [/etc/systemd/network/]
      command: networkctl reload; ip link set eth0 up; networkctl reconfigure eth0
      minutes: 0.35
"""
CUT_OFF = f"""\
def run(host):
    with host.task("The network") as task:
        task.changed = host.write("{CUT}", b"[Match]\\nName=eth0\\n[Network]\\nDHCP=no\\nLinkLocalAddressing=no\\n")
    host.run("(sleep 0.2; networkctl reload) >/dev/null 2>&1 &")
"""
THERE = f"""\
from homewright.engine.runners.host import broken, proved


def verify(host):
    return proved("there") if host.exists("{CUT}") else broken("it is gone")
"""
BACK = """\
def rollback(host):
    host.remove("{file}")
"""


@pytest.fixture(scope="module")
def inside(lab: Lab, installed_on_s1: None) -> Iterator[Inside]:
    """An ordinary user's Homewright on s1, for s1, s2 and s3; nobody is signed in there, and nobody lingers."""
    for server in SERVERS:
        lab.on(server, f"rm -f {FENCE_FILE}")  # whoever held it is no part of this
    made = Inside(lab, "s1", "ann")
    made.begin(SERVERS)
    folder = f"{made.home}/stages"
    back = {name: BACK.format(file=file) for name, file in (("19_reboot.py", BOOTED), ("19_cut.py", CUT))}
    reboots = {"stage.yaml": REBOOTS, "10_reboot.py": REBOOT, "18_reboot.py": REBOOTED}
    cuts = {"stage.yaml": CUTS, "10_cut.py": CUT_OFF, "18_cut.py": THERE}
    made.put(f"{folder}/90_reboots", {**reboots, "19_reboot.py": back["19_reboot.py"]})
    made.put(f"{folder}/91_cuts", {**cuts, "19_cut.py": back["19_cut.py"]})
    yield made
    made.run("trust", "--all", "--remove")
    made.end()
    for server in SERVERS:
        lab.on(server, f"rm -rf {BOOTED} {MADE} {FENCE_FILE}")


def test_the_run_reboots_the_server_that_it_runs_on_and_goes_on_by_itself(inside: Inside) -> None:
    """The others first, one after another; all are armed meanwhile, and ours is confirmed by way of another one."""
    folder = f"{inside.home}/stages"
    before = {server: inside.lab.on(server, "cat /proc/sys/kernel/random/boot_id") for server in SERVERS}
    inside.run("--stages", folder, "apply", "--only", "90", "--yes", "--detach")
    status = inside.until(ended, "the end of the run", 900)
    assert status["state"] == "succeeded", status
    assert max(step["attempt"] for step in status["steps"]) == 2, "one engine before its reboot and one after it"
    lines = inside.lines()
    assert [host for host, text in lines if text.startswith("rebooting it")] == ["s2", "s3", "s1"]
    assert ("s1", "rebooting it: it is the machine that Homewright runs on, the run goes on when it is back") in lines
    assert sorted(host for host, text in lines if text.startswith("disarmed: a fresh connection")) == list(SERVERS)
    for server in SERVERS:
        noted = inside.lab.on(server, f"cat {BOOTED}")
        assert noted == before[server] != inside.lab.on(server, "cat /proc/sys/kernel/random/boot_id")
        assert inside.lab.on(server, f"cat {MADE}") == "made\n", "done once"
        assert inside.lab.on(server, f"ls {BASE}/armed.json {BASE}/reverted.json 2>/dev/null || true") == ""
    [other] = inside.lab.on("s2", "hostname -I").split()
    log = inside.lab.on("s1", "journalctl -b -u ssh -o cat")
    assert f"Accepted publickey for lab from {other}" in log, log
    inside.without_unit()


def test_a_step_that_cuts_off_the_server_that_it_runs_on_is_taken_back_and_the_run_says_why(inside: Inside) -> None:
    inside.run("--stages", f"{inside.home}/stages", "apply", "--only", "91", "--yes", "--detach")
    status = inside.until(ended, "the end of the run", 600)
    assert status["state"] == "failed", status
    [step] = status["steps"]
    assert "Nobody could get in afresh within 21 s, so the server put everything back" in step["reason"], step
    assert inside.lab.on("s1", f"ls {CUT} {BASE}/armed.json {BASE}/reverted.json 2>/dev/null || true") == ""
    inside.run("trust", "--all")  # every server lets us in by its network again
    inside.without_unit()
