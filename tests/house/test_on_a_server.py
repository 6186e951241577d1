"""The wheel on a fresh Debian with systemd: there the engine is a unit of its own, out of any login's reach."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from practice_lab import Lab

pytestmark = [pytest.mark.lab, pytest.mark.long]

HOMEWRIGHT = "/opt/homewright/bin/homewright"
STAGE = """\
id: "90"
title: A slow step
steps:
  - {id: 90/10, title: Slow, runner: python, run: 10_slow.py, verify: 18_slow.py, rollback: 19_slow.py}
"""
SLOW = """\
def run(host):
    host.run("for i in $(seq 40); do echo tick $i; sleep 0.25; done; touch /run/slow", sudo=True)
"""
PROOF = """\
from homewright.engine.runners.host import broken, proved


def verify(host):
    return proved("done") if host.exists("/run/slow") else broken("not done")
"""
BACK = """\
def rollback(host):
    host.run("rm -f /run/slow", sudo=True)
"""
LIMIT_S = 120


def test_the_engine_is_a_unit_that_outlives_the_login(lab: Lab, wheel: Path) -> None:
    """Started by root on s1 for s2; the process tree that started it is killed while the step runs."""
    lab.on("s1", f"cat > /root/{wheel.name}", wheel.read_bytes())
    lab.on("s1", "apt-get update -qq && apt-get install -y -qq python3-venv >/dev/null 2>&1")
    lab.on("s1", f"python3 -m venv /opt/homewright && /opt/homewright/bin/pip install -q /root/{wheel.name}")
    for name, text in {
        "stage.yaml": STAGE, "10_slow.py": SLOW, "18_slow.py": PROOF, "19_slow.py": BACK,
    }.items():  # fmt: skip
        lab.on("s1", f"mkdir -p /root/stages/90_slow; cat > /root/stages/90_slow/{name}", text.encode())
    server = json.loads(lab.run("site", "show", "--json").stdout)["servers"][1]
    lab.on("s1", f"{HOMEWRIGHT} site new inner --server s2=lab@{server['address']}")
    trust = f"{HOMEWRIGHT} trust s2 --fingerprint '{server['host_key']}' --password-stdin"
    lab.on("s1", trust, f"{lab.password}\n".encode())

    lab.on(
        "s1", f"setsid sh -c '{HOMEWRIGHT} --stages /root/stages apply --only 90 --yes --plain; true' >/dev/null 2>&1 &"
    )
    _until(lab, lambda status: status["state"] == "running" and status["steps"][0]["state"] == "running")
    units = lab.on("s1", "systemctl list-units --no-legend --plain 'homewright-engine-*'").splitlines()
    assert len(units) == 1 and " running " in units[0], units
    lab.on("s1", "pkill -9 -f 'apply --only [9]0'")
    status = _until(lab, lambda status: status["state"] not in ("pending", "running"))
    assert status["state"] == "succeeded", status
    seen = [json.loads(line)["seq"] for line in lab.on("s1", f"{HOMEWRIGHT} attach --jsonl").splitlines()]
    assert seen == list(range(1, status["last_seq"] + 1))
    lab.on("s1", f"{HOMEWRIGHT} --stages /root/stages rollback 90 --yes --plain; {HOMEWRIGHT} trust --all --remove")


def _until(lab: Lab, holds: object) -> dict[str, object]:
    assert callable(holds)
    limit = time.monotonic() + LIMIT_S
    while time.monotonic() < limit:
        text = lab.on("s1", f"{HOMEWRIGHT} status --json || true")
        status: dict[str, object] = json.loads(text) if text.startswith("{") else {}
        if status.get("steps") and holds(status):
            return status
        time.sleep(0.2)
    raise AssertionError(f"not within {LIMIT_S} s: {status}")
