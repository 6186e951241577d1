"""The wheel on a fresh Debian with systemd: there the engine is a unit of its own, out of any login's reach."""

from __future__ import annotations

import json
import secrets
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pexpect
import pytest

from .inside import PLACE

if TYPE_CHECKING:
    from practice_lab import Lab

pytestmark = pytest.mark.lab

HOMEWRIGHT = f"{PLACE}/bin/homewright"
STAGES = "/root/stages"
GOES_ON = "/run/slow-goes-on"
STAGE = """\
id: "90"
title: A slow step
steps:
  - {id: 90/10, title: Slow, runner: python, run: 10_slow.py, verify: 18_slow.py, rollback: 19_slow.py}
"""
SLOW = f"""\
import itertools
import time


def run(host):
    for number in itertools.count():
        host.say(f"tick {{number}}")
        if not host.exists("{GOES_ON}"):
            break
        time.sleep(0.1)
    host.run("touch /run/slow", sudo=True)
"""
"""Takes as long as the test wants it to: until the file is gone."""
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


@pytest.fixture(scope="module")
def controller(lab: Lab, installed_on_s1: None) -> Iterator[Lab]:
    """Homewright on s1, with a site of s2 alone that it has made first contact with."""
    lab.on("s1", f"mkdir -p {STAGES}/90_slow")
    for name, text in {
        "stage.yaml": STAGE, "10_slow.py": SLOW, "18_slow.py": PROOF, "19_slow.py": BACK,
    }.items():  # fmt: skip
        lab.on("s1", f"cat > {STAGES}/90_slow/{name}", text.encode())
    server = json.loads(lab.run("site", "show", "--json").stdout)["servers"][1]
    lab.on("s1", f"{HOMEWRIGHT} site new inner --server s2=lab@{server['address']}")
    lab.on("s1", f"{HOMEWRIGHT} site set profile lab")
    trust = f"{HOMEWRIGHT} trust s2 --fingerprint '{server['host_key']}' --password-stdin"
    lab.on("s1", trust, f"{lab.password}\n".encode())
    yield lab
    lab.on("s1", f"{HOMEWRIGHT} --stages {STAGES} rollback 90 --yes --plain; {HOMEWRIGHT} trust --all --remove")
    lab.on("s1", f"rm -rf {STAGES} /root/.config/homewright /root/.local/state/homewright")


@pytest.fixture
def signed_in(controller: Lab, tmp_path: Path) -> Iterator[Callable[[str], pexpect.spawn]]:
    """Runs a command of root's in an ssh session with a terminal, on s1's own sshd."""
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    controller.on(
        "s1", "mkdir -p -m 700 /root/.ssh; cat >/root/.ssh/authorized_keys", key.with_suffix(".pub").read_bytes()
    )
    address = json.loads(controller.run("site", "show", "--json").stdout)["servers"][0]["address"]
    options = ["-F", "none", "-tt", "-i", str(key), "-o", "StrictHostKeyChecking=yes"]
    options += ["-o", f"UserKnownHostsFile={controller.lab_folder / 'known_hosts'}", f"root@{address}"]
    opened: list[pexpect.spawn] = []

    def run(command: str) -> pexpect.spawn:
        opened.append(pexpect.spawn("ssh", [*options, command], encoding="utf-8", timeout=LIMIT_S))
        return opened[-1]

    yield run
    for session in opened:
        session.close()
    controller.on("s1", "rm /root/.ssh/authorized_keys")


def test_root_is_taken_through_sudo_by_the_password_on_the_terminal(
    controller: Lab, signed_in: Callable[[str], pexpect.spawn]
) -> None:
    """The lab's one part that needs root, for an ordinary user: real sudo asks, and runs it."""
    password = secrets.token_urlsafe(12)
    controller.on("s1", "useradd -m -G sudo hw-ordinary && chpasswd", f"hw-ordinary:{password}\n".encode())
    code = 'from homewright.lab import acts, privilege; print(privilege.act(acts.Request(\\"look\\"), print))'
    try:
        session = signed_in(f'runuser -u hw-ordinary -- env HOME=/home/hw-ordinary {PLACE}/bin/python -c "{code}"')
        session.expect_exact("sudo asks for your password")
        session.expect_exact("[sudo] password for hw-ordinary:")
        session.waitnoecho(10)
        session.sendline(password)
        session.expect_exact("Reply(")
        assert password not in session.read()
    finally:
        controller.on("s1", "pkill -9 -u hw-ordinary; userdel -rf hw-ordinary; true")


def test_its_ssh_session_is_killed_and_the_run_goes_on(
    controller: Lab, signed_in: Callable[[str], pexpect.spawn]
) -> None:
    """Started by root in an ssh session, for s2; everything of that session is killed in the step."""
    lab = controller
    lab.on("s2", f"touch {GOES_ON}")
    try:
        session = signed_in(f"tty; {HOMEWRIGHT} --stages {STAGES} apply --only 90 --yes --plain; echo over")
        session.expect(r"/dev/(pts/\d+)")
        terminal = session.match.group(1)
        session.expect_exact("tick 3")
        units = lab.on("s1", "systemctl list-units --no-legend --plain 'homewright-engine-*'").splitlines()
        assert len(units) == 1 and " running " in units[0], units
        killed = lab.on("s1", f"pgrep -c -t {terminal}; pkill -9 -t {terminal}; pkill -9 -f '^sshd: root@'; true")
        assert int(killed) >= 2, "a shell and the command"
        assert "over" not in session.read()
        status = _until(lab, lambda status: True)
        assert status["state"] == "running", "the run went with its session"
    finally:
        lab.on("s2", f"rm {GOES_ON}")
    status = _until(lab, lambda status: status["state"] not in ("pending", "running"))
    assert status["state"] == "succeeded", status
    events = [json.loads(line) for line in lab.on("s1", f"{HOMEWRIGHT} attach --jsonl").splitlines()]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    ticks = [event["text"] for event in events if event["text"].startswith("tick")]
    assert ticks == [f"tick {number}" for number in range(len(ticks))], "every line, exactly once"
    assert len(ticks) > 3


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
