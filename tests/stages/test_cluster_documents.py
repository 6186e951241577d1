"""What kubeadm and containerd are told, made from the site's answers."""

from __future__ import annotations

import json
import tomllib
from typing import Any

import pytest

from homewright.planning.cluster import planned
from homewright.site import mirrored
from homewright.site.models import Site
from homewright.stages.cluster import balanced, documents, network

SERVERS = [{"name": f"s{n}", "address": f"192.168.1.{10 + n}", "user": "ann"} for n in (1, 2)]
MIRROR = {"images": "mirror.lan:5000", "plain_http": True}
TOKEN = "abcdef.0123456789abcdef"


def site(**answers: Any) -> Site:
    platform = {"cluster": "kubeadm", "nodes": "servers"}
    return Site.model_validate({"name": "attic", "servers": SERVERS, "platform": platform, **answers})


def initial(wanted: Site) -> dict[str, dict[str, Any]]:
    text = documents.initial(wanted, planned(wanted, {}), TOKEN)
    found = [json.loads(part) for part in text.split("---\n") if part.strip()]
    return {document["kind"]: document for document in found}


def test_init_is_told_addresses_ranges_and_versions() -> None:
    made = initial(site(zone="home.internal"))
    cluster, init = made["ClusterConfiguration"], made["InitConfiguration"]
    assert cluster["controlPlaneEndpoint"] == "192.168.1.11:6443" and cluster["kubernetesVersion"] == "v1.36.3"
    assert cluster["networking"]["serviceSubnet"] == "10.152.0.0/16" and "imageRepository" not in cluster
    assert {"s1", "192.168.1.11", "s1.home.internal"} <= set(cluster["apiServer"]["certSANs"])
    registration = init["nodeRegistration"]
    assert registration["kubeletExtraArgs"] == [{"name": "node-ip", "value": "192.168.1.11"}]
    assert (registration["taints"], registration["criSocket"]) == ([], documents.SOCKET)
    assert init["skipPhases"] == ["show-join-command"], "it would print a token into the log"
    assert made["KubeletConfiguration"]["cgroupDriver"] == "systemd"
    assert made["KubeProxyConfiguration"]["mode"] == "nftables"


def test_a_mirror_has_all_images_and_coredns_one_name_deeper() -> None:
    cluster = initial(site(mirror=MIRROR))["ClusterConfiguration"]
    assert cluster["imageRepository"] == "mirror.lan:5000/registry.k8s.io"
    assert cluster["dns"] == {"imageRepository": "mirror.lan:5000/registry.k8s.io/coredns"}


def test_the_sites_own_settings_come_last() -> None:
    overrides = {
        "kubelet": {"cgroupsPerQOS": False, "featureGates": {"A": True}, "cgroupDriver": "cgroupfs"},
        "kube_proxy": {"conntrack": {"maxPerCore": 0}},
        "etcd": {"unsafe-no-fsync": "true"},
        "containerd": {"disable_cgroup": True, "containerd": {"runtimes": {"runc": {"options": {"Root": "/r"}}}}},
        "preflight": ["SystemVerification"],
    }
    wanted = site(cluster={"overrides": overrides, "runtime": {"package": "crun", "script": "#!/bin/sh\n"}})
    made = initial(wanted)
    assert made["KubeletConfiguration"]["featureGates"] == {"A": True}
    assert made["KubeProxyConfiguration"] | {"mode": "nftables"} == made["KubeProxyConfiguration"]
    assert made["ClusterConfiguration"]["etcd"]["local"]["extraArgs"] == [{"name": "unsafe-no-fsync", "value": "true"}]
    assert made["InitConfiguration"]["nodeRegistration"]["ignorePreflightErrors"] == ["SystemVerification"]
    runtime = tomllib.loads(documents.containerd(wanted))["plugins"]["io.containerd.cri.v1.runtime"]
    options = runtime["containerd"]["runtimes"]["runc"]["options"]
    assert runtime["disable_cgroup"] is True and options["SystemdCgroup"] is False and options["Root"] == "/r"
    assert options["BinaryName"] == documents.SCRIPT


