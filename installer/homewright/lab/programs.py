"""What the practice cluster's programs are built from: Go modules at fixed versions, a table. Pure.

Each has a small module of its own in `homewright.assets/go`: its go.mod names every module that goes in, its go.sum has
the checksums that Go compares. Where a folder has a main.go too, that is what is built.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable

from homewright.site import mirrored

REVISION = 1
"""Raised when the same pins are built differently."""

FILES = ("go.mod", "go.sum", "main.go")
_MODULES = resources.files("homewright.assets") / "go"


@dataclass(frozen=True)
class Build:
    """Programs that come from one module."""

    name: str
    """Of its folder in the assets."""
    version: str
    programs: tuple[tuple[str, str], ...]
    """File name, and the package that it is built from."""
    variables: tuple[tuple[str, str], ...] = ()
    """What the linker writes into the program: a version, mostly."""
    tags: tuple[str, ...] = ()
    main: str = ""
    """The folder whose main.go it is built from, where that is another one's."""
    links_c: bool = False
    """It needs C, and is linked with it into one file that needs no libraries."""

    @property
    def folder(self) -> Traversable:
        """Its module's files."""
        return _MODULES / self.name

    @property
    def files(self) -> dict[str, Traversable]:
        """Its module's files by name, as far as it has them."""
        shared = {"main.go": _MODULES / self.main / "main.go"} if self.main else {}
        found = {name: self.folder / name for name in FILES} | shared
        return {name: file for name, file in found.items() if file.is_file()}

    @property
    def linker(self) -> str:
        """The value of `-ldflags`: no symbol tables, for they are a third of the file."""
        words = ["-s", "-w", *(f"-X {name}={value}" for name, value in self.variables)]
        if self.links_c:
            words += ["-linkmode external", "-extldflags -static"]
        return " ".join(words)

    def arguments(self, package: str, file: str) -> tuple[str, ...]:
        """What `go` is told to build one program. Paths of this machine are left out of it."""
        tags = ("-tags", ",".join(self.tags)) if self.tags else ()
        return ("build", "-v", "-trimpath", "-buildvcs=false", *tags, "-ldflags", self.linker, "-o", file, package)

    def key(self, architecture: str) -> str:
        """Names the result: another pin, another option or another way of building is another result."""
        told = hashlib.sha256(f"{REVISION} {architecture} {self.programs} {self.tags} {self.linker}".encode())
        for name, file in self.files.items():
            told.update(name.encode() + b"\0" + file.read_bytes())
        return f"{self.name}-{self.version}-{told.hexdigest()[:12]}-{architecture}"


_KUBERNETES_VERSION = "k8s.io/component-base/version"
_CONTAINERD = "github.com/containerd/containerd/v2"

KWOK = "0.8.0"
"""Plays the simulated nodes; it speaks to Kubernetes 1.36."""
KUBE = "kube"
"""All of Kubernetes' programs as one file; which of them it is, the name says that it is called by."""

EARLIER = "1.35.4"
"""A Kubernetes of the minor version before: an upgrade begins with it."""
SUFFIX = f"-{EARLIER.rpartition('.')[0]}"
"""What its builds are called behind the names of the newest one's."""


def _kubernetes(version: str) -> tuple[tuple[str, str], ...]:
    """What its programs say of themselves."""
    major, minor, _ = version.split(".")
    return (
        (f"{_KUBERNETES_VERSION}.gitVersion", f"v{version}"),
        (f"{_KUBERNETES_VERSION}.gitMajor", major),
        (f"{_KUBERNETES_VERSION}.gitMinor", minor),
    )


def _etcd(name: str, version: str) -> Build:
    folders = (("etcd", "server"), ("etcdctl", "etcdctl"), ("etcdutl", "etcdutl"))
    return Build(name, version, tuple((program, f"go.etcd.io/etcd/{folder}/v3") for program, folder in folders))


BUILDS = (
    Build(
        "registry",
        "3.1.2",
        (("registry", "."),),
        (("github.com/distribution/distribution/v3/version.version", "v3.1.2"),),
    ),
    Build("kubernetes", mirrored.KUBERNETES, ((KUBE, "."),), _kubernetes(mirrored.KUBERNETES)),
    Build(
        "containerd",
        mirrored.CONTAINERD,
        tuple((name, f"{_CONTAINERD}/cmd/{name}") for name in ("containerd", "containerd-shim-runc-v2", "ctr")),
        ((f"{_CONTAINERD}/version.Version", mirrored.CONTAINERD),),
        tags=("no_btrfs", "no_devmapper", "no_zfs"),
    ),
    _etcd("etcd", mirrored.ETCD),
    Build("coredns", mirrored.COREDNS, (("coredns", "."),)),
    Build("pause", "1", (("pause", "."),)),
    Build("flannel-cni", "1", (("flannel", "."),)),
    Build(
        "flannel",
        mirrored.FLANNEL,
        (("flanneld", "github.com/flannel-io/flannel"),),
        (("github.com/flannel-io/flannel/pkg/version.Version", f"v{mirrored.FLANNEL}"),),
        tags=("netgo", "osusergo"),
        links_c=True,
    ),
    Build(
        "local-path-provisioner",
        mirrored.LOCAL_PATH,
        (("local-path-provisioner", "github.com/rancher/local-path-provisioner"),),
        (("main.VERSION", f"v{mirrored.LOCAL_PATH}"),),
    ),
    Build(
        "metrics-server",
        mirrored.METRICS_SERVER,
        (("metrics-server", "sigs.k8s.io/metrics-server/cmd/metrics-server"),),
    ),
    Build(
        "opentofu",
        mirrored.OPENTOFU,
        (("tofu", "github.com/opentofu/opentofu/cmd/tofu"),),
        (("github.com/opentofu/opentofu/version.dev", "no"),),
    ),
    Build(
        "contour",
        mirrored.CONTOUR,
        (("contour", "github.com/projectcontour/contour/cmd/contour"),),
        (("github.com/projectcontour/contour/internal/build.Version", f"v{mirrored.CONTOUR}"),),
    ),
)
"""In the order in which they are needed: without the first four there is no cluster to look at."""

_OF_EARLIER = mirrored.companions(EARLIER)
EARLIER_BUILDS = (
    Build(f"kubernetes{SUFFIX}", EARLIER, ((KUBE, "."),), _kubernetes(EARLIER), main="kubernetes"),
    _etcd(f"etcd{SUFFIX}", _OF_EARLIER.etcd.partition("-")[0]),
    Build(f"coredns{SUFFIX}", _OF_EARLIER.coredns.lstrip("v"), (("coredns", "."),), main="coredns"),
)
"""What the earlier Kubernetes brings besides: built only where a lab begins with it, or by name."""


SIMULATING = (Build("kwok", KWOK, (("kwok", "sigs.k8s.io/kwok/cmd/kwok"),)),)
"""No part of a cluster: built where simulated nodes are asked for, or by name."""


def named(name: str) -> Build:
    """One of them; KeyError for a name that is not in the tables."""
    return {build.name: build for build in (*BUILDS, *EARLIER_BUILDS, *SIMULATING)}[name]
