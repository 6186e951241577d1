"""What holds of every plan, whatever the site and the servers."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from homewright.catalogue import Catalogue
from homewright.catalogue.models import Stage
from homewright.discovery.facts import Gpu, HostFacts, PciFunction
from homewright.planning import plan
from homewright.planning.capacity import LEAST
from homewright.planning.difference import difference
from homewright.planning.gpu_groups import BRIDGES, OWN_CLASSES, reaches, slot
from homewright.planning.gpus import options, problems
from homewright.planning.instances import place
from homewright.planning.networks import propose
from homewright.planning.ranges import Seen, is_own
from homewright.site.models import Site

from .composed import host, nic

# No database, and always the same examples: a suite that fails does so for everybody.
SOME = settings(
    max_examples=60, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
)

POOLS = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")


@st.composite
def networks(draw: st.DrawFn, shortest: int = 8, longest: int = 30) -> IPv4Network:
    pool = IPv4Network(draw(st.sampled_from(POOLS)))
    prefix = draw(st.integers(max(shortest, pool.prefixlen), longest))
    offset = draw(st.integers(0, (1 << (prefix - pool.prefixlen)) - 1))
    return IPv4Network((int(pool.network_address) + (offset << (32 - prefix)), prefix))


@st.composite
def sites_with_networks(draw: st.DrawFn) -> tuple[Site, dict[str, HostFacts]]:
    lan = draw(networks(longest=29))
    count = draw(st.integers(1, 4))
    low, high = int(lan.network_address) + 1, int(lan.broadcast_address) - 1
    addresses = draw(st.lists(st.integers(low, high), min_size=count, max_size=count, unique=True))
    servers = [
        {"name": f"s{n}", "address": str(IPv4Address(address)), "user": "ann"}
        for n, address in enumerate(addresses, start=1)
    ]
    chosen = {
        name: str(draw(networks(longest=longest)))
        for name, longest in (("lxd", 26), ("pods", 22), ("services", 24), ("load_balancer", 30))
        if draw(st.integers(0, 3)) == 0
    }
    overlay = {"kind": draw(st.sampled_from(["none", "zerotier"]))}
    given_site = Site.model_validate({"name": "a", "servers": servers, "network": {**chosen, "overlay": overlay}})
    names = ("docker0", "vpn0", "lxdbr0", "eth7")
    known = {}
    for server in given_site.servers:
        if draw(st.integers(0, 4)) == 0:
            continue
        nics = []
        for name in draw(st.lists(st.sampled_from(names), max_size=3, unique=True)):
            net = draw(networks(longest=30))
            nics.append(nic(name, f"{net.network_address + 1}/{net.prefixlen}"))
        known[server.name] = host(server.name, f"{server.address}/{lan.prefixlen}", nics=nics)
    return given_site, known


@SOME
@given(sites_with_networks())
def test_ranges_never_overlap_and_stay_what_the_user_gave(case: tuple[Site, dict[str, HostFacts]]) -> None:
    site, known = case
    found = propose(site, known)
    assert found == propose(site, known)
    nets = {one.name: IPv4Network(one.cidr) for one in found.ranges if one.cidr}
    given_by_user = {"lxd": site.network.lxd, "pods": site.network.pods, "services": site.network.services}
    for one in found.ranges:
        if given_by_user.get(one.name):
            assert one.chosen and one.cidr == given_by_user[one.name]
    proposed = {one.name for one in found.ranges if one.cidr and not one.chosen and one.name != "lan"}
    for one, other in combinations(nets, 2):
        inside_lan = {one, other} == {"lan", "load-balancer"}
        if (proposed & {one, other} or not found.problems) and not inside_lan:
            assert not nets[one].overlaps(nets[other]), (one, other)
    servers = [IPv4Address(server.address) for server in site.servers]
    for name in proposed:
        assert not any(address in nets[name] for address in servers), name
        if name == "load-balancer":
            assert nets[name].subnet_of(nets["lan"])
            continue
        for facts in known.values():
            for seen in facts.nics:
                strange = IPv4Network(seen.addresses[0], strict=False)
                there = Seen(facts.host, seen.name, strange, None)
                assert is_own(name, there) or not nets[name].overlaps(strange), (name, seen)


@st.composite
def capacities(draw: st.DrawFn) -> tuple[Site, dict[str, HostFacts], tuple[float, float, float] | None]:
    count = draw(st.integers(1, 6))
    names = [f"s{n}" for n in range(1, count + 1)]
    reserve = {part: draw(st.integers(0, 12)) for part in ("cpu", "memory", "disk")}
    answers: dict[str, Any] = {"reserve": reserve}
    if draw(st.booleans()):
        sizes = st.tuples(st.sampled_from(names), st.integers(2, 20), st.integers(2, 40), st.integers(20, 300))
        answers["nodes"] = [
            {"name": f"n{index}", "host": where, "cpu": cpu, "memory": memory, "disk": disk}
            for index, (where, cpu, memory, disk) in enumerate(draw(st.lists(sizes, max_size=6)))
        ]
    servers = [{"name": name, "address": f"192.168.1.{10 + n}", "user": "a"} for n, name in enumerate(names, 1)]
    known = {
        name: host(
            name,
            cpu=draw(st.one_of(st.none(), st.integers(1, 64))),
            memory=draw(st.one_of(st.none(), st.floats(1, 256))),
            disk=draw(st.one_of(st.none(), st.integers(1, 2000))),
        )
        for name in names
        if draw(st.integers(0, 5))
    }
    need = draw(st.one_of(st.none(), st.tuples(st.floats(0, 200), st.floats(0, 900), st.floats(0, 9000))))
    return Site.model_validate({"name": "a", "servers": servers, "instances": answers}), known, need


@SOME
@given(capacities())
def test_no_plan_exceeds_a_server(case: tuple[Site, dict[str, HostFacts], Any]) -> None:
    site, known, need = case
    found = place(site, known, need=need)
    for share in found.hosts:
        mine = found.on(share.host)
        exceeded = any(left is not None and left < 0 for left in (share.free.cpu, share.free.memory, share.free.disk))
        blamed = any(p.field.startswith("instances.nodes.") and f"on {share.host} " in p.reason for p in found.problems)
        assert blamed is (exceeded and bool(mine)), share
        assert not (found.proposed and mine and exceeded)
    if found.proposed:
        for node in found.nodes:
            assert (node.cpu >= LEAST[0], node.memory >= LEAST[1], node.disk >= LEAST[2]) == (True, True, True)
        planes = sum(node.role == "control-plane" for node in found.nodes)
        assert planes == (3 if len(found.nodes) >= 3 else min(1, len(found.nodes)))
    given_out = [node.address for node in found.nodes]
    assert None not in given_out and len(set(given_out)) == len(given_out)


CLASSES = ("0300", "0302", "0403", "0c03", "0c80", "0604", "0200", "0106", "0600", "1080")


@st.composite
def servers_with_groups(draw: st.DrawFn) -> HostFacts:
    slots = [f"0000:{bus:02x}:00" for bus in range(1, draw(st.integers(1, 5)) + 1)]
    pci: list[PciFunction] = []
    gpus: list[Gpu] = []
    known = draw(st.integers(0, 9)) > 0
    for place_of in slots:
        for number in range(draw(st.integers(1, 4))):
            kind = draw(st.sampled_from(CLASSES))
            group = draw(st.integers(0, 5)) if known else None
            one = PciFunction(
                address=f"{place_of}.{number}", class_id=kind, vendor_id="10de", device_id="1", iommu_group=group
            )
            pci.append(one)
            if kind.startswith("03"):
                gpus.append(Gpu(address=one.address, vendor="nvidia", iommu_group=group))
    return host("s1", pci=pci, gpus=gpus)


def reached(facts: HostFacts, address: str) -> set[str]:
    """What goes with a GPU, by brute force: slots of GPUs, and whole groups of what is in them, until nothing is added.

    A bridge drags nobody along: it stays with the server.
    """
    homes = {slot(gpu.address) for gpu in facts.gpus}
    slots = {slot(address)}
    while True:
        movable = [f for f in facts.pci if f.class_id not in BRIDGES]
        groups = {f.iommu_group for f in movable if slot(f.address) in slots}
        more = {slot(f.address) for f in movable if f.iommu_group in groups and slot(f.address) in homes}
        if more <= slots:
            return {f.address for f in facts.pci if f.iommu_group in groups}
        slots |= more


@SOME
@given(servers_with_groups())
def test_the_iommu_rule_holds_on_any_groups(facts: HostFacts) -> None:
    site = Site.model_validate({"name": "a", "servers": [{"name": "s1", "address": "192.168.1.11", "user": "a"}]})
    by_address = {function.address: function for function in facts.pci}
    for option in options(site, {"s1": facts}):
        choice = option.choice("passthrough")
        if by_address[option.address].iommu_group is None:
            assert choice.possible is None and not option.group_members
            continue
        whole = {one for one in reached(facts, option.address) if by_address[one].class_id not in BRIDGES}
        assert set(option.group_members) == whole
        gpus = {option.address, *option.together}
        slots = {slot(one) for one in gpus}
        foreign = [
            one for one in whole if slot(one) not in slots or not by_address[one].class_id.startswith(OWN_CLASSES)
        ]
        assert choice.possible is (not foreign), (option, foreign)
        for other in option.together:
            assert set(reaches(facts)[other].gpus) == gpus, "what goes together goes together from every side"


@SOME
@given(servers_with_groups(), st.lists(st.integers(0, 2), min_size=8, max_size=8))
def test_no_gpu_is_given_twice(facts: HostFacts, picks: list[int]) -> None:
    nodes = [{"name": f"n{n}", "host": "s1", "cpu": 2, "memory": 2, "disk": 20} for n in (1, 2)]
    choices = [
        {"host": "s1", "address": one.address, "use": "passthrough", "instance": f"n{pick}"}
        for one, pick in zip(facts.gpus, picks, strict=False)
        if pick
    ]
    servers = [{"name": "s1", "address": "192.168.1.11", "user": "a"}]
    base = {"name": "a", "servers": servers, "instances": {"nodes": nodes}}
    site = Site.model_validate({**base, "gpus": choices})
    if not problems(site, {"s1": facts}) and all(one.iommu_group is not None for one in facts.pci):
        owners: dict[str, str | None] = {}
        for option in options(site, {"s1": facts}):
            for member in option.group_members if option.chosen == "passthrough" else ():
                assert owners.setdefault(member, option.instance) == option.instance
    if choices:
        with pytest.raises(ValidationError, match="twice"):
            Site.model_validate({**base, "gpus": [*choices, choices[0]]})


@SOME
@given(sites_with_networks())
def test_a_plan_is_not_different_from_itself(case: tuple[Site, dict[str, HostFacts]]) -> None:
    site, known = case
    step = {"id": "00/10", "title": "T", "runner": "python", "run": "a", "verify": "b", "rollback": "c",
            "reads": ["network"], "changes": {"files": ["{home}/x"]}}  # fmt: skip
    stage = Stage.model_validate({"id": "00", "title": "S", "steps": [step]})
    one = plan(site, Catalogue((stage,), "c", (), {"00": Path("/x")}), known)
    again = plan(site, Catalogue((stage,), "c", (), {"00": Path("/x")}), known)
    assert difference(one, again).empty and one.digest == again.digest
