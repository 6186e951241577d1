"""What LXD's storage pool is made of: what the answers say, else the best that every server has. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from homewright.discovery.facts import HostFacts
from homewright.planning.virtualization import guest
from homewright.site.models import Site

POOL = "default"
"""Its name, as `lxd init` gives it."""
BEST = ("zfs", "btrfs", "lvm", "dir")
"""The best first: snapshots and sizes that hold; a folder has neither."""
CONTAINERS = ("lxc", "lxc-libvirt", "systemd-nspawn", "docker", "podman", "openvz")
"""Guests without block devices of their own (systemd-detect-virt --list): there only a folder can be a pool."""


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
        return (
            "dir",
            f"{' and '.join(inside)} {'is a container' if len(inside) == 1 else 'are containers'} without disks.",
        )
    for kind in BEST:
        if all(kind in kinds for kinds in supported.values()):
            return kind, "Every server has it." if kind != "dir" else "Nothing better is on every server."
    return "", "LXD on no two servers can use the same kind of storage."
