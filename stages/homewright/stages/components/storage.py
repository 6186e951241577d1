"""Storage in the cluster: its own default class, or local-path, which keeps each claim in a folder of its node.

The proof has a claim that stays: what was written into it by a pod that is long gone is read again by the next.
"""

from __future__ import annotations

import functools
import json
import secrets
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

from homewright.cluster import client, objects
from homewright.cluster.client import Cluster
from homewright.cluster.objects import is_of, marked
from homewright.cluster.report import DEFAULT_CLASS
from homewright.engine.runners.host import Proof, broken, proved
from homewright.errors import HomewrightError
from homewright.site import mirrored, mirrors
from homewright.site.models import Site
from homewright.stages.cluster import documents
from homewright.stages.components import proving, workloads

NAMESPACE = "local-path-storage"
CLASS = "local-path"
PROVISIONER = "rancher.io/local-path"
FOLDER = documents.VOLUMES
"""On every node: a folder for each claim. What is in it outlives the cluster."""
CLASSES = "/apis/storage.k8s.io/v1/storageclasses"
DEPLOYMENT = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/local-path-provisioner"
CLAIM = "mark"
CLAIM_PATH = f"{proving.PATH}/persistentvolumeclaims/{CLAIM}"
HOSTNAME = "kubernetes.io/hostname"
MARK = "homewright.dev/mark"
"""The annotation on the proof's claim: a line that its file has."""
LOST = 3
"""How the proof's pod ends where that line is missing."""

_SETUP = '#!/bin/sh\nset -eu\nmkdir -m 0777 -p "$VOL_DIR"\n'
_TEARDOWN = '#!/bin/sh\nset -eu\nrm -rf "$VOL_DIR"\n'


class StillUsed(HomewrightError):
    """Claims of others have their data in our class. Nothing was removed."""

    code = "storage-used"


def foreign_default(classes: Iterable[Mapping[str, Any]], site: str) -> str | None:
    """The cluster's own default class, where it has one that is not ours. Pure."""
    return next(
        (
            str(one["metadata"]["name"])
            for one in classes
            if (one["metadata"].get("annotations") or {}).get(DEFAULT_CLASS) == "true" and not is_of(site, one)
        ),
        None,
    )


def wanted(site: Site) -> dict[str, dict[str, Any]]:
    """Every object of local-path by its path, in the order in which they are made. Pure."""
    labels = marked(site.name, "local-path")
    account = {"kind": "ServiceAccount", "name": "local-path-provisioner", "namespace": NAMESPACE}
    inside, rbac = f"/api/v1/namespaces/{NAMESPACE}", "/apis/rbac.authorization.k8s.io/v1"
    role = {"name": "local-path-provisioner", "labels": labels}
    own = {**role, "namespace": NAMESPACE}
    reading = ["get", "list", "watch"]
    writing = [*reading, "create", "patch", "update", "delete"]

    def binding(kind: str, metadata: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": f"{kind}Binding", "metadata": dict(metadata),
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role["name"]},
            "subjects": [account],
        }  # fmt: skip

    return {
        inside: {
            "apiVersion": "v1", "kind": "Namespace",
            # Its pods make folders on the nodes.
            "metadata": {"name": NAMESPACE, "labels": {**labels, "pod-security.kubernetes.io/enforce": "privileged"}},
        },
        f"{inside}/serviceaccounts/local-path-provisioner": {
            "apiVersion": "v1", "kind": "ServiceAccount", "metadata": own,
        },
        f"{rbac}/namespaces/{NAMESPACE}/roles/local-path-provisioner": {
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": own,
            "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": writing}],
        },
        f"{rbac}/namespaces/{NAMESPACE}/rolebindings/local-path-provisioner": binding("Role", own),
        f"{rbac}/clusterroles/local-path-provisioner": {
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": role,
            "rules": [
                {
                    "apiGroups": [""], "verbs": reading,
                    "resources": ["nodes", "persistentvolumeclaims", "configmaps", "pods", "pods/log"],
                },
                {"apiGroups": [""], "resources": ["persistentvolumes"], "verbs": writing},
                {"apiGroups": [""], "resources": ["events"], "verbs": ["create", "patch"]},
                {"apiGroups": ["storage.k8s.io"], "resources": ["storageclasses"], "verbs": reading},
            ],
        },
        f"{rbac}/clusterrolebindings/local-path-provisioner": binding("ClusterRole", role),
        f"{inside}/configmaps/local-path-config": {
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "local-path-config", "namespace": NAMESPACE, "labels": labels},
            "data": _settings(site),
        },
        DEPLOYMENT: _deployment(site, labels),
        f"{CLASSES}/{CLASS}": {
            "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
            "metadata": {"name": CLASS, "labels": labels, "annotations": {DEFAULT_CLASS: "true"}},
            "provisioner": PROVISIONER,
            # A pod decides where its folder is, and goes back there.
            "volumeBindingMode": "WaitForFirstConsumer",
            "reclaimPolicy": "Delete",
        },
    }  # fmt: skip


