"""What LXD's storage pool is made of: what the answers say, else the best that every server has. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from homewright.discovery.facts import HostFacts
from homewright.planning.documents import Document
from homewright.planning.virtualization import guest
from homewright.site.models import Site

POOL = "default"
"""Its name, as `lxd init` gives it."""
Storage = Literal["zfs", "btrfs", "lvm", "dir"]
BEST: tuple[Storage, ...] = ("zfs", "btrfs", "lvm", "dir")
"""The best first: snapshots and sizes that hold; a folder has neither."""
CONTAINERS = ("lxc", "lxc-libvirt", "systemd-nspawn", "docker", "podman", "openvz")
"""Guests without block devices of their own (systemd-detect-virt --list): there only a folder can be a pool."""


WHAT = {
    "zfs": "snapshots, and disks that end where they should",
    "btrfs": "snapshots, and disks that end where they should",
    "lvm": "disks that end where they should",
    "dir": "a folder: no snapshots, and an instance's disk ends with the server's",
}
"""What each kind means for the instances."""


class StorageChoice(Document):
    """One kind of storage, and whether the servers can have it."""

    kind: Storage
    possible: bool | None
    """None where only LXD itself can tell, once it is installed."""
    why: str
    """In one sentence."""


def choices(site: Site, facts: Mapping[str, HostFacts]) -> tuple[StorageChoice, ...]:
    """Every kind, the best first, with what is known of it before LXD is there."""
    inside = [one.name for one in site.servers if one.name in facts and guest(facts[one.name]) in CONTAINERS]
    found = []
    for kind in BEST:
        if kind == "dir":
            found.append(StorageChoice(kind=kind, possible=True, why=f"Every server can: {WHAT[kind]}."))
        elif inside:
            found.append(StorageChoice(kind=kind, possible=False, why=f"{_containers(inside)} without disks."))
        else:
            why = f"{WHAT[kind].capitalize()}; whether every server's LXD has it is seen when it is installed."
            found.append(StorageChoice(kind=kind, possible=None, why=why))
    return tuple(found)


def _containers(names: Sequence[str]) -> str:
    return f"{' and '.join(names)} {'is a container' if len(names) == 1 else 'are containers'}"


def driver(site: Site, facts: Mapping[str, HostFacts], supported: Mapping[str, Sequence[str]]) -> tuple[str, str]:
    """The kind of storage, one for all members, and why; empty where the chosen one is not to be had, with the reason.

    `supported` is what LXD on each server says that it can use.
    """
    chosen = site.instances.storage
    if chosen is not None:
        without = [host for host, kinds in supported.items() if chosen not in kinds]
        if without:
            return "", f"LXD on {' and '.join(without)} cannot use {chosen}."
        return chosen, "You chose it."
    inside = [host for host in supported if host in facts and guest(facts[host]) in CONTAINERS]
    if inside:
        return "dir", f"{_containers(inside)} without disks."
    for kind in BEST:
        if all(kind in kinds for kinds in supported.values()):
            return kind, "Every server has it." if kind != "dir" else "Nothing better is on every server."
    return "", "LXD on no two servers can use the same kind of storage."
