"""Whether what runs a component is up, in a sentence; pods that wait are told in the cluster's own words. Pure but for
asking."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from homewright.cluster.client import Cluster
from homewright.stages.cluster.network import waiting


def unready(api: Cluster, path: str) -> str:
    """Why a Deployment or a DaemonSet is not whole, in a sentence; empty where it is."""
    found = api.find(path)
    if found is None:
        return f"{path.rpartition('/')[2]} is not in the cluster."
    namespace = f"/api/v1/namespaces/{found['metadata']['namespace']}"
    selected = ",".join(f"{name}={value}" for name, value in found["spec"]["selector"]["matchLabels"].items())
    if not judged(found, ()):
        return ""
    return judged(found, list(api.list(f"{namespace}/pods", labelSelector=selected)))


def judged(found: Mapping[str, Any], pods: Sequence[Mapping[str, Any]]) -> str:
    """Why a Deployment or DaemonSet with these pods is not whole; empty where it is. Pure."""
    name, status = found["metadata"]["name"], found.get("status") or {}
    if status.get("observedGeneration", 0) < found["metadata"].get("generation", 0):
        return f"{name} has not been looked at by the cluster yet."
    if found["kind"] == "DaemonSet":
        wanted = status.get("desiredNumberScheduled", 0)
        fresh, ready = status.get("updatedNumberScheduled", 0), status.get("numberAvailable", 0)
    else:
        wanted = found["spec"].get("replicas", 1)
        fresh, ready = status.get("updatedReplicas", 0), status.get("availableReplicas", 0)
    if wanted == 0:
        return f"{name} is told to run nothing."
    if min(fresh, ready) >= wanted:
        return ""
    held = next((why for pod in pods if (why := waiting(pod) or _unplaced(pod))), "")
    return f"{min(fresh, ready)} of {wanted} pods of {name} are ready{held and ': '}{held}."


def _unplaced(pod: Mapping[str, Any]) -> str:
    for one in (pod.get("status") or {}).get("conditions", ()):
        if one["type"] == "PodScheduled" and one["status"] == "False":
            return str(one.get("message") or one.get("reason") or "no node takes it")
    return ""
