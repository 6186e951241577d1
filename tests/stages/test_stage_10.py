"""Stage 10 on practice servers: done, proved, broken, mended, refused, and taken back without a trace."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from driving import Practice
from practice_lab import Lab, as_root
from server_listing import SYSTEM, listing, unlike
from stage_on_servers import StageOnServers, seldom

from homewright.catalogue import load, shipped
from homewright.engine.states import Action
from homewright.stages.bridge import FILE, MARK
from homewright.stages.restart import BOOT_ID, RECORD, WAITS

pytestmark = pytest.mark.lab

KERNEL, BRIDGE, RESTART = "10/00", "10/10", "10/30"


def system(stage: StageOnServers) -> dict[str, set[str]]:
    """Accounts, units, interfaces, addresses and routes of every server."""
    return listing(stage.practice.on, stage.practice.names, SYSTEM)


@pytest.fixture(scope="module")
def stage(practice: Practice) -> Iterator[StageOnServers]:
    """Kernel and bridge on servers that know nothing of them, and away again afterwards."""
    stage = StageOnServers(practice, load([shipped()]))
    before = system(stage)
    stage.begin(KERNEL, BRIDGE)
    yield stage
    for name in (BRIDGE, KERNEL):
        for server, lines in stage.listing().items():  # no documentation comes with a package that was taken away here
            before_it = stage.listings[name][server]
            before_it -= {line for line in before_it - lines if line.endswith("./usr/share/doc/systemd-timesyncd")}
        stage.assert_taken_back(name)
    # Units named by systemd come and go by themselves.
    assert unlike(before, system(stage), ["failed "]) == []


@pytest.mark.parametrize("name", [KERNEL, BRIDGE])
def test_second_run_changes_nothing(stage: StageOnServers, name: str) -> None:
    assert set(stage.run(name).changed.values()) == {0}


BREAKS = [
    (KERNEL, "sysctl -q -w net.ipv4.ip_forward=0", "ip_forward on"),
    seldom(KERNEL, "rm /etc/sysctl.d/90-homewright.conf", "is missing"),
    seldom(KERNEL, "chmod 600 /etc/sysctl.d/90-homewright.conf", "is 600"),
    seldom(KERNEL, "echo x >>/etc/modules-load.d/homewright-cluster.conf", "not what it should be"),
    seldom(KERNEL, "systemctl stop systemd-timesyncd", "No time service runs"),
    seldom(KERNEL, "systemctl disable -q systemd-timesyncd", "would not start again"),
    (BRIDGE, f"rm {FILE}", "has no bridge of ours"),
    (BRIDGE, "ip route replace default via {other} dev br0", "the default route goes to"),
    seldom(BRIDGE, f"sed -i 's/via: .*/via: {{other}}/' {FILE}", "is not what the site says"),
    seldom(BRIDGE, f"chmod 644 {FILE}", "is 644"),
    seldom(BRIDGE, "ip address add 10.99.9.9/24 dev eth0", "still has 10.99.9.9/24"),
    seldom(BRIDGE, "ip link set br0 type bridge stp_state 1", "spanning tree"),
    seldom(BRIDGE, "ip link set br0 address 02:00:00:00:00:01", "hardware address"),
    seldom(BRIDGE, f"rm {MARK}", "does not say that br0 is ours"),
    seldom(
        BRIDGE,
        "ip link delete br0; ip address add {own}/24 dev eth0; ip route add default via {gateway} dev eth0",
        "there is no bridge br0",
    ),
]


@pytest.mark.parametrize(("name", "command", "why"), BREAKS)
def test_what_is_broken_is_seen_and_made_good(stage: StageOnServers, name: str, command: str, why: str) -> None:
    victim, other = stage.practice.names[-1], stage.practice.names[0]
    addresses = {server.name: server.address for server in stage.practice.site.servers}
    gateway = stage.captures[BRIDGE][victim]["gateway"]
    filled = command.format(other=addresses[other], own=addresses[victim], gateway=gateway)
    # By a connection that may not see the end of it.
    stage.practice.on(victim, f"systemd-run --quiet --wait sh -c {json.dumps(filled)}", check=False)
    verdict, reason = stage.verdicts(name, hosts=[victim])[victim]
    assert verdict == "broken"
    assert why in reason
    stage.run(name, hosts=[victim])
    stage.assert_proved(name, victim)
    assert stage.run(name, hosts=[victim]).changed == {victim: 0}


@pytest.mark.long
def test_where_no_time_service_is_there_one_is_installed_and_goes_again(stage: StageOnServers) -> None:
    victim = stage.practice.names[-1]
    kept = stage.captures[KERNEL]
    there = "dpkg-query -W -f '${db:Status-Abbrev}' systemd-timesyncd 2>/dev/null"
    stage.practice.on(victim, "apt-get -q -y purge systemd-timesyncd")
    try:
        assert stage.verdicts(KERNEL, hosts=[victim])[victim][1] == f"No time service runs on {victim}."
        stage.captures[KERNEL] = stage.carry_out(KERNEL, Action.CAPTURE, hosts=[victim]).captures
        stage.run(KERNEL, hosts=[victim])
        assert stage.practice.on(victim, there).startswith("ii")
        stage.assert_proved(KERNEL, victim)
        stage.carry_out(KERNEL, Action.ROLLBACK, hosts=[victim])
        assert not stage.practice.on(victim, there, check=False).startswith("ii")
    finally:
        stage.captures[KERNEL] = kept
        stage.run(KERNEL, hosts=[victim])


@pytest.mark.long
def test_a_record_of_a_restart_that_is_broken_is_seen_and_made_anew(stage: StageOnServers) -> None:
    """10/30 makes nothing but that record. What waits is done by a restart alone, and a second run asks for it anew."""
    victim = stage.practice.names[-1]

    def verdict() -> tuple[str, str]:
        return stage.verdicts(RESTART, hosts=[victim])[victim]

    assert stage.run(RESTART, hosts=[victim]).changed == {victim: 0}
    stage.assert_proved(RESTART, victim)
    boot = stage.practice.on(victim, f"cat {BOOT_ID}").strip()
    for command, why in (
        (f"rm {RECORD}", "was not looked yet"),
        (f"head -c 20 {RECORD} >{RECORD}.cut; mv {RECORD}.cut {RECORD}", "was not looked yet"),
        (f"echo '[]' >{RECORD}", "was not looked yet"),
        (f": >{RECORD}", "was not looked yet"),
        (f"""echo '{{"boot": "{boot}", "why": "a new kernel"}}' >{RECORD}""", "is still in the boot of before"),
    ):
        stage.practice.on(victim, command)
        told, reason = verdict()
        stage.run(RESTART, hosts=[victim])
        assert (told, why in reason) == ("broken", True), (command, reason)
        stage.assert_proved(RESTART, victim)
        assert stage.run(RESTART, hosts=[victim]).changed == {victim: 0}
    stage.practice.on(victim, f"mkdir -p {Path(WAITS).parent}; echo 'a new kernel' >{WAITS}")
    assert "something waits for it: a new kernel" in verdict()[1]
    assert stage.run(RESTART, hosts=[victim]).changed == {victim: 1}
    stage.practice.on(victim, f"rm {WAITS}")
    stage.carry_out(RESTART, Action.ROLLBACK, hosts=[victim])
    assert stage.practice.on(victim, f"ls {RECORD}", check=False) == ""


@contextlib.contextmanager
def taken_back(stage: StageOnServers, server: str) -> Iterator[None]:
    """One server without its bridge for a while."""
    stage.carry_out(BRIDGE, Action.ROLLBACK, hosts=[server])
    try:
        yield
    finally:
        stage.run(BRIDGE, hosts=[server])


def test_a_bridge_of_somebody_else_is_refused(stage: StageOnServers) -> None:
    """And neither the step nor what the server does where nobody confirms it takes it away."""
    victim = stage.practice.names[-1]
    revert = stage.step(BRIDGE).revert
    assert revert is not None
    with taken_back(stage, victim):
        stage.practice.on(victim, "ip link add br0 type bridge && ip link set br0 up")
        try:
            stage.assert_refused(BRIDGE, "there is a bridge br0 already that is not Homewright's", [victim])
            stage.practice.on(victim, revert.command)
            assert "br0" in stage.practice.on(victim, "ip -br link show br0")
            assert stage.practice.on(victim, f"ls {FILE} {MARK}", check=False) == ""
        finally:
            stage.practice.on(victim, "ip link delete br0")


@contextlib.contextmanager
def second_interface(lab: Lab, server: str) -> Iterator[str]:
    """Another cable of a server to the same network."""
    place = lab.record()["place"]
    assert isinstance(place, dict)
    # LXD itself gives a server one cable to a network of its own and no more.
    ends = (f"hwmove{place['number']}a", f"hwmove{place['number']}b")
    for words in (
        ["add", ends[0], "type", "veth", "peer", "name", ends[1]],
        ["set", ends[0], "master", f"hwlab{place['number']}"],
    ):
        subprocess.run(as_root(["ip", "link", *words]), check=True)
    subprocess.run(as_root(["ip", "link", "set", ends[0], "up"]), check=True)
    try:
        lab.lxc("config", "device", "add", server, "eth1", "nic", "nictype=physical", f"parent={ends[1]}", "name=eth1")
        lab.on(server, "n=0; until ip link set eth1 up; do n=$((n+1)); [ $n -lt 50 ] || exit 1; sleep 0.1; done")
        yield "eth1"
    finally:
        with contextlib.suppress(subprocess.CalledProcessError):
            lab.lxc("config", "device", "remove", server, "eth1")
        subprocess.run(as_root(["ip", "link", "delete", ends[0]]), check=True)


@pytest.mark.long
def test_a_bridge_moves_to_another_interface_and_leaves_the_first_one(stage: StageOnServers, trusted_lab: Lab) -> None:
    victim = stage.practice.names[-1]
    site = stage.practice.site

    def on(nic: str) -> dict[str, Any]:
        servers = tuple(one.model_copy(update={"nic": nic}) if one.name == victim else one for one in site.servers)
        return site.model_copy(update={"servers": servers}).model_dump(mode="json")

    def ports() -> str:
        return stage.practice.on(victim, "ls /sys/class/net/br0/brif").strip()

    with second_interface(trusted_lab, victim) as second:
        try:
            for nic in (second, "eth0"):
                given = on(nic)
                assert stage.run(BRIDGE, hosts=[victim], site=given).changed[victim] > 0
                assert ports() == nic, "two ports on one cable are a loop"
                verdicts = stage.verdicts(BRIDGE, hosts=[victim], site=given)
                assert verdicts[victim][0] == "proved", verdicts
                assert stage.run(BRIDGE, hosts=[victim], site=given).changed == {victim: 0}
        finally:
            stage.run(BRIDGE, hosts=[victim], site=on("eth0"))
    stage.run(BRIDGE, hosts=[victim])
    stage.assert_proved(BRIDGE, victim)


@contextlib.contextmanager
def pinned(practice: Practice, name: str) -> Iterator[None]:
    """The way from here to a server is fixed, so that another one with its address does not take our connections."""
    address = practice.site.server(name).address
    mac = practice.on(name, "cat /sys/class/net/eth0/address").strip()
    way = subprocess.run(["ip", "route", "get", address], capture_output=True, text=True, check=True).stdout.split()
    one = ["ip", "neigh", "replace", address, "lladdr", mac, "dev", way[2], "nud"]
    subprocess.run(as_root([*one, "permanent"]), check=True)
    try:
        yield
    finally:
        subprocess.run(as_root([*one, "reachable"]), check=True)


@contextlib.contextmanager
def also_at(stage: StageOnServers, server: str, address: str) -> Iterator[None]:
    """An address that another server has already."""
    stage.practice.on(server, f"ip address add {address}/32 dev br0")
    try:
        yield
    finally:
        stage.practice.on(server, f"ip address delete {address}/32 dev br0")


@pytest.mark.long
def test_a_gateway_that_nobody_has_and_an_address_that_two_have(stage: StageOnServers) -> None:
    """Refused before any change, and seen by the proof where it comes later."""
    victim, other = stage.practice.names[-1], stage.practice.names[0]
    site = stage.practice.site
    own = site.server(victim).address
    nobody = own.rpartition(".")[0] + ".199"
    wrong = site.model_copy(update={"network": site.network.model_copy(update={"gateway": nobody})})
    with pinned(stage.practice, victim):
        with taken_back(stage, victim):
            given = wrong.model_dump(mode="json")
            stage.assert_refused(BRIDGE, f"nobody answers at the gateway {nobody}", [victim], site=given)
            with also_at(stage, other, own):
                stage.assert_refused(BRIDGE, f"has {own} too", [victim])
        with also_at(stage, other, own):
            verdict, reason = stage.verdicts(BRIDGE, hosts=[victim])[victim]
            assert (verdict, f"has {own} too" in reason) == ("broken", True), reason
        stage.assert_proved(BRIDGE, victim)
