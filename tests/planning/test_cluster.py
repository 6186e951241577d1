"""The cluster that is planned from the answers: roles, labels, taints, endpoint and ranges."""

from __future__ import annotations

from typing import Any

import pytest

from homewright.planning.cluster import CONTROL_PLANE, GPU, SITE, WORKER, ClusterPlanError, gpu_nodes, planned
from homewright.site.cluster import Taint
from homewright.site.models import Site

from .composed import NVIDIA, gpu, host, site

SERVERS = {"cluster": "kubeadm", "nodes": "servers"}


def test_servers_are_nodes_and_the_first_is_the_control_plane() -> None:
    plan = planned(site(3, platform=SERVERS, zone="home.internal"), {})
    assert [(node.name, node.control_plane) for node in plan.nodes] == [("s1", True), ("s2", False), ("s3", False)]
    assert (plan.endpoint, plan.version, plan.zone) == ("192.168.1.11:6443", "v1.36.3", "home.internal")
    assert (str(plan.pods), str(plan.services)) == ("10.1.0.0/16", "10.152.0.0/16")
    assert plan.first.labels == {SITE: "attic", CONTROL_PLANE: ""} and plan.nodes[1].labels == {
        SITE: "attic",
        WORKER: "",
    }
    assert all(node.taints == () for node in plan.nodes)


@pytest.mark.parametrize(("count", "planes"), [(1, 1), (2, 1), (3, 3), (5, 3)])
def test_control_planes_that_share_an_address(count: int, planes: int) -> None:
    plan = planned(site(count, platform=SERVERS, cluster={"address": "192.168.1.9"}), {})
    assert [node.name for node in plan.planes] == [f"s{n}" for n in range(1, planes + 1)]
    assert plan.endpoint == "192.168.1.9:8443", "one can become three, since the address stays"
    assert all((CONTROL_PLANE in node.labels) is node.control_plane for node in plan.nodes)


def test_a_shared_address_is_nobodys_own() -> None:
    with pytest.raises(ClusterPlanError, match=r"cluster.address is 192.168.1.12, which s2 has"):
        planned(site(3, platform=SERVERS, cluster={"address": "192.168.1.12"}), {})


def test_instances_are_nodes_on_their_servers() -> None:
    nodes = [{"name": "n1", "host": "s1"}, {"name": "n2", "host": "s2", "role": "control-plane"}]
    answers = {"network": {"lxd": "10.100.0.0/24"}, "instances": {"nodes": nodes}, "platform": {"cluster": "kubeadm"}}
    plan = planned(site(2, **answers), {})
    assert [(node.name, node.server, node.control_plane) for node in plan.nodes] == [
        ("n2", "s2", True),
        ("n1", "s1", False),
    ]
    assert plan.first.address.startswith("10.100.0.")
    assert plan.endpoint == f"{plan.first.address}:6443", "to nodes"
    assert plan.outside == "192.168.1.12:6443", "to others: by the server that it is on"


def test_ports_of_a_server_lead_to_the_instance_on_it() -> None:
    plan = planned(_with_instances(zone="home.internal"), {})
    led = {name: [(lead.port, lead.node, lead.to) for lead in plan.leads(name)] for name in ("s1", "s2", "s3")}
    assert led["s1"] == [
        (80, "n1", "10.100.0.2:80"), (443, "n1", "10.100.0.2:443"), (6443, "n1", "10.100.0.2:6443"),
    ]  # fmt: skip
    # Of the two on it the first of the plan has the way in; none is a control plane.
    assert led["s2"] == [(80, "n2", "10.100.0.3:80"), (443, "n2", "10.100.0.3:443")]
    assert led["s3"] == []
    assert planned(site(3, platform=SERVERS), {}).leads("s1") == ()


def test_without_a_zone_no_port_is_taken_that_nothing_answers_at() -> None:
    plan = planned(_with_instances(), {})
    assert [[lead.port for lead in plan.leads(name)] for name in ("s1", "s2", "s3")] == [[6443], [], []]


def test_an_address_that_somebody_has_is_chosen_again_where_the_nodes_are() -> None:
    with pytest.raises(ClusterPlanError, match=r"which s1 has") as refused:
        planned(_with_instances(cluster={"address": "192.168.1.11"}), {})
    assert "the instances' range" in refused.value.as_text()


