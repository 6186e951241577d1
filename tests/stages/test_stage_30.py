"""Stage 30 on practice servers: names found by real lookups, broken, mended, refused, taken back without a trace."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from driving import Practice
from stage_on_servers import StageOnServers, seldom

from homewright.catalogue import load, shipped
from homewright.engine.remedies import match
from homewright.engine.states import Action
from homewright.planning import zone
from homewright.stages import dns_server, resolvers

pytestmark = pytest.mark.lab

DNS = "30/20"
ZONE = "rooms.test"
BALANCER = "198.18.255.240/28"
"""Where nothing is: the wildcard leads there."""


@pytest.fixture(scope="module")
def stage(practice: Practice) -> Iterator[StageOnServers]:
    """DNS on servers that know nothing of it."""
    network = practice.site.network.model_copy(update={"load_balancer": BALANCER})
    site = practice.site.model_copy(update={"zone": ZONE, "network": network})
    stage = StageOnServers(dataclasses.replace(practice, site=site), load([shipped()]))
    stage.begin(DNS)
    yield stage


@contextmanager
def broken(stage: StageOnServers, server: str, command: str, mend: str) -> Iterator[None]:
    stage.practice.on(server, command)
    try:
        yield
    finally:
        stage.practice.on(server, mend)


def found(stage: StageOnServers, server: str, name: str) -> str:
    """What programs on this server find for a name."""
    return stage.practice.on(server, f"getent ahostsv4 {name} | cut -d' ' -f1 | sort -u", check=False).strip()


def test_every_server_finds_what_the_zone_has(stage: StageOnServers) -> None:
    first = stage.practice.site.servers[0]
    for server in stage.practice.names:
        assert found(stage, server, f"ns1.{ZONE}") == first.address
        assert found(stage, server, f"auth.{ZONE}") == "198.18.255.240"
        assert found(stage, server, f"code-ann.{first.name}.{ZONE}") == first.address
        assert found(stage, server, "nobody.invalid") == ""


def test_a_second_run_changes_nothing(stage: StageOnServers) -> None:
    assert set(stage.run(DNS).changed.values()) == {0}


HOME = dns_server.FOLDER
BREAKS = [
    ("first", "systemctl stop named", "is inactive"),
    seldom("last", "echo nameserver 192.0.2.1 >/etc/resolv.conf", "does not ask"),
    seldom("last", "echo 'search elsewhere.test' >>/etc/resolv.conf; sed -i 1d /etc/resolv.conf", "does not ask"),
    seldom("first", f"sed -i '/^\\*\\s/d' {HOME}/lan.zone", "is not what the site says"),
    seldom("first", f"rm {HOME}/*.reverse; systemctl restart named; true", "is not what the site says"),
    seldom("first", f"rm {dns_server.DROP_IN}; systemctl daemon-reload; systemctl restart named", "is not what"),
    seldom("first", f"chmod 600 {HOME}/named.conf", "is 600 root:root"),
    seldom("first", "systemctl disable named", "is active and disabled"),
    # The files are right and what runs is not: only a lookup sees that.
    seldom(
        "first",
        f"cp -a {HOME} /root/kept; sed -i 's/^ns1.*/ns1 IN A 192.0.2.9/' {HOME}/lan.zone; systemctl restart named; "
        "for n in $(seq 150); do getent ahostsv4 ns1.rooms.test | grep -q 192.0.2.9 && break; sleep 0.2; done; "
        f"cp -a /root/kept/* {HOME}/; rm -r /root/kept",
        "ns1.rooms.test is 192.0.2.9",
    ),
]


@pytest.mark.parametrize(("where", "command", "why"), BREAKS)
def test_what_is_broken_is_seen_and_made_good(stage: StageOnServers, where: str, command: str, why: str) -> None:
    victim = stage.practice.names[0 if where == "first" else -1]
    stage.practice.on(victim, command)
    verdict, reason = stage.verdicts(DNS, hosts=[victim])[victim]
    assert (verdict, why in reason, victim in reason) == ("broken", True, True), reason
    stage.run(DNS, hosts=[victim])
    stage.assert_proved(DNS)
    assert stage.run(DNS, hosts=[victim]).changed == {victim: 0}


def mirror_of(stage: StageOnServers, server: str) -> str:
    said = stage.practice.on(server, "apt-get indextargets --format '$(SITE)' | sort -u | head -1")
    return said.strip().partition("://")[2].partition("/")[0].partition(":")[0]


@pytest.mark.parametrize("everywhere", [False, seldom(True)])
def test_a_dead_dns_server_cuts_nobody_off_from_packages(stage: StageOnServers, everywhere: bool) -> None:
    first, last = stage.practice.names[0], stage.practice.names[-1]
    address = stage.practice.site.servers[0].address
    # Not a server that refuses, which is told at once: one that is gone, so that each question to it is lost.
    rule = f"INPUT -d {address} -p udp --dport 53 -j DROP"
    with broken(stage, first, f"iptables -w -I {rule}", f"iptables -w -D {rule}"):
        for server in stage.practice.names if everywhere else [last]:
            assert found(stage, server, mirror_of(stage, server)) != "", server
        if everywhere:
            assert {verdict for verdict, _ in stage.verdicts(DNS).values()} == {"broken"}
    assert found(stage, last, f"auth.{ZONE}") == "198.18.255.240"


def test_named_takes_the_views_of_a_site_with_an_overlay(stage: StageOnServers) -> None:
    overlay = {"kind": "zerotier", "network_id": "8056c2e21c000001", "range": "10.147.17.0/24"}
    network = stage.practice.site.network.model_validate(
        stage.practice.site.network.model_dump() | {"overlay": overlay}
    )
    plan = zone.planned(stage.practice.site.model_copy(update={"network": network}), {})
    first = stage.practice.names[0]
    for path, text in dns_server.files(plan, ["192.0.2.1", "2001:db8::53"]).items():
        there = f"/root/try/{Path(path).name}"
        moved = text.replace(HOME, "/root/try")
        stage.practice.on(first, f"mkdir -p /root/try; cat >{there}", stdin=moved.encode())
    stage.practice.on(first, "named-checkconf -z /root/try/named.conf; rm -r /root/try")


def reversed_site(stage: StageOnServers) -> dict[str, object]:
    """The same site with the servers the other way round: its DNS server is the last one, which has none."""
    servers = tuple(reversed(stage.practice.site.servers))
    return stage.practice.site.model_copy(update={"servers": servers}).model_dump(mode="json")


LISTEN = (
    "systemd-run -q --unit=other-dns python3 -c 'import socket, time; s = socket.socket(type=socket.SOCK_DGRAM); "
    's.bind(("0.0.0.0", 53)); time.sleep(600)\'; for n in $(seq 100); do ss -Hlnu "sport = :53" | grep -q . && exit; '
    "sleep 0.1; done; exit 1"
)


@pytest.mark.parametrize(
    ("command", "mend", "why"),
    [
        (LISTEN, "systemctl stop other-dns", "python3 listens on 0.0.0.0:53"),
        seldom("mkdir /etc/bind; touch /etc/bind/named.conf.local", "rm -r /etc/bind", "has a DNS server already"),
        seldom(
            "cp -a /etc/resolv.conf /root/kept; sed -i '1i# Generated by NetworkManager' /etc/resolv.conf",
            "mv /root/kept /etc/resolv.conf",
            "NetworkManager writes it",
        ),
        # As it is after Debian's own installation, and without a word in the file.
        seldom(
            "cp /bin/sleep /run/dhclient; systemd-run -q --unit=other-client /run/dhclient 600",
            "systemctl stop other-client; rm /run/dhclient",
            "dhclient writes it",
        ),
    ],
    ids=["port", "bind9", "resolvers", "leases"],
)
def test_what_is_somebody_elses_is_left_alone(stage: StageOnServers, command: str, mend: str, why: str) -> None:
    last = stage.practice.names[-1]
    with broken(stage, last, command, mend):
        before = stage.practice.on(last, "cat /etc/resolv.conf; ls -A /etc/bind 2>&1; dpkg -l | grep -c ^ii")
        stage.assert_refused(DNS, why, [last], site=reversed_site(stage))
        assert stage.practice.on(last, "cat /etc/resolv.conf; ls -A /etc/bind 2>&1; dpkg -l | grep -c ^ii") == before


@pytest.mark.long
def test_a_server_with_systemd_resolved_routes_the_zone_alone(stage: StageOnServers) -> None:
    """As Ubuntu's servers are. What its own links ask goes on answering for everything else."""
    last, address = stage.practice.names[-1], stage.practice.site.servers[0].address
    install = (
        "cp -a /etc/resolv.conf /root/resolv.kept; export DEBIAN_FRONTEND=noninteractive; "
        "apt-get -q -y -o Dpkg::Use-Pty=0 install systemd-resolved && systemctl restart systemd-networkd && "
        "for n in $(seq 99); do grep -q ^nameserver /run/systemd/resolve/resolv.conf && exit 0; sleep 0.1; done; exit 1"
    )
    gone = (
        "apt-get -q -y -o Dpkg::Use-Pty=0 purge systemd-resolved libnss-resolve; rm -f /etc/resolv.conf; "
        "! getent passwd systemd-resolve >/dev/null || userdel systemd-resolve; "  # the package leaves its account
        "rm -rf /etc/systemd/resolved.conf.d; mv /root/resolv.kept /etc/resolv.conf"
    )
    with broken(stage, last, install, gone):
        file, proof, back = (stage.catalogue.file(stage.step(DNS), part) for part in ("run", "verify", "rollback"))
        captured = stage.practice.drive("python", proof, Action.CAPTURE, hosts=[last]).captures
        assert captured[last]["upstream"], "what its links ask"
        more = {"captures": captured, "hosts": [last]}
        for changed in (True, False):
            outcome = stage.practice.drive("python", file, Action.RUN, **more)
            assert outcome.states == {last: "succeeded"}, outcome.reasons
            assert bool(outcome.changed[last]) == changed
        assert stage.practice.drive("python", proof, Action.VERIFY, **more).verdicts[last][0] == "proved"
        assert found(stage, last, f"auth.{ZONE}") == "198.18.255.240"
        rule = f"OUTPUT -d {address} -p udp --dport 53 -j DROP"
        with broken(stage, last, f"iptables -w -I {rule}", f"iptables -w -D {rule}"):
            assert found(stage, last, mirror_of(stage, last)) != ""
        outcome = stage.practice.drive("python", back, Action.ROLLBACK, **more)
        assert outcome.states == {last: "succeeded"}, outcome.reasons
        assert stage.practice.on(last, f"ls {resolvers.RESOLVED} 2>/dev/null; true") == ""
    stage.assert_proved(DNS, last)