def test_nodes_that_are_containers_are_told_so_and_the_sites_own_settings_still_come_last() -> None:
    answers: dict[str, Any] = {
        "platform": {"cluster": "kubeadm"},
        "network": {"lxd": "10.100.0.0/24"},
        "instances": {"kind": "container", "nodes": [{"name": "n1", "host": "s1", "role": "control-plane"}]},
    }
    made = initial(site(**answers))
    assert made["ClusterConfiguration"]["controlPlaneEndpoint"] == "10.100.0.2:6443"
    assert made["KubeletConfiguration"]["featureGates"] == {"KubeletInUserNamespace": True}
    assert made["KubeProxyConfiguration"]["conntrack"]["maxPerCore"] == 0, "the table's size is the kernel's own"
    contained = tomllib.loads(documents.containerd(site(), contained=True))["plugins"]["io.containerd.cri.v1.runtime"]
    alone = tomllib.loads(documents.containerd(site()))["plugins"]["io.containerd.cri.v1.runtime"]
    assert contained["restrict_oom_score_adj"] is True and "restrict_oom_score_adj" not in alone
    overrides = {"kubelet": {"featureGates": {"A": True}}, "kube_proxy": {"conntrack": {"maxPerCore": 7}}}
    own = initial(site(**answers, cluster={"overrides": overrides}))
    assert own["KubeletConfiguration"]["featureGates"] == {"KubeletInUserNamespace": True, "A": True}
    assert own["KubeProxyConfiguration"]["conntrack"]["maxPerCore"] == 7
    machines = initial(site(**answers | {"instances": {**answers["instances"], "kind": "virtual-machine"}}))
    assert "featureGates" not in machines["KubeletConfiguration"], "a virtual machine has a kernel of its own"


def test_containerd_is_beside_any_other_and_pulls_from_the_mirror() -> None:
    told = tomllib.loads(documents.containerd(site(mirror=MIRROR)))
    assert told["root"] != "/var/lib/containerd" and told["grpc"]["address"] != "/run/containerd/containerd.sock"
    assert told["plugins"]["io.containerd.internal.v1.opt"]["path"].startswith(told["root"]), "and not /opt/containerd"
    images = told["plugins"]["io.containerd.cri.v1.images"]
    assert images["pinned_images"]["sandbox"].startswith("mirror.lan:5000/registry.k8s.io/pause:")
    path, text = documents.registry(site(mirror=MIRROR).mirror) or ("", "")
    assert path.endswith("/mirror.lan:5000/hosts.toml")
    assert tomllib.loads(text)["host"]["http://mirror.lan:5000"]["capabilities"] == ["pull", "resolve"]
    assert documents.registry(site(mirror={"images": "mirror.lan"}).mirror) is None
    options = tomllib.loads(documents.containerd(site()))["plugins"]["io.containerd.cri.v1.runtime"]
    assert options["containerd"]["runtimes"]["runc"]["options"]["BinaryName"] == "/usr/bin/runc"


def test_a_join_believes_one_ca_alone() -> None:
    wanted = site()
    plan = planned(wanted, {})
    text = documents.joining(wanted, plan, plan.node("s2"), TOKEN, "sha256:00")
    told = json.loads(text.removeprefix("---\n"))
    assert told["discovery"]["bootstrapToken"] == {
        "apiServerEndpoint": "192.168.1.11:6443", "token": TOKEN, "caCertHashes": ["sha256:00"],
    }  # fmt: skip
    assert told["nodeRegistration"]["name"] == "s2" and "controlPlane" not in told


SHARED = site(
    servers=[{"name": f"s{n}", "address": f"192.168.1.{10 + n}", "user": "ann"} for n in (1, 2, 3)],
    cluster={"address": "192.168.1.9"},
)


