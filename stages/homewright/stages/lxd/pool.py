"""What LXD keeps the instances in, on every server alike: which kind it is, how large, and who can have it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from homewright.discovery.facts import HostFacts
from homewright.engine.runners.host import Host, together
from homewright.errors import HomewrightError
from homewright.lxd.client import Lxd
from homewright.planning.instances import InstancePlan
from homewright.planning.pools import POOL, driver
from homewright.site.models import Site
from homewright.stages.lxd import packages
from homewright.stages.lxd.standing import look
from homewright.stages.lxd.texts import Planned

GIB = 1024**3
IMAGE_GIB = 10
"""What a pool holds beside the instances' own disks: their image, and room to unpack it."""
Drivers = Mapping[str, Sequence[str]]
"""What the LXD of each server says that it can use."""


def choose(site: Site, facts: Mapping[str, HostFacts], drivers: Drivers) -> tuple[str, str]:
    """The kind of storage of all members, and why. Raises HomewrightError where the chosen one is not to be had."""
    kind, why = driver(site, facts, drivers)
    if not kind:
        raise HomewrightError(
            "LXD's storage cannot be as chosen.",
            why,
            ["install its tools there", "or let it be chosen: homewright site unset instances.storage"],
        )
    return kind, why


def able(hosts: Sequence[Host], drivers: Drivers, kind: str | None) -> dict[str, Sequence[str]]:
    """What each LXD can use; one of these servers' that lacks `kind`, and is in no cluster yet, is started anew first.

    LXD looks for the tools of storage at its start alone, so that those which somebody has installed since, as he was
    told to, are seen from the next start on. A host where it does not come up has its `error`, and is left out.
    """
    lacking = [host for host in hosts if kind is not None and kind not in drivers.get(host.name, (kind,))]

    def anew(host: Host) -> Sequence[str]:
        packages.start(host, again=True)
        return look(host).drivers

    found = {**drivers, **together(lacking, anew)}
    down = {host.name for host in hosts if host.error is not None}
    return {name: kinds for name, kinds in found.items() if name not in down}


def refuse_without(hosts: Sequence[Host], drivers: Drivers, kind: str) -> None:
    """A server that cannot have the cluster's kind of storage is left out of it, before it begins to join."""
    for host in hosts:
        if host.error is None and kind not in drivers.get(host.name, ()):
            host.error = HomewrightError(
                f"LXD on {host.name} lacks {kind}, in which the cluster keeps its instances.",
                "It has not joined.",
                [f"install its tools on {host.name} ({TOOLS.get(kind, kind)}), then: homewright retry"],
            )


TOOLS = {"btrfs": "btrfs-progs", "lvm": "lvm2, thin-provisioning-tools", "zfs": "zfsutils-linux"}
"""The packages that LXD as Debian's package needs for a kind; the snap brings them."""


def config(kind: str, plan: InstancePlan, server: str) -> dict[str, str]:
    """What the pool is made with on one server: a folder has no size; the others are as large as the plan says."""
    if kind == "dir":
        return {}
    disks = sum(node.disk for node in plan.on(server))
    return {"size": f"{disks + IMAGE_GIB}GiB"}


def refuse_overfull(lxd: Lxd, hosts: Sequence[Host], planned: Iterable[Planned]) -> None:
    """Disks of which somebody has said how large they are to be must fit into a pool that ends: LXD itself takes any
    size, and what is in the instances fails where the pool is full. Raises HomewrightError.

    A folder ends with its server's disk, which the plan has looked at; of a pool that was made otherwise nothing is
    known here.
    """
    if lxd.get(f"storage-pools/{POOL}")["driver"] == "dir":
        return
    disks = [(one.node.host, one.node.disk) for one in planned if one.sized]
    for host in hosts:
        size = str(lxd.get(f"storage-pools/{POOL}", target=host.name)["config"].get("size", "")).removesuffix("GiB")
        wanted = sum(disk for name, disk in disks if name == host.name)
        if size.isdigit() and wanted > int(size):
            raise HomewrightError(
                f"The storage pool of {host.name} is too small for its instances.",
                f"It holds {size} GiB, and their disks are to have {wanted} GiB.",
                [
                    "give them less, or move one to another server: homewright site set instances.nodes.NAME.host …",
                    f"or make it larger, which LXD 5.21 can: sudo lxc storage set {POOL} "
                    f"size={wanted + IMAGE_GIB}GiB --target {host.name}",
                    "then: homewright retry",
                ],
            )
