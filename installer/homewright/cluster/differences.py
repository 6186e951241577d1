"""What sort of cluster one is, and how it differs where that matters: storage, network, addresses, pods. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

Sort = Literal["microk8s", "openshift", "kind", "k3s", "rke2", "minikube", "kubeadm", "other"]
SORTS: dict[Sort, str] = {
    "microk8s": "MicroK8s", "openshift": "OpenShift", "kind": "kind", "k3s": "k3s", "rke2": "RKE2",
    "minikube": "minikube", "kubeadm": "made by kubeadm", "other": "of a sort that Homewright does not know",
}  # fmt: skip

ENFORCERS = (
    "calico", "cilium", "antrea", "kube-router", "weave", "ovn", "canal",
    "kindnet",  # since kind 0.24 (2024), and older ones bring no Kubernetes that is supported here
    "anetd",  # GKE's Cilium
    "azure-npm",
)  # fmt: skip
"""Networks that honour NetworkPolicy, by what their DaemonSets are called."""
_BALANCERS = (
    ("metallb.io", (), "MetalLB"),
    ("", ("metallb-speaker",), "MetalLB"),
    ("", ("svclb-",), "ServiceLB, the servers' own addresses"),
    ("", ("kube-vip",), "kube-vip"),
    ("loxilb.io", ("loxilb",), "LoxiLB"),
    ("purelb.io", ("lbnodeagent",), "PureLB"),
    ("crd.projectcalico.org/loadbalancer", (), "Calico"),
)
"""What gives Services of type LoadBalancer an address: an API group of its own, or what its DaemonSets are called."""
_ON_NODES = {
    "rancher.io/local-path": "local-path", "microk8s.io/hostpath": "MicroK8s' hostpath",
    "k8s.io/minikube-hostpath": "minikube's hostpath", "kubernetes.io/no-provisioner": "disks of the nodes",
    "openebs.io/local": "OpenEBS' local volumes", "topolvm.io": "TopoLVM",
}  # fmt: skip
"""Provisioners whose volumes lie on one node's own disk."""
_SIZED = {"topolvm.io"}
"""Those of them that keep a volume to its size."""
CONSTRAINTS = "security.openshift.io"
"""The API group of SecurityContextConstraints, which decide whose account a pod runs as."""


def sort(version: str, nodes: Iterable[Mapping[str, Any]], groups: Iterable[str]) -> Sort:
    """By what each leaves on its nodes, in its version or among its API groups."""
    if "config.openshift.io" in groups:
        return "openshift"
    if match := re.search(r"\+(k3s|rke2)", version):
        return "k3s" if match[1] == "k3s" else "rke2"
    kubeadm = False
    for node in nodes:
        metadata = node.get("metadata") or {}
        labels, marks = metadata.get("labels") or {}, metadata.get("annotations") or {}
        if any(label.startswith(("microk8s.io/", "node.kubernetes.io/microk8s")) for label in labels):
            return "microk8s"
        if str((node.get("spec") or {}).get("providerID", "")).startswith("kind://"):
            return "kind"
        if any(label.startswith("minikube.k8s.io/") for label in labels):
            return "minikube"
        kubeadm = kubeadm or any(mark.startswith("kubeadm.alpha.kubernetes.io/") for mark in marks)
    return "kubeadm" if kubeadm else "other"


def honours_policies(daemons: Iterable[str]) -> bool | None:
    """Whether the network honours NetworkPolicy, by its DaemonSets' names; None where they do not tell."""
    names = " ".join(daemons)
    if any(one in names for one in ENFORCERS):
        return True
    return False if "flannel" in names else None


def load_balancer(
    daemons: Iterable[str], groups: Iterable[str], nodes: Iterable[Mapping[str, Any]], services: Iterable[Any] = ()
) -> str:
    """What gives Services of type LoadBalancer an address; empty where nothing is known to."""
    names, known = tuple(daemons), frozenset(groups)
    for group, prefixes, words in _BALANCERS:
        if group in known or any(one.startswith(prefix) for one in names for prefix in prefixes):
            return words
    for node in nodes:
        scheme = str((node.get("spec") or {}).get("providerID", "")).partition("://")[0]
        if scheme and scheme not in ("kind", "k3s", "rke2", "minikube"):
            return f"its cloud ({scheme})"
    if any(_has_address(one) for one in services):
        return "something that gave one to a Service there"
    return ""


def _has_address(service: Mapping[str, Any]) -> bool:
    balanced = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress")
    return (service.get("spec") or {}).get("type") == "LoadBalancer" and bool(balanced)


def notes(
    storage: Sequence[Mapping[str, Any]], default: str | None, enforces: bool | None, balancer: str, constraints: bool
) -> tuple[str, ...]:
    """What is worth knowing of it before workspaces are made there, in sentences."""
    told = [_storage_note(storage, default)]
    if enforces is None:
        told.append("Whether its network honours NetworkPolicy cannot be told: workspaces may reach one another.")
    if not balancer:
        told.append(
            "Nothing is known to give load balancers an address: what leads in has to listen on the nodes' own."
        )
    if constraints:
        told.append(
            "It decides whose account a pod runs as (SecurityContextConstraints): Homewright binds the accounts of "
            "workspaces to nonroot-v2, in their own namespaces alone."
        )
    return tuple(filter(None, told))


def _storage_note(storage: Sequence[Mapping[str, Any]], default: str | None) -> str:
    """What it means where the default storage lies on the nodes' own disks."""
    for one in storage:
        provisioner = str(one.get("provisioner", ""))
        if one["metadata"]["name"] == default and provisioner in _ON_NODES:
            sized = "" if provisioner in _SIZED else ", and its size is not kept to"
            where = f"Its storage ({_ON_NODES[provisioner]}) is each node's own disk"
            return f"{where}: a workspace stays with the node that has its data{sized}."
    return ""
