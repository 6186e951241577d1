"""A control plane that lost all of etcd, and one whose people undid too much: put back to a saved state, for real.

HOMEWRIGHT_TEST_LAB names the folder of a lab that is up with its cluster; else one is made.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from practice_lab import Lab, cluster_lab, ran

from homewright.cluster import client
from homewright.cluster.client import Cluster, ClusterError, ClusterForbidden
from homewright.site.secrets import Secrets
from homewright.stages.cluster import etcd, forming

pytestmark = [pytest.mark.lab, pytest.mark.long]

STAGE = "40/core/cluster"
NOTES = "/api/v1/namespaces/default/configmaps"
WAIT_S = 300
LOSE = f"""systemctl stop kubelet
for name in kube-apiserver etcd; do
    for id in $({etcd.CTR} containers list -q 'labels."io.kubernetes.container.name"=='$name); do
        {etcd.CTR} tasks kill -s SIGKILL $id 2>/dev/null || true
    done
done
sleep 1
rm -rf /var/lib/etcd/member
systemctl start kubelet
"""
"""As a disk that lost what it held: etcd begins with nothing, and the API with an empty cluster."""


@pytest.fixture
def lab(cluster: Lab) -> Lab:
    """The cluster without the notes of the test before, and without those of a run before."""
    for name in notes(cluster):
        with api(cluster) as there:
            there.delete(f"{NOTES}/{name}")
    return cluster


@pytest.fixture(scope="module")
def cluster() -> Iterator[Lab]:
    with cluster_lab("restore") as made:
        yield made


def api(lab: Lab) -> Cluster:
    return Cluster(client.of_site(Secrets(lab.state.secrets)))


def note(lab: Lab, name: str) -> None:
    with api(lab) as cluster:
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"said": "hello"}}
        cluster.apply(f"{NOTES}/{name}", body)


def notes(lab: Lab) -> set[str]:
    with api(lab) as cluster:
        return {one["metadata"]["name"] for one in cluster.list(NOTES) if one["metadata"]["name"].startswith("note-")}


def states(lab: Lab) -> list[str]:
    found = json.loads(ran(lab.run("cluster", "snapshots", "--json")))
    return [f"{one['server']}/{one['name']}" for one in found["snapshots"]]


def assert_whole(lab: Lab) -> None:
    """Every node is there and ready, and the stage finds nothing to do."""
    with api(lab) as cluster:

        def unready() -> str:
            found = {one["metadata"]["name"]: one["status"]["conditions"] for one in cluster.list("/api/v1/nodes")}
            if sorted(found) != sorted(lab.servers):
                return f"there are {sorted(found)}"
            ready = {name: any(c["type"] == "Ready" and c["status"] == "True" for c in found[name]) for name in found}
            return "" if all(ready.values()) else f"{ready}"

        assert client.wait(WAIT_S, unready) == ""
    again = ran(lab.run("apply", "--only", STAGE, "--yes", timeout=3600))
    assert "changed:" not in again, again[-3000:]


def test_a_cluster_that_lost_everything_is_put_back(lab: Lab) -> None:
    note(lab, "note-before")
    ran(lab.run("cluster", "save", "--yes", timeout=3600))
    state = states(lab)[0]
    note(lab, "note-after")
    planes = [name for name in lab.servers if "yes" in lab.on(name, f"[ ! -e {forming.SERVES} ] || echo yes")]
    for name in planes:
        lab.on(name, LOSE)

    def empty() -> str:
        try:
            return "" if not notes(lab) else "its notes are still there"
        except ClusterForbidden:
            return ""  # what allowed us anything was in etcd too
        except ClusterError as error:
            # Of one control plane etcd begins anew; of three it may stay away, for they know of one another.
            return "" if len(planes) > 1 else error.what

    assert client.wait(WAIT_S, empty) == ""
    ran(lab.run("cluster", "restore", state, "--yes", timeout=3600))
    assert notes(lab) == {"note-before"}
    assert_whole(lab)


def test_a_cluster_that_lives_goes_back_and_forth(lab: Lab) -> None:
    note(lab, "note-early")
    ran(lab.run("cluster", "save", "--yes", timeout=3600))
    early = states(lab)[0]
    note(lab, "note-late")
    with api(lab) as cluster:
        cluster.delete(f"{NOTES}/note-early")
    told = lab.run("cluster", "restore", early)
    assert told.returncode == 2 and "ago, as " in told.stdout, "nobody has said yes"
    assert "note-late" in told.stdout, "what would be forgotten is told"
    assert "/note-late" in told.stdout, "nobody loses it untold"
    assert "note-late" in notes(lab)
    ran(lab.run("cluster", "restore", early, "--yes", timeout=3600))
    assert "note-early" in notes(lab) and "note-late" not in notes(lab)
    # What there was at that moment was saved as well: even a restore is taken back.
    late = states(lab)[0]
    assert late != early
    ran(lab.run("cluster", "restore", late, "--yes", timeout=3600))
    assert "note-late" in notes(lab) and "note-early" not in notes(lab)
    assert_whole(lab)
