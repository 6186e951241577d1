"""What a server does by itself: armed, disarmed, put back. The scripts are the real ones; only systemd is left out."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from homewright.engine import armed
from homewright.engine.armed import Answer, Found, Orders

from .conftest import wait_for

pytestmark = pytest.mark.programs

BOOT = Path(armed.BOOT_ID).read_text().strip()


class Machine:
    """A server's folders, under one of the test's."""

    def __init__(self, folder: Path) -> None:
        self.etc = folder / "etc"
        self.base = folder / "var" / "revert"
        self.units = folder / "units"
        for made in (self.etc, self.units, self.base.parent):
            made.mkdir(parents=True)
        self.orders = Orders(
            "t0ken", "10/10", "r1", (f"{self.etc}/netplan/", f"{self.etc}/one", f"{self.etc}/new"), "", 60
        )

    def ask(self, request: object, came_to: str = "127.0.0.1") -> Answer:
        """As sudo starts it: only the shell above knows where the connection came to."""
        words = ["sh", "-c", 'env -u SSH_CONNECTION "$@"; exit', "sh", sys.executable, *armed.command(request)[1:]]
        known = {**os.environ, "SSH_CONNECTION": f"192.0.2.1 1 {came_to} 22"}
        done = subprocess.run(words, input=armed.SCRIPT, capture_output=True, text=True, timeout=60, env=known)
        assert done.returncode == 0, done.stderr
        return Answer.from_json(done.stdout)

    def arm(self, systemctl: str = "true", came_to: str = "127.0.0.1", **more: object) -> Answer:
        orders = dataclasses.replace(self.orders, **more)  # type: ignore[arg-type]  # names of its own fields
        return self.ask(armed.arming(orders, str(self.base), str(self.units), systemctl), came_to)

    def say(self, what: str, token: str = "t0ken", systemctl: str = "true") -> Answer:
        return self.ask(armed.asking(what, token, str(self.base), str(self.units), systemctl))

    def fire(self, **environment: str) -> int:
        known = {**os.environ, **environment}
        return subprocess.run(["sh", str(self.base / "put-back")], timeout=60, env=known).returncode

    def tree(self) -> dict[str, tuple[int, str]]:
        """Name, mode, and content or target of everything in etc."""
        found = {}
        for path in sorted(self.etc.rglob("*")):
            mode = path.lstat().st_mode
            content = str(path.readlink()) if path.is_symlink() else path.read_text() if path.is_file() else ""
            found[str(path.relative_to(self.etc))] = (mode, content)
        return found


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.setattr(armed, "STEADY_S", 0)  # the address counts in one test
    made = Machine(tmp_path)
    netplan = made.etc / "netplan"
    netplan.mkdir(mode=0o750)
    (netplan / "01.yaml").write_text("dhcp")
    (netplan / "01.yaml").chmod(0o600)
    (netplan / "link").symlink_to("01.yaml")
    (made.etc / "one").write_text("as it was")
    (made.etc / "other").write_text("nobody's business")
    return made


def change(machine: Machine) -> None:
    """What a step might do."""
    netplan = machine.etc / "netplan"
    (netplan / "01.yaml").unlink()
    (netplan / "link").unlink()
    (netplan / "99 bridge.yaml").write_text("br0")
    (machine.etc / "one").unlink()
    (machine.etc / "one").mkdir()
    (machine.etc / "new").write_text("made")


def test_what_nobody_confirms_is_put_back_as_it_was(machine: Machine) -> None:
    before = machine.tree()
    answer = machine.arm(command=f"echo applied > {machine.etc}/applied; echo and said")
    assert (answer.found, answer.boot) == (Found.ARMED, BOOT)
    record = json.loads((machine.base / "armed.json").read_text())
    (machine.base / "armed.json").write_text(json.dumps({**record, "boot": "an earlier one"}))
    assert machine.say("look").boot == "an earlier one"
    change(machine)
    assert machine.fire() == 0
    assert (machine.etc / "applied").read_text() == "applied\n"
    (machine.etc / "applied").unlink()
    assert machine.tree() == before
    answer = machine.say("look")
    assert (answer.found, answer.step, answer.run, answer.token, answer.code) == (
        Found.REVERTED, "10/10", "r1", "t0ken", 0,
    )  # fmt: skip
    assert answer.at > 1.7e9
    assert answer.boot == BOOT, "the one in which it was put back"
    assert answer.said == "and said\n"
    assert "put everything back at " in answer.told()
    assert not list((machine.units / "timers.target.wants").iterdir()), "it would begin anew at the next boot"
    assert machine.say("disarm").found is Found.REVERTED, "too late"
    assert machine.say("forget").found is Found.NONE
    assert {path.name for path in machine.base.iterdir()} == {"lock"}
    assert not list(machine.units.glob("homewright*"))


def test_what_is_confirmed_stays(machine: Machine) -> None:
    machine.arm()
    assert (machine.units / "timers.target.wants/homewright-revert.timer").resolve().is_file(), "survives a reboot"
    assert "OnActiveSec=60s" in (machine.units / "homewright-revert.timer").read_text()
    change(machine)
    changed = machine.tree()
    assert machine.say("disarm", "another").found is Found.ARMED, "somebody else's arming"
    assert machine.say("disarm").found is Found.DISARMED
    assert not (machine.base / "put-back").exists()
    assert machine.tree() == changed
    assert machine.say("look").found is Found.NONE


def test_the_time_begins_anew_for_who_armed_it_and_only_while_it_is_armed(machine: Machine, tmp_path: Path) -> None:
    asked = tmp_path / "asked"
    systemctl = tmp_path / "systemctl"
    systemctl.write_text(f'#!/bin/sh\necho "$*" >> {asked}\n')
    systemctl.chmod(0o755)
    machine.arm()
    request = [
        armed.asking("renew", token, str(machine.base), str(machine.units), str(systemctl)) for token in ("t0ken", "x")
    ]
    assert machine.ask(request[1]).found is Found.ARMED
    assert not asked.exists(), "somebody else's arming"
    assert machine.ask(request[0]).found is Found.ARMED
    assert asked.read_text() == "restart homewright-revert.timer\n"
    machine.fire()
    assert machine.ask(request[0]).found is Found.REVERTED
    assert asked.read_text().count("\n") == 1


def test_a_timer_that_fires_while_somebody_disarms_does_nothing(machine: Machine) -> None:
    machine.arm()
    change(machine)
    changed = machine.tree()
    script = (machine.base / "put-back").read_text()
    machine.say("disarm")
    (machine.base / "late").write_text(script)
    assert subprocess.run(["sh", str(machine.base / "late")]).returncode == 0
    assert machine.tree() == changed


def test_it_is_armed_once_and_the_first_copy_counts(machine: Machine) -> None:
    before = machine.tree()
    machine.arm()
    change(machine)
    again = machine.arm(token="other", step="10/20")
    assert (again.found, again.step, again.problem) == (Found.ARMED, "10/10", "it is armed already")
    machine.fire()
    assert machine.tree() == before


def test_a_server_whose_timer_cannot_be_started_is_not_armed(machine: Machine) -> None:
    answer = machine.arm(systemctl="false")
    assert (answer.found, answer.problem) == (Found.NONE, "exit code 1")
    assert machine.say("look").found is Found.NONE
    answer = machine.arm(files=("/proc/self/mem",))
    assert answer.found is Found.NONE
    assert answer.problem


def test_a_command_that_fails_is_told(machine: Machine) -> None:
    machine.arm(command="echo no such bridge >&2; exit 3")
    change(machine)
    machine.fire()
    answer = machine.say("look")
    assert answer.code == 3
    assert answer.told().endswith("and then failed (exit code 3): no such bridge")


def program(file: Path, text: str) -> Path:
    """A shell script that can be called by this name."""
    file.parent.mkdir(exist_ok=True)
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)
    return file


@pytest.mark.parametrize(
    ("at_first", "after_a_restart", "code", "told"),
    [
        ("192.0.2.7/24", "192.0.2.7/24", 0, ""),
        ("192.0.2.7 peer 192.0.2.1/32", "", 0, ""),
        ("", "192.0.2.7/24", 0, f"192.0.2.7 {armed.ANEW}"),
        ("192.0.2.70/24", "1192.0.2.7/24", 1, "192.0.2.7 has not come back"),
    ],
    ids=["there", "there-by-a-tunnel", "after-a-restart", "never"],
)
def test_the_address_by_which_it_was_armed_comes_back_or_the_network_is_started_anew(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, at_first: str, after_a_restart: str, code: int, told: str
) -> None:
    """Two of three services of networks run here. Which address it is, only a process above sudo knows."""
    monkeypatch.setattr(armed, "STEADY_S", 3e-2)
    monkeypatch.setattr(armed, "ADDRESS_LIMIT_S", 6e-2)
    monkeypatch.setattr(armed, "LOOK_S", 1e-2)
    folder = machine.base.parent
    addresses, asked = folder / "addresses", folder / "asked"
    addresses.write_text(f"2: eth0    inet {at_first} brd 192.0.2.255 scope global eth0\n")
    program(folder / "bin" / "ip", f"cat {addresses}")
    again = f'echo "2: eth0    inet {after_a_restart} scope global eth0" > {addresses}'
    systemctl = program(
        folder / "systemctl",
        f'case "$*" in "-q is-active NetworkManager") exit 3;; restart*) echo "$2" >> {asked};; esac\n'
        f'case "$*" in "restart systemd-networkd") {again};; esac',
    )
    machine.arm(str(systemctl), "192.0.2.7", command="true")
    change(machine)
    machine.fire(PATH=f"{folder / 'bin'}:{os.environ['PATH']}")
    answer = machine.say("look")
    assert (answer.found, answer.code) == (Found.REVERTED, code)
    assert answer.said.strip().rpartition("\n")[2] == told
    assert told in answer.told()
    restarted = ["systemd-networkd", "networking"] if told else []
    assert asked.read_text().splitlines() == ["homewright-revert.timer", *restarted]


def test_only_the_arming_that_is_meant_is_put_back(machine: Machine, tmp_path: Path) -> None:
    """What asks late, after a time without a network, meets the next step's."""
    asked = tmp_path / "asked"
    systemctl = program(tmp_path / "systemctl", f'echo "$*" >> {asked}')
    machine.arm()
    assert machine.say("fire", "an earlier one", str(systemctl)).found is Found.ARMED
    assert not asked.exists()
    assert machine.say("fire", systemctl=str(systemctl)).found is Found.REVERTING
    assert asked.read_text() == "start --no-block homewright-revert.service\n"


def test_what_is_cut_off_in_the_middle_begins_again_at_boot(machine: Machine) -> None:
    before = machine.tree()
    machine.arm(command=f"touch {machine.base}/applying; sleep 987")
    change(machine)
    putting = subprocess.Popen(["sh", str(machine.base / "put-back")], start_new_session=True)
    wait_for((machine.base / "applying").exists, "the command")
    assert machine.say("look").found is Found.REVERTING
    assert machine.say("disarm").found is Found.REVERTING, "it is too late, and not yet over"
    os.killpg(putting.pid, signal.SIGKILL)
    putting.wait()
    assert machine.say("look").found is Found.ARMED
    (machine.etc / "one.homewright").write_text("half a copy")
    text = (machine.base / "put-back").read_text().replace("sleep 987", "true")
    (machine.base / "put-back").write_text(text)
    machine.fire()
    assert machine.tree() == before
    assert machine.say("look").found is Found.REVERTED


def test_an_answer_that_is_none() -> None:
    for text in ("", "[]", "{}", '{"found": "well"}'):
        with pytest.raises(ValueError, match=r".*"):
            Answer.from_json(text)
