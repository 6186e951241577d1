"""What stage 30 writes: the zone, named's configuration, resolvers, and where packages and images come from."""

from __future__ import annotations

import dataclasses
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Address
from pathlib import Path
from typing import Any

import pytest

from homewright.planning import zone
from homewright.site import mirrored, mirrors
from homewright.site.models import MirrorSettings, Server, Site
from homewright.stages import dns_query, dns_server, resolvers
from homewright.stages.resolvers import Seen

SITE = Site.model_validate(
    {
        "name": "home",
        "zone": "home.test",
        "servers": [
            {"name": "one", "address": "192.0.2.11", "user": "me"},
            {"name": "two", "address": "192.0.2.12", "user": "me"},
        ],
        "network": {"lan": "192.0.2.0/24", "load_balancer": "192.0.2.224/28", "lxd": "10.100.0.0/24"},
        "instances": {"nodes": [{"name": "node", "host": "two", "address": "10.100.0.9"}]},
    }
)
JOINED = SITE.model_copy(
    update={
        "network": SITE.network.model_validate(
            SITE.network.model_dump()
            | {"overlay": {"kind": "zerotier", "network_id": "8056c2e21c000001", "range": "10.147.17.0/24"}}
        )
    }
)


def test_the_zone_knows_servers_instances_and_the_platform() -> None:
    plan = zone.planned(SITE, {})
    assert (plan.server, plan.address, plan.ingress) == ("one", "192.0.2.11", "192.0.2.224")
    assert plan.names == {"one": "192.0.2.11", "two": "192.0.2.12", "node": "10.100.0.9"}
    assert IPv4Network("192.0.2.0/24") in plan.askers and IPv4Network("10.100.0.0/24") in plan.askers
    assert plan.overlay == {}


def test_without_a_load_balancer_the_control_plane_is_the_platform() -> None:
    site = SITE.model_copy(update={"network": SITE.network.model_copy(update={"load_balancer": None, "lan": None})})
    plan = zone.planned(site, {})
    assert plan.ingress == "192.0.2.11"
    assert IPv4Network("192.0.2.12/32") in plan.askers, "servers are answered before anybody has told their network"


def test_where_instances_are_the_nodes_the_server_that_carries_the_control_plane_is_the_platform() -> None:
    nodes = [
        {"name": "a", "host": "one", "address": "10.100.0.8"},
        {"name": "b", "host": "two", "address": "10.100.0.9", "role": "control-plane"},
    ]
    answers = SITE.model_dump() | {"instances": {"nodes": nodes}, "platform": {"cluster": "kubeadm"}}
    site = Site.model_validate(answers | {"network": SITE.network.model_dump() | {"load_balancer": None}})
    assert zone.planned(site, {}).ingress == "192.0.2.12"


def test_servers_have_fixed_addresses_in_the_overlay() -> None:
    plan = zone.planned(JOINED, {})
    assert plan.overlay == {"one": "10.147.17.10", "two": "10.147.17.11"}
    with pytest.raises(ValueError, match="too small"):
        zone.overlay_addresses(JOINED, IPv4Network("10.147.17.0/29"))


@pytest.mark.parametrize(
    ("seen", "wanted"),
    [
        (["192.0.2.1"], ("192.0.2.1",)),
        (["192.0.2.11", "192.0.2.1", "192.0.2.1"], ("192.0.2.1",)),  # it is asked already
        (["127.0.0.53", "::1", "fe80::1", "192.0.2.12"], ()),
        (["2001:db8::53", "fe80::1%br0"], ("2001:db8::53", "fe80::1%br0")),
    ],
)
def test_a_server_never_forwards_to_the_site_itself(seen: list[str], wanted: tuple[str, ...]) -> None:
    assert zone.upstream(SITE, seen) == wanted
    chosen = SITE.model_copy(update={"network": SITE.network.model_copy(update={"resolvers": ("198.51.100.1",)})})
    assert zone.upstream(chosen, seen) == ("198.51.100.1",)


