"""The cluster that is planned from the answers: roles, labels, taints, endpoint and ranges."""

from __future__ import annotations

from typing import Any

import pytest

from homewright.planning.cluster import CONTROL_PLANE, GPU, SITE, WORKER, ClusterPlanError, gpu_nodes, planned
from homewright.site.cluster import Taint

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
