"""Where the LXD instances go: by capacity, with what every server keeps for itself, and honest about quorum. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network
from typing import Literal

from homewright.discovery.facts import HostFacts
from homewright.planning import address_space
from homewright.planning.capacity import LEAST, USUAL, Share, capacity, sizes, storage
from homewright.planning.documents import Document, Misfit
from homewright.planning.networks import Networks, propose
from homewright.planning.virtualization import Kind, kind, lacks
from homewright.site.answers import GpuChoice, Instance
from homewright.site.models import Site

QUORUM = 3
"""Members of a control plane that goes on when one of them fails."""

Role = Literal["control-plane", "worker"]


class HostShare(Document):
    """How one server is divided."""

    host: str
    total: Share
    """All that it has; of its disk, what is free in the file system that would hold the instances."""
    reserve: Share
    """What it keeps for itself."""
    used: Share
    """What its instances take."""
    free: Share
    """What is left; below zero where too much was asked for."""
    storage: str
    """Where the file system is mounted that would hold the instances; empty where it is not known."""
    instances: tuple[str, ...]
    why_unknown: str = ""
    """Why something is not known of it."""


class InstancePlan(Document):
    """All instances of a site."""

    version: Literal[1] = 1
    kind: Kind
    why_kind: str
    hosts: tuple[HostShare, ...]
    nodes: tuple[Instance, ...]
    """With their addresses, also of those that nobody chose."""
    proposed: bool
    """Nobody named the instances: these are proposed."""
    nodes_why: str
    """Why these, in one sentence."""
    control_plane_why: str
    """How many members the control plane has, and why, in one sentence."""
    problems: tuple[Misfit, ...]

    def on(self, host: str) -> tuple[Instance, ...]:
        """The instances of one server."""
        return tuple(node for node in self.nodes if node.host == host)

    def getting(self, choice: GpuChoice) -> str | None:
        """The instance that gets a GPU: the named one, else the only one of its server. None where that is not said."""
        there = self.on(choice.host)
        if choice.use != "passthrough":
            return None
        return choice.instance or (there[0].name if len(there) == 1 else None)


def place(
    site: Site,
    facts: Mapping[str, HostFacts],
    *,
    networks: Networks | None = None,
    need: tuple[float, float, float] | None = None,
) -> InstancePlan:
    """The instances of a site: the chosen ones checked, or one proposed on each server that has room.

    `need` is what the platform asks for as a whole (CPU, GiB of memory, GiB of disk): proposed instances are made
    larger than usual where servers have room for it. Without `networks` they are computed.
    """
    ranges = networks or propose(site, facts)
    chosen_kind, why_kind = kind(site, facts)
    # Practice servers are containers that share one disk: what is free of it says nothing about each of them.
    lab = site.profile == "lab"
    totals = {server.name: capacity(server.name, facts, whole=lab) for server in site.servers}
    none = site.platform.nodes == "servers" or site.platform.cluster == "existing"
    problems: list[Misfit] = []
    if none:
        nodes: tuple[Instance, ...] = ()
        why = (
            "The servers themselves are the cluster's nodes, so there are no instances."
            if site.platform.nodes == "servers"
            else "The cluster exists already, so there are no instances."
        )
    elif site.instances.nodes is not None:
        nodes, why = site.instances.nodes, "You chose them."
        problems += _kind_misfits(site, facts, chosen_kind)
    else:
        nodes, why = _proposed(site, totals, need)
        problems += _kind_misfits(site, facts, chosen_kind)
        problems += _too_small(site, totals, nodes)
    shares = tuple(_host(site, name, total, nodes, facts) for name, total in totals.items())
    if not none:
        problems += _overfull(shares)
        problems += _bad_addresses(site, nodes, ranges)
        nodes = _addressed(site, nodes, ranges.network("lxd"))
    return InstancePlan(
        kind=chosen_kind,
        why_kind=why_kind,
        hosts=shares,
        nodes=nodes,
        proposed=site.instances.nodes is None,
        nodes_why=why,
        control_plane_why=control_plane_why(site, nodes),
        problems=tuple(problems),
    )


def control_planes(count: int) -> int:
    """How many of so many nodes are the control plane: below three no majority can survive a failure, so one."""
    return QUORUM if count >= QUORUM else min(count, 1)


def one_alone(site: Site) -> bool:
    """Whether one control plane is made however many could be: kubeadm's, where no address is there to be shared."""
    return site.platform.cluster == "kubeadm" and site.cluster.address is None


