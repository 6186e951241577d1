"""What speaks against making a server a node, found before anything is changed; and what a node's labels need."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from homewright.planning.cluster import SITE, ClusterPlan, Node, planned
from homewright.site.cluster import Taint
from homewright.site.models import Site
from homewright.stages.cluster import forming, look
from homewright.stages.cluster.look import Seen

SERVERS = [{"name": f"s{n}", "address": f"192.168.1.{10 + n}", "user": "ann"} for n in (1, 2)]
OURS = "attic/0123"
FIT = Seen(
    architecture="x86_64",
    cpu=4,
    memory_mib=8000,
    ports={22: "sshd"},
    routes=(("default", "eth0"), ("192.168.1.0/24", "eth0")),
)


def plan() -> ClusterPlan:
    platform = {"cluster": "kubeadm", "nodes": "servers"}
    return planned(Site.model_validate({"name": "attic", "servers": SERVERS, "platform": platform}), {})


@pytest.mark.parametrize(
    ("change", "name", "said"),
    [
        ({}, "s1", ""),
        ({"owner": OURS, "config": True, "ports": {6443: "kube-apiserver"}}, "s1", ""),
        ({"owner": "garden/9999", "config": True}, "s1", "that of the site garden"),
        ({"config": True}, "s1", "has Kubernetes already"),
        ({"others": ("k3s",)}, "s2", "has k3s already"),
        ({"foreign": ("/usr/local/bin/kubectl",)}, "s2", "its own /usr/local/bin/kubectl"),
        ({"foreign": ("/usr/local/bin/kubectl",), "owner": OURS}, "s2", "its own /usr/local/bin/kubectl"),
        ({"foreign": ("/var/lib/etcd/default",)}, "s1", "its own /var/lib/etcd/default"),
        ({"foreign": ("/var/lib/etcd/default",)}, "s2", ""),
        ({"foreign": ("/var/lib/etcd/default",), "owner": OURS, "config": True}, "s1", ""),
        ({"cpu": 1}, "s2", "1 processor."),
        ({"memory_mib": 1024}, "s1", "1024 MiB"),
        ({"memory_mib": 1024}, "s2", ""),
        ({"architecture": "riscv64"}, "s2", "is a riscv64"),
        ({"nests": False}, "s2", "lxc config set s2 security.nesting=true"),
        ({"swap": ("/swap.img",)}, "s2", "has swap: /swap.img"),
        ({"ports": {6443: "nginx"}}, "s1", "in use by nginx"),
        ({"ports": {6443: "nginx"}}, "s2", ""),
        ({"ports": {10250: ""}}, "s2", "in use by another program"),
        ({"routes": (("10.1.7.0/24", "docker0"),)}, "s1", "overlaps with 10.1.0.0/16"),
        ({"routes": (("10.0.0.0/8", "wg0"),)}, "s1", "homewright site set network.pods"),
        ({"routes": (("10.152.9.9", "wg0"),)}, "s1", "homewright site set network.services"),
        ({"routes": (("10.1.0.0/24", "cni0"),)}, "s1", ""),
        ({"skew_s": -61.0}, "s2", "61 s behind"),
        ({"skew_s": 59.0}, "s2", ""),
    ],
)  # fmt: skip
def test_refusals(change: dict[str, Any], name: str, said: str) -> None:
    found = list(look.refusals(plan(), name, replace(FIT, **change), OURS))
    assert bool(found) == bool(said), [one.what for one in found]
    assert not found or said in found[0].as_text()
    assert all(one.what and one.why for one in found if "riscv" not in one.what)


@pytest.mark.parametrize(("kind", "where"), [("container", "s2"), ("virtual-machine", "n1")])
def test_swap_is_turned_off_where_it_is(kind: str, where: str) -> None:
    answers = {
        "name": "attic",
        "servers": SERVERS,
        "platform": {"cluster": "kubeadm"},
        "network": {"lxd": "10.100.0.0/24"},
        "instances": {"kind": kind, "nodes": [{"name": "n1", "host": "s2"}]},
    }
    inside = planned(Site.model_validate(answers), {})
    (found,) = look.refusals(inside, "n1", replace(FIT, swap=("/swap.img",)), OURS)
    assert found.what == f"{where} has swap: /swap.img." and f"turn it off on {where}: " in found.as_text()
    assert ("n1 is a container there" in found.why) is (kind == "container")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, ""),
        ({"routes": (("default", "eth0"), ("192.168.7.0/24", "eth0"))}, "no network that 192.168.1.9 is in"),
        ({"ports": {8443: "unifi"}}, "Port 8443 of s1 is in use by unifi"),
    ],
)
def test_a_shared_address_is_of_the_control_planes_network(change: dict[str, Any], said: str) -> None:
    platform = {"cluster": "kubeadm", "nodes": "servers"}
    answers = {"name": "attic", "servers": SERVERS, "platform": platform, "cluster": {"address": "192.168.1.9"}}
    shared = planned(Site.model_validate(answers), {})
    found = list(look.refusals(shared, "s1", replace(FIT, **change), OURS))
    assert [said in one.what for one in found] == ([True] if said else [])
    assert not list(look.refusals(shared, "s2", replace(FIT, **change), OURS)), "a worker has no part in it"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"nests": False}, "homewright apply --from 20"),
        ({"cpu": 1}, "homewright site set instances.nodes.n1.cpu 2"),
        ({"memory_mib": 1024}, "homewright site set instances.nodes.n1.memory 2"),
    ],
)
def test_an_instance_that_cannot_be_a_node_is_mended_by_the_site(change: dict[str, Any], said: str) -> None:
    answers = {
        "name": "attic", "servers": SERVERS, "platform": {"cluster": "kubeadm"}, "network": {"lxd": "10.100.0.0/24"},
        "instances": {"nodes": [{"name": "n1", "host": "s1", "role": "control-plane"}]},
    }  # fmt: skip
    wanted = planned(Site.model_validate(answers), {})
    assert not list(look.refusals(wanted, "n1", FIT, OURS))
    (found,) = look.refusals(wanted, "n1", replace(FIT, **change), OURS)
    assert said in found.as_text()


def test_swap_is_allowed_where_the_sites_kubelet_starts_beside_it() -> None:
    seen = replace(FIT, swap=("/dev/zram0",))
    assert not list(look.refusals(plan(), "s2", seen, OURS, swap_allowed=True))


def test_what_a_server_says_is_read() -> None:
    said = (
        "architecture aarch64\ncpu 4\nmemory 7800\nconfig /etc/kubernetes/kubelet.conf\nother MicroK8s\n"
        "foreign /usr/local/bin/kubectl\nswap /dev/sda3\nport 6443 kube-apiserver\nport 53\n"
        "route default eth0\nroute 10.9.0.0/24 wg0\nclock 1061.5\n"
    )
    seen = look.parse(said, 1000.0)
    assert seen == Seen(
        architecture="aarch64", cpu=4, memory_mib=7800, config=True, others=("MicroK8s",),
        foreign=("/usr/local/bin/kubectl",), swap=("/dev/sda3",),
        ports={6443: "kube-apiserver", 53: ""}, routes=(("default", "eth0"), ("10.9.0.0/24", "wg0")), skew_s=61.5,
    )  # fmt: skip
    assert look.parse("owner attic/01\nformed\n", 5.0).owner == "attic/01"
    assert not look.parse("lone\n", 5.0).nests


NODE = Node("s2", "192.168.1.12", "s2", False, {SITE: "attic", "disk": "nvme"}, (Taint(key="slow"),))


def made(node: Node, found: dict[str, Any]) -> dict[str, Any]:
    """The node once the change was made, as the API would have it."""
    change = forming.node_change(node, found)
    metadata, spec = found.get("metadata", {}), found.get("spec", {})
    labels = metadata.get("labels", {}) | change.get("metadata", {}).get("labels", {})
    return {
        "metadata": {
            "labels": {name: value for name, value in labels.items() if value is not None},
            "annotations": metadata.get("annotations", {}) | change.get("metadata", {}).get("annotations", {}),
        },
        "spec": spec | change.get("spec", {}),
    }


def test_labels_and_taints_are_as_planned_once_and_those_of_others_stay() -> None:
    foreign = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}
    found = {"metadata": {"labels": {"mine": "yes"}}, "spec": {"taints": [foreign]}}
    after = made(NODE, found)
    assert after["metadata"]["labels"] == {"mine": "yes", SITE: "attic", "disk": "nvme"}
    assert after["spec"]["taints"] == [foreign, {"key": "slow", "effect": "NoSchedule"}]
    assert forming.node_change(NODE, after) == {}


def test_what_is_planned_no_more_goes() -> None:
    after = made(NODE, {})
    bare = replace(NODE, labels={SITE: "attic"}, taints=())
    again = made(bare, after)
    assert again["metadata"]["labels"] == {SITE: "attic"} and again["spec"]["taints"] == []
    assert forming.node_change(bare, again) == {}
    changed = made(NODE, after | {"spec": {"taints": []}})
    assert changed["spec"]["taints"] == [{"key": "slow", "effect": "NoSchedule"}], "taken away by hand"
