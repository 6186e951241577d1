"""Homewright on a server of its own site, and the power goes: the run ends by itself, and as if nothing had been."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import pytest

from homewright.engine.runners.guard import FENCE_FILE

from .inside import Inside, ended

if TYPE_CHECKING:
    from practice_lab import Lab

pytestmark = pytest.mark.lab

SERVERS = ("s1", "s2", "s3")
MADE = "/var/lib/homewright-inside"
TICKS = 60
STAGE = """\
id: "90"
title: A run that is cut off
requires: []
steps:
  - {id: 90/10, title: First, runner: python, run: 10_first.py, verify: 18_first.py, rollback: 19_first.py}
  - {id: 90/20, title: Slow, runner: python, run: 20_slow.py, verify: 28_slow.py, rollback: 29_slow.py}
  - {id: 90/30, title: Last, runner: python, run: 30_last.py, verify: 38_last.py, rollback: 39_last.py}
"""
QUICK = """\
def run(host):
    with host.task("Noted") as task:
        host.run("mkdir -p {made} && echo {step} >>{made}/{step} && sync", sudo=True)
        task.changed = True
"""
SLOW = """\
import time


def run(host):
    host.run("mkdir -p {made} && rm -f {made}/ticks", sudo=True)
    for number in range({ticks}):
        host.run("echo tick >>{made}/ticks && sync -d {made}/ticks", sudo=True)
        time.sleep(0.1)
    host.run("rm {made}/ticks && echo {step} >>{made}/{step} && sync", sudo=True)
"""
PROOF = """\
from homewright.engine.runners.host import broken, proved


def verify(host):
    return proved("it is there") if host.exists("{made}/{step}") else broken("it is not there")
"""
BACK = """\
def rollback(host):
    host.run("rm -rf {made}/{step} {made}/ticks", sudo=True)
"""


def catalogue() -> dict[str, str]:
    files = {"stage.yaml": STAGE}
    for number, name, text in (("1", "first", QUICK), ("2", "slow", SLOW), ("3", "last", QUICK)):
        for place, part in (("0", text), ("8", PROOF), ("9", BACK)):
            words = {"{made}": MADE, "{step}": name, "{ticks}": str(TICKS)}
            for word, value in words.items():
                part = part.replace(word, value)
            files[f"{number}{place}_{name}.py"] = part
    return files


@pytest.fixture(scope="module")
def inside(lab: Lab, installed_on_s1: None) -> Iterator[Inside]:
    """An ordinary user's Homewright on s1, for s1, s2 and s3; nobody is signed in there, and nobody lingers."""
    for server in SERVERS:
        lab.on(server, f"rm -f {FENCE_FILE}")  # whoever held it is no part of this
    made = Inside(lab, "s1", "ann")
    made.begin(SERVERS)
    made.put(f"{made.home}/stages/90_cut", catalogue())
    yield made
    made.run("trust", "--all", "--remove")
    made.end()
    for server in SERVERS:
        lab.on(server, f"rm -rf {MADE} {FENCE_FILE}")


@pytest.fixture(autouse=True)
def afresh(inside: Inside) -> Iterator[None]:
    """Powered and plugged, and nothing of a run there, before and after each test."""
    yield
    inside.lab.run("lab", "up").check_returncode()
    inside.until(ended, "the end of the run")
    for server in SERVERS:
        inside.lab.on(server, f"rm -rf {MADE}")


def begin(inside: Inside) -> None:
    """A run is in its slow step, on all servers."""
    told = json.loads(inside.run("--stages", f"{inside.home}/stages", "plan", "--only", "90", "--json"))["at_boot"]
    assert told["resumes"] is True, told
    words = ("--stages", f"{inside.home}/stages", "apply", "--only", "90", "--yes", "--detach")
    inside.run(*words)
    limit = time.monotonic() + 60
    while time.monotonic() < limit:
        if all(int(inside.lab.on(server, f"cat {MADE}/ticks 2>/dev/null | wc -l")) >= 3 for server in SERVERS):
            return
        assert inside.status()["state"] == "running", inside.status()
    raise AssertionError(f"it does not tick: {inside.status()}")


def cut(inside: Inside, servers: Sequence[str]) -> None:
    for server in servers:
        inside.lab.run("lab", "power-off", server).check_returncode()
    for server in servers:
        inside.lab.run("lab", "power-on", server).check_returncode()


def made(inside: Inside) -> dict[str, str]:
    """All that the run has made on each server, with how often."""
    return {server: inside.lab.on(server, f"cd {MADE} && head -n 50 *") for server in SERVERS}


UNINTERRUPTED = "==> first <==\nfirst\n\n==> last <==\nlast\n\n==> slow <==\nslow\n"


def by_itself(inside: Inside, attempts: int) -> dict[str, Any]:
    """The run's end, which nobody was there for; then nothing of the unit is left."""
    status = inside.until(ended, "the end of the run")
    assert status["state"] == "succeeded", status
    assert [step["state"] for step in status["steps"]] == ["succeeded"] * 3
    assert made(inside) == dict.fromkeys(SERVERS, UNINTERRUPTED)
    assert max(step["attempt"] for step in status["steps"]) == attempts, "how many engines have worked on it"
    inside.without_unit()
    return status