def test_without_its_package_there_is_no_overlay(stage: StageOnServers, tmp_path: Path) -> None:
    """Neither apt nor its maker's repository has it: said before anything is changed."""
    last = stage.practice.names[-1]
    file = tmp_path / "join.py"
    file.write_text(
        "from homewright.stages import overlay_effect\n\n\ndef run(host):\n    overlay_effect.install(host)\n"
    )
    nowhere = "cp -a /etc/hosts /root/hosts.kept; echo 127.0.0.1 raw.githubusercontent.com >>/etc/hosts"
    with broken(stage, last, nowhere, "mv /root/hosts.kept /etc/hosts"):
        outcome = stage.practice.drive("python", file, hosts=[last])
    assert outcome.states == {last: "failed"}
    assert "There is no ZeroTier for" in outcome.reasons[last]
    assert match(stage.step("30/10").remedies, [outcome.reasons[last]]) is not None
    assert stage.practice.on(last, "ls /etc/apt/keyrings/ /etc/apt/sources.list.d/ | grep -c homewright; true") == "0\n"


@pytest.mark.long
def test_packages_come_from_the_mirror_alone(stage: StageOnServers, tmp_path: Path) -> None:
    """On a server whose own sources lead nowhere, as they do where there is no internet."""
    last = stage.practice.names[-1]
    said = stage.practice.on(
        last, "apt-get indextargets --format '$(SITE) $(RELEASE)' | sort -u | grep -v -e - | head -1"
    )
    mirror = {"apt": said.split()[0]}
    file = tmp_path / "package.py"
    file.write_text(
        "from homewright.stages import packages\n\n\n"
        "def run(host):\n    with host.task('hello') as task:\n"
        "        task.changed = packages.install(host, ['hello'])\n\n\n"
        "def rollback(host):\n    with host.task('no hello') as task:\n"
        "        task.changed = packages.remove(host, ['hello'], None)\n"
    )
    kept = "cp -a /etc/apt /root/apt.kept; rm -rf /etc/apt/sources.list*; rm -rf /var/lib/apt/lists/*"
    own = stage.practice.site.model_copy(update={"mirror": stage.practice.site.mirror.model_copy(update=mirror)})
    with broken(stage, last, kept, "rm -r /etc/apt; mv /root/apt.kept /etc/apt; apt-get -q update"):
        alone = stage.practice.drive("python", file, hosts=[last])
        assert alone.states == {last: "failed"}, "its own sources have nothing"
        for changed in (1, 0):
            outcome = stage.practice.drive("python", file, hosts=[last], site=own.model_dump(mode="json"))
            assert (outcome.states, outcome.changed) == ({last: "succeeded"}, {last: changed}), outcome.reasons
        assert "Hello" in stage.practice.on(last, "hello")
        left = "ls -d /etc/apt/sources.list /etc/apt/sources.list.d /tmp/tmp.* 2>/dev/null; true"
        assert stage.practice.on(last, left) == "", (
            "the mirror's list is gone again, and nothing of the server's own made"
        )
        listed = "dpkg-query -W -f '${Package} ${db:Status-Abbrev}\\n' | grep ' ii'"
        there = stage.practice.on(last, listed).splitlines()
        outcome = stage.practice.drive("python", file, Action.ROLLBACK, hosts=[last])
        assert outcome.changed == {last: 1}
        gone = set(there) - set(stage.practice.on(last, listed).splitlines())
        assert gone == {"hello ii "}, "nobody has written down what was there: nothing else goes"
    assert stage.practice.on(last, "command -v hello; true") == ""


def test_taken_back_the_servers_are_as_before(stage: StageOnServers) -> None:
    stage.assert_taken_back(DNS)