def test_each_view_has_its_own_addresses() -> None:
    lone = dns_server.files(zone.planned(SITE, {}), ["192.0.2.1"])
    assert f"{dns_server.FOLDER}/overlay.zone" not in lone
    assert "forwarders { 192.0.2.1; };" in lone[dns_server.CONFIGURATION]
    both = dns_server.files(zone.planned(JOINED, {}), [])
    assert "forward" not in both[dns_server.CONFIGURATION], "with nobody to ask, it asks the root itself"
    assert "listen-on { 192.0.2.11; 10.147.17.10; };" in both[dns_server.CONFIGURATION]
    configuration = both[dns_server.CONFIGURATION]
    assert configuration.index('view "overlay"') < configuration.index('view "lan"'), "the first that fits is taken"
    assert "two\tIN\tA\t10.147.17.11" in both[f"{dns_server.FOLDER}/overlay.zone"]
    assert "two\tIN\tA\t192.0.2.12" in both[f"{dns_server.FOLDER}/lan.zone"]
    for text in (both[f"{dns_server.FOLDER}/lan.zone"], lone[f"{dns_server.FOLDER}/lan.zone"]):
        assert "*\tIN\tA\t192.0.2.224" in text and "*.two\tIN\tA\t192.0.2.12" in text


def test_reverse_zones_take_nobody_elses_address() -> None:
    text = dns_server.files(zone.planned(SITE, {}), [])[dns_server.CONFIGURATION]
    assert '"12.2.0.192.in-addr.arpa"' in text
    assert '"2.0.192.in-addr.arpa"' not in text


def test_a_zone_that_is_the_same_has_the_same_serial() -> None:
    plan = zone.planned(SITE, {})
    assert dns_server.files(plan, []) == dns_server.files(plan, [])
    servers = (SITE.servers[0], Server(name="two", address="192.0.2.13", user="me"))
    moved = zone.planned(SITE.model_copy(update={"servers": servers}), {})
    name = f"{dns_server.FOLDER}/lan.zone"
    assert dns_server.files(plan, [])[name].splitlines()[2] != dns_server.files(moved, [])[name].splitlines()[2]


@pytest.mark.parametrize(
    ("before", "wanted"),
    [
        ("nameserver 192.0.2.1\n", "nameserver 192.0.2.11\nnameserver 192.0.2.1\noptions timeout:1 attempts:2\n"),
        (
            "# mine\nsearch lan\nnameserver 192.0.2.1\noptions edns0 timeout:9 rotate\n",
            "search lan\nnameserver 192.0.2.11\nnameserver 192.0.2.1\noptions timeout:1 attempts:2 edns0\n",
        ),
        ("", "nameserver 192.0.2.11\nnameserver 192.0.2.1\noptions timeout:1 attempts:2\n"),
    ],
)
def test_resolv_conf_asks_us_first(before: str, wanted: str) -> None:
    text = resolvers.plain(before, "192.0.2.11", ["192.0.2.1"])
    assert text == resolvers.HEADER + wanted
    assert resolvers.plain(text, "192.0.2.11", ["192.0.2.1"]) == text
    taken = resolvers.without(text, "192.0.2.11")
    assert "192.0.2.11" not in taken and resolvers.HEADER not in taken and "nameserver 192.0.2.1\n" in taken


def test_a_host_that_asks_by_ipv6_alone_goes_on_asking() -> None:
    """Without its own, a dead server of ours would cut it off from its packages."""
    before = "nameserver 2001:db8::53\nnameserver fe80::1%br0\n"
    asked = zone.upstream(SITE, Seen(before).servers)
    text = resolvers.plain(before, "192.0.2.11", asked)
    assert resolvers.name_servers(text) == ("192.0.2.11", "2001:db8::53", "fe80::1%br0")
    assert resolvers.plain(text, "192.0.2.11", zone.upstream(SITE, Seen(text).servers)) == text
    configuration = dns_server.files(zone.planned(SITE, {}), asked)[dns_server.CONFIGURATION]
    assert "forwarders { 2001:db8::53; };" in configuration, "the interface may have another name tomorrow"
    resolved = dataclasses.replace(STUB, uplink="nameserver 2001:db8::53\nnameserver fe80::1%3\n")
    assert resolved.servers == ("2001:db8::53",)