def test_the_server_that_it_runs_on_loses_power(inside: Inside) -> None:
    begin(inside)
    assert inside.lab.on("s1", "ls /etc/systemd/system/multi-user.target.wants").count("homewright-resume-") == 1
    cut(inside, ["s1"])
    by_itself(inside, attempts=2)


@pytest.fixture
def with_password(inside: Inside) -> Iterator[str]:
    """From now on sudo asks the owner for this password."""
    password = secrets.token_urlsafe(12)
    rules = f"/etc/sudoers.d/{inside.user}"
    inside.lab.on("s1", f"chpasswd && cp -p {rules} /root/rules", f"{inside.user}:{password}\n".encode())
    inside.lab.on("s1", f"echo '{inside.user} ALL=(ALL) ALL' >{rules}; rm -rf /run/sudo/ts/{inside.user}")
    yield password
    inside.lab.on("s1", f"cp -p /root/rules {rules}")


@pytest.mark.long
def test_sudo_asks_a_person_for_the_password_and_nobody_else(inside: Inside, with_password: str) -> None:
    """Once, when the run begins: the unit takes itself away without it."""
    stages = ("--stages", f"{inside.home}/stages")
    told = json.loads(inside.run(*stages, "plan", "--only", "90", "--json"))["at_boot"]
    assert told["resumes"] is False and "sudo -v" in told["why"]
    session = inside.on_a_terminal(*stages, "apply", "--only", "90")
    session.expect_exact("sudo will ask for your password")
    session.expect_exact("Carry this out?")
    session.sendline("y")
    session.expect_exact("sudo asks for your password.")
    session.expect_exact(f"[sudo] password for {inside.user}:")
    session.waitnoecho(30)
    session.sendline(with_password)
    inside.until(lambda status: state_of(status, "90/20") == "running", "the slow step")
    assert inside.lab.on("s1", "ls /etc/systemd/system/multi-user.target.wants").count("homewright-resume-") == 1
    assert with_password not in session.read()
    by_itself(inside, attempts=1)


@pytest.mark.long
def test_another_server_loses_power(inside: Inside) -> None:
    begin(inside)
    cut(inside, ["s2"])
    by_itself(inside, attempts=1)


@pytest.mark.long
def test_all_servers_lose_power_at_once(inside: Inside) -> None:
    begin(inside)
    cut(inside, SERVERS)
    by_itself(inside, attempts=2)


@pytest.mark.long
def test_another_server_comes_back_long_after_the_one_that_it_runs_on(inside: Inside) -> None:
    begin(inside)
    for server in SERVERS:
        inside.lab.run("lab", "power-off", server).check_returncode()
    for server in ("s1", "s3"):
        inside.lab.run("lab", "power-on", server).check_returncode()
    inside.until(lambda status: said(inside, "s2", "it is waited for"), "that it waits for s2")
    inside.lab.run("lab", "power-on", "s2").check_returncode()
    by_itself(inside, attempts=2)


@pytest.mark.long
def test_another_server_is_cut_off_from_the_network_for_a_minute(inside: Inside) -> None:
    begin(inside)
    inside.lab.run("lab", "unplug", "s2").check_returncode()
    plugged = time.monotonic() + 60
    while time.monotonic() < plugged:
        assert inside.status()["state"] == "running", "it does not wait"
        time.sleep(1)
    inside.lab.run("lab", "plug", "s2").check_returncode()
    by_itself(inside, attempts=1)
    assert said(inside, "s2", "it answers again")


def said(inside: Inside, host: str, text: str) -> bool:
    """Whether the latest run has said this of a server so far."""
    return any(name == host and text in line for name, line in inside.lines())


STAGE_00 = ("00/10", "00/20", "00/30", "00/40")
"""pyinfra, Python and Ansible steps, as the product ships them."""
CUT = (("s1",), ("s2",), SERVERS)


@pytest.mark.long
@pytest.mark.parametrize("first", range(len(CUT)), ids=["+".join(servers) for servers in CUT])
def test_every_step_of_stage_00_is_cut_off_in_one_run(inside: Inside, first: int) -> None:
    """Each time another of these loses power, in turn: in the three runs, each of them in each step.

    Its proofs say that everything is done in the end, and taking it back leaves none of it.
    """
    inside.run("apply", "--only", "00", "--yes", "--detach")
    for number, step in enumerate(STAGE_00):
        inside.until(begun(step), f"that {step} runs", 900)
        cut(inside, CUT[(first + number) % len(CUT)])
    status = inside.until(ended, "the end of the run", 900)
    assert status["state"] == "succeeded", status
    inside.run("verify", "--only", "00")
    inside.run("rollback", "00", "--yes")


def begun(step: str) -> Callable[[dict[str, Any]], bool]:
    return lambda status: state_of(status, step) != "pending"


def state_of(status: dict[str, Any], step: str) -> str:
    return str(next((one["state"] for one in status["steps"] if one["id"] == step), "pending"))
