"""flannel, the cluster's network: its objects as the API takes them, made there, and what holds a node up."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from homewright.cluster.client import Cluster
from homewright.planning.cluster import ClusterPlan
from homewright.site import mirrored, mirrors
from homewright.site.models import Site
from homewright.stages.cluster import documents

NAMESPACE = "kube-flannel"
NAME = "kube-flannel-ds"
_LABELS = {"app": "flannel", "app.kubernetes.io/managed-by": "homewright"}


def objects(site: Site, plan: ClusterPlan) -> dict[str, dict[str, Any]]:
    """Every object of it by its path in the API, in the order in which they are made."""
    core, rbac = "/api/v1", "/apis/rbac.authorization.k8s.io/v1"
    inside = f"{core}/namespaces/{NAMESPACE}"
    metadata = {"name": "flannel", "labels": _LABELS}
    return {
        inside: {
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": NAMESPACE, "labels": {**_LABELS, "pod-security.kubernetes.io/enforce": "privileged"}},
        },
        f"{inside}/serviceaccounts/flannel": {
            "apiVersion": "v1", "kind": "ServiceAccount", "metadata": {**metadata, "namespace": NAMESPACE},
        },
        f"{rbac}/clusterroles/flannel": {
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": metadata,
            "rules": [
                {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]},
                {"apiGroups": [""], "resources": ["nodes"], "verbs": ["get", "list", "watch"]},
                {"apiGroups": [""], "resources": ["nodes/status"], "verbs": ["patch"]},
            ],
        },
        f"{rbac}/clusterrolebindings/flannel": {
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": metadata,
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "flannel"},
            "subjects": [{"kind": "ServiceAccount", "name": "flannel", "namespace": NAMESPACE}],
        },
        f"{inside}/configmaps/kube-flannel-cfg": {
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "kube-flannel-cfg", "namespace": NAMESPACE, "labels": _LABELS},
            "data": {"cni-conf.json": json.dumps(_CNI, indent=1), "net-conf.json": json.dumps(_net(plan), indent=1)},
        },
        f"/apis/apps/v1/namespaces/{NAMESPACE}/daemonsets/{NAME}": _daemons(site),
    }  # fmt: skip


def apply(api: Cluster, site: Site, plan: ClusterPlan) -> bool:
    """Make all of it be there as planned; whether anything was not."""
    changed = False
    for path, body in objects(site, plan).items():
        before = api.find(path)
        after = api.apply(path, body)
        changed = (
            before is None or before["metadata"]["resourceVersion"] != after["metadata"]["resourceVersion"] or changed
        )
    return changed


def begin_anew(api: Cluster, *, everywhere: bool = False) -> int:
    """Have flannel started at once where it waits for its next try, up to five minutes long; on how many nodes.

    So it is where a node has only the word of an earlier flannel; and `everywhere` after a saved state was put back, in
    which nothing is that a flannel has said since.
    """
    nodes = {one["metadata"]["name"]: _conditions(one) for one in api.list("/api/v1/nodes")}

    def due(pod: Mapping[str, Any]) -> bool:
        told = nodes.get((pod.get("spec") or {}).get("nodeName", ""), {}).get("NetworkUnavailable", {})
        return everywhere or bool(waiting(pod)) or (told.get("status") == "False" and not _is_its_word(told, [pod]))

    pods = [pod for pod in api.list(f"/api/v1/namespaces/{NAMESPACE}/pods") if _is_flannel(pod) and due(pod)]
    return sum(api.delete(f"/api/v1/namespaces/{NAMESPACE}/pods/{pod['metadata']['name']}") for pod in pods)


def unready(api: Cluster, name: str) -> str:
    """Why a node cannot carry pods yet, in a sentence; empty where it can."""
    node = api.find(f"/api/v1/nodes/{name}")
    if node is None:
        return f"{name} is not in the cluster."
    pods = api.list(f"/api/v1/namespaces/{NAMESPACE}/pods", fieldSelector=f"spec.nodeName={name}")
    return judged(name, node, [pod for pod in pods if _is_flannel(pod)])


def judged(name: str, node: Mapping[str, Any], pods: Sequence[Mapping[str, Any]]) -> str:
    """Why a node with these pods of flannel cannot carry pods, in a sentence; empty where it can. Pure.

    kubelet calls a node ready as soon as there are settings of a network, which is before flannel runs; flannel itself
    says when it has made its network. It says so each time it starts: while the API cannot be reached by its service,
    it runs for a moment, ends and is started again, and the node has the word of the one before all the while.
    """
    conditions = _conditions(node)
    ready = conditions.get("Ready", {})
    pods = [pod for pod in pods if "deletionTimestamp" not in (pod.get("metadata") or {})]
    held = next((why for pod in pods if (why := waiting(pod))), "")
    if ready.get("status") != "True":
        return f"{name} is not ready: {held or ready.get('message') or 'it has not reported yet'}"
    if held or not any((pod.get("status") or {}).get("phase") == "Running" for pod in pods):
        return f"flannel does not run on {name}{held and ': '}{held}."
    told = conditions.get("NetworkUnavailable", {})
    if told.get("status") != "False" or not _is_its_word(told, pods):
        return f"flannel on {name} has not made its network yet."
    return ""


def _conditions(node: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {one["type"]: one for one in (node.get("status") or {}).get("conditions", ())}


def _is_its_word(told: Mapping[str, Any], pods: Sequence[Mapping[str, Any]]) -> bool:
    """Whether what is told of the network is from these flannels, and not from those that ran before them.

    Both times are the node's own, in whole seconds, and as text in their order.
    """
    containers = [one for pod in pods for one in (pod.get("status") or {}).get("containerStatuses", ())]
    begun = [((one.get("state") or {}).get("running") or {}).get("startedAt") or "" for one in containers]
    return all((told.get("lastHeartbeatTime") or "") >= one for one in begun)


def _is_flannel(pod: Mapping[str, Any]) -> bool:
    return _LABELS.items() <= (pod["metadata"].get("labels") or {}).items()


def waiting(pod: Mapping[str, Any]) -> str:
    """Why a container of a pod does not run, in its own words; empty where all do. Pure."""
    status = pod.get("status") or {}
    for one in (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())):
        state = one.get("state") or {}
        held = state.get("waiting") or state.get("terminated") or {}
        if held.get("reason") not in (None, "Completed", "PodInitializing", "ContainerCreating"):
            ended = ((one.get("lastState") or {}).get("terminated") or {}).get("message", "")
            return f"{one['name']}: {held['reason']}: {held.get('message') or ended}".strip(": ")
    return ""


def _net(plan: ClusterPlan) -> dict[str, Any]:
    return {"Network": str(plan.pods), "EnableNFTables": True, "Backend": {"Type": "vxlan"}}


_CNI = {
    "name": "cbr0",
    "cniVersion": "0.3.1",
    "plugins": [
        {"type": "flannel", "delegate": {"hairpinMode": True, "isDefaultGateway": True}},
        {"type": "portmap", "capabilities": {"portMappings": True}},
    ],
}


def _daemons(site: Site) -> dict[str, Any]:
    flannel, plugin = (
        mirrors.image(site.mirror, mirrored.reference(name)) for name in ("flannel", "flannel-cni-plugin")
    )
    selected = {"app": "flannel"}
    mounts = {
        "run": {"name": "run", "mountPath": "/run/flannel"},
        "plugins": {"name": "plugins", "mountPath": documents.MORE_PLUGINS},
        "networks": {"name": "networks", "mountPath": documents.NETWORKS},
        "config": {"name": "config", "mountPath": "/etc/kube-flannel"},
    }
    named = {"POD_NAME": "metadata.name", "POD_NAMESPACE": "metadata.namespace", "HOST_ADDRESS": "status.hostIP"}
    pod = {
        "hostNetwork": True,
        "priorityClassName": "system-node-critical",
        "serviceAccountName": "flannel",
        # As kube-proxy has it: a node that is none of Linux, or only simulated, has no network of ours.
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "tolerations": [{"operator": "Exists", "effect": "NoSchedule"}, {"operator": "Exists", "effect": "NoExecute"}],
        "initContainers": [
            {
                "name": "install-plugin", "image": plugin,
                "command": ["cp", "-f", "/flannel", f"{documents.MORE_PLUGINS}/flannel"],
                "volumeMounts": [mounts["plugins"]],
            },
            {
                "name": "install-config", "image": flannel,
                "command": ["cp", "-f", "/etc/kube-flannel/cni-conf.json", f"{documents.NETWORKS}/10-flannel.conflist"],
                "volumeMounts": [mounts["networks"], mounts["config"]],
            },
        ],
        "containers": [
            {
                "name": "kube-flannel", "image": flannel, "command": ["/opt/bin/flanneld"],
                # The interface of the node's own address: with several networks it would take the default route's.
                "args": ["--ip-masq", "--kube-subnet-mgr", "--iface=$(HOST_ADDRESS)"],
                "resources": {"requests": {"cpu": "100m", "memory": "50Mi"}},
                "securityContext": {"privileged": False, "capabilities": {"add": ["NET_ADMIN", "NET_RAW"]}},
                "env": [{"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}} for name, path in named.items()],
                "volumeMounts": [mounts["run"], mounts["config"]],
            }
        ],
        "volumes": [
            {"name": "run", "hostPath": {"path": "/run/flannel", "type": "DirectoryOrCreate"}},
            {"name": "plugins", "hostPath": {"path": documents.MORE_PLUGINS, "type": "DirectoryOrCreate"}},
            {"name": "networks", "hostPath": {"path": documents.NETWORKS, "type": "DirectoryOrCreate"}},
            {"name": "config", "configMap": {"name": "kube-flannel-cfg"}},
        ],
    }  # fmt: skip
    return {
        "apiVersion": "apps/v1", "kind": "DaemonSet",
        "metadata": {"name": NAME, "namespace": NAMESPACE, "labels": _LABELS},
        "spec": {"selector": {"matchLabels": selected}, "template": {"metadata": {"labels": _LABELS}, "spec": pod}},
    }  # fmt: skip
