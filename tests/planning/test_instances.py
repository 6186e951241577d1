"""Instances: placed by capacity, honest about quorum."""

from __future__ import annotations

from typing import Any

import pytest

from homewright.discovery.facts import FileSystem, HostFacts, Software
from homewright.planning.capacity import capacity, storage
from homewright.planning.instances import place
from homewright.planning.virtualization import kind
from homewright.site.models import Site

from .composed import GIB, host, hosts, site


def nodes(given: Site, known: dict[str, HostFacts], **more: Any) -> list[tuple[str, str, str, tuple[int, int, int]]]:
    return [(n.name, n.host, n.role, (n.cpu, n.memory, n.disk)) for n in place(given, known, **more).nodes]


@pytest.mark.parametrize(
    ("count", "roles", "words"),
    [
        (1, ["control-plane"], "there is one server"),
        (2, ["control-plane", "worker"], "two servers cannot form a quorum"),
        (3, ["control-plane"] * 3, "goes on when one of them fails"),
        (5, ["control-plane"] * 3 + ["worker"] * 2, "goes on when one of them fails"),
    ],
)
def test_one_on_each_server_and_an_honest_control_plane(count: int, roles: list[str], words: str) -> None:
    found = place(site(count), hosts(count))
    assert [node.role for node in found.nodes] == roles
    assert [node.host for node in found.nodes] == [f"s{n}" for n in range(1, count + 1)]
    assert words in found.control_plane_why and not found.problems and found.proposed
    assert [node.address for node in found.nodes] == [f"10.100.0.{n + 2}" for n in range(count)]


@pytest.mark.parametrize(
    ("cpu", "memory", "disk", "size"),
    [
        (16, 64, 400, (4, 8, 50)),
        (7, 15, 90, (3, 7, 40)),
        (6, 10, 70, (2, 2, 20)),
        (5, 64, 400, None),
        (16, 9, 400, None),
        (16, 64, 69, None),
    ],
)
def test_what_is_left_after_the_reserve(cpu: int, memory: int, disk: int, size: tuple[int, int, int] | None) -> None:
    known = {"s1": host(cpu=cpu, memory=memory, disk=disk)}
    found = place(site(1), known)
    assert [(n.cpu, n.memory, n.disk) for n in found.nodes] == ([size] if size else [])
    assert [problem.field for problem in found.problems] == ([] if size else ["instances.reserve"])
    assert all("homewright site set" in problem.do[0] for problem in found.problems)


@pytest.mark.parametrize(
    ("known", "need", "words"),
    [
        (hosts(2), None, "of 4 CPU, 8 GiB and 50 GiB disk"),
        (hosts(2), (1.0, 60.0, 100.0), "large enough that the platform fits"),  # more memory alone
        ({"s1": host(), "s2": host("s2", cpu=6)}, (6.0, 16.0, 100.0), "large enough that the platform fits"),
        ({"s1": host(cpu=6), "s2": host("s2", cpu=6)}, (8.0, 16.0, 160.0), "as large as its room allows"),
        ({"s1": host(), "s2": host("s2", cpu=6)}, None, "as large as its room allows"),
    ],
)
def test_a_size_is_named_only_where_every_instance_has_it(
    known: dict[str, HostFacts], need: tuple[float, float, float] | None, words: str
) -> None:
    found = place(site(2), known, need=need)
    assert len(found.nodes) == 2 and words in found.nodes_why


def test_what_is_not_known_is_said_and_not_taken_for_nothing() -> None:
    found = place(site(2), {"s1": host()})
    assert len(found.nodes) == 2 and not found.problems
    assert found.hosts[1].total.cpu is None and "homewright discover" in found.hosts[1].why_unknown


def test_instances_grow_together_where_the_platform_needs_it() -> None:
    need = (14.0, 60.0, 200.0)
    assert nodes(site(2), hosts(2), need=need) == [
        ("s1-node", "s1", "control-plane", (7, 30, 100)),
        ("s2-node", "s2", "worker", (7, 30, 100)),
    ]
    small = {"s1": host(), "s2": host("s2", cpu=8, memory=20, disk=110)}
    assert [size for *_, size in nodes(site(2), small, need=need)] == [(10, 48, 140), (4, 12, 60)]


@pytest.mark.parametrize(
    ("mounts", "system", "software", "wanted"),
    [
        ([("/", 100)], "ubuntu", Software(), ("/", 100.0)),
        ([("/", 100), ("/var", 300)], "ubuntu", Software(), ("/var", 300.0)),
        ([("/", 100), ("/var/lib/lxd", 300)], "ubuntu", Software(), ("/", 100.0)),
        ([("/", 100), ("/var/lib/lxd", 300)], "debian", Software(), ("/var/lib/lxd", 300.0)),
        ([("/", 100), ("/var/snap", 300)], "debian", Software(lxd_from="snap"), ("/var/snap", 300.0)),
        ([("/", 100), ("/var/sna", 300)], "ubuntu", Software(), ("/", 100.0)),
        ([("/", 100)], "ubuntu", Software(lxd_clustered=True), ("/", 500.0)),
        ([], "ubuntu", Software(), ("", None)),
    ],
)
def test_the_disk_is_that_of_the_file_system_which_would_hold_them(
    mounts: list[tuple[str, int]], system: str, software: Software, wanted: tuple[str, float | None]
) -> None:
    found = [FileSystem(mount=mount, size=500 * GIB, free=free * GIB) for mount, free in mounts]
    assert storage(host(mounts=found, system={"os_id": system}, software=software)) == wanted