def test_a_further_control_plane_serves_at_its_own_address_and_decrypts_the_certificates() -> None:
    plan = planned(SHARED, {})
    told = json.loads(
        documents.joining(SHARED, plan, plan.node("s2"), TOKEN, "sha256:00", "ab" * 32).removeprefix("---\n")
    )
    assert told["controlPlane"] == {
        "localAPIEndpoint": {"advertiseAddress": "192.168.1.12", "bindPort": 6443}, "certificateKey": "ab" * 32,
    }  # fmt: skip
    assert told["discovery"]["bootstrapToken"]["apiServerEndpoint"] == "192.168.1.9:8443"
    found = [json.loads(part) for part in documents.sharing(SHARED, plan, "cd" * 32).split("---\n") if part.strip()]
    assert found[0]["certificateKey"] == "cd" * 32 and found[1]["controlPlaneEndpoint"] == "192.168.1.9:8443"


def test_the_shared_address_goes_to_one_and_the_balancer_asks_all() -> None:
    plan = planned(SHARED, {})
    texts = [balanced.files(plan, node, "br0") for node in plan.planes]
    kept = [text[balanced.ADDRESS][0] for text in texts]
    assert [text.split("priority ")[1].split()[0] for text in kept] == ["100", "99", "98"]
    assert all("192.168.1.9/32 dev br0" in text and "virtual_router_id 9\n" in text for text in kept)
    peers = [
        [line.strip() for line in text.split("unicast_peer {")[1].split("}")[0].splitlines()[1:-1]] for text in kept
    ]
    assert peers[1] == ["192.168.1.11", "192.168.1.13"], "it hears all but itself, and reads one on a line"
    assert len({text[balanced.BALANCER] for text in texts}) == 1
    assert all(f"server {node.name} {node.address}:6443" in texts[0][balanced.BALANCER][0] for node in plan.nodes)
    alone = site()
    plan = planned(alone, {})
    assert balanced.files(plan, plan.first, "br0") == {}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": True, "b": 1}, '"a" = true\n"b" = 1\n'),
        ({"t": {"x": "a\nb"}}, '["t"]\n"x" = "a\\nb"\n'),
        ({"t": {"none": None, "u": {"l": ["p", "q"]}}}, '["t"."u"]\n"l" = ["p", "q"]\n'),
    ],
    ids=["plain", "table", "nested"],
)
def test_toml_is_what_a_reader_of_toml_reads(value: dict[str, Any], text: str) -> None:
    assert documents.toml(value) == text
    tomllib.loads(documents.toml(value))


def test_flannel_takes_the_nodes_own_address_and_the_planned_range() -> None:
    wanted = site(mirror=MIRROR, network={"pods": "10.5.0.0/16"})
    made = network.objects(wanted, planned(wanted, {}))
    kinds = [body["kind"] for body in made.values()]
    assert kinds.index("Namespace") == 0 and kinds[-1] == "DaemonSet"
    config = next(body for body in made.values() if body["kind"] == "ConfigMap")
    assert json.loads(config["data"]["net-conf.json"])["Network"] == "10.5.0.0/16"
    pod = next(body for body in made.values() if body["kind"] == "DaemonSet")["spec"]["template"]["spec"]
    images = [one["image"] for one in (*pod["initContainers"], *pod["containers"])]
    assert all(
        image.startswith(f"mirror.lan:5000/{mirrored.reference('flannel').partition('/')[0]}/flannel-io/")
        for image in images
    )
    assert "--iface=$(HOST_ADDRESS)" in pod["containers"][0]["args"]
    assert pod["nodeSelector"] == {"kubernetes.io/os": "linux"}, "a simulated node has none, and no network to make"


