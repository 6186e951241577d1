"""Networks that lead through an interface, from what `ip route` prints."""

from __future__ import annotations

import json

import pytest

from homewright.discovery.bundle import RawBundle, Source
from homewright.discovery.parsers.network import OUR_ROUTES, other_routes, parse

TEXT = """default via 192.168.1.1 dev eno1 proto dhcp metric 100
10.8.0.0/16 via 10.9.0.1 dev wg0
172.17.0.0/16 dev docker0 proto kernel scope link src 172.17.0.1 linkdown
172.31.0.0/16 dev wg0 scope link
192.168.1.0/24 dev eno1 proto kernel scope link src 192.168.1.11
blackhole 10.1.44.0/26 proto 80
10.7.7.7 dev wg0 scope link
fe80::/64 dev eno1 proto kernel
"""
WANTED = {"wg0": ("10.8.0.0/16", "172.31.0.0/16")}


def test_text_and_json_say_the_same() -> None:
    assert other_routes("", TEXT) == WANTED
    listed = [
        {"dst": "default", "gateway": "192.168.1.1", "dev": "eno1", "protocol": "dhcp"},
        {"dst": "10.8.0.0/16", "gateway": "10.9.0.1", "dev": "wg0"},
        {"dst": "172.31.0.0/16", "dev": "wg0", "scope": "link"},
        {"dst": "192.168.1.0/24", "dev": "eno1", "protocol": "kernel"},
        {"type": "blackhole", "dst": "10.1.44.0/26"},
    ]
    assert other_routes(json.dumps(listed), "") == WANTED


def test_the_way_to_our_own_instances_is_told_apart() -> None:
    text = f"{TEXT}10.100.0.0/24 dev br0 proto {OUR_ROUTES} scope link src 192.168.1.11\n"
    listed = [
        {"dst": "10.100.0.0/24", "dev": "br0", "protocol": OUR_ROUTES},
        {"dst": "10.8.0.0/16", "dev": "wg0"},
        {"dst": "172.31.0.0/16", "dev": "wg0"},
    ]
    for told in (("", text), (json.dumps(listed), "")):
        assert other_routes(*told) == WANTED
        assert other_routes(*told, ours=True) == {"br0": ("10.100.0.0/24",)}


@pytest.mark.parametrize("damaged", ["", "{", "[1, 2]", '[{"dst": 7, "dev": []}]', "10.0.0.0/8 dev", "\x1b[1m default"])
def test_damaged_text_has_no_routes(damaged: str) -> None:
    assert other_routes(damaged, damaged) == {}


def test_they_are_facts_of_the_interface() -> None:
    address = "2: wg0: <POINTOPOINT,UP,LOWER_UP> mtu 1420 state UNKNOWN\n    inet 10.9.0.2/32 scope global wg0\n"
    sources = {"ip-addr": Source(stdout=address, exit_code=0), "ip-route": Source(stdout=TEXT, exit_code=0)}
    found = parse(RawBundle(host="s1", gathered_at=0.0, sources=sources))
    assert [(nic.name, nic.routes) for nic in found] == [("wg0", WANTED["wg0"])]
