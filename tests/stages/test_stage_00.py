"""Stage 00 on practice servers: done, proved, broken, mended, and taken back without a trace."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from driving import Outcome, Practice
from server_listing import CHANGEABLE, files_command, listing

from homewright.catalogue import Catalogue, Step, load, shipped
from homewright.engine.calling import runner_kind
from homewright.engine.remedies import match
from homewright.engine.states import Action

pytestmark = pytest.mark.lab

STEPS = ("00/10", "00/20", "00/30", "00/40")


@dataclass
class Stage:
    """The stage on all practice servers."""

    practice: Practice
    catalogue: Catalogue
    captures: dict[str, dict[str, Any]] = field(default_factory=dict)
    listings: dict[str, dict[str, set[str]]] = field(default_factory=dict)
    """The servers before each step."""

    def step(self, name: str) -> Step:
        return self.catalogue.step(name)

    def carry_out(self, name: str, action: Action, **more: Any) -> Outcome:
        step = self.step(name)
        part = {Action.RUN: "run", Action.ROLLBACK: "rollback"}.get(action, "verify")
        captures = self.captures.get(name) if action is Action.ROLLBACK else None
        file = self.catalogue.file(step, part)
        return self.practice.drive(runner_kind(step, action), file, action, captures=captures, **more)

    def run(self, name: str, **more: Any) -> Outcome:
        outcome = self.carry_out(name, Action.RUN, **more)
        assert set(outcome.states.values()) == {"succeeded"}, outcome.reasons
        return outcome

    def verdicts(self, name: str, **more: Any) -> dict[str, tuple[str, str]]:
        return self.carry_out(name, Action.VERIFY, **more).verdicts

    def assert_proved(self, name: str, *hosts: str) -> None:
        wanted = hosts or self.practice.names
        verdicts = self.verdicts(name, hosts=wanted)
        assert {verdict for verdict, _ in verdicts.values()} == {"proved"}, verdicts
        assert sorted(verdicts) == sorted(wanted)

    def listing(self, hashed: str = CHANGEABLE) -> dict[str, set[str]]:
        """The servers' files, with the contents of those in the folders `hashed`."""
        return listing(self.practice.on, self.practice.names, files_command(hashed))


@pytest.fixture(scope="module")
def stage(practice: Practice) -> Stage:
    """The stage done once, from servers that know nothing of it."""
    stage = Stage(practice, load([shipped()]))
    if any(practice.on(name, "ls -d /etc/homewright 2>/dev/null", check=False) for name in practice.names):
        for name in reversed(STEPS):  # other tests use the same servers
            stage.carry_out(name, Action.ROLLBACK)
    stage.listings["whole"] = stage.listing("./")
    for name in STEPS:
        stage.listings[name] = stage.listing()
        stage.captures[name] = stage.carry_out(name, Action.CAPTURE).captures
        outcome = stage.run(name)
        assert all(outcome.changed.values()), outcome.changed
        stage.assert_proved(name)
    return stage


@pytest.mark.parametrize("name", STEPS)
def test_second_run_changes_nothing(stage: Stage, name: str) -> None:
    assert set(stage.run(name).changed.values()) == {0}


def seldom(*case: str) -> Any:
    """One of several of its step that the proof sees in the same way: tried by the campaigns."""
    return pytest.param(*case, marks=pytest.mark.long)


BREAKS = [
    ("00/10", "sed -i '/homewright/,/end/d' /etc/hosts", "/etc/hosts on"),
    seldom("00/10", "hostnamectl set-hostname Other", "is called Other"),
    (
        "00/10",
        "printf '10.99.0.1 {other}\\n' | cat - /etc/hosts >/etc/h && cat /etc/h >/etc/hosts; rm /etc/h",
        "resolves to",
    ),
    ("00/20", "rm /var/lib/homewright-peer/.ssh/id_ed25519", "id_ed25519 on"),
    seldom("00/20", "chmod 644 /var/lib/homewright-peer/.ssh/id_ed25519", "not 600"),
    seldom(
        "00/20", "sed -i 's/restrict,from=\"[0-9.]*\" //' /var/lib/homewright-peer/.ssh/authorized_keys", "not limited"
    ),
    seldom("00/20", "sed -i '/{other}/d' /var/lib/homewright-peer/.ssh/known_hosts", "Host key verification failed"),
    seldom("00/20", "echo 'homewright-peer ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/peer", "may use sudo"),
    ("00/20", "userdel homewright-peer", "has no account"),
    ("00/30", "echo X=1 >>/etc/homewright/environment", "is not what the site says"),
    seldom("00/30", "chmod 666 /etc/homewright/environment", "is 666"),
    ("00/30", "rm /etc/profile.d/homewright.sh", "is missing"),
    ("00/40", "rm -r /home/*/.venv/lib/python3*/site-packages/kubernetes", "kubernetes lacks"),
    seldom("00/40", "rm -r /home/*/.venv/lib/python3*/site-packages/copier-*.dist-info", "copier is missing"),
    seldom("00/40", "chown root /home/*/.venv/bin/pip", "does not belong to"),
]
MENDED_BY_HAND = {"echo 'homewright-peer ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/peer": "rm /etc/sudoers.d/peer"}


