"""The answers about the cluster itself: its version, its nodes, and what their kernels need otherwise than usual."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Annotated, Literal

from pydantic import Field, JsonValue, field_validator

from homewright.site.values import HostName, Model

OURS = ("homewright.dev/", "node-role.kubernetes.io/", "kubernetes.io/", "node.kubernetes.io/")
"""Beginnings of labels that the stage or Kubernetes itself sets."""

LabelKey = Annotated[
    str, Field(pattern=r"^([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$")
]
LabelValue = Annotated[str, Field(pattern=r"^([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?$")]


class Taint(Model):
    """What keeps pods from a node unless they tolerate it."""

    key: LabelKey
    value: LabelValue = ""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] = "NoSchedule"


class ClusterNode(Model):
    """What one node of the cluster is told besides its role."""

    name: HostName
    """The server or instance that it is."""
    labels: dict[LabelKey, LabelValue] = {}
    """Labels of your own; GPU nodes are labelled by themselves."""
    taints: tuple[Taint, ...] = ()
    """Taints of your own."""

    @field_validator("labels")
    @classmethod
    def _not_kubernetes_own(cls, labels: dict[str, str]) -> dict[str, str]:
        for label in labels:
            if label.startswith(OURS):
                raise ValueError(f"{label} is set by Kubernetes or Homewright itself: choose another name")
        return labels


class ContainerRuntime(Model):
    """What starts the containers below containerd."""

    package: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9+.-]+$")] = "runc"
    """The package that it is in; its program has the same name."""
    script: Annotated[str, Field(max_length=20_000, pattern=r"^#!/")] | None = None
    """A script that containerd starts in its place, for kernels on which it needs other arguments; it is kept on every
    node and calls the program itself."""


class Overrides(Model):
    """Settings merged last into Homewright's own: for machines that need others, such as the practice servers."""

    kubelet: dict[str, JsonValue] = {}
    """Fields of kubelet's KubeletConfiguration."""
    kube_proxy: dict[str, JsonValue] = {}
    """Fields of kube-proxy's KubeProxyConfiguration."""
    etcd: dict[str, str] = {}
    """Arguments of etcd, without their leading dashes."""
    containerd: dict[str, JsonValue] = {}
    """Settings of containerd's plugin io.containerd.cri.v1.runtime."""
    preflight: tuple[str, ...] = ()
    """Names of kubeadm's own first checks whose failure is a warning: of a container's kernel it can tell little."""


class ClusterSettings(Model):
    """The Kubernetes cluster; which kind it is, and what its nodes are, are answers of the platform."""

    version: Annotated[str, Field(pattern=r"^1\.(3[4-6])\.\d{1,3}$")] = "1.36.3"
    """Kubernetes' version: of the minors 1.34 to 1.36. A newer one, by patches or by one minor version, upgrades the
    cluster that is there."""
    address: IPv4Address | None = None
    """An address of the LAN that nobody has, for the cluster's API: with it, and three nodes or more, there are three
    control planes that stand in for each other; without it there is one. It is chosen before the cluster is made."""
    context: str | None = None
    """Of an existing cluster's kubeconfig, the context to use; by default the one that is current in it."""
    nodes: tuple[ClusterNode, ...] = ()
    """Nodes that get labels or taints of your own."""
    workloads_on_control_plane: bool = True
    """Whether the control plane's node also carries workspaces and services; on a site of one server it always does."""
    metrics: bool = True
    """Whether the cluster tells what nodes and pods use, by metrics-server where it has nothing of its own. It needs
    kernels that account memory by control groups, which those of the practice servers do not."""
    runtime: ContainerRuntime = ContainerRuntime()
    overrides: Overrides = Overrides()
