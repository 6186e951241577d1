"""What the lab adds for a cluster on the practice servers: programs, images and files, and the mirror with them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from homewright.errors import LabError, UsageError
from homewright.lab import (
    cluster_files,
    cluster_images,
    devenv,
    go,
    practice_site,
    programs,
    record,
    services,
    workspace_image,
)
from homewright.lab.models import Nodes, Place, Record
from homewright.mirror.layout import Descriptor, Layout
from homewright.site import mirrored

Say = Callable[[str], None]

BUILDS = (
    "registry",
    "kubernetes",
    "containerd",
    "etcd",
    "coredns",
    "pause",
    "flannel-cni",
    "flannel",
    "local-path-provisioner",
    "contour",
)
"""What the stages use by now; the others are built by `homewright lab builds` and by what comes to use them."""
IMAGES = (
    *mirrored.OF_KUBERNETES,
    "pause",
    "etcd",
    "coredns",
    "flannel",
    "flannel-cni-plugin",
    "local-path-provisioner",
    "contour",
    "envoy",
    "busybox",
)
"""The images that are made of them."""


def nodes(lab: Record | None, chosen: Nodes | None, *, wanted: bool) -> Nodes:
    """What the nodes are of the cluster that the practice servers have, or are to have where one is `wanted`.

    Raises UsageError where neither is so and nodes are chosen, and LabError where there is one of other nodes already.
    """
    there = lab.nodes if lab is not None and lab.cluster else None
    if chosen is not None and not wanted and there is None:
        do = [f"homewright lab up --cluster --nodes {chosen}"]
        raise UsageError("Nodes are a cluster's, and none was asked for.", "", do)
    if lab is not None and lab.phase == "up" and there is not None and chosen not in (None, there):
        raise LabError(
            f"The practice servers' cluster has {there} as its nodes, not {chosen}.",
            "What the nodes are is chosen before the cluster is made.",
            ["start over: homewright lab down", f"homewright lab up --cluster --nodes {chosen}"],
        )
    return chosen or there or "servers"


def folder() -> Path:
    """Where the lab's mirror runs."""
    return record.folder() / "services"


def build(names: Sequence[str], *, say: Say) -> dict[str, Path]:
    """See `homewright.lab.builds`."""
    known = {one.name: one for one in (*programs.BUILDS, *programs.EARLIER_BUILDS, *programs.SIMULATING)}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UsageError(
            f"There is no build {unknown[0]}.", f"There are {', '.join(known)}.", ["homewright lab builds"]
        )
    wanted = [known[name] for name in known if name in names] if names else list(programs.BUILDS)
    go.ensure(wanted, say=say)
    return {name: go.program(one, name) for one in wanted for name, _ in one.programs}


def prepare(say: Say, *, earlier: bool = False) -> dict[str, Descriptor]:
    """Have everything made that the mirror gives out, which takes minutes the first time; the images by reference.

    With `earlier` also what a cluster of the minor version before is made of. Raises LabError and MirrorError.
    """
    more = programs.EARLIER_BUILDS if earlier else ()
    go.ensure([*(programs.named(name) for name in BUILDS), *more], say=say)
    # A folder of its own: that of the images is held whenever one of them gets its name.
    with go.alone(cluster_images.folder().with_name("images-made"), "another command makes the images already", say):
        cluster_files.ensure(say)
        images = cluster_images.ensure(IMAGES, say=say) | workspace_image.ensure(say)
        if earlier:
            cluster_files.ensure(say, programs.EARLIER)
            images |= cluster_images.ensure(cluster_images.OF_EARLIER, version=programs.EARLIER, say=say)
        return images | devenv.ensure(say) if practice_site.wants_devenv() else images


def raise_mirror(images: dict[str, Descriptor], place: Place, say: Say) -> None:
    """Have the mirror running, with these images in it. The bridge is there. Raises LabError and MirrorError."""
    services.ensure(folder(), place, say)
    services.push(images, Layout(cluster_images.folder()), place, say)


def is_mirrored(lab: Record) -> bool:
    """Whether the mirror runs, where this lab is to have one."""
    return not lab.cluster or services.are_up(folder(), lab.place)


def end_mirror() -> bool:
    """End it, whoever has started it; whether it ran."""
    found = services.stop(folder())
    shutil.rmtree(folder(), ignore_errors=True)
    return found
