"""What the site's DNS zone says and who asks whom: addresses of servers, instances and the platform. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, ip_address

from homewright.discovery.facts import HostFacts
from homewright.planning.groups import has_instances, members
from homewright.planning.instances import place
from homewright.planning.networks import propose
from homewright.site.models import Site

FIRST_IN_OVERLAY = 10
"""Lower addresses of an overlay's range are left to its owner's other devices and routers."""


@dataclass(frozen=True)
class ZonePlan:
    """The zone of a site, and the server that answers for it."""

    zone: str
    server: str
    """The server that runs it."""
    address: str
    """Its address in the LAN."""
    names: Mapping[str, str]
    """Address of every server and instance, by name in the zone."""
    overlay: Mapping[str, str]
    """Address of every server in the overlay, by name; empty without one."""
    ingress: str
    """Where every other name leads: the first load balancer address, and while there is no such range, the control
    plane, or the server that carries it. kubeadm's cluster has nothing that gives such addresses out, so there only an
    answer leads to one."""
    askers: tuple[IPv4Network, ...]
    """The networks whose machines are answered."""
    overlay_range: IPv4Network | None = None


def planned(site: Site, facts: Mapping[str, HostFacts]) -> ZonePlan:
    """The zone. Raises ValueError where the site has none."""
    if site.zone is None:
        raise ValueError("the site has no zone")
    server = site.server(members("dns_server", site, facts)[0])
    ranges = propose(site, facts)
    names = {one.name: one.address for one in site.servers}
    nodes = [node for node in place(site, facts, networks=ranges).nodes if node.address] if has_instances(site) else []
    names |= {node.name: node.address for node in nodes if node.address}
    proposed = site.platform.cluster != "kubeadm" or site.network.load_balancer is not None
    balancer = ranges.network("load-balancer") if proposed else None
    carriers = members("kubernetes_control_plane", site, facts)
    if nodes and site.platform.cluster == "kubeadm":
        # Ports of a server lead to the instance on it.
        carriers = tuple(node.host for node in sorted(nodes, key=lambda node: node.role != "control-plane"))
    overlay = overlay_addresses(site, ranges.network("overlay"))
    asking = [net for name in ("lan", "lxd", "overlay", "pods") if (net := ranges.network(name)) is not None]
    # A LAN that nobody has told yet is at least its servers.
    lone = [
        IPv4Network(address) for address in names.values() if not any(IPv4Address(address) in net for net in asking)
    ]
    return ZonePlan(
        zone=site.zone,
        server=server.name,
        address=server.address,
        names=names,
        overlay=overlay,
        ingress=str(balancer[0]) if balancer is not None else site.server(carriers[0]).address,
        askers=tuple(dict.fromkeys([*asking, *lone])),
        overlay_range=ranges.network("overlay"),
    )


def overlay_addresses(site: Site, net: IPv4Network | None) -> dict[str, str]:
    """The fixed address of every server in the overlay, in the site's order; none without an overlay.

    Raises ValueError where its range is too small.
    """
    if site.network.overlay.kind == "none" or net is None:
        return {}
    if net.num_addresses - 2 < FIRST_IN_OVERLAY + len(site.servers):
        raise ValueError(f"the overlay's range {net} is too small for {len(site.servers)} servers")
    return {server.name: str(net[FIRST_IN_OVERLAY + number]) for number, server in enumerate(site.servers)}


def upstream(site: Site, seen: Sequence[str]) -> tuple[str, ...]:
    """The DNS servers that a host asks beside the platform's own: the site's answer, else those that it had before.

    Without the servers of the site itself: a server that forwards to itself answers nobody.
    """
    own = {server.address for server in site.servers}
    asked = site.network.resolvers or tuple(seen)
    return tuple(dict.fromkeys(one for one in asked if one not in own and _leads_elsewhere(one)))


def _leads_elsewhere(text: str) -> bool:
    """Whether this is the address of another machine; one of IPv6's link-local ones is with its interface alone."""
    address, _, interface = text.partition("%")
    try:
        found = ip_address(address)
    except ValueError:
        return False
    nowhere = found.version == 6 and found.is_link_local and not interface
    return not (found.is_loopback or found.is_unspecified or nowhere)
