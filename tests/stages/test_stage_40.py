"""40/core/cluster on practice servers: three control planes behind one address, damaged, mended, and taken back.

HOMEWRIGHT_TEST_LAB names the folder of a lab that is up with its mirror, and with stages 00 to 30; else one is made.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from driving import Practice
from practice_lab import Lab, own_lab, ran
from server_listing import CHANGEABLE, SYSTEM, files_command, listing, unlike
from stage_on_servers import StageOnServers

from homewright.catalogue import load, shipped
from homewright.cluster import client
from homewright.cluster.client import Cluster
from homewright.site.secrets import Secrets

pytestmark = [pytest.mark.lab, pytest.mark.long]

STAGE = "40/core/cluster"
FLANNEL = "/apis/apps/v1/namespaces/kube-flannel/daemonsets/kube-flannel-ds"
BROKEN = [
    (10, "s2", "systemctl stop homewright-containerd", "systemctl start homewright-containerd", "does not answer"),
    (10, "s1", "echo >>/etc/homewright/containerd/config.toml",
     "sed -i '$d' /etc/homewright/containerd/config.toml", "is not what the site says"),
    (10, "s3", "systemctl disable -q kubelet", "systemctl enable -q kubelet", "after a restart"),
    (10, "s1", "mv /usr/local/bin/kubeadm /root/", "mv /root/kubeadm /usr/local/bin/", "kubeadm on s1 is missing"),
    (10, "s2", "sed -i s/practice/garden/ /etc/homewright/cluster/owner",
     "sed -i s/garden/practice/ /etc/homewright/cluster/owner", "not marked"),
    (10, "s3", "sysctl -qw net.ipv4.ip_forward=0", "sysctl -qw net.ipv4.ip_forward=1", "forwards no packets"),
    (10, "s2", "systemctl stop homewright-api-address", "systemctl start homewright-api-address", "shared address"),
    (20, "s2", "systemctl stop kubelet", "systemctl start kubelet", "kubelet on s2 is"),
    (20, "s3", "mv /etc/kubernetes/pki/etcd/peer.key /root/", "mv /root/peer.key /etc/kubernetes/pki/etcd/", "lost"),
    (20, "s1", "mv /etc/homewright/cluster/formed /root/", "mv /root/formed /etc/homewright/cluster/", "in no cluster"),
    (20, "s1", "systemctl stop homewright-api", "systemctl start homewright-api", "HAProxy on s1"),
    (20, "s2", "k label node s2 homewright.dev/site-", "k label node s2 homewright.dev/site=practice", "labels"),
    (30, "s3", "nft flush map ip kube-proxy service-ips", "", "does not reach"),
    (30, "s2", "k cordon s2", "k uncordon s2", "No pod is given to s2"),
    # From the last object to the first: the first one that is missing is told.
    (30, "s1", "k -n kube-flannel delete ds kube-flannel-ds", "", "no DaemonSet"),
    (30, "s2", "k -n kube-flannel delete cm kube-flannel-cfg", "", "no ConfigMap"),
    (30, "s1", "k delete clusterrolebinding flannel", "", "no ClusterRoleBinding"),
    (30, "s3", "k -n kube-flannel delete sa flannel", "", "no ServiceAccount"),
]  # fmt: skip
"""Step, server, what is done there as root, what undoes it (nothing where the next run must), and what is said."""
KUBECTL = 'k() { kubectl --kubeconfig /etc/kubernetes/admin.conf "$@" >/dev/null; }; '


def look(lab: Lab) -> dict[str, set[str]]:
    return listing(lab.on, lab.servers, f"( {files_command(CHANGEABLE)} ) && ( {SYSTEM} )")


def api(lab: Lab) -> Cluster:
    return Cluster(client.of_site(Secrets(lab.state.secrets)))


@pytest.fixture(scope="module")
def servers() -> Iterator[Lab]:
    given = os.environ.get("HOMEWRIGHT_TEST_LAB")
    if given:
        yield Lab(Path(given))
        return
    with own_lab("cluster") as lab:
        # Its cluster would have one control plane: so the lab gives the mirror, and the site gets an address.
        ran(lab.run("lab", "up", "--cluster", "--yes", timeout=7200))
        ran(lab.run("rollback", STAGE, "--yes", timeout=3600))
        yield lab


@pytest.fixture(scope="module")
def before(servers: Lab) -> dict[str, set[str]]:
    return look(servers)


@pytest.fixture(scope="module")
def made(servers: Lab, before: dict[str, set[str]]) -> Lab:
    address = servers.record()["place"]
    assert isinstance(address, dict)
    ran(servers.run("site", "set", "cluster.address", f"198.18.{address['number']}.250"))
    ran(servers.run("apply", "--only", STAGE, "--yes", timeout=3600))
    return servers


def test_three_control_planes_stand_behind_one_address(made: Lab) -> None:
    with api(made) as cluster:
        nodes = list(cluster.list("/api/v1/nodes"))
    planes = [
        one["metadata"]["name"] for one in nodes if "node-role.kubernetes.io/control-plane" in one["metadata"]["labels"]
    ]
    assert planes == ["s1", "s2", "s3"]
    left = made.on(
        "s1", "ls /run/homewright; kubectl --kubeconfig /etc/kubernetes/admin.conf -n kube-system get secrets"
    )
    assert "kubeadm" not in left and "bootstrap-token" not in left, "keys and tokens are good for one join"


def test_the_api_goes_on_without_the_one_that_has_the_address(made: Lab) -> None:
    address = f"198.18.{made.record()['place']['number']}.250"  # type: ignore[index]  # a record of the lab
    [holder] = [name for name in made.servers if f" {address}/" in made.on(name, "ip -4 -o addr")]
    made.on(holder, "systemctl stop homewright-api-address homewright-api")
    try:
        with api(made) as cluster:
            waiting = client.wait(60, lambda: "" if cluster.text("/readyz") == "ok" else "not ready")
        assert waiting == ""
    finally:
        made.on(holder, "systemctl start homewright-api homewright-api-address")


def test_damage_is_seen_and_mended(made: Lab, tmp_path: Path) -> None:
    practice = Practice.of(made.site_file, made.state.root, tmp_path)
    practice.hold()
    stage = StageOnServers(practice, load([shipped()]))
    try:
        for step, server, damage, mend, said in BROKEN:
            made.on(server, KUBECTL + damage)
            verdict, text = stage.verdicts(f"{STAGE}/{step}")[server]
            assert (verdict, said in text) == ("broken", True), (step, damage, verdict, text)
            if mend:
                made.on(server, KUBECTL + mend)
    finally:
        practice.give_back()
    ran(made.run("apply", "--only", STAGE, "--yes", timeout=3600))
    again = ran(made.run("apply", "--only", STAGE, "--yes", timeout=3600))
    assert "changed:" not in again, again


def test_all_of_it_is_taken_back(made: Lab, before: dict[str, set[str]]) -> None:
    ran(made.run("rollback", STAGE, "--yes", timeout=3600))
    assert unlike(before, look(made)) == []


def test_a_control_plane_leaves(made: Lab) -> None:
    ran(made.run("apply", "--only", STAGE, "--yes", timeout=3600))
    ran(made.run("site", "remove-server", "s3"))
    ran(made.run("rollback", "--server", "s3", "--yes", timeout=3600))
    with api(made) as cluster:
        assert [one["metadata"]["name"] for one in cluster.list("/api/v1/nodes")] == ["s1", "s2"]
    saved = made.on("s1", "ls /var/lib/homewright/etcd /dev/null") + made.on(
        "s2", "ls /var/lib/homewright/etcd /dev/null"
    )
    assert ".db" in saved, "what is in etcd was saved before it changed"
