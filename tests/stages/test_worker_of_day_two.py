"""A worker that joins a cluster which works, is emptied, and leaves: its pods go on elsewhere, nothing stays on it.

HOMEWRIGHT_TEST_LAB names the folder of a lab that is up with its cluster, and that has a server more afterwards; else
one is made.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import pytest
from practice_lab import Lab, cluster_lab, ran
from server_listing import CHANGEABLE, SYSTEM, files_command, listing, unlike

from homewright.cluster import client
from homewright.cluster.client import Cluster, ClusterError
from homewright.site import files, mirrored, mirrors
from homewright.site.secrets import Secrets

pytestmark = [pytest.mark.lab, pytest.mark.long]

STAGE = "40/core/cluster"
NODES = "/api/v1/nodes"
SPACE = "bakery"
PODS = f"/api/v1/namespaces/{SPACE}/pods"
DEPLOYMENT = f"/apis/apps/v1/namespaces/{SPACE}/deployments/oven"
BUDGET = f"/apis/policy/v1/namespaces/{SPACE}/poddisruptionbudgets/oven"
WAIT_S = 300.0
LIMIT_S = 3600.0
NODES_OWN = "ls -d /etc/kubernetes /var/lib/kubelet /usr/local/bin/kubelet /var/lib/homewright-containerd 2>/dev/null"
"""What a node has, and a server that is none has not."""


@dataclass(frozen=True)
class Grown:
    """A lab that has one more server than its cluster has nodes, and how that one is."""

    lab: Lab
    name: str
    before: dict[str, set[str]]
    nodes: dict[str, str]
    """The nodes' uids by name."""


def api(lab: Lab) -> Cluster:
    return Cluster(client.of_site(Secrets(lab.state.secrets)))


def look(lab: Lab, name: str) -> dict[str, set[str]]:
    return listing(lab.on, [name], f"( {files_command(CHANGEABLE)} ) && ( {SYSTEM} )")


def nodes(lab: Lab) -> dict[str, str]:
    with api(lab) as cluster:
        return {one["metadata"]["name"]: one["metadata"]["uid"] for one in cluster.list(NODES)}


@pytest.fixture(scope="module")
def grown() -> Iterator[Grown]:
    with cluster_lab("worker") as lab:
        ran(lab.run("lab", "up", "--servers", str(len(lab.servers) + 1), "--yes"))
        name = lab.servers[-1]
        ran(lab.run("trust", name, "--practice"))
        yield Grown(lab, name, look(lab, name), nodes(lab))


@pytest.fixture(scope="module")
def joined(grown: Grown) -> Grown:
    ran(grown.lab.run("apply", "--yes", timeout=LIMIT_S))
    return grown


def test_it_joins_a_cluster_that_works(joined: Grown) -> None:
    lab, name = joined.lab, joined.name
    found = nodes(lab)
    assert found.keys() - joined.nodes.keys() == {name}
    assert {one: found[one] for one in joined.nodes} == joined.nodes, "no other node was made anew"
    with api(lab) as cluster:
        node = cluster.get(f"{NODES}/{name}")
        assert "node-role.kubernetes.io/control-plane" not in node["metadata"]["labels"]
        assert any(one["type"] == "Ready" and one["status"] == "True" for one in node["status"]["conditions"])
        tokens = [one["metadata"]["name"] for one in cluster.list("/api/v1/namespaces/kube-system/secrets")]
        assert not [one for one in tokens if one.startswith("bootstrap-token")], "a token is good for one join"
    again = ran(lab.run("apply", "--yes", timeout=LIMIT_S))
    assert "changed:" not in again, again[-3000:]


def oven(lab: Lab, name: str) -> dict[str, dict[str, Any]]:
    """Two pods that would rather be on that node, of which one has to run always."""
    site = files.load(lab.site_file)
    labels = {"app": "oven"}
    there = {"key": "kubernetes.io/hostname", "operator": "In", "values": [name]}
    preferred = [{"weight": 100, "preference": {"matchExpressions": [there]}}]
    container = {
        "name": "oven",
        "image": mirrors.image(site.mirror, mirrored.reference("busybox", site.cluster.version)),
        "command": ["sh", "-c", "mkdir -p /tmp/w && echo ok >/tmp/w/index.html && exec httpd -f -p 8080 -h /tmp/w"],
        "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1},
    }
    pod = {
        "terminationGracePeriodSeconds": 1,
        "affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}},
        "containers": [container],
    }
    return {
        f"/api/v1/namespaces/{SPACE}": {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SPACE}},
        BUDGET: {
            "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "oven"},
            "spec": {"minAvailable": 1, "selector": {"matchLabels": labels}},
        },
        DEPLOYMENT: {
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "oven"},
            "spec": {
                "replicas": 2, "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": pod},
            },
        },
    }  # fmt: skip


def ready_on(cluster: Cluster) -> list[str]:
    """The nodes of the pods that are ready, one word for each pod."""
    return sorted(
        one["spec"]["nodeName"]
        for one in cluster.list(PODS)
        if "deletionTimestamp" not in one["metadata"]
        and any(c["type"] == "Ready" and c["status"] == "True" for c in one["status"].get("conditions", ()))
    )


@contextmanager
def watched(lab: Lab) -> Iterator[set[int]]:
    """How many of the pods were available, at every look until the end."""
    found: set[int] = set()
    over = threading.Event()

    def watch() -> None:
        with api(lab) as cluster:
            while not over.wait(0.5):
                with suppress(ClusterError):
                    found.add(int((cluster.get(DEPLOYMENT).get("status") or {}).get("availableReplicas", 0)))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()


@pytest.fixture(scope="module")
def left(joined: Grown) -> Iterator[set[int]]:
    """It has left, with pods on it until then; how many of those were available meanwhile."""
    lab, name = joined.lab, joined.name
    with api(lab) as cluster:
        for path, body in oven(lab, name).items():
            cluster.apply(path, body)
        try:
            waiting = client.wait(WAIT_S, lambda: "" if (at := ready_on(cluster)) == [name, name] else f"on {at}")
            assert waiting == ""
            with watched(lab) as available:
                ran(lab.run("site", "remove-server", name))
                ran(lab.run("apply", "--yes", timeout=LIMIT_S))
                ran(lab.run("rollback", "--server", name, "--yes", timeout=LIMIT_S))
            yield available
        finally:
            cluster.delete(f"/api/v1/namespaces/{SPACE}")


def test_its_pods_go_on_elsewhere(joined: Grown, left: set[int]) -> None:
    assert left and min(left) >= 1, "as the budget says, one was available all the time"
    with api(joined.lab) as cluster:
        waiting = client.wait(WAIT_S, lambda: "" if len(at := ready_on(cluster)) == 2 else f"on {at}")
        assert waiting == ""
        assert joined.name not in ready_on(cluster)


def test_the_cluster_is_as_it_was(joined: Grown, left: set[int]) -> None:
    lab = joined.lab
    assert nodes(lab) == joined.nodes
    again = ran(lab.run("apply", "--yes", timeout=LIMIT_S))
    assert "changed:" not in again, again[-3000:]
    assert joined.name not in {one.name for one in files.load(lab.site_file).servers}


def test_nothing_of_it_stays_on_the_server(joined: Grown, left: set[int]) -> None:
    assert unlike(joined.before, look(joined.lab, joined.name)) == []
    assert joined.lab.on(joined.name, f"{NODES_OWN} || true") == ""
