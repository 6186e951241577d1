"""Breaking practice servers on purpose: what is undone is undone exactly, and the lab works on in any broken state."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from typing import get_args

import pytest
from practice_lab import Lab

from homewright.cli import lab as lab_verb
from homewright.errors import LabError
from homewright.lab.breaking import WAYS, require_possible
from homewright.lab.models import Fault

SNAPSHOT = """
cd /
find etc usr/local var/lib/practice var/empty -xdev -printf '%p %m %u %y %l\\n' 2> /dev/null | sort
find home -maxdepth 2 -printf '%p %m %u %y %l\\n' | sort
find etc usr/local -xdev -type f -exec md5sum {} + | sort
find home -maxdepth 2 -type f -exec md5sum {} + | sort
hostname; cat /sys/class/net/eth0/mtu; iptables -S; grep -c -e practice -e ' /home' /proc/self/mountinfo
systemctl is-active systemd-timesyncd 'practice-*'; ls /run/practice-home 2>&1; true
"""
"""Whatever a fault touches, and whatever lies around it."""

TOGETHER = tuple(fault for fault in WAYS if fault != "dns")


def test_the_command_line_and_the_lab_know_the_same_faults() -> None:
    assert lab_verb.FAULTS == get_args(Fault) == tuple(sorted(WAYS, key=get_args(Fault).index))


def test_two_faults_of_one_file_are_not_mixed() -> None:
    with pytest.raises(LabError, match="s1 cannot be broken by dns now") as raised:
        require_possible("dns", ("port", "resolv"), "s1")
    assert raised.value.do == ("homewright lab mend s1 resolv",)
    require_possible("dns", ("port", "dns"), "s1")
    assert all(fault in WAYS[other].clashes for fault, way in WAYS.items() for other in way.clashes)


def told(lab: Lab, *words: str) -> str:
    done = lab.run("lab", *words)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def whole(trusted_lab: Lab) -> Iterator[Lab]:
    yield trusted_lab
    trusted_lab.run("lab", "mend", "s2")


@pytest.mark.lab
def test_what_was_broken_is_undone_exactly(whole: Lab) -> None:
    before = whole.on("s2", SNAPSHOT).splitlines()
    said = told(whole, "break", "s2", *TOGETHER)
    assert all(WAYS[fault].says in said for fault in TOGETHER)
    spoilt = whole.on("s2", SNAPSHOT).splitlines()
    assert "Practice-Server" in spoilt and "1400" in spoilt and "inactive" in spoilt
    assert "was broken so already" in told(whole, "break", "s2", "disk")
    said = told(whole, "ssh", "s2", "--", "date +%s; sudo date +%s; python3 -c 'import time; print(int(time.time()))'")
    now = int(whole.on("s2", "date +%s"))
    assert all(abs(int(clock) - now - 26 * 3600) < 60 for clock in said.split())
    refused = whole.run("lab", "break", "s2", "dns")
    assert refused.returncode == 1
    assert "homewright lab mend s2 resolv" in refused.stderr
    assert all(fault in told_of for told_of in [told(whole, "mend", "s2")] for fault in TOGETHER)
    assert "Nothing changed" in told(whole, "mend", "s2")
    told(whole, "break", "s2", "dns")
    assert whole.on("s2", "getent ahostsv4 cannot-exist.example | head -n 1").split()[0] == "192.0.2.1"
    told(whole, "mend", "s2", "dns")
    assert whole.on("s2", SNAPSHOT).splitlines() == before


@pytest.mark.lab
def test_a_power_cut_mends_nothing_that_the_record_calls_broken(whole: Lab) -> None:
    told(whole, "break", "s2", "clock", "disk", "mtu", "hostname")
    told(whole, "power-off", "s2")
    off = whole.run("lab", "break", "s2", "port")
    assert off.returncode == 1
    assert "homewright lab power-on s2" in off.stderr
    told(whole, "mend", "s1")
    told(whole, "power-on", "s2")
    seen = whole.on("s2", "cat /sys/class/net/eth0/mtu; df -P -m /home/lab | tail -n 1; hostname").split()
    assert (seen[0], seen[2], seen[-1]) == ("1400", "64", "Practice-Server")
    status = json.loads(told(whole, "status", "--json"))
    assert set(status["servers"][1]["broken"]) == {"clock", "disk", "mtu", "hostname", "port"}
    assert status["state"] == "up"


@pytest.mark.lab
def test_an_unknown_fault_or_server_is_refused(trusted_lab: Lab) -> None:
    outcomes: list[subprocess.CompletedProcess[str]] = [
        trusted_lab.run("lab", "break", "s2", "everything"),
        trusted_lab.run("lab", "break", "s9", "clock"),
        trusted_lab.run("lab", "mend", "s9"),
    ]
    assert [done.returncode for done in outcomes] == [2, 2, 2]
    assert "There is no practice server s9" in outcomes[1].stderr