@pytest.mark.parametrize(
    ("status", "why"),
    [
        ({}, ""),
        ({"containerStatuses": [{"name": "c", "state": {"running": {}}}]}, ""),
        ({"initContainerStatuses": [{"name": "i", "state": {"terminated": {"reason": "Completed"}}}]}, ""),
        ({"containerStatuses": [{"name": "c", "state": {"waiting": {"reason": "PodInitializing"}}}]}, ""),
        ({"containerStatuses": [{"name": "c", "state": {"waiting": {"reason": "ErrImagePull", "message": "no"}}}]},
         "c: ErrImagePull: no"),
        ({"containerStatuses": [{"name": "c", "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                                 "lastState": {"terminated": {"message": "bad flag"}}}]},
         "c: CrashLoopBackOff: bad flag"),
    ],
    ids=["nothing", "running", "init done", "starting", "no image", "crashes"],
)  # fmt: skip
def test_what_holds_a_pod_up_is_told_in_its_own_words(status: dict[str, Any], why: str) -> None:
    assert network.waiting({"status": status}) == why


READY = {"type": "Ready", "status": "True"}
MADE = {"type": "NetworkUnavailable", "status": "False"}
UP = {"status": {"phase": "Running", "containerStatuses": [{"name": "c", "state": {"running": {}}}]}}
CRASHES = {
    "status": {"phase": "Running", "containerStatuses": [{"name": "c", "state": {"waiting": {"reason": "Crash"}}}]}
}
TOLD = {**MADE, "lastHeartbeatTime": "2026-11-22T07:21:45Z"}


def up(since: str, **metadata: str) -> dict[str, Any]:
    running = {"name": "c", "state": {"running": {"startedAt": f"2026-11-22T{since}Z"}}}
    return {"metadata": metadata, "status": {"phase": "Running", "containerStatuses": [running]}}


@pytest.mark.parametrize(
    ("conditions", "pods", "why"),
    [
        ([READY, MADE], [UP], ""),
        ([READY, TOLD], [up("07:21:45")], ""),
        ([READY, TOLD], [up("07:21:46")], "flannel on s1 has not made its network yet."),
        ([READY, TOLD], [up("07:21:45", deletionTimestamp="now")], "flannel does not run on s1."),
        ([], [], "s1 is not ready: it has not reported yet"),
        ([{**READY, "status": "False", "message": "no network"}], [], "s1 is not ready: no network"),
        ([{**READY, "status": "False", "message": "no network"}], [CRASHES], "s1 is not ready: c: Crash"),
        ([READY, MADE], [CRASHES], "flannel does not run on s1: c: Crash."),
        ([READY, MADE], [], "flannel does not run on s1."),
        ([READY], [UP], "flannel on s1 has not made its network yet."),
    ],
    ids=["carries", "its own word", "word of the one before", "it ends", "unheard of", "not ready", "why",
         "ready while it crashes", "gone", "no network yet"],
)  # fmt: skip
def test_a_node_carries_pods_when_its_network_is_made(
    conditions: list[dict[str, str]], pods: list[dict[str, Any]], why: str
) -> None:
    assert network.judged("s1", {"status": {"conditions": conditions}}, pods) == why


class Nodes:
    """An API with a flannel on each of four nodes: well, waiting for its next try, just made, with an old word."""

    def __init__(self) -> None:
        self.deleted: list[str] = []

    def list(self, path: str) -> list[dict[str, Any]]:
        told = {"well": [TOLD], "waits": [TOLD], "new": [], "old": [TOLD]}
        if path.endswith("/nodes"):
            return [{"metadata": {"name": name}, "status": {"conditions": found}} for name, found in told.items()]
        pods = {"well": up("07:21:44"), "waits": CRASHES, "new": up("07:21:46"), "old": up("07:21:46")}
        labels = {"app": "flannel", "app.kubernetes.io/managed-by": "homewright"}
        return [
            {**pod, "metadata": {"name": name, "labels": labels}, "spec": {"nodeName": name}}
            for name, pod in pods.items()
        ]

    def delete(self, path: str) -> bool:
        self.deleted.append(path.rpartition("/")[2])
        return True


@pytest.mark.parametrize(("everywhere", "begun"), [(False, ["waits", "old"]), (True, ["well", "waits", "new", "old"])])
def test_flannel_begins_anew_where_its_word_is_old(everywhere: bool, begun: list[str]) -> None:
    api: Any = Nodes()
    assert network.begin_anew(api, everywhere=everywhere) == len(begun)
    assert api.deleted == begun
