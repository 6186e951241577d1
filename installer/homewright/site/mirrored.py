"""Everything that a site's cluster fetches, by name: container images and programs, with their versions. Pure.

Stages take their references from here, and `homewright mirror` names what is here: so a site that carries everything in
on a disk carries what is used. Where each comes from at a site is decided by `homewright.site.mirrors`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from homewright.errors import SiteError

KUBERNETES = "1.36.3"
CONTAINERD = "2.4.2"
ETCD = "3.6.8"
COREDNS = "1.14.2"
FLANNEL = "0.28.4"
FLANNEL_CNI = "1.9.1-flannel1"
CONTOUR = "1.33.8"
ENVOY = "1.36.4"
LOCAL_PATH = "0.0.30"
METRICS_SERVER = "0.9.0"
BUSYBOX = "1.36.1"
DEBIAN = "13.2-slim"
OPENTOFU = "1.12.6"

Architecture = Literal["amd64", "arm64"]


@dataclass(frozen=True)
class Companions:
    """The images that a Kubernetes release names itself: tags from `cmd/kubeadm/app/constants` of its newest patch."""

    pause: str
    etcd: str
    coredns: str


COMPANIONS = {
    "1.34": Companions(pause="3.10.1", etcd="3.6.5-0", coredns="v1.12.1"),
    "1.35": Companions(pause="3.10.1", etcd="3.6.6-0", coredns="v1.13.1"),
    "1.36": Companions(pause="3.10.2", etcd="3.6.8-0", coredns="v1.14.2"),
}
"""By minor version."""

DOCKER = "docker.io"
"""The registry of references that name none."""
_GITHUB = "ghcr.io"

OF_KUBERNETES = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy")
PROGRAMS = ("kubeadm", "kubelet", "kubectl", "containerd")

DEBIAN_PACKAGES = (
    "containernetworking-plugins", "nftables", "iptables", "conntrack", "ethtool", "socat", "curl", "ca-certificates",
)  # fmt: skip
"""Of the system's own archive, what every node of a cluster that kubeadm makes gets, besides its container runtime."""
BALANCER_PACKAGES = ("haproxy", "keepalived")
"""The same where several control planes share an address."""
BUILDER_PACKAGES = ("buildah",)
"""The same where images are built on the nodes."""

_OTHERS = {
    "flannel": f"{_GITHUB}/flannel-io/flannel:v{FLANNEL}",
    "flannel-cni-plugin": f"{_GITHUB}/flannel-io/flannel-cni-plugin:v{FLANNEL_CNI}",
    "contour": f"{_GITHUB}/projectcontour/contour:v{CONTOUR}",
    "envoy": f"{DOCKER}/envoyproxy/envoy:distroless-v{ENVOY}",
    "local-path-provisioner": f"{DOCKER}/rancher/local-path-provisioner:v{LOCAL_PATH}",
    "metrics-server": f"registry.k8s.io/metrics-server/metrics-server:v{METRICS_SERVER}",
    "busybox": f"{DOCKER}/library/busybox:{BUSYBOX}",
}
"""What the cluster's other components are; busybox makes local-path's folders and is what proofs from inside run."""


_OPENTOFU = {
    "amd64": "5dc43da4f750f33873dc25e94587128709e819e544b7be9016b255316153c3a8",
    "arm64": "e573979ba68a17fe7b881752051a694a7efcd970e39521f6a25775197861ed4d",
}
"""SHA-256 of the release's archives, as OpenTofu's own list of them has it."""


@dataclass(frozen=True)
class Image:
    """A container image as its own registry names it."""

    name: str
    reference: str

    @property
    def version(self) -> str:
        return self.reference.rpartition(":")[2]


@dataclass(frozen=True)
class Program:
    """A file that nodes fetch, with its SHA-256 beside it under `checksum`."""

    name: str
    version: str
    architecture: Architecture
    url: str
    checksum: str
    """Where its SHA-256 is published: 64 hexadecimal digits, perhaps with the file's name behind them; or a list of
    such lines."""
    archive: bool = False
    """A .tar.gz whose folder `bin` has the programs."""
    sha256: str = ""
    """Of a release that never changes, its SHA-256: hexadecimal digits."""


def images(version: str = KUBERNETES) -> tuple[Image, ...]:
    """Every image of a cluster of this Kubernetes version. Raises SiteError for a minor version that we do not know."""
    known = companions(version)
    kubernetes = [Image(name, f"registry.k8s.io/{name}:v{version}") for name in OF_KUBERNETES]
    newest = companions(KUBERNETES).pause
    sandbox = () if known.pause == newest else (Image("sandbox", f"registry.k8s.io/pause:{newest}"),)
    return (
        Image("pause", f"registry.k8s.io/pause:{known.pause}"),
        *sandbox,  # what containerd starts every pod with, whatever Kubernetes is
        *kubernetes,
        Image("etcd", f"registry.k8s.io/etcd:{known.etcd}"),
        Image("coredns", f"registry.k8s.io/coredns/coredns:{known.coredns}"),
        *(Image(name, reference) for name, reference in _OTHERS.items()),
    )


def reference(name: str, version: str = KUBERNETES) -> str:
    """The reference of one image by its name here; KeyError for a name that is not in the table."""
    return {image.name: image.reference for image in images(version)}[name]


def companions(version: str) -> Companions:
    """What a Kubernetes version names besides itself. Raises SiteError for a minor version that we do not know."""
    known = COMPANIONS.get(".".join(version.split(".")[:2]))
    if known is None:
        raise SiteError(
            f"The images of Kubernetes {version} are not known.",
            f"Known are those of {', '.join(sorted(COMPANIONS))}.",
            ["choose one of these: homewright site set cluster.version"],
        )
    return known


def program(name: str, version: str, architecture: Architecture) -> Program:
    """A program as it is published; KeyError for one that is not in the table."""
    if name == "containerd":
        file = f"containerd-{version}-linux-{architecture}.tar.gz"
        url = f"https://github.com/containerd/containerd/releases/download/v{version}/{file}"
        return Program(name, version, architecture, url, f"{url}.sha256sum", archive=True)
    if name not in PROGRAMS:
        raise KeyError(name)
    url = f"https://dl.k8s.io/release/v{version}/bin/linux/{architecture}/{name}"
    return Program(name, version, architecture, url, f"{url}.sha256")


def programs(version: str = KUBERNETES, architecture: Architecture = "amd64") -> tuple[Program, ...]:
    """Every program that the nodes of one architecture fetch."""
    own = {"containerd": CONTAINERD}
    return tuple(program(name, own.get(name, version), architecture) for name in PROGRAMS)


BASE = Image("debian", f"{DOCKER}/library/debian:{DEBIAN}")
"""What the image of the template devenv is built on."""


def opentofu(architecture: Architecture) -> Program:
    """The archive that the image of the template devenv has OpenTofu from: a .zip with the program `tofu`."""
    release = f"https://github.com/opentofu/opentofu/releases/download/v{OPENTOFU}"
    url, sums = f"{release}/tofu_{OPENTOFU}_linux_{architecture}.zip", f"{release}/tofu_{OPENTOFU}_SHA256SUMS"
    return Program("opentofu", OPENTOFU, architecture, url, sums, sha256=_OPENTOFU[architecture])
