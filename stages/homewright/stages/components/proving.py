"""What proofs leave in the cluster and start there: a namespace of their own, and pods that run one command.

A proof's pod is there for seconds; what lasts (a claim with its mark, a page behind the ingress) is made by the step
and goes with it.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from homewright.cluster import objects
from homewright.cluster.client import Cluster, ClusterError, wait
from homewright.cluster.objects import marked
from homewright.errors import HomewrightError
from homewright.site import mirrored, mirrors
from homewright.site.models import Site
from homewright.stages.cluster.network import waiting

NAMESPACE = "homewright-proof"
PATH = f"/api/v1/namespaces/{NAMESPACE}"
PODS = f"{PATH}/pods"
ENDS_S = 120.0
"""How long a proof's pod may take from nothing to its end: its image may have to be pulled first."""
_LASTING = (f"{PATH}/persistentvolumeclaims", f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments")
RESTRICTED: Mapping[str, Any] = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "runAsUser": 65534,
    "seccompProfile": {"type": "RuntimeDefault"},
}
"""What a container of a `restricted` namespace has to say."""


class NotProved(HomewrightError):
    """A proof's pod did not start, or not end in time."""

    code = "proof-pod"


@dataclass(frozen=True)
class Ended:
    """How a proof's pod ended."""

    code: int
    said: str


def namespace(site: Site) -> dict[str, dict[str, Any]]:
    """The proofs' namespace by its path. Pure."""
    labels = marked(site.name, "proof") | {"pod-security.kubernetes.io/enforce": "restricted"}
    return {PATH: {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}}}


def leave(api: Cluster, site: Site, say: Callable[[str], None]) -> bool:
    """Take the namespace away where no other component, and nobody else, has something in it; whether it went."""
    if any(True for path in _LASTING for one in api.list(path) if "deletionTimestamp" not in one["metadata"]):
        return False
    return objects.remove(api, site.name, namespace(site), say=say)


def pod(site: Site, name: str, script: str, arguments: Sequence[str] = (), **spec: Any) -> dict[str, Any]:
    """A pod that runs a line of shell with these arguments and ends; `container` and `spec` have what is to be
    otherwise. Pure."""
    mounts = spec.pop("volumeMounts", [])
    otherwise = spec.pop("container", {})
    container = {
        "name": "proof",
        "image": mirrors.image(site.mirror, mirrored.reference("busybox", site.cluster.version)),
        "command": ["sh", "-c", script, "sh", *arguments],
        "securityContext": dict(RESTRICTED),
        "resources": {"requests": {"cpu": "10m", "memory": "8Mi"}, "limits": {"memory": "64Mi"}},
        "volumeMounts": mounts,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        **otherwise,
    }
    return {
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": marked(site.name, "proof")},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": 0,
            "activeDeadlineSeconds": int(ENDS_S) + 60,
            "containers": [container],
            **spec,
        },
    }  # fmt: skip


def run(api: Cluster, site: Site, what: str, script: str, arguments: Sequence[str] = (), **spec: Any) -> Ended:
    """Have a pod run this line of shell, and what it said; the pod goes again.

    Raises NotProved where it does not start or end, ClusterError.
    """
    name = f"{what}-{secrets.token_hex(4)}"
    api.create(PODS, pod(site, name, script, arguments, **spec))
    found: dict[str, Any] = {}

    def ended() -> str:
        found.update(api.get(f"{PODS}/{name}"))
        if found["status"].get("phase") in ("Succeeded", "Failed"):
            return ""
        return waiting(found) or _why(found)

    try:
        if held := wait(ENDS_S, ended):
            raise NotProved(f"The pod that proves {what} does not come to its end.", held)
        states: list[dict[str, Any]] = found["status"].get("containerStatuses") or [{}]
        over = (states[0].get("state") or {}).get("terminated") or {}
        return Ended(int(over.get("exitCode", -1)), api.text(f"{PODS}/{name}/log"))
    finally:
        api.delete(f"{PODS}/{name}")


def tidy(api: Cluster) -> None:
    """Take away pods of proofs that were killed before they could."""
    for one in api.list(PODS):
        if one["status"].get("phase") in ("Succeeded", "Failed"):
            try:
                api.delete(f"{PODS}/{one['metadata']['name']}")
            except ClusterError:
                continue


def _why(found: Mapping[str, Any]) -> str:
    for one in found["status"].get("conditions", ()):
        if one.get("status") == "False" and one.get("message"):
            return str(one["message"])
    return f"it is {found['status'].get('phase', 'waiting').lower()}"
