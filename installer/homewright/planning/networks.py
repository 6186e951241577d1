"""Address ranges: the LAN as it is, and all others beside it, never overlapping. Pure.

What somebody chose is kept, and named where it does not fit; what nobody chose is proposed, each with its reason.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from ipaddress import IPv4Address, IPv4Network
from typing import Literal

from homewright.discovery.facts import HostFacts
from homewright.planning import address_space
from homewright.planning.answers import has_instances
from homewright.planning.documents import Document, Misfit
from homewright.planning.network_problems import bad_bridges, misfits
from homewright.planning.ranges import FIELDS, RangeName, Seen, addresses_seen, answer, inside, is_own
from homewright.site.models import Site

PODS = IPv4Network("10.1.0.0/16")
"""MicroK8s' own (its Calico is set up with it)."""
SERVICES = IPv4Network("10.152.0.0/16")
"""A /16 around MicroK8s' own 10.152.183.0/24, which has 250 addresses to give and every workspace takes one."""
LXD = IPv4Network("10.100.0.0/24")
OVERLAY = IPv4Network("10.147.17.0/24")
"""The first of the ranges that ZeroTier's own site offers for a new network."""
BALANCER_PREFIX = 28


class Range(Document):
    """One range of addresses."""

    name: RangeName
    cidr: str
    """Empty where none could be found or made out."""
    chosen: bool
    """Somebody chose it; otherwise it is proposed, or what the servers say."""
    why: str
    """Why this one, in one sentence."""


class Bridge(Document):
    """The interface of a server that the bridge br0 takes over."""

    host: str
    nic: str
    """Empty where it is not known."""
    chosen: bool
    why: str


class Networks(Document):
    """All ranges of a site."""

    version: Literal[1] = 1
    ranges: tuple[Range, ...]
    gateway: str
    """The LAN's way out; empty where it is not known."""
    resolvers: tuple[str, ...]
    """The DNS servers that the platform's own forwards to."""
    bridges: tuple[Bridge, ...]
    service_addresses: int
    """How many addresses the services' range has to give."""
    problems: tuple[Misfit, ...]

    def of(self, name: RangeName) -> Range | None:
        """The range of this name; None where the site has none (an overlay that is not wanted)."""
        return next((found for found in self.ranges if found.name == name), None)

    def network(self, name: RangeName) -> IPv4Network | None:
        """The range of this name as a network; None where there is none."""
        found = self.of(name)
        return address_space.network(found.cidr) if found is not None and found.cidr else None


def propose(site: Site, facts: Mapping[str, HostFacts]) -> Networks:
    """All ranges of the site: the chosen ones as they are, the others where there is room."""
    seen = addresses_seen(site, facts)
    lan, lan_range, problems = _lan(site, seen)
    wanted = _wanted(site)
    chosen = {name: IPv4Network(text) for name in wanted if (text := answer(site, name)) is not None}
    balancer = IPv4Network(site.network.load_balancer) if site.network.load_balancer else None
    taken = _taken(site, seen, lan, chosen, balancer)
    found: dict[RangeName, Range] = {"lan": lan_range}
    nets: dict[RangeName, IPv4Network] = dict(chosen)
    for name in wanted:
        if name in chosen:
            found[name] = Range(name=name, cidr=str(chosen[name]), chosen=True, why=_why_chosen(name, chosen[name]))
            continue
        net, why = _proposal(name, site, seen, _without_own(name, seen, taken))
        found[name] = Range(name=name, cidr=str(net) if net else "", chosen=False, why=why)
        if net is None:
            problems.append(_no_room(name))
        else:
            nets[name] = net
            taken.append((net, f"the range of {name}"))
    gateway = _gateway(site, facts, lan)
    if site.platform.cluster != "existing":
        found["load-balancer"], more = _balancer(site, facts, seen, lan, gateway, balancer, nets.values())
        problems += more
    if balancer is not None:
        nets["load-balancer"] = balancer
    bridges = tuple(_bridge(site, server.name, facts) for server in site.servers)
    problems += misfits(site, seen, lan, nets, gateway)
    if has_instances(site):  # without them no server gets a bridge
        problems += bad_bridges(site, facts, [(bridge.host, bridge.nic) for bridge in bridges])
    order: tuple[RangeName, ...] = ("lan", "lxd", "overlay", "pods", "services", "load-balancer")
    services = nets.get("services")
    return Networks(
        ranges=tuple(found[name] for name in order if name in found),
        gateway=gateway,
        resolvers=_resolvers(site, facts),
        bridges=bridges,
        service_addresses=max(0, services.num_addresses - 2) if services is not None else 0,
        problems=tuple(dict.fromkeys(problems)),
    )


