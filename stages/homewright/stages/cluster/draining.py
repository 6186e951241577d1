"""A node is emptied before it leaves: its pods are asked to go, as disruption budgets allow, and start elsewhere."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from homewright.cluster import client
from homewright.cluster.client import Cluster, ClusterError, ClusterMissing
from homewright.errors import HomewrightError

DRAIN_S = 600.0
"""How long pods may take to go: their own time to end is 30 s where nobody says otherwise."""
EMPTIED = "homewright.dev/emptied"
"""The annotation on a node that says who told the cluster to give it no pods: we, since it was to leave."""


def moving(pods: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """The pods that go elsewhere: not those that belong to the node itself, nor those that have ended. Pure."""
    for pod in pods:
        metadata = pod["metadata"]
        if "kubernetes.io/config.mirror" in (metadata.get("annotations") or {}):
            continue
        if any(owner.get("kind") == "DaemonSet" for owner in metadata.get("ownerReferences") or ()):
            continue
        if (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed"):
            yield pod


def drain(api: Cluster, name: str, *, limit_s: float = DRAIN_S) -> int:
    """Give the node no more pods, and have all that can go elsewhere go; how many went.

    Raises HomewrightError with what holds them, the node as it was before; and ClusterError.
    """
    path = f"/api/v1/nodes/{name}"
    if not (api.get(path).get("spec") or {}).get("unschedulable"):
        api.merge(path, {"metadata": {"annotations": {EMPTIED: "true"}}, "spec": {"unschedulable": True}})
    asked: set[str] = set()
    holding: Mapping[str, str] | None = None

    def left() -> str:
        nonlocal holding
        held, holding = "", None
        for pod in moving(api.list("/api/v1/pods", fieldSelector=f"spec.nodeName={name}")):
            metadata = pod["metadata"]
            place = {"name": metadata["name"], "namespace": metadata["namespace"]}
            full = f"{place['namespace']}/{place['name']}"
            if not held:
                held, holding = f"{full} still runs.", place
            if metadata.get("deletionTimestamp"):
                continue
            body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": place}
            try:
                api.create(f"/api/v1/namespaces/{place['namespace']}/pods/{place['name']}/eviction", body)
                asked.add(full)
            except ClusterMissing:
                continue  # gone meanwhile
            except ClusterError as error:
                held, holding = f"{full} does not go: {error.why or error.what}", place
        return held

    if held := client.wait(limit_s, left):
        with contextlib.suppress(ClusterError):
            open_again(api, name)
        do = ["make room for it elsewhere, or loosen its PodDisruptionBudget, then: homewright retry"]
        if holding is not None:
            pod_of = f"-n {holding['namespace']} {holding['name']}"
            do.append(f"or delete it, where it may end: kubectl delete pod {pod_of}")
        raise HomewrightError(f"{name} cannot be emptied.", held, do)
    return len(asked)


def open_again(api: Cluster, name: str) -> bool:
    """A node that stays after all gets pods as before, where it was we who had them kept from it; whether we had.

    Raises ClusterError.
    """
    path = f"/api/v1/nodes/{name}"
    found = api.find(path)
    if found is None or EMPTIED not in (found["metadata"].get("annotations") or {}):
        return False
    api.merge(path, {"metadata": {"annotations": {EMPTIED: None}}, "spec": {"unschedulable": None}})
    return True
