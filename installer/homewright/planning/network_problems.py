"""What is wrong with the address ranges that somebody chose. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network

from homewright.discovery.facts import HostFacts
from homewright.planning import bridges
from homewright.planning.documents import Misfit
from homewright.planning.ranges import FIELDS, RangeName, Seen, answer, inside, is_own
from homewright.site.models import Site

NODE_PREFIX = 24
"""kubeadm's controller gives every node a /24 of the pods' range (--node-cidr-mask-size)."""
LARGEST_SERVICES = 12
"""The API server refuses a service range with more than 20 bits (kube-apiserver, --service-cluster-ip-range)."""


def bad_bridges(site: Site, facts: Mapping[str, HostFacts], named: Sequence[tuple[str, str]]) -> Iterator[Misfit]:
    """Interfaces (server, name) that no bridge can take over."""
    for host, name in named:
        if host not in facts or not name or not facts[host].nics:
            continue
        server = site.server(host)
        reason = bridges.unfit(server, facts[host], name)
        if reason:
            field = f"servers.{host}.nic"
            fit = [one.nic.name for one in bridges.candidates(server, facts[host]) if not one.reason]
            do = (f"name another: homewright site set {field} {one}" for one in fit[:3])
            yield Misfit(field=field, reason=reason, do=tuple(do) or ("connect the server by cable",))


def misfits(
    site: Site,
    seen: tuple[Seen, ...],
    lan: IPv4Network | None,
    nets: Mapping[RangeName, IPv4Network],
    gateway: str,
) -> Iterator[Misfit]:
    """What is wrong with the ranges that somebody chose."""
    inner = {name: net for name, net in nets.items() if name != "load-balancer"}
    names = list(inner)
    for index, name in enumerate(names):
        net, field = inner[name], FIELDS[name]
        if answer(site, name) is None:
            continue
        another = (
            f"choose another: homewright site set {field} …",
            f"or let it be proposed: homewright site unset {field}",
        )
        for other in [n for n in names[:index] if answer(site, n) is not None]:
            if net.overlaps(inner[other]):
                yield Misfit(field=field, reason=f"{net} overlaps the range of {other} ({inner[other]})", do=another)
        if lan is not None and net.overlaps(lan):
            yield Misfit(field=field, reason=f"{net} overlaps the LAN ({lan})", do=another)
        elif hit := next((s for s in site.servers if IPv4Address(s.address) in net), None):
            yield Misfit(field=field, reason=f"{net} contains the address of {hit.name} ({hit.address})", do=another)
        strangers = [one for one in seen if one.net != lan and not is_own(name, one) and one.net.overlaps(net)]
        for words in dict.fromkeys(one.words for one in strangers if lan is None or not one.net.overlaps(lan)):
            yield Misfit(field=field, reason=f"{net} overlaps {words}", do=another)
        if reason := _unfit(name, net, len(site.instances.nodes or site.servers)):
            yield Misfit(field=field, reason=reason, do=another)
    balancer = nets.get("load-balancer")
    if balancer is not None:
        field = FIELDS["load-balancer"]
        part = (f"choose a part of the LAN that nobody uses: homewright site set {field} …",)
        if lan is not None and not balancer.subnet_of(lan):
            yield Misfit(field=field, reason=f"{balancer} is no part of the LAN ({lan})", do=part)
        used = [(s.address, s.name) for s in site.servers] + [(gateway, "the gateway")] * bool(gateway)
        used += [(str(one.address), f"{one.nic} of {one.host}") for one in seen if one.address is not None]
        hits = {text: who for text, who in reversed(used) if inside(text, balancer)}
        for text, who in sorted(hits.items()):
            yield Misfit(field=field, reason=f"{balancer} contains {text}, the address of {who}", do=part)
        for name, net in inner.items():
            if answer(site, name) is not None and net.overlaps(balancer) and (lan is None or not net.overlaps(lan)):
                yield Misfit(field=field, reason=f"{balancer} overlaps the range of {name} ({net})", do=part)
    if site.network.gateway is not None and lan is not None and not inside(site.network.gateway, lan):
        reason = f"{site.network.gateway} is not in the LAN ({lan}), so no server reaches it"
        yield Misfit(field="network.gateway", reason=reason, do=("homewright site set network.gateway …",))


def _unfit(name: RangeName, net: IPv4Network, nodes: int) -> str:
    """Why a range of this kind cannot be used, wherever the others are; empty where it can."""
    if net.is_loopback or net.is_link_local or net.is_multicast or net.is_reserved or net.is_unspecified:
        return f"{net} has a meaning of its own on every machine and cannot be used"
    if net.is_global and name != "overlay":
        return f"{net} belongs to somebody on the internet, who could not be reached any more"
    if name == "services" and net.prefixlen < LARGEST_SERVICES:
        return f"{net} is too large: Kubernetes refuses more than 20 bits of service addresses (a /{LARGEST_SERVICES})"
    if name == "services" and net.prefixlen > 24:
        return f"{net} has {net.num_addresses - 2} addresses, too few for the platform itself (choose a /24 or larger)"
    if name == "pods" and (net.prefixlen > NODE_PREFIX or nodes > 1 << (NODE_PREFIX - net.prefixlen)):
        return f"{net} is too small for {nodes} nodes, each of which takes a /{NODE_PREFIX} of it"
    if name == "lxd" and net.num_addresses - 3 < nodes:
        return f"{net} is too small for {nodes} instances and their gateway"
    return ""
