"""Address ranges: tables of sites and of what servers told."""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Any

import pytest

from homewright.planning.networks import propose
from homewright.planning.ranges import RangeName
from homewright.site.models import Site

from .composed import host, hosts, nic, site


def cidr(site: Site, name: RangeName, **facts: Any) -> str:
    found = propose(site, facts or hosts(len(site.servers))).of(name)
    assert found is not None
    return found.cidr


def reasons(site: Site, facts: Any = None) -> list[tuple[str, str]]:
    found = propose(site, hosts(len(site.servers)) if facts is None else facts)
    return [(problem.field, problem.reason) for problem in found.problems]


def test_a_usual_home_gets_the_usual_ranges() -> None:
    found = propose(site(3), hosts(3))
    assert {one.name: one.cidr for one in found.ranges} == {
        "lan": "192.168.1.0/24",
        "lxd": "10.100.0.0/24",
        "pods": "10.1.0.0/16",
        "services": "10.152.0.0/16",
        "load-balancer": "192.168.1.224/28",
    }
    assert not found.problems and not any(one.chosen for one in found.ranges)
    assert all(one.why.endswith(".") for one in found.ranges)
    assert (found.gateway, found.resolvers) == ("192.168.1.1", ("192.168.1.1",))
    assert [bridge.nic for bridge in found.bridges] == ["eno1"] * 3
    assert found.service_addresses == 65534


def test_the_platforms_own_dns_server_forwards_to_none_of_the_sites_servers() -> None:
    asked = site(2)
    own = asked.servers[0].address
    told = {
        name: one.model_copy(update={"names": one.names.model_copy(update={"resolvers": (own, "192.168.1.1")})})
        for name, one in hosts(2).items()
    }
    assert propose(asked, told).resolvers == ("192.168.1.1",), "as before stage 30"


def test_the_same_question_has_the_same_answer() -> None:
    known = hosts(3)
    assert propose(site(3), known) == propose(site(3), dict(reversed(known.items())))


@pytest.mark.parametrize(
    ("seen", "name", "wanted"),
    [
        (nic("docker0", "172.17.0.1/16"), "pods", "10.1.0.0/16"),
        (nic("vpn0", "10.1.44.2/24"), "pods", "10.0.0.0/16"),
        (nic("vpn0", "10.0.0.2/8"), "pods", "172.16.0.0/16"),
        (nic("vpn0", "10.0.0.2/8"), "services", "172.17.0.0/16"),
        (nic("vpn0", "10.0.0.2/8"), "lxd", "172.18.0.0/24"),
        (nic("virbr0", "10.100.0.1/24"), "lxd", "10.0.0.0/24"),
        (nic("wg0", "10.99.0.2/32", routes=["10.1.0.0/20"]), "pods", "10.0.0.0/16"),
        (nic("tun0", "10.99.0.2/32", routes=["0.0.0.0/1", "128.0.0.0/1"]), "pods", "10.1.0.0/16"),
        (nic("lxdbr0", "10.55.3.1/24", routes=["10.66.0.0/24"]), "lxd", "10.55.3.0/24"),
        (nic("lxdbr0", "10.55.3.1/24"), "lxd", "10.55.3.0/24"),
        (nic("br0", "192.168.1.11/24", instances="10.100.0.0/24"), "lxd", "10.100.0.0/24"),
        (nic("br0", "192.168.1.11/24", instances="10.77.0.0/24"), "lxd", "10.77.0.0/24"),
        (nic("br0", "192.168.1.11/24", routes=["10.100.0.0/24"]), "lxd", "10.0.0.0/24"),
        (nic("vxlan.calico", "10.1.77.0/32"), "pods", "10.1.0.0/16"),
        (nic("eth9", "fd00::1/64", "169.254.3.3/16"), "pods", "10.1.0.0/16"),
    ],
)  # fmt: skip
def test_what_the_servers_are_in_already_is_left_alone(seen: Any, name: RangeName, wanted: str) -> None:
    assert cidr(site(1), name, s1=host(nics=[seen])) == wanted


def test_the_usual_ranges_make_room_with_a_reason() -> None:
    found = propose(site(1), {"s1": host(nics=[nic("vpn0", "10.1.44.2/24")])}).of("pods")
    assert found is not None and "since 10.1.0.0/16 meets 10.1.44.0/24" in found.why


@pytest.mark.parametrize(
    ("lan", "address", "wanted"),
    [
        ("192.168.1.11/24", "192.168.1.11", "192.168.1.224/28"),
        ("192.168.1.11/26", "192.168.1.11", "192.168.1.48/29"),
        ("192.168.1.11/28", "192.168.1.11", "192.168.1.4/30"),
        ("192.168.1.11/29", "192.168.1.11", ""),
        ("192.168.1.11/31", "192.168.1.11", ""),
        ("192.168.1.11/16", "192.168.1.11", "192.168.255.224/28"),
        ("10.0.0.5/8", "10.0.0.5", "10.255.255.224/28"),
    ],
)
def test_load_balancers_get_a_free_part_of_any_lan(lan: str, address: str, wanted: str) -> None:
    one = site(1, servers=[{"name": "s1", "address": address, "user": "ann"}])
    found = propose(one, {"s1": host(address=lan)})
    assert found.network("load-balancer") == (IPv4Network(wanted) if wanted else None)
    assert [problem.field for problem in found.problems] == ([] if wanted else ["network.load_balancer"])


def test_load_balancers_take_nobodys_address() -> None:
    known = {"s1": host(nics=[nic("eth2", "192.168.1.230/24"), nic("eth3", "192.168.1.209/24")])}
    assert cidr(site(1), "load-balancer", **known) == "192.168.1.192/28"