def control_plane_why(site: Site, nodes: Sequence[Instance]) -> str:
    """How many members the control plane has, and why."""
    if site.platform.cluster == "existing":
        return "The existing cluster has its own control plane."
    if nodes:
        planes = sum(node.role == "control-plane" for node in nodes)
        hosts = len({node.host for node in nodes if node.role == "control-plane"})
    else:
        planes = hosts = control_planes(len(site.servers))
    if planes == 0:
        return "There is no control plane: give one instance that role."
    servers = len(site.servers)
    if one_alone(site) and max(planes, servers) >= QUORUM:
        return (
            "One control plane: when its server is down, nothing in the cluster can be changed. Three stand in for "
            "each other where they share an address, chosen before the cluster is made: cluster.address."
        )
    if planes == 1 and servers == 1:
        return "One control plane, since there is one server: when it is down, everything is down."
    if planes == 1 and servers == 2:
        return (
            "One control plane: two servers cannot form a quorum, so a second member would make the cluster stop when "
            "either fails; a third server would change that."
        )
    if planes == 1:
        return "One control plane: when its server is down, nothing in the cluster can be changed."
    if planes == 2:
        return "Two control planes cannot form a quorum: when either fails, the cluster stops. Take one, or three."
    if hosts < QUORUM:
        return (
            f"{planes} control planes on {hosts} servers: when the server with most of them fails, so does the cluster."
        )
    return f"{planes} control planes on different servers: the cluster goes on when one of them fails."


def _proposed(
    site: Site, totals: Mapping[str, Share], need: tuple[float, float, float] | None
) -> tuple[tuple[Instance, ...], str]:
    """One instance on each server that has room for the least of them."""
    reserve = site.instances.reserve
    rooms: dict[str, tuple[float, float, float]] = {}
    for name, total in totals.items():
        kept = (reserve.cpu, reserve.memory, reserve.disk)
        parts = (total.cpu, total.memory, total.disk)
        # What is not known is taken for enough: the checks say that it is not known.
        room = tuple(math.inf if part is None else part - keep for part, keep in zip(parts, kept, strict=True))
        if all(left >= least for left, least in zip(room, LEAST, strict=True)):
            rooms[name] = (room[0], room[1], room[2])
    planes = 1 if one_alone(site) else control_planes(len(rooms))
    names = _names(site, list(rooms))
    nodes = []
    for index, (host, size) in enumerate(sizes(rooms, need).items()):
        role: Role = "control-plane" if index < planes else "worker"
        cpu, memory, disk = size
        nodes.append(Instance(name=names[host], host=host, role=role, cpu=cpu, memory=memory, disk=disk))
    given = [(node.cpu, node.memory, node.disk) for node in nodes]
    if all(size == USUAL for size in given):
        large = f"of {USUAL[0]} CPU, {USUAL[1]} GiB and {USUAL[2]} GiB disk."
    elif need and all(sum(part) >= asked for part, asked in zip(zip(*given, strict=True), need, strict=True)):
        large = "large enough that the platform fits."
    else:
        large = "as large as its room allows."
    why = f"One on each server that has room, {large}"
    return tuple(nodes), why if nodes else "No server has room for one."


def _names(site: Site, hosts: Sequence[str]) -> dict[str, str]:
    taken = {server.name for server in site.servers}
    names: dict[str, str] = {}
    for host in hosts:
        name = f"{host[:58]}-node"
        number = 2
        while name in taken:
            name, number = f"{host[:55]}-node{number}", number + 1
        taken.add(name)
        names[host] = name
    return names


def _host(site: Site, name: str, total: Share, nodes: Sequence[Instance], facts: Mapping[str, HostFacts]) -> HostShare:
    mine = [node for node in nodes if node.host == name]
    keep = site.instances.reserve
    used = (sum(node.cpu for node in mine), sum(node.memory for node in mine), sum(node.disk for node in mine))
    why = "Its hardware is not known yet: homewright discover" if name not in facts else ""
    if name in facts and None in (total.cpu, total.memory, total.disk):
        why = facts[name].why_unknown("cpu", "memory", "file systems")
    return HostShare(
        host=name,
        total=total,
        reserve=Share(cpu=keep.cpu, memory=keep.memory, disk=keep.disk),
        used=Share(cpu=used[0], memory=used[1], disk=used[2]),
        free=Share(
            cpu=None if total.cpu is None else total.cpu - keep.cpu - used[0],
            memory=None if total.memory is None else round(total.memory - keep.memory - used[1], 1),
            disk=None if total.disk is None else total.disk - keep.disk - used[2],
        ),
        storage=storage(facts[name])[0] if name in facts else "",
        instances=tuple(node.name for node in mine),
        why_unknown=why,
    )