def proof_claim(site: Site) -> dict[str, dict[str, Any]]:
    """The proof's namespace, and the claim that stays in it. Pure."""
    claim = {
        "apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {"name": CLAIM, "namespace": proving.NAMESPACE, "labels": marked(site.name, "proof")},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "16Mi"}}},
    }  # fmt: skip
    return {**proving.namespace(site), CLAIM_PATH: claim}


def let_go(api: Cluster, site: Site, say: Callable[[str], None], node: str | None = None) -> bool:
    """Take the proof's claim away where its volume is on a node that is no more, or on `node`, which leaves; whether
    it was.

    Such a volume binds to no pod any more, and nobody is there to remove its folder; a claim made anew gets another.
    """
    nodes = {name for one in api.list("/api/v1/nodes") for name in _hostnames(one)} - {node}
    gone = False
    for volume in api.list("/api/v1/persistentvolumes"):
        claim = volume["spec"].get("claimRef") or {}
        if (claim.get("namespace"), claim.get("name")) != (proving.NAMESPACE, CLAIM) or reachable(volume, nodes):
            continue
        name = volume["metadata"]["name"]
        bound = api.find(CLAIM_PATH)
        if bound is not None and (bound.get("spec") or {}).get("volumeName") == name:
            if not is_of(site.name, bound):
                continue
            objects.remove(api, site.name, {CLAIM_PATH: {}}, say=say)
        if volume["spec"].get("storageClassName") == CLASS:
            path = f"/api/v1/persistentvolumes/{name}"
            if node is not None:  # it is still there, and its folder goes with the volume
                client.wait(objects.GONE_S, functools.partial(_there, api, path))
            api.delete(path)
        gone = True
    return gone


def reachable(volume: Mapping[str, Any], nodes: Collection[str]) -> bool:
    """Whether one of these nodes can have the volume: one that names no node is anywhere. Pure."""
    required = (volume["spec"].get("nodeAffinity") or {}).get("required") or {}
    terms = required.get("nodeSelectorTerms") or ()
    return not terms or any(
        all(
            one.get("key") != HOSTNAME
            or one.get("operator") != "In"
            or not set(nodes).isdisjoint(one.get("values") or ())
            for one in term.get("matchExpressions") or ()
        )
        for term in terms
    )


def _there(api: Cluster, path: str) -> str:
    return "it is there" if api.find(path) else ""


def _hostnames(node: Mapping[str, Any]) -> Iterator[str]:
    yield node["metadata"]["name"]
    if label := (node["metadata"].get("labels") or {}).get(HOSTNAME):
        yield label


def _settings(site: Site) -> dict[str, str]:
    image = mirrors.image(site.mirror, mirrored.reference("busybox", site.cluster.version))
    paths = {"nodePathMap": [{"node": "DEFAULT_PATH_FOR_NON_LISTED_NODES", "paths": [FOLDER]}]}
    helper = {
        "apiVersion": "v1", "kind": "Pod",
        # One that is left over is no stranger in its namespace.
        "metadata": {"name": "helper-pod", "labels": marked(site.name, "local-path")},
        "spec": {
            "priorityClassName": "system-node-critical",
            "automountServiceAccountToken": False,
            # A claim is made and removed on whichever node it is.
            "tolerations": [{"operator": "Exists"}],
            "containers": [{"name": "helper-pod", "image": image, "imagePullPolicy": "IfNotPresent"}],
        },
    }  # fmt: skip
    return {
        "config.json": json.dumps(paths, indent=1),
        "setup": _SETUP,
        "teardown": _TEARDOWN,
        "helperPod.yaml": json.dumps(helper, indent=1),
    }


