"""Stage 00 on practice servers: done, proved, broken, mended, and taken back without a trace."""

from __future__ import annotations

import pytest
from driving import Practice
from stage_on_servers import StageOnServers, seldom

from homewright.catalogue import load, shipped
from homewright.engine.remedies import match
from homewright.engine.states import Action

pytestmark = pytest.mark.lab

STEPS = ("00/10", "00/20", "00/30", "00/40")


@pytest.fixture(scope="module")
def stage(practice: Practice) -> StageOnServers:
    """The stage done once, from servers that know nothing of it."""
    stage = StageOnServers(practice, load([shipped()]))
    if any(practice.on(name, "ls -d /etc/homewright 2>/dev/null", check=False) for name in practice.names):
        for name in reversed(STEPS):  # other tests use the same servers
            stage.carry_out(name, Action.ROLLBACK)
    stage.listings["whole"] = stage.listing("./")
    stage.begin(*STEPS)
    return stage


@pytest.mark.parametrize("name", STEPS)
def test_second_run_changes_nothing(stage: StageOnServers, name: str) -> None:
    assert set(stage.run(name).changed.values()) == {0}


BREAKS = [
    ("00/10", "sed -i '/homewright/,/end/d' /etc/hosts", "/etc/hosts on"),
    seldom("00/10", "hostnamectl set-hostname Other", "is called Other"),
    seldom(
        "00/10",
        "printf '10.99.0.1 {other}\\n' | cat - /etc/hosts >/etc/h && cat /etc/h >/etc/hosts; rm /etc/h",
        "resolves to",
    ),
    seldom("00/10", "echo other >/etc/hostname", "/etc/hostname says other"),
    seldom("00/10", "sed -i s/{other}/elsewhere/g /etc/hosts", "/etc/hosts on"),
    seldom("00/20", "rm /var/lib/homewright-peer/.ssh/id_ed25519", "id_ed25519 on"),
    seldom("00/20", "chmod 644 /var/lib/homewright-peer/.ssh/id_ed25519", "not 600"),
    seldom(
        "00/20", "sed -i 's/restrict,from=\"[0-9.]*\" //' /var/lib/homewright-peer/.ssh/authorized_keys", "not limited"
    ),
    seldom("00/20", "sed -i '/{other}/d' /var/lib/homewright-peer/.ssh/known_hosts", "Host key verification failed"),
    seldom("00/20", "echo 'homewright-peer ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/peer", "may use sudo"),
    ("00/20", "userdel homewright-peer", "has no account"),
    ("00/30", "echo X=1 >>/etc/homewright/environment", "is not what the site says"),
    seldom("00/30", "chmod 666 /etc/homewright/environment", "is 666"),
    seldom("00/30", "rm /etc/profile.d/homewright.sh", "is missing"),
    seldom("00/30", "chown homewright-peer /etc/homewright/environment", "is 644 homewright-peer"),
    seldom("00/30", "rm -r /etc/homewright", "is missing"),
    ("00/40", "rm -r /home/*/.venv/lib/python3*/site-packages/kubernetes", "kubernetes lacks"),
    seldom("00/40", "rm -r /home/*/.venv/lib/python3*/site-packages/copier-*.dist-info", "copier is missing"),
    seldom("00/40", "chown root /home/*/.venv/bin/pip", "does not belong to"),
    seldom("00/40", "rm -r /home/*/.venv", "is missing"),
    seldom("00/40", "rm /home/*/.venv/bin/python /home/*/.venv/bin/python3*", "not found"),
]
MENDED_BY_HAND = {"echo 'homewright-peer ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/peer": "rm /etc/sudoers.d/peer"}


@pytest.mark.parametrize(("name", "command", "why"), BREAKS)
def test_what_is_broken_is_seen_and_made_good(stage: StageOnServers, name: str, command: str, why: str) -> None:
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
def test_a_full_disk_fails_its_server_alone_with_a_remedy(stage: StageOnServers) -> None:
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


def test_somebody_elses_environment_is_left_alone(stage: StageOnServers) -> None:
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
def test_taken_back_the_servers_are_as_before(stage: StageOnServers, name: str) -> None:
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


def test_after_all_of_it_no_file_on_the_servers_differs(stage: StageOnServers) -> None:
    for server, lines in stage.listing("./").items():
        assert sorted(lines ^ stage.listings["whole"][server])[:20] == []
