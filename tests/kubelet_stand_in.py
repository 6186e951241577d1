"""What kubelet does to the objects of a control plane without nodes: pods of a namespace get a node, run, and end.

The API server, its admission, its controllers and its garbage collector are real; that a container runs is what is
said here.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from urllib3.exceptions import HTTPError

from homewright.cluster.client import Cluster, ClusterError
from homewright.cluster.kubeconfig import Kubeconfig

NODE = "n1"
EVERY_S = 0.1


class KubeletStandIn:
    """Looks at one namespace until it is closed."""

    def __init__(self, kubeconfig: Kubeconfig, namespace: str) -> None:
        self._cluster = Cluster(kubeconfig)
        self._pods = f"/api/v1/namespaces/{namespace}/pods"
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work, name="kubelet", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._ended.set()
        self._thread.join()
        self._cluster.close()

    def _work(self) -> None:
        while not self._ended.wait(EVERY_S):
            # Gone or changed since the look, or the server is away: look again.
            with contextlib.suppress(ClusterError, OSError, HTTPError):
                for pod in self._cluster.list(self._pods):
                    self._treat(pod)

    def _treat(self, pod: dict[str, Any]) -> None:
        name = pod["metadata"]["name"]
        if pod["metadata"].get("deletionTimestamp"):
            self._cluster.send("DELETE", f"{self._pods}/{name}", {"gracePeriodSeconds": "0"})
        elif not pod["spec"].get("nodeName"):
            binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name}, "target": {"name": NODE}}
            self._cluster.create(f"{self._pods}/{name}/binding", binding)
        elif pod["status"].get("phase") != "Running":
            self._cluster.merge(f"{self._pods}/{name}/status", {"status": running()})


def running(at: float | None = None) -> dict[str, Any]:
    """The status of a pod that runs, with all that a kubelet says."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))
    conditions = [
        {"type": kind, "status": "True", "lastTransitionTime": stamp, "lastProbeTime": None}
        for kind in ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")
    ]
    container = {
        "name": "workspace", "image": "codercom/code-server:4", "imageID": "sha256:" + "0" * 64,
        "containerID": "containerd://" + "0" * 64, "ready": True, "started": True, "restartCount": 0,
        "state": {"running": {"startedAt": stamp}}, "lastState": {},
    }  # fmt: skip
    return {
        "phase": "Running", "podIP": "10.1.0.7", "podIPs": [{"ip": "10.1.0.7"}], "hostIP": "10.0.0.1",
        "startTime": stamp, "qosClass": "Burstable", "conditions": conditions, "containerStatuses": [container],
    }  # fmt: skip


@contextmanager
def kubelet(kubeconfig: Kubeconfig, namespace: str) -> Iterator[None]:
    """One for a namespace, until the end of the block."""
    made = KubeletStandIn(kubeconfig, namespace)
    try:
        yield
    finally:
        made.close()