@pytest.mark.parametrize(("name", "command", "why"), BREAKS)
def test_what_is_broken_is_seen_and_made_good(stage: Stage, name: str, command: str, why: str) -> None:
    victim, other = stage.practice.names[-1], stage.practice.names[0]
    filled = command.replace("{other}", other)
    stage.practice.on(victim, filled)
    verdict, reason = stage.verdicts(name, hosts=[victim])[victim]
    assert verdict == "broken"
    assert why in reason
    assert victim in reason
    if command in MENDED_BY_HAND:
        stage.practice.on(victim, MENDED_BY_HAND[command])
    else:
        stage.run(name, hosts=[victim])
    # A new key on one server has to be known to all of them; the rest is each server's own.
    stage.assert_proved(name, *(stage.practice.names if name == "00/20" else [victim]))


@pytest.mark.long
def test_a_full_disk_fails_its_server_alone_with_a_remedy(stage: Stage) -> None:
    """The folder of the environment becomes a file system of 24 MB: room for a beginning, not for the packages."""
    victim, other = stage.practice.names[:2]
    venv = f"/home/{stage.practice.site.server(victim).user}/.venv"
    stage.practice.on(victim, f"mv {venv} {venv}-kept && mkdir {venv} && mount -t tmpfs -o size=24m tmpfs {venv}")
    try:
        outcome = stage.carry_out("00/40", Action.RUN, hosts=[victim, other])
        assert outcome.states[victim] == "failed"
        assert "No space left on device" in outcome.reasons[victim]
        assert outcome.states[other] == "succeeded"
        remedy = match(stage.step("00/40").remedies, [outcome.reasons[victim]])
        assert remedy is not None
        assert "disk is full" in remedy.say
    finally:
        stage.practice.on(victim, f"umount {venv} && rmdir {venv} && mv {venv}-kept {venv}")
    stage.assert_proved("00/40", victim)


def test_somebody_elses_environment_is_left_alone(stage: Stage) -> None:
    victim = stage.practice.names[0]
    venv = f"/home/{stage.practice.site.server(victim).user}/.venv"
    stage.practice.on(victim, f"mv {venv} {venv}-kept && mkdir {venv} && echo mine >{venv}/file")
    try:
        outcome = stage.carry_out("00/40", Action.RUN, hosts=[victim])
        assert outcome.states[victim] == "failed"
        assert "belongs to somebody else" in outcome.reasons[victim]
        assert stage.practice.on(victim, f"cat {venv}/file") == "mine\n"
    finally:
        stage.practice.on(victim, f"rm -r {venv} && mv {venv}-kept {venv}")


MADE_ANEW = {"00/10": " ./etc/hostname ", "00/20": "/homewright-peer/.ssh/"}


@pytest.mark.parametrize("name", reversed(STEPS))
def test_taken_back_the_servers_are_as_before(stage: Stage, name: str) -> None:
    outcome = stage.carry_out(name, Action.ROLLBACK)
    assert set(outcome.states.values()) == {"succeeded"}, outcome.reasons
    assert {verdict for verdict, _ in stage.verdicts(name).values()} == {"broken"}
    for server, lines in stage.listing().items():
        differ = lines ^ stage.listings[name][server]
        # What was broken above was made anew; once its own step is taken back, it is compared as well.
        standing = [file for step, file in MADE_ANEW.items() if step < name]
        anew = {line for line in differ if any(file in line for file in standing)}
        assert sorted(differ - anew)[:20] == []
    assert set(stage.carry_out(name, Action.ROLLBACK).changed.values()) == {0}


def test_after_all_of_it_no_file_on_the_servers_differs(stage: Stage) -> None:
    for server, lines in stage.listing("./").items():
        assert sorted(lines ^ stage.listings["whole"][server])[:20] == []