def _wanted(site: Site) -> list[RangeName]:
    """The ranges that the site needs beside the LAN, those of the cluster first: they are the largest."""
    ours = site.platform.cluster != "existing"
    instances = ours and site.platform.nodes == "instances"
    needed: list[tuple[RangeName, bool]] = [
        ("pods", ours),
        ("services", ours),
        ("lxd", instances or site.network.lxd is not None),
        ("overlay", site.network.overlay.kind != "none"),
    ]
    return [name for name, yes in needed if yes]


def _lan(site: Site, seen: tuple[Seen, ...]) -> tuple[IPv4Network | None, Range, list[Misfit]]:
    """The network that the servers' addresses are in."""
    mine = {server.address: server.name for server in site.servers}
    own = {one.host: one for one in seen if mine.get(str(one.address)) == one.host}
    if site.network.lan is not None:
        lan: IPv4Network | None = IPv4Network(site.network.lan)
        why = "You chose it."
    else:
        # One that holds many servers is more likely the LAN than one that holds a single one.
        counts: dict[IPv4Network, int] = {}
        for one in own.values():
            counts[one.net] = counts.get(one.net, 0) + 1
        lan = max(counts, key=lambda net: (counts[net], -net.prefixlen)) if counts else None
        holders = [one for one in own.values() if one.net == lan]
        why = (
            f"The servers are in it: {holders[0].nic} of {holders[0].host} has {holders[0].address}."
            if holders
            else "It is not known yet, since no server has told its prefix: homewright discover"
        )
    problems = []
    outside = [s for s in site.servers if lan is not None and IPv4Address(s.address) not in lan]
    if outside:
        names = " and ".join(f"{server.name} ({server.address})" for server in outside)
        do = ["correct the range: homewright site set network.lan …", "or the servers' addresses"]
        problems.append(Misfit(field="network.lan", reason=f"{names} lies outside of the LAN {lan}", do=tuple(do)))
    cidr = str(lan) if lan is not None else ""
    return lan, Range(name="lan", cidr=cidr, chosen=site.network.lan is not None, why=why), problems


Taken = tuple[IPv4Network, str]


def _taken(
    site: Site,
    seen: tuple[Seen, ...],
    lan: IPv4Network | None,
    chosen: Mapping[RangeName, IPv4Network],
    balancer: IPv4Network | None,
) -> list[Taken]:
    """Everything that a proposal must leave alone, with the words for it."""
    taken: list[Taken] = [(lan, "the LAN")] if lan is not None else []
    taken += [(IPv4Network(server.address), f"the address of {server.name}") for server in site.servers]
    taken += [(net, f"the range of {name}") for name, net in chosen.items()]
    if balancer is not None:
        taken.append((balancer, "the range of load-balancer"))
    for text in (site.network.gateway, *site.network.resolvers):
        if text is not None:
            taken.append((IPv4Network(text), text))
    for node in site.instances.nodes or ():
        if node.address is not None and "lxd" in chosen and IPv4Address(node.address) not in chosen["lxd"]:
            taken.append((IPv4Network(node.address), f"the address of {node.name}"))
    return taken + [(one.net, one.words) for one in seen]


def _without_own(name: RangeName, seen: tuple[Seen, ...], taken: list[Taken]) -> list[IPv4Network]:
    own = {one.words for one in seen if is_own(name, one)}
    return [net for net, words in taken if words not in own]


def _proposal(
    name: RangeName, site: Site, seen: tuple[Seen, ...], taken: list[IPv4Network]
) -> tuple[IPv4Network | None, str]:
    """A free range and the reason for it."""
    if name == "pods":
        # Smaller ones only where private addresses are scarce: a node takes a /24 of it.
        return _sized(16, 20, taken, PODS, "the pods' usual range (MicroK8s' own)", "the first free range for pods")
    if name == "services":
        usual = "65,534 addresses around MicroK8s' own 10.152.183.0/24: every workspace takes one"
        return _sized(16, 20, taken, SERVICES, usual, "the first free range of this size: every workspace takes one")
    there = {one.net for one in seen if is_own(name, one) and (one.instances or one.address is not None)}
    if len(there) == 1 and address_space.overlapping(next(iter(there)), taken) is None:
        nic = next(one.words for one in seen if is_own(name, one))
        return next(iter(there)), f"It is there already: {nic}."
    if name == "overlay":
        return _sized(24, 26, taken, OVERLAY, "a range that ZeroTier offers, and free here", "the first free range")
    instances = len(site.instances.nodes or site.servers)
    prefix = min(24, 32 - (instances + 3).bit_length() - 1)
    return _sized(
        prefix, 28, taken, LXD if prefix == 24 else None, "free, with room for instances", "the first free range"
    )