def test_with_a_shared_address_the_apis_port_leads_to_what_shares_the_work() -> None:
    plan = planned(_with_instances(planes=("n1", "n2", "n3"), cluster={"address": "10.100.0.99"}), {})
    assert (plan.endpoint, plan.outside) == ("10.100.0.99:8443", "192.168.1.11:6443")
    assert [lead.to for lead in plan.leads("s2") if lead.port == 6443] == ["10.100.0.3:8443"], "8443 is LXD's own there"


def test_no_instance_gets_the_address_that_control_planes_share() -> None:
    plan = planned(_with_instances(cluster={"address": "10.100.0.3"}), {})
    assert [node.address for node in plan.nodes] == ["10.100.0.2", "10.100.0.4", "10.100.0.5"]


@pytest.mark.parametrize(("kind", "contained"), [("container", True), ("virtual-machine", False)])
def test_whether_nodes_are_containers(kind: str, contained: bool) -> None:
    assert planned(_with_instances(kind=kind), {}).contained is contained
    assert not planned(site(2, platform=SERVERS, instances={"kind": kind}), {}).contained


def _with_instances(planes: tuple[str, ...] = ("n1",), kind: str | None = None, **answers: Any) -> Site:
    """n1 on s1, n2 and n3 on s2, and nothing on s3."""
    nodes = [
        {"name": name, "host": host, "role": "control-plane" if name in planes else "worker"}
        for name, host in (("n1", "s1"), ("n2", "s2"), ("n3", "s2"))
    ]
    instances = {"nodes": nodes, **({"kind": kind} if kind else {})}
    return site(
        3, platform={"cluster": "kubeadm"}, network={"lxd": "10.100.0.0/24"}, instances=instances, **answers
    )  # fmt: skip


def test_labels_and_taints_of_ones_own_come_on_top() -> None:
    told = {
        "workloads_on_control_plane": False,
        "nodes": [{"name": "s2", "labels": {"disk": "nvme"}, "taints": [{"key": "slow", "effect": "NoExecute"}]}],
    }
    plan = planned(site(2, platform=SERVERS, cluster=told), {})
    assert plan.first.taints == (Taint(key=CONTROL_PLANE),)
    assert plan.node("s2").labels["disk"] == "nvme"
    assert plan.node("s2").taints == (Taint(key="slow", effect="NoExecute"),)
    alone = planned(site(1, platform=SERVERS, cluster={"workloads_on_control_plane": False}), {})
    assert alone.first.taints == (), "or nothing could run anywhere"


@pytest.mark.parametrize(
    ("gpus", "nodes"),
    [
        ([], {"s2"}),
        ([{"host": "s2", "address": NVIDIA, "use": "containers"}], {"s2"}),
        ([{"host": "s2", "address": NVIDIA, "use": "desktop"}], set()),
    ],
    ids=["nobody said", "containers", "desktop"],
)
def test_a_server_with_a_gpu_for_pods_is_labelled(gpus: list[dict[str, Any]], nodes: set[str]) -> None:
    facts = {"s1": host("s1"), "s2": host("s2", gpus=(gpu(),))}
    wanted = site(2, platform=SERVERS, gpus=gpus)
    assert gpu_nodes(wanted, facts) == nodes
    assert {node.name for node in planned(wanted, facts).nodes if node.labels.get(GPU) == "true"} == nodes


def test_an_instance_with_a_gpu_is_labelled() -> None:
    answers = {
        "network": {"lxd": "10.100.0.0/24"},
        "instances": {"nodes": [{"name": "n1", "host": "s1"}, {"name": "n2", "host": "s2"}]},
        "gpus": [{"host": "s2", "address": NVIDIA, "use": "passthrough"}],
        "platform": {"cluster": "kubeadm"},
    }
    assert gpu_nodes(site(2, **answers), {}) == {"n2"}


def test_labels_for_what_is_no_node_are_told() -> None:
    with pytest.raises(ClusterPlanError, match="names s9, which is no node"):
        planned(site(1, platform=SERVERS, cluster={"nodes": [{"name": "s9"}]}), {})