def _deployment(site: Site, labels: Mapping[str, str]) -> dict[str, Any]:
    image = mirrors.image(site.mirror, mirrored.reference("local-path-provisioner", site.cluster.version))
    selected = {"app": "local-path-provisioner"}
    container = {
        "name": "local-path-provisioner", "image": image, "imagePullPolicy": "IfNotPresent",
        "command": ["local-path-provisioner", "start", "--config", "/etc/config/config.json"],
        "args": ["--service-account-name", "local-path-provisioner"],
        "env": [
            {"name": "POD_NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
            {"name": "CONFIG_MOUNT_PATH", "value": "/etc/config/"},
        ],
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}},
        "volumeMounts": [{"name": "config", "mountPath": "/etc/config/"}],
    }  # fmt: skip
    return {
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "local-path-provisioner", "namespace": NAMESPACE, "labels": dict(labels)},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": selected},
            "template": {
                "metadata": {"labels": {**labels, **selected}},
                "spec": {
                    "serviceAccountName": "local-path-provisioner",
                    "tolerations": [{"key": "node-role.kubernetes.io/control-plane", "operator": "Exists"}],
                    "containers": [container],
                    "volumes": [{"name": "config", "configMap": {"name": "local-path-config"}}],
                },
            },
        },
    }  # fmt: skip


def own_class(api: Cluster, site: Site) -> str | None:
    """The cluster's own default class, where it is not ours."""
    return foreign_default(api.list(CLASSES), site.name)


def prove(api: Cluster, site: Site) -> Proof:
    """Whether a claim binds, is written, and has what an earlier pod wrote."""
    own = own_class(api, site)
    if own is None and (why := objects.lacking(api, site.name, wanted(site)) or workloads.unready(api, DEPLOYMENT)):
        return broken(why)
    if why := objects.lacking(api, site.name, proof_claim(site)):
        return broken(why)
    kept = _marks(api)
    if kept is None:
        first = _write(api, site, "")
        if first is not None:
            return broken(first)
    # This pod is another than the one that wrote: today's first, or that of the proof before.
    again = _write(api, site, str(_marks(api)))
    if again is not None:
        return broken(again)
    return proved(f"A claim of the class {own or CLASS} binds, and keeps what is written when its pod goes.")


def _marks(api: Cluster) -> str | None:
    return (api.get(CLAIM_PATH)["metadata"].get("annotations") or {}).get(MARK)


def _write(api: Cluster, site: Site, old: str) -> str | None:
    """Have a pod look for the old line and add a new one; why it could not, or None."""
    new = secrets.token_hex(8)
    script = f'[ -z "$1" ] || grep -qxF "$1" /data/marks || exit {LOST}; echo "$2" >>/data/marks && sync /data/marks'
    volume = {"name": "data", "persistentVolumeClaim": {"claimName": CLAIM}}
    mounts = [{"name": "data", "mountPath": "/data"}]
    try:
        over = proving.run(api, site, "storage", script, (old, new), volumes=[volume], volumeMounts=mounts)
    except proving.NotProved as error:
        return f"{error.what} {error.why}"
    if over.code == LOST:
        return "What was written into the proof's claim is not there any more."
    if over.code != 0:
        return f"The proof's claim cannot be written: {over.said.strip()[-200:] or f'the pod ended with {over.code}'}."
    # The file keeps older lines: a proof that is cut off between the two leaves a line that is there.
    api.merge(CLAIM_PATH, {"metadata": {"annotations": {MARK: new}}})
    return None


def users(api: Cluster, site: Site) -> list[str]:
    """Claims of others that have their data in our class, as NAMESPACE/NAME."""
    found = []
    for volume in api.list("/api/v1/persistentvolumes"):
        if volume["spec"].get("storageClassName") == CLASS:
            claim = volume["spec"].get("claimRef") or {}
            name = f"{claim.get('namespace', '')}/{claim.get('name', volume['metadata']['name'])}"
            if name != f"{proving.NAMESPACE}/{CLAIM}":
                found.append(name)
    return sorted(found)


def require_unused(api: Cluster, site: Site) -> None:
    """Raises StillUsed where removing the class would leave data of others without anybody who knows of it."""
    if not is_there(api, site) or not (found := users(api, site)):
        return
    more = f" and {len(found) - 4} more" if len(found) > 4 else ""
    raise StillUsed(
        f"Claims have their data in the class {CLASS}: {', '.join(found[:4])}{more}.",
        "Without it nobody could make them smaller, move them or remove them; so nothing was taken away.",
        ["save what is in them", "remove them: kubectl delete pvc -n NAMESPACE NAME", "then: homewright retry"],
    )


def is_there(api: Cluster, site: Site) -> bool:
    """Whether the class is there and ours."""
    found = api.find(f"{CLASSES}/{CLASS}")
    return found is not None and is_of(site.name, found)