@pytest.mark.parametrize(("profile", "nodes"), [("home", 0), ("lab", 1)])
def test_practice_servers_share_a_disk_of_which_little_may_be_free(profile: str, nodes: int) -> None:
    answers: Any = {"profile": profile, "instances": {"reserve": {"cpu": 0, "memory": 0, "disk": 0}}}
    known = {"s1": host(mounts=[FileSystem(mount="/", size=500 * GIB, free=9 * GIB)])}
    assert len(place(site(1, **answers), known).nodes) == nodes


def test_memory_is_never_rounded_up() -> None:
    assert capacity("s1", {"s1": host(memory=31.29)}).memory == 31.2


@pytest.mark.parametrize(
    ("answers", "systems", "wanted", "words"),
    [
        ({}, [{}, {}], "virtual-machine", "Every server has /dev/kvm"),
        ({}, [{}, {"kvm": False}], "container", "s2 has no /dev/kvm"),
        ({}, [{"vhost_vsock": False}, {}], "container", "s1 has no /dev/vhost-vsock"),
        ({"instances": {"kind": "virtual-machine"}}, [{}, {"kvm": False}], "virtual-machine", "You chose it"),
    ],
)
def test_virtual_machines_or_containers(answers: Any, systems: list[Any], wanted: str, words: str) -> None:
    known = {f"s{n}": host(f"s{n}", system=system) for n, system in enumerate(systems, start=1)}
    found, why = kind(site(2, **answers), known)
    assert found == wanted and words in why


def test_a_kind_that_a_server_cannot_run_is_a_problem() -> None:
    one = site(1, instances={"kind": "virtual-machine"})
    found = place(one, {"s1": host(system={"kvm": False})}).problems
    assert [(p.field, "s1" in p.reason, bool(p.do)) for p in found] == [("instances.kind", True, True)]


@pytest.mark.parametrize(
    ("given", "field", "words"),
    [
        ([{"name": "n1", "host": "s1", "cpu": 13}], "instances.nodes.n1", "ask for 13 CPUs, and it has 12 to give"),
        (
            [{"name": f"n{n}", "host": "s1", "memory": 30} for n in (1, 2)],
            "instances.nodes.n2",
            "ask for 60 GiB of memory, and it has 56",
        ),
        ([{"name": "n1", "host": "s2", "disk": 400}], "instances.nodes.n1", "350 to give"),
        ([{"name": "n1", "host": "s1", "address": "10.9.9.9"}], "instances.nodes.n1.address", "not in LXD's range"),
        ([{"name": "n1", "host": "s1", "address": "10.100.0.1"}], "instances.nodes.n1.address", "its bridge's own"),
    ],
)
def test_chosen_instances_are_kept_and_checked(given: list[dict[str, Any]], field: str, words: str) -> None:
    found = place(site(2, instances={"nodes": given}), hosts(2))
    assert not found.proposed and [node.name for node in found.nodes] == [node["name"] for node in given]
    assert any(p.field == field and words in p.reason and p.do for p in found.problems), found.problems


def test_a_chosen_address_is_not_given_to_another() -> None:
    given = [{"name": "n1", "host": "s1"}, {"name": "n2", "host": "s2", "address": "10.100.0.2"}]
    found = place(site(2, instances={"nodes": given}), hosts(2))
    assert [node.address for node in found.nodes] == ["10.100.0.3", "10.100.0.2"]


def test_two_chosen_control_planes_are_said_to_be_worse_than_one() -> None:
    given = [{"name": f"n{n}", "host": f"s{n}", "role": "control-plane"} for n in (1, 2)]
    assert "cannot form a quorum" in place(site(2, instances={"nodes": given}), hosts(2)).control_plane_why
    none = [{"name": "n1", "host": "s1"}]
    assert "no control plane" in place(site(2, instances={"nodes": none}), hosts(2)).control_plane_why


@pytest.mark.parametrize(
    ("cluster", "said"), [({}, "One control plane"), ({"address": "192.168.1.9"}, "3 control planes on different")]
)
@pytest.mark.parametrize("nodes", ["instances", "servers"])
def test_kubeadm_makes_several_control_planes_where_they_share_an_address(
    cluster: dict[str, Any], said: str, nodes: str
) -> None:
    wanted = site(3, platform={"cluster": "kubeadm", "nodes": nodes}, cluster=cluster)
    assert place(wanted, hosts(3)).control_plane_why.startswith(said)


@pytest.mark.parametrize("answers", [{"platform": {"nodes": "servers"}}, {"platform": {"cluster": "existing"}}])
def test_servers_as_nodes_and_existing_clusters_need_no_instances(answers: dict[str, Any]) -> None:
    found = place(site(3, **answers), hosts(3))
    assert found.nodes == () and not found.problems and "no instances" in found.nodes_why


def test_names_of_instances_meet_no_server() -> None:
    servers = [{"name": n, "address": f"192.168.1.{i}", "user": "a"} for i, n in enumerate(("s1", "s1-node"), 11)]
    assert [node.name for node in place(site(1, servers=servers), {}).nodes] == ["s1-node2", "s1-node-node"]
