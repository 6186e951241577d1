"""Kubernetes upgraded by a minor version on practice servers, below a page that answers, cut off in the middle.

HOMEWRIGHT_TEST_LAB names the folder of a lab that is up with a cluster of the earlier version; else one is made.
"""

from __future__ import annotations

import os
import signal
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from practice_lab import Lab, own_lab, ran

from homewright.cluster import client
from homewright.cluster.client import Cluster, ClusterError
from homewright.engine import lock
from homewright.lab.programs import EARLIER
from homewright.site import files, mirrored, mirrors
from homewright.site.secrets import Secrets
from homewright.stages.cluster import draining

pytestmark = [pytest.mark.lab, pytest.mark.long]

STAGE = "40/core/cluster"
NEWEST = mirrored.KUBERNETES
NODES = "/api/v1/nodes"
SPACE = "bakery"
DEPLOYMENT = f"/apis/apps/v1/namespaces/{SPACE}/deployments/oven"
PORT = 30080
"""On every node."""
WAIT_S = 600.0
LIMIT_S = 3600.0
SILENT_S = 30.0
"""How long the page may not answer: as long as the API is away, and a node without power, nobody is told of it."""


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    given = os.environ.get("HOMEWRIGHT_TEST_LAB")
    if given:
        yield Lab(Path(given))
        return
    with own_lab("upgrade") as made:
        words = ("--cluster", "--kubernetes", EARLIER, "--servers", "2", "--yes")
        ran(made.run("lab", "up", *words, timeout=7200))
        yield made


def api(lab: Lab) -> Cluster:
    return Cluster(client.of_site(Secrets(lab.state.secrets)))