def _sized(
    prefix: int, longest: int, taken: list[IPv4Network], usual: IPv4Network | None, why_usual: str, why_other: str
) -> tuple[IPv4Network | None, str]:
    for length in range(prefix, longest + 1):
        preferred = [usual] if usual is not None and length == usual.prefixlen else []
        net = address_space.free(length, taken, preferred)
        if net is not None:
            why = why_usual if net == usual else why_other
            if usual is not None and net != usual and length == prefix:
                hit = address_space.overlapping(usual, taken)
                why += f", since {usual} meets {hit}"
            return net, f"{why[0].upper()}{why[1:]}."
    return None, "There is no room left in the private addresses."


def _no_room(name: RangeName) -> Misfit:
    return Misfit(
        field=FIELDS[name],
        reason=f"no private addresses are left for the range of {name}",
        do=("make the other ranges smaller", f"or name one yourself: homewright site set {FIELDS[name]} …"),
    )


def _why_chosen(name: RangeName, net: IPv4Network) -> str:
    if name == "services":
        return f"You chose it: {max(0, net.num_addresses - 2):,} addresses, and every workspace takes one."
    return "You chose it."


def _gateway(site: Site, facts: Mapping[str, HostFacts], lan: IPv4Network | None) -> str:
    if site.network.gateway is not None:
        return site.network.gateway
    for server in site.servers:
        for nic in facts[server.name].nics if server.name in facts else ():
            if nic.default_route and nic.gateway and (lan is None or inside(nic.gateway, lan)):
                return nic.gateway
    return ""


def _resolvers(site: Site, facts: Mapping[str, HostFacts]) -> tuple[str, ...]:
    if site.network.resolvers:
        return site.network.resolvers
    used = [text for s in site.servers if s.name in facts for text in facts[s.name].names.resolvers]
    # Once stage 30 is done the servers ask the platform's own, which is what forwards to these.
    own = {server.address for server in site.servers}
    usable = (text for text in used if text not in own and ":" not in text and not text.startswith("127."))
    return tuple(dict.fromkeys(usable))


def _bridge(site: Site, name: str, facts: Mapping[str, HostFacts]) -> Bridge:
    server = site.server(name)
    if server.nic is not None:
        return Bridge(host=name, nic=server.nic, chosen=True, why="You chose it.")
    for nic in facts[name].nics if name in facts else ():
        if any(text.partition("/")[0] == server.address for text in nic.addresses):
            # A bridge that is there already stays, and what it was made of is what br0 would take over.
            return Bridge(host=name, nic=nic.name, chosen=False, why=f"It has the address {server.address}.")
    return Bridge(host=name, nic="", chosen=False, why=f"No interface with {server.address} was seen on {name} yet.")


def _balancer(
    site: Site,
    facts: Mapping[str, HostFacts],
    seen: tuple[Seen, ...],
    lan: IPv4Network | None,
    gateway: str,
    chosen: IPv4Network | None,
    others: Collection[IPv4Network],
) -> tuple[Range, list[Misfit]]:
    """A part of the LAN without anybody's address, from its upper end, which routers hand out last."""
    if chosen is not None:
        count = chosen.num_addresses
        return Range(name="load-balancer", cidr=str(chosen), chosen=True, why=f"You chose it: {count} addresses."), []
    if lan is None:
        return Range(
            name="load-balancer", cidr="", chosen=False, why="It is part of the LAN, which is not known yet."
        ), []
    prefix = max(BALANCER_PREFIX, min(30, lan.prefixlen + 3))
    used = [IPv4Network(text) for text in _in_use(site, facts, seen, lan, gateway)]
    ends = [IPv4Network(lan.network_address), IPv4Network(lan.broadcast_address)]
    for length in range(prefix, 31) if lan.prefixlen <= 28 else ():
        net = address_space.highest(length, lan, [*used, *ends, *others])
        if net is not None:
            why = (
                f"{net.num_addresses} addresses of the LAN that no server has: keep them out of what your router gives "
                "to others (its DHCP range)."
            )
            return Range(name="load-balancer", cidr=str(net), chosen=False, why=why), []
    say = f"the LAN {lan} has no free block of addresses to give to load balancers"
    do = ("name addresses that nobody uses: homewright site set network.load_balancer …", "or use a larger LAN")
    empty = Range(name="load-balancer", cidr="", chosen=False, why=f"{say[0].upper()}{say[1:]}.")
    return empty, [Misfit(field="network.load_balancer", reason=say, do=do)]


def _in_use(
    site: Site, facts: Mapping[str, HostFacts], seen: tuple[Seen, ...], lan: IPv4Network, gateway: str
) -> list[str]:
    """Addresses of the LAN that somebody has."""
    known = [server.address for server in site.servers] + [str(one.address) for one in seen if one.address is not None]
    known += [node.address for node in site.instances.nodes or () if node.address]
    known += [gateway, *_resolvers(site, facts)]
    known += [nic.gateway for found in facts.values() for nic in found.nics]
    return sorted({text for text in known if text and inside(text, lan)})