def _kind_misfits(site: Site, facts: Mapping[str, HostFacts], chosen: Kind) -> Iterator[Misfit]:
    if chosen != "virtual-machine":
        return
    for server in site.servers:
        if server.name in facts and (lack := lacks(facts[server.name])):
            yield Misfit(
                field="instances.kind",
                reason=f"virtual machines do not run on {server.name}: it has {lack}",
                do=(
                    "turn virtualization (VT-x, AMD-V, SVM) on in the firmware of the server, and look at it again",
                    "or take containers: homewright site set instances.kind container",
                ),
            )


def _too_small(site: Site, totals: Mapping[str, Share], nodes: Sequence[Instance]) -> Iterator[Misfit]:
    reserve = site.instances.reserve
    placed = {node.host for node in nodes}
    for host, total in totals.items():
        if host in placed:
            continue
        parts = (
            ("cpu", total.cpu, reserve.cpu, LEAST[0]),
            ("memory", total.memory, reserve.memory, LEAST[1]),
            ("disk", total.disk, reserve.disk, LEAST[2]),
        )
        short, do = [], []
        for part, have, keep, least in parts:
            if have is None or have - keep >= least:
                continue
            short.append(f"{have:g} {_unit(part)}, of which it keeps {keep}, and an instance takes {least}")
            if have > least:
                spare = math.floor(have - least)
                do.append(f"let the servers keep less: homewright site set instances.reserve.{part} {spare}")
        yield Misfit(
            field="instances.reserve",
            reason=f"{host} has no room for an instance: {'; '.join(short)}",
            do=(*do, "or make the servers themselves the nodes: homewright site set platform.nodes servers"),
        )


def _unit(part: str) -> str:
    return {"cpu": "CPUs", "memory": "GiB of memory", "disk": "GiB of free disk"}[part]


def _overfull(shares: Sequence[HostShare]) -> Iterator[Misfit]:
    for share in shares:
        for part in ("cpu", "memory", "disk"):
            left = getattr(share.free, part)
            if left is None or left >= 0 or not share.instances:
                continue
            total, keep = getattr(share.total, part), getattr(share.reserve, part)
            asked = getattr(share.used, part)
            have = max(0, total - keep)
            yield Misfit(
                field=f"instances.nodes.{share.instances[-1]}",
                reason=(
                    f"the instances on {share.host} ask for {asked:g} {_unit(part)}, and it has {have:g} to give "
                    f"({total:g}, of which it keeps {keep:g})"
                ),
                do=(f"make {' or '.join(share.instances)} smaller, or place one on another server",),
            )


def _bad_addresses(site: Site, nodes: Sequence[Instance], ranges: Networks) -> Iterator[Misfit]:
    lxd = ranges.network("lxd")
    servers = {server.address: server.name for server in site.servers}
    for node in nodes:
        if node.address is None:
            continue
        field = f"instances.nodes.{node.name}.address"
        do = (f"choose a free one, or leave it out: homewright site unset {field}",)
        if node.address in servers:
            yield Misfit(field=field, reason=f"{node.address} is the address of {servers[node.address]}", do=do)
        elif lxd is not None and IPv4Address(node.address) not in lxd:
            yield Misfit(field=field, reason=f"{node.address} is not in LXD's range {lxd}", do=do)
        elif lxd is not None and IPv4Address(node.address) in _reserved(lxd):
            yield Misfit(field=field, reason=f"{node.address} is the first or last of {lxd} or its bridge's own", do=do)


def _reserved(lxd: IPv4Network) -> frozenset[IPv4Address]:
    """The range's own address, its bridge's (the first one), and its broadcast address."""
    return frozenset({lxd.network_address, lxd.network_address + 1, lxd.broadcast_address})


def _addressed(site: Site, nodes: Sequence[Instance], lxd: IPv4Network | None) -> tuple[Instance, ...]:
    """Every instance with an address, as far as the range goes."""
    if lxd is None:
        return tuple(nodes)
    taken = {*_reserved(lxd), *(IPv4Address(server.address) for server in site.servers)}
    taken |= {IPv4Address(node.address) for node in nodes if node.address is not None}
    if site.cluster.address is not None:
        taken.add(site.cluster.address)  # the control planes share it
    given = []
    for node in nodes:
        if node.address is None:
            address = address_space.next_address(lxd, taken)
            if address is not None:
                taken.add(address)
                node = node.model_copy(update={"address": str(address)})
        given.append(node)
    return tuple(given)