def test_no_more_servers_than_glibc_asks() -> None:
    text = resolvers.plain("", "192.0.2.11", ["192.0.2.1", "192.0.2.2", "192.0.2.3"])
    assert resolvers.name_servers(text) == ("192.0.2.11", "192.0.2.1", "192.0.2.2")


def test_systemd_resolved_is_told_what_to_ask_us() -> None:
    text = resolvers.drop_in("192.0.2.11", "home.test", ["192.0.2.12"])
    assert "Domains=~home.test ~12.2.0.192.in-addr.arpa\n" in text
    assert "~. " not in text and "~.\n" not in text, "everything would hang on one server"


STUB = Seen("nameserver 127.0.0.53\n", "/run/systemd/resolve/stub-resolv.conf", True, "nameserver 192.0.2.1\n")


@pytest.mark.parametrize(
    ("seen", "foreign"),
    [
        (Seen("nameserver 192.0.2.1\n"), ""),
        (Seen("# my own notes\nnameserver 192.0.2.1\n"), ""),
        (Seen(None), ""),
        (STUB, ""),
        (Seen("# Generated by NetworkManager\nnameserver 192.0.2.1\n"), "NetworkManager writes it"),
        (Seen("nameserver 192.0.2.1\n", client="dhclient"), "dhclient writes it"),
        (dataclasses.replace(STUB, client="dhclient"), ""),
        (Seen("nameserver 192.0.2.1\n", "/run/resolvconf/resolv.conf"), "it leads to /run/resolvconf/resolv.conf"),
        (Seen("nameserver 127.0.0.53\n", "/run/systemd/resolve/stub-resolv.conf"), "it leads to /run/systemd"),
    ],
)
def test_a_file_that_another_program_writes_is_refused(seen: Seen, foreign: str) -> None:
    refused = resolvers.why_foreign("two", seen)
    assert (foreign in refused.what) if refused else not foreign
    assert STUB.servers == ("192.0.2.1",)


def answer(question: bytes, code: int, *records: bytes) -> bytes:
    """What a server sends: the question's number and text, then records whose names lead back to it."""
    head = question[:2] + bytes([0x81, 0x80 | code, 0, 1, 0, len(records), 0, 0, 0, 0])
    return head + question[12:] + b"".join(records)


def test_answers_of_dns_are_read() -> None:
    question = b"\x12\x34\1\0\0\1\0\0\0\0\0\0" + dns_query.packed("a.home.test") + b"\0\1\0\1"
    address = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4" + bytes([192, 0, 2, 12])
    alias = b"\xc0\x0c\0\5\0\1\0\0\0\x3c\0\2\xc0\x0e"
    assert dns_query.read(answer(question, 0, alias, address), "A") == "0 192.0.2.12"
    assert dns_query.read(answer(question, 3), "A") == "3"
    pointer = b"\xc0\x0c\0\x0c\0\1\0\0\0\x3c\0\6\3two\xc0\x0e"
    assert dns_query.read(answer(question, 0, pointer), "PTR") == "0 two.home.test"


@pytest.mark.parametrize(
    ("reference", "whole"),
    [
        ("postgres:16", f"{mirrored.DOCKER}/library/postgres:16"),
        ("codercom/code-server:4", f"{mirrored.DOCKER}/codercom/code-server:4"),
        ("images.example.org/a/b@sha256:0", "images.example.org/a/b@sha256:0"),
        ("localhost:5000/a", "localhost:5000/a"),
    ],
)
def test_images_come_from_the_mirror(reference: str, whole: str) -> None:
    assert mirrors.image(MirrorSettings(), reference) == whole
    assert mirrors.image(MirrorSettings(images="lan:5000"), reference) == f"lan:5000/{whole}"


def test_packages_come_from_the_mirror() -> None:
    mirror = MirrorSettings(apt="http://mirror.lan/debian/", pip_index="http://mirror.lan/simple")
    assert mirrors.apt_sources(mirror, "debian", "bookworm") == "deb http://mirror.lan/debian bookworm main\n"
    assert mirrors.apt_sources(mirror, "ubuntu", "noble") == "deb http://mirror.lan/debian noble main universe\n"
    assert mirrors.pip_environment(mirror) == {"PIP_INDEX_URL": "http://mirror.lan/simple"}
    assert mirrors.apt_sources(MirrorSettings(), "debian", "bookworm") == ""
    assert mirrors.pip_environment(MirrorSettings()) == {}