def oven(lab: Lab) -> dict[str, dict[str, Any]]:
    """A page from two pods, on different nodes where they may be; one of them has to be there always."""
    site, labels = files.load(lab.site_file), {"app": "oven"}
    apart = {"labelSelector": {"matchLabels": labels}, "topologyKey": "kubernetes.io/hostname"}
    container = {
        "name": "oven",
        "image": mirrors.image(site.mirror, mirrored.reference("busybox")),
        "command": ["sh", "-c", "mkdir -p /tmp/w && echo bread >/tmp/w/index.html && exec httpd -f -p 8080 -h /tmp/w"],
        "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1},
        # Whoever is on the way still comes in after the last has heard that it goes.
        "lifecycle": {"preStop": {"exec": {"command": ["sleep", "5"]}}},
    }
    pod = {
        "affinity": {"podAntiAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100, "podAffinityTerm": apart}]
        }},
        "containers": [container],
    }  # fmt: skip
    inside = f"/api/v1/namespaces/{SPACE}"
    return {
        inside: {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SPACE}},
        f"{inside}/services/oven": {
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "oven"},
            "spec": {
                "type": "NodePort", "selector": labels, "ports": [{"port": 80, "targetPort": 8080, "nodePort": PORT}],
            },
        },
        f"/apis/policy/v1/namespaces/{SPACE}/poddisruptionbudgets/oven": {
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


@dataclass
class Visits:
    """What somebody saw who asked for the page all the time, on one node or the other."""

    count: int = 0
    longest_s: float = 0.0
    """The longest time without an answer."""
    available: set[int] = field(default_factory=set)
    """How many pods were available, at every look."""


@contextmanager
def visited(lab: Lab) -> Iterator[Visits]:
    found, over = Visits(), threading.Event()
    places = [f"http://{one.address}:{PORT}/" for one in files.load(lab.site_file).servers]

    def ask() -> None:
        answered = time.monotonic()
        while not over.wait(0.2):
            for place in places:
                with suppress(OSError, urllib.error.URLError), urllib.request.urlopen(place, timeout=2) as answer:
                    if answer.read() == b"bread\n":
                        now = time.monotonic()
                        found.longest_s, answered = max(found.longest_s, now - answered), now
                        found.count += 1
                        break
        found.longest_s = max(found.longest_s, time.monotonic() - answered)

    def look() -> None:
        with api(lab) as cluster:
            while not over.wait(1):
                with suppress(ClusterError):
                    status = cluster.get(DEPLOYMENT).get("status") or {}
                    found.available.add(int(status.get("availableReplicas", 0)))

    threads = [threading.Thread(target=ask), threading.Thread(target=look)]
    for thread in threads:
        thread.start()
    try:
        yield found
    finally:
        over.set()
        for thread in threads:
            thread.join()


def versions(lab: Lab) -> dict[str, str]:
    """What every node's kubelet says that it is."""
    with api(lab) as cluster:
        return {one["metadata"]["name"]: one["status"]["nodeInfo"]["kubeletVersion"] for one in cluster.list(NODES)}


def emptied(lab: Lab, name: str) -> str:
    with api(lab) as cluster:
        marks = cluster.get(f"{NODES}/{name}")["metadata"].get("annotations") or {}
    return "" if draining.EMPTIED in marks else f"{name} is not emptied yet"


def test_the_earlier_version_runs_and_others_are_refused(lab: Lab) -> None:
    assert versions(lab) == dict.fromkeys(lab.servers, f"v{EARLIER}")
    for version, said in (("1.34.4", "knows no way back"), ("1.35.3", "knows no way back")):
        ran(lab.run("site", "set", "cluster.version", version))
        refused = lab.run("apply", "--only", STAGE, "--yes", timeout=LIMIT_S)
        assert refused.returncode == 1 and said in refused.stdout, refused.stdout[-3000:]
    assert versions(lab) == dict.fromkeys(lab.servers, f"v{EARLIER}")
    for name in lab.servers:
        assert EARLIER in lab.on(name, "kubeadm version -o short; kubelet --version"), "its programs are as they were"


@pytest.fixture(scope="module")
def upgraded(lab: Lab) -> Iterator[Visits]:
    """It is upgraded; in the middle the engine is killed, and the power of the server that it was at is cut."""
    first = lab.servers[0]
    with api(lab) as cluster:
        for path, body in oven(lab).items():
            cluster.apply(path, body)
        waiting = client.wait(
            WAIT_S,
            lambda: "" if (cluster.get(DEPLOYMENT).get("status") or {}).get("availableReplicas") == 2 else "not yet",
        )
        assert waiting == ""
    ran(lab.run("site", "set", "cluster.version", NEWEST))
    told = ran(lab.run("plan", "--only", STAGE))
    assert f"upgraded to Kubernetes {NEWEST}" in told and f"{STAGE}/40 Upgrade" in told, told[-3000:]
    with visited(lab) as visits:
        ran(lab.run("apply", "--only", STAGE, "--yes", "--detach", timeout=LIMIT_S))
        assert client.wait(WAIT_S, lambda: emptied(lab, first)) == ""
        holder = lock.holder(lab.state)
        assert holder is not None, "the run goes on"
        os.kill(holder.pid, signal.SIGKILL)
        ran(lab.run("lab", "power-off", first))
        ran(lab.run("lab", "power-on", first))
        ran(lab.run("resume", "--yes", timeout=LIMIT_S))
    with api(lab) as cluster:
        cluster.delete(f"/api/v1/namespaces/{SPACE}")
    yield visits


def test_every_node_is_upgraded(lab: Lab, upgraded: Visits) -> None:
    assert versions(lab) == dict.fromkeys(lab.servers, f"v{NEWEST}")
    with api(lab) as cluster:
        assert cluster.get("/version")["gitVersion"] == f"v{NEWEST}"
        for name in lab.servers:
            node = cluster.get(f"{NODES}/{name}")
            assert not (node.get("spec") or {}).get("unschedulable"), f"{name} takes pods"
    for name in lab.servers:
        said = lab.on(name, "kubeadm version -o short; kubelet --version; kubectl version --client")
        assert said.count(NEWEST) == 3, said


def test_the_page_was_there(upgraded: Visits) -> None:
    assert upgraded.available and min(upgraded.available) >= 1, "as the budget says, one was available all the time"
    assert upgraded.count > 100 and upgraded.longest_s < SILENT_S, upgraded


def test_it_is_proved_and_a_second_run_changes_nothing(lab: Lab, upgraded: Visits) -> None:
    said = ran(lab.run("verify", timeout=LIMIT_S))
    for name in lab.servers:
        assert f"All of Kubernetes on {name} is v{NEWEST}." in said, said[-3000:]
    again = ran(lab.run("apply", "--only", STAGE, "--yes", timeout=LIMIT_S))
    assert "changed:" not in again and "there is nothing to upgrade" in again, again[-3000:]


def test_the_whole_of_it_is_taken_back(lab: Lab, upgraded: Visits) -> None:
    said = ran(lab.run("rollback", STAGE, "--yes", timeout=LIMIT_S))
    for name in lab.servers:
        assert f"Kubernetes on {name} stays {NEWEST}: it knows no way back" in said, said[-3000:]
        assert lab.on(name, "ls -d /etc/homewright/cluster /usr/local/bin/kubelet 2>/dev/null || true") == ""
