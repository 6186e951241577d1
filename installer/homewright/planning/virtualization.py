"""What LXD's instances can be on these servers: virtual machines or containers. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from homewright.discovery.facts import HostFacts
from homewright.planning.wording import by_what_they_share, listed
from homewright.site.models import Site

Kind = Literal["virtual-machine", "container"]

BARE = ("none", "unknown", "")
"""What systemd-detect-virt says of a machine that is no guest, or that did not tell."""


def kind(site: Site, facts: Mapping[str, HostFacts]) -> tuple[Kind, str]:
    """What the instances are, and why in one sentence: one kind for the whole site, so that a node can move."""
    if site.instances.kind is not None:
        return site.instances.kind, "You chose it."
    known = [facts[server.name] for server in site.servers if server.name in facts]
    without = {found.host: lack for found in known if (lack := lacks(found))}
    if without:
        told = by_what_they_share(without, "has", "have")
        return "container", f"Virtual machines cannot run on every server: {told}."
    if not known:
        return "virtual-machine", "It is the usual choice; whether the servers can run them is not known yet."
    unknown = [server.name for server in site.servers if server.name not in facts]
    also = f"; {listed(unknown)} did not tell yet" if unknown else ""
    return "virtual-machine", f"Every server has /dev/kvm and /dev/vhost-vsock{also}."


def lacks(facts: HostFacts) -> str:
    """What a server lacks for virtual machines, in words; empty where it can run them."""
    missing = [
        f"no {device}"
        for device, there in (("/dev/kvm", facts.system.kvm), ("/dev/vhost-vsock", facts.system.vhost_vsock))
        if not there
    ]
    return " and ".join(missing)


def guest(facts: HostFacts) -> str:
    """The kind of guest that a server is itself (kvm, lxc, …); empty where it is a machine of its own."""
    return "" if facts.system.virtualization in BARE else facts.system.virtualization