@pytest.fixture
def apt_get(tmp_path: Path) -> Iterator[Path]:
    """An apt-get that writes down what it is told, and the sources that it was given."""
    tool = tmp_path / "apt-get"
    tool.write_text(
        f'#!/bin/sh\necho "$@" >>{tmp_path}/said\n'
        'for one in "$@"; do case $one in Dir::Etc::SourceList=*) '
        f'cat "${{one#*=}}" >{tmp_path}/sources ;; esac; done\n'
    )
    tool.chmod(0o755)
    yield tmp_path


@pytest.mark.parametrize("mirror", [None, "http://mirror.lan/it's $HOME"])
def test_the_script_gives_apt_the_mirror_alone(apt_get: Path, mirror: str | None) -> None:
    script = mirrors.apt_script(MirrorSettings(apt=mirror)) + "get install thing\n"
    path = f"{apt_get}:/usr/bin:/bin"
    subprocess.run(["sh", "-eu", "-c", script], env={"PATH": path, "HOME": "/"}, check=True)
    said = (apt_get / "said").read_text()
    assert said.endswith("install thing\n")
    if mirror is None:
        assert "SourceList" not in said
        return
    release = dict(line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line)
    wanted = mirrors.apt_sources(MirrorSettings(apt=mirror), release["ID"], release["VERSION_CODENAME"].strip('"'))
    assert (apt_get / "sources").read_text() == wanted
    assert "Dir::Etc::SourceParts=-" in said


def link_local() -> str:
    """An address of this machine's that is one on its own link alone, with its interface; such a one where none is."""
    path = Path("/proc/net/if_inet6")
    for line in path.read_text().splitlines() if path.exists() else ():
        address, *_, interface = line.split()
        if address.startswith("fe80"):
            return f"{IPv6Address(bytes.fromhex(address))}%{interface}"
    return "fe80::1%lo"


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", link_local()], ids=["IPv4", "IPv6", "link-local"])
def test_a_question_reaches_its_server(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        server = socket.socket(family, socket.SOCK_DGRAM)
    except OSError:
        pytest.skip(f"this machine's kernel has nothing like {address}")
    with server:
        server.settimeout(30)
        try:
            server.bind(socket.getaddrinfo(address, 0, type=socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST)[0][4])
        except OSError:
            pytest.skip(f"this machine has no {address}")
        monkeypatch.setattr(dns_query, "PORT", server.getsockname()[1])

        def says_no_such_name() -> None:
            question, whose = server.recvfrom(512)
            server.sendto(answer(question, 3), whose)

        asked = threading.Thread(target=says_no_such_name, daemon=True)
        asked.start()
        assert dns_query.ask(address, "A", "a.home.test") == "3"
        asked.join(30)


def test_a_link_local_server_is_asked_on_its_interface(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    class Socket:
        def __init__(self, *kind: int) -> None:
            if not given:
                raise OSError("a kernel without IPv6")

        def __enter__(self) -> Socket:
            return self

        def __exit__(self, *error: object) -> None:
            pass

        def settimeout(self, seconds: float) -> None:
            pass

        def connect(self, where: Any) -> None:
            asked.append(where)
            raise OSError

    monkeypatch.setattr(socket, "socket", Socket)
    given = False
    assert dns_query.ask("fe80::1%lo", "A", "a.home.test") == "none" and asked == []
    given = True
    assert dns_query.ask("fe80::1%lo", "A", "a.home.test") == "none"
    assert {where[3] for where in asked} == {socket.if_nametoindex("lo")}
    asked.clear()
    assert dns_query.ask("fe80::1%nosuch", "A", "a.home.test") == "none" and asked == []


def test_the_question_is_asked_by_any_python() -> None:
    """As it goes to a server: on standard input, without anything of ours. Nobody answers at this address."""
    script = Path(dns_query.__file__).read_bytes()
    done = subprocess.run(
        [sys.executable, "-I", "-", "127.0.0.1", "A", "a.home.test"], input=script, capture_output=True, timeout=30
    )
    assert done.stdout.decode().strip() in ("none", "3", "5"), done.stderr
