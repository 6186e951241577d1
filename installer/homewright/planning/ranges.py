"""The ranges of a site by their names, and the networks that its servers are in already. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Literal

from homewright.discovery.facts import HostFacts
from homewright.planning import address_space
from homewright.site.models import Site

RangeName = Literal["lan", "lxd", "overlay", "pods", "services", "load-balancer"]

FIELDS: dict[RangeName, str] = {
    "lan": "network.lan",
    "lxd": "network.lxd",
    "overlay": "network.overlay.range",
    "pods": "network.pods",
    "services": "network.services",
    "load-balancer": "network.load_balancer",
}
"""Where each range's answer stands in site.yaml."""

OWN: dict[RangeName, tuple[str, ...]] = {
    "lxd": ("lxdbr",),
    "overlay": ("zt",),
    "pods": ("cni0", "flannel", "cali", "vxlan.calico", "tunl0"),
}
"""How the interfaces are called that LXD, ZeroTier and the cluster make for their own range: on a site that runs
already these are no strangers."""


WIDEST_ROUTE = 8
"""A VPN that takes everything routes two halves of the internet (0.0.0.0/1): that is a default route in disguise."""


@dataclass(frozen=True)
class Seen:
    """A network that a server has an address in, or a route to."""

    host: str
    nic: str
    net: IPv4Network
    address: IPv4Address | None
    """None of a route."""
    instances: bool = False
    """A route of our own to the instances of the site."""

    @property
    def words(self) -> str:
        way = "a route through " if self.address is None else ""
        return f"{way}{self.nic} of {self.host} ({self.net})"


def answer(site: Site, name: RangeName) -> str | None:
    """What somebody chose for a range; None where nobody did."""
    network = site.network
    match name:
        case "lan":
            return network.lan
        case "lxd":
            return network.lxd
        case "overlay":
            return network.overlay.range
        case "pods":
            return network.pods
        case "services":
            return network.services
        case "load-balancer":
            return network.load_balancer


def addresses_seen(site: Site, facts: Mapping[str, HostFacts]) -> tuple[Seen, ...]:
    """All IPv4 networks that the servers are in or have routes to, but those of one machine or one wire alone."""
    return tuple(_seen(site, facts))


def _seen(site: Site, facts: Mapping[str, HostFacts]) -> Iterator[Seen]:
    for server in site.servers:
        for nic in facts[server.name].nics if server.name in facts else ():
            for text in nic.addresses if nic.kind != "loopback" else ():
                net = address_space.network(text)
                if net is not None and not net.is_link_local and not net.is_loopback:
                    yield Seen(server.name, nic.name, net, IPv4Address(text.partition("/")[0]))
            if (net := address_space.network(nic.instances)) is not None:
                yield Seen(server.name, nic.name, net, None, instances=True)
            for text in nic.routes:
                net = address_space.network(text)
                if net is not None and net.prefixlen >= WIDEST_ROUTE and not net.is_link_local:
                    yield Seen(server.name, nic.name, net, None)


def is_own(name: RangeName, seen: Seen) -> bool:
    """Whether a network is the range itself: on a site that runs already."""
    if name == "lxd" and seen.instances:
        return True
    return seen.nic.startswith(OWN.get(name, ())) if name in OWN else False


def inside(text: str, net: IPv4Network) -> bool:
    """Whether a text is an address in a network."""
    try:
        return IPv4Address(text) in net
    except ValueError:
        return False
