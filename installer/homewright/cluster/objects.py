"""Objects of ours in a cluster, as a set: made, compared with what is there, and taken away again.

Each carries the mark of its site. What is there under a name of ours without that mark is somebody else's: it is
neither changed nor removed, and nothing is begun where one of a set is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from homewright.cluster.client import Cluster, ClusterError, wait
from homewright.errors import HomewrightError

MANAGED_BY = {"app.kubernetes.io/managed-by": "homewright"}
SITE = "homewright.dev/site"
"""The label that says whose an object is."""
GONE_S = 120.0
"""How long pods, namespaces and finalizers may take to go."""

_NAMESPACES = "/api/v1/namespaces/"
_HOLDING = (
    *(f"/api/v1/{{}}/{kind}" for kind in (
        "persistentvolumeclaims", "secrets", "configmaps", "services", "serviceaccounts", "pods",
    )),
    *(f"/apis/apps/v1/{{}}/{kind}" for kind in ("deployments", "statefulsets", "daemonsets", "replicasets")),
    *(f"/apis/batch/v1/{{}}/{kind}" for kind in ("cronjobs", "jobs")),
    "/apis/networking.k8s.io/v1/{}/ingresses",
)  # fmt: skip
"""What somebody may have in a namespace and would miss."""
_OWNERS = frozenset({"CronJob", "DaemonSet", "Deployment", "Job", "ReplicaSet", "StatefulSet"})
"""What one of these owns goes with it, and is looked at there."""
EVERYWHERE = {
    "configmaps": ("kube-root-ca.crt", "istio-ca-root-cert"),
    "serviceaccounts": ("default",),
}
"""What the cluster itself puts into every namespace."""

Objects = Mapping[str, Mapping[str, Any]]
"""By path in the API, in the order in which they are made."""


class Foreign(HomewrightError):
    """An object under a name of ours that is not ours. Nothing was changed."""

    code = "foreign-object"


def marked(site: str, name: str, **more: str) -> dict[str, str]:
    """The labels of a site's object that belongs to the component of this name."""
    return {**MANAGED_BY, SITE: site, "app.kubernetes.io/name": name, **more}


def is_of(site: str, found: Mapping[str, Any]) -> bool:
    """Whether an object is this site's."""
    labels = found["metadata"].get("labels") or {}
    return labels.get(SITE) == site and MANAGED_BY.items() <= labels.items()


def require_ours(api: Cluster, site: str, objects: Objects) -> dict[str, dict[str, Any] | None]:
    """What is there of these, by path. Raises Foreign where one is somebody else's, and ClusterError."""
    there = {path: api.find(path) for path in objects}
    for path, found in there.items():
        if found is not None and not is_of(site, found):
            raise _foreign(path, found)
    return there


def apply(api: Cluster, site: str, objects: Objects) -> bool:
    """Make all of them be there; whether anything was not so.

    Raises Foreign, before anything is changed, and ClusterError.
    """
    there = require_ours(api, site, objects)
    changed = False
    for path, wanted in objects.items():
        found = there[path]
        if found is None or differs(wanted, found):
            api.apply(path, wanted)
            changed = True
    return changed


def lacking(api: Cluster, site: str, objects: Objects) -> str:
    """The first of them that is missing, somebody else's or other than wanted, in a sentence; empty where none is."""
    for path, wanted in objects.items():
        what = f"{wanted['kind']} {wanted['metadata']['name']}"
        found = api.find(path)
        if found is None:
            return f"The cluster has no {what}."
        if not is_of(site, found):
            return f"The {what} of the cluster is not this site's."
        if where := differs(wanted, found):
            return f"The {what} of the cluster is not as it was made: {where}."
    return ""


def remove(api: Cluster, site: str, objects: Objects, *, say: Callable[[str], None], seconds: float = GONE_S) -> bool:
    """Take them away, the last first, and wait until they are gone; whether there was any.

    Somebody else's stay, and so does a namespace with something of theirs in it, which is said. Raises ClusterError
    where one does not go.
    """
    gone: list[str] = []
    for path in reversed(list(objects)):
        found = api.find(path)
        if found is not None and is_of(site, found):
            if holder := held_by(api, site, path):
                say(f"the namespace {path.removeprefix(_NAMESPACES)} stays: {holder} in it is not ours")
                continue
            api.delete(path)
            gone.append(path)
    if left := wait(seconds, lambda: next((f"{path} is still there" for path in gone if api.find(path)), "")):
        raise ClusterError(
            "Not everything goes from the cluster.",
            f"{left}.",
            ["see what holds it: kubectl get events -A", "then: homewright retry"],
        )
    return bool(gone)


def held_by(api: Cluster, site: str, path: str) -> str:
    """What in the namespace at this path is somebody else's, such as `secrets/door`: it would go with it. Empty where
    nothing is, and where the path is that of something else. Raises ClusterError.
    """
    namespace = path.removeprefix(_NAMESPACES)
    if namespace == path or "/" in namespace:
        return ""
    for lists in _HOLDING:
        kind = lists.rpartition("/")[2]
        for one in api.list(lists.format(f"namespaces/{namespace}")):
            if not (is_of(site, one) or _goes_by_itself(kind, one)):
                return f"{kind}/{one['metadata']['name']}"
    return ""


def _goes_by_itself(kind: str, found: Mapping[str, Any]) -> bool:
    metadata = found["metadata"]
    owners = metadata.get("ownerReferences") or ()
    return (
        "deletionTimestamp" in metadata
        or metadata["name"] in EVERYWHERE.get(kind, ())
        or (bool(owners) and all(owner.get("kind") in _OWNERS for owner in owners))
        # The token of an account, which is looked at itself.
        or found.get("type") == "kubernetes.io/service-account-token"
    )


def differs(wanted: Any, found: Any, at: str = "") -> str:
    """The first place where what is there is not as wanted, such as `spec.replicas`; empty where there is none. Pure.

    The cluster adds fields of its own to objects, never entries to lists of ours.
    """
    if isinstance(wanted, Mapping) and isinstance(found, Mapping):
        for name, value in wanted.items():
            place = f"{at}.{name}" if at else str(name)
            if name not in found:
                if value not in ({}, [], "", None):  # it keeps nothing that is empty
                    return place
            elif where := differs(value, found[name], place):
                return where
        return ""
    if isinstance(wanted, list | tuple) and isinstance(found, list):
        if len(wanted) != len(found):
            return at
        return next(
            (where for number, one in enumerate(wanted) if (where := differs(one, found[number], f"{at}[{number}]"))),
            "",
        )
    return "" if wanted == found else at


def _foreign(path: str, found: Mapping[str, Any]) -> Foreign:
    kind, name = found.get("kind", "object"), found["metadata"]["name"]
    whose = (found["metadata"].get("labels") or {}).get(SITE)
    return Foreign(
        f"The cluster has a {kind} {name} already, and it is {f'that of the site {whose}' if whose else 'not ours'}.",
        "It is left alone, and nothing was changed.",
        [f"look at it: kubectl get --raw {path}", "take it away if nobody needs it, then: homewright retry"],
    )
