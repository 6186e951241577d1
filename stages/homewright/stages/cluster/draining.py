"""A node is emptied before it leaves: its pods are asked to go, as disruption budgets allow, and start elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from homewright.cluster import client
from homewright.cluster.client import Cluster, ClusterError, ClusterMissing
from homewright.errors import HomewrightError

DRAIN_S = 600.0
"""How long pods may take to go: their own time to end is 30 s where nobody says otherwise."""


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

    Raises HomewrightError with what holds them, and ClusterError.
    """
    api.merge(f"/api/v1/nodes/{name}", {"spec": {"unschedulable": True}})
    asked: set[str] = set()

    def left() -> str:
        held = ""
        for pod in moving(api.list("/api/v1/pods", fieldSelector=f"spec.nodeName={name}")):
            metadata = pod["metadata"]
            full = f"{metadata['namespace']}/{metadata['name']}"
            held = held or f"{full} still runs."
            if metadata.get("deletionTimestamp"):
                continue
            place = {"name": metadata["name"], "namespace": metadata["namespace"]}
            body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": place}
            try:
                api.create(f"/api/v1/namespaces/{place['namespace']}/pods/{place['name']}/eviction", body)
                asked.add(full)
            except ClusterMissing:
                continue  # gone meanwhile
            except ClusterError as error:
                held = f"{full} does not go: {error.why or error.what}"
        return held

    if held := client.wait(limit_s, left):
        raise HomewrightError(
            f"{name} cannot be emptied.",
            held,
            [
                "make room for it elsewhere, or loosen its PodDisruptionBudget, then: homewright retry",
                f"or delete it, where it may end: kubectl delete pod {held.split(maxsplit=1)[0].partition('/')[2]}",
            ],
        )
    return len(asked)