@pytest.mark.parametrize(
    ("network", "field", "words"),
    [
        ({"pods": "192.168.0.0/16"}, "network.pods", "overlaps the LAN"),
        ({"pods": "10.1.0.0/16", "services": "10.1.128.0/17"}, "network.services", "overlaps the range of pods"),
        ({"lxd": "172.17.4.0/24"}, "network.lxd", "overlaps docker0 of s1 (172.17.0.0/16)"),
        ({"lxd": "172.31.4.0/24"}, "network.lxd", "overlaps a route through wg0 of s1 (172.31.0.0/16)"),
        ({"services": "10.0.0.0/8"}, "network.services", "too large"),
        ({"services": "10.9.9.0/28"}, "network.services", "too few"),
        ({"pods": "10.9.9.0/25"}, "network.pods", "too small for 2 nodes"),
        ({"pods": "8.8.0.0/16"}, "network.pods", "on the internet"),
        ({"lxd": "224.0.0.0/24"}, "network.lxd", "a meaning of its own"),
        ({"lxd": "10.9.9.0/30"}, "network.lxd", "too small for 2 instances"),
        ({"load_balancer": "10.9.9.0/28"}, "network.load_balancer", "no part of the LAN"),
        ({"load_balancer": "192.168.1.8/29"}, "network.load_balancer", "192.168.1.11, the address of s1"),
        ({"load_balancer": "192.168.1.0/30"}, "network.load_balancer", "192.168.1.1, the address of the gateway"),
        ({"gateway": "10.0.0.1"}, "network.gateway", "not in the LAN"),
        ({"lan": "10.0.0.0/24"}, "network.lan", "s1 (192.168.1.11) and s2 (192.168.1.12) lies outside"),
    ],
)
def test_a_choice_that_does_not_fit_is_named(network: dict[str, str], field: str, words: str) -> None:
    known = hosts(2, nics=[nic("docker0", "172.17.0.1/16"), nic("wg0", routes=["172.31.0.0/16"])])
    found = reasons(site(2, network=network), known)
    assert any(name == field and words in reason for name, reason in found), found


def test_a_choice_is_kept_even_where_it_does_not_fit() -> None:
    one = site(1, network={"pods": "192.168.1.0/24"})
    found = propose(one, hosts(1)).of("pods")
    assert found is not None and found.chosen and found.cidr == "192.168.1.0/24"


def test_every_problem_says_what_to_do() -> None:
    one = site(2, network={"pods": "192.168.0.0/16", "load_balancer": "10.0.0.0/30", "gateway": "10.0.0.1"})
    assert all(problem.do for problem in propose(one, hosts(2)).problems)


def test_servers_in_two_networks_are_told() -> None:
    known = hosts(3) | {"s3": host("s3", "10.9.0.3/24")}
    servers = [{"name": f"s{n}", "address": f"192.168.1.{10 + n}", "user": "ann"} for n in (1, 2)]
    one = site(1, servers=[*servers, {"name": "s3", "address": "10.9.0.3", "user": "ann"}])
    found = propose(one, known)
    assert found.network("lan") == IPv4Network("192.168.1.0/24")
    assert [(p.field, "s3 (10.9.0.3)" in p.reason) for p in found.problems] == [("network.lan", True)]


def test_without_facts_nothing_about_the_lan_is_guessed() -> None:
    found = propose(site(2), {})
    lan, balancer = found.of("lan"), found.of("load-balancer")
    assert lan is not None and lan.cidr == "" and "homewright discover" in lan.why
    assert balancer is not None and balancer.cidr == "" and not found.problems


def test_an_overlay_has_a_range_only_where_it_is_wanted() -> None:
    assert propose(site(1), hosts(1)).of("overlay") is None
    wanted = site(1, network={"overlay": {"kind": "zerotier"}})
    assert cidr(wanted, "overlay") == "10.147.17.0/24"


def test_an_existing_cluster_has_its_own_ranges() -> None:
    found = propose(site(1, platform={"cluster": "existing"}), hosts(1))
    assert [one.name for one in found.ranges] == ["lan"]


def test_servers_as_nodes_need_no_range_for_instances() -> None:
    assert propose(site(1, platform={"nodes": "servers"}), hosts(1)).of("lxd") is None


def test_a_wifi_interface_takes_no_bridge() -> None:
    one = host(nics=[nic("wlan0", "192.168.1.40/24", kind="wifi")])
    chosen = [{"name": "s1", "address": "192.168.1.11", "user": "ann", "nic": "wlan0"}]
    assert reasons(site(1, servers=chosen), {"s1": one})[0][0] == "servers.s1.nic"
    gone = [{"name": "s1", "address": "192.168.1.11", "user": "ann", "nic": "eth7"}]
    assert "no interface eth7" in reasons(site(1, servers=gone), {"s1": one})[0][1]


@pytest.mark.parametrize(
    ("name", "answers", "fits"),
    [
        ("vmbr0", {}, False),
        ("vmbr0", {"platform": {"nodes": "servers"}}, True),
        ("vmbr0", {"platform": {"cluster": "existing"}}, True),
        ("br0", {}, True),
    ],
)
def test_a_bridge_of_something_else_is_in_the_way_where_a_bridge_is_wanted(
    name: str, answers: dict[str, Any], fits: bool
) -> None:
    given = site(1, **answers)
    links = nic(name, "192.168.1.11/24", gateway="192.168.1.1", kind="bridge"), nic("eno1")
    taken = host().model_copy(update={"nics": links})
    found = [one for one in propose(given, {"s1": taken}).problems if one.field == "servers.s1.nic"]
    assert (found == []) is fits, found
