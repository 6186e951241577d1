"""Which cluster, what its services cost, whether the servers carry it, what is left out without an account. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Literal

from homewright.discovery.facts import HostFacts
from homewright.planning.capacity import Share, capacity
from homewright.planning.components import CLUSTER_PER_NODE, CORE, OPTIONAL, Component
from homewright.planning.documents import Document, Misfit
from homewright.planning.instances import InstancePlan
from homewright.planning.wording import by_what_they_share
from homewright.site.accounts import ZEROTIER
from homewright.site.models import Site

Cluster = Literal["microk8s", "kubeadm", "existing"]

HEADROOM = 1.25
"""What proposed instances have beyond what the platform asks for: images, and the first workspaces."""


class Cost(Document):
    """What one part of the platform asks for."""

    id: str
    title: str
    kind: Literal["core", "optional"]
    wanted: bool
    """Core parts always are."""
    cpu: float
    memory: float
    """GiB."""
    disk: float
    """GiB."""
    source: str
    """Where the figures come from."""
    note: str


class Skip(Document):
    """What is left out, and why."""

    what: str
    why: str
    do: str
    """What would bring it; a command."""


class PlatformPlan(Document):
    """The cluster and what runs on it."""

    version: Literal[1] = 1
    cluster: Cluster
    chosen: bool
    why: str
    """Why this kind of cluster, in one sentence."""
    costs: tuple[Cost, ...]
    asked: Share
    """What everything that is wanted asks for together, Kubernetes on its nodes included."""
    has: Share
    """What the nodes have; None where it is not known."""
    fits: bool | None
    why_fits: str
    skipped: tuple[Skip, ...]
    problems: tuple[Misfit, ...]


def cluster(site: Site, facts: Mapping[str, HostFacts]) -> tuple[Cluster, str]:
    """The kind of cluster, and why in one sentence.

    Whether a public name resolves has no say in it: names fail for a moment, and a plan must not change with them.
    """
    if site.platform.cluster is not None:
        return site.platform.cluster, "You chose it."
    known = [facts[server.name] for server in site.servers if server.name in facts]
    without = [found for found in known if found.system.os_id and found.system.os_id != "ubuntu"]
    if without:
        said = {found.host: found.system.os_name or found.system.os_id for found in without}
        told = by_what_they_share(said, "runs", "run")
        return "kubeadm", f"MicroK8s is a snap, and not every server is an Ubuntu with snaps: {told}."
    if len(known) < len(site.servers):
        return "microk8s", "It is the usual choice on Ubuntu; not every server has told its system yet."
    return "microk8s", "Every server runs Ubuntu, where MicroK8s comes as a snap that keeps itself up to date."


def wanted(site: Site) -> tuple[Component, ...]:
    """Every part that would be installed."""
    return (*CORE, *(component for component in OPTIONAL if component.id in site.platform.optional))


def need(site: Site) -> tuple[float, float, float]:
    """CPU, GiB of memory and GiB of disk for the parts, one Kubernetes on each server's node, and some to spare."""
    cpu, memory, disk = _sum(wanted(site), len(site.servers))
    return cpu * HEADROOM, memory * HEADROOM, disk * HEADROOM


def propose(
    site: Site, facts: Mapping[str, HostFacts], placed: InstancePlan, secrets: Collection[str] = ()
) -> PlatformPlan:
    """The platform on these nodes. `secrets` are the names of those that are there."""
    kind, why = cluster(site, facts)
    parts = wanted(site)
    has, nodes = _has(site, facts, placed)
    cpu, memory, disk = _sum(parts, nodes)
    asked = Share(cpu=-int(-cpu // 1), memory=round(memory, 1), disk=round(disk, 1))
    fits, why_fits = _fits(site, asked, has, kind)
    return PlatformPlan(
        cluster=kind,
        chosen=site.platform.cluster is not None,
        why=why,
        costs=tuple(_costs(parts)),
        asked=asked,
        has=has,
        fits=fits,
        why_fits=why_fits,
        skipped=tuple(_skipped(site, secrets)),
        problems=tuple(_problems(site, facts, kind)),
    )


def _sum(parts: Sequence[Component], nodes: int) -> tuple[float, float, float]:
    everything = [*parts, *[CLUSTER_PER_NODE] * nodes]
    return (
        round(sum(part.cpu for part in everything), 2),
        round(sum(part.memory for part in everything), 2),
        round(sum(part.disk for part in everything), 2),
    )


def _costs(parts: Collection[Component]) -> Iterator[Cost]:
    kinds: tuple[tuple[Literal["core", "optional"], tuple[Component, ...]], ...] = (
        ("core", CORE),
        ("optional", OPTIONAL),
    )
    for kind, components in kinds:
        for one in components:
            yield Cost(
                id=one.id, title=one.title, kind=kind, wanted=one in parts, cpu=one.cpu, memory=one.memory,
                disk=one.disk, source=one.source, note=one.note,
            )  # fmt: skip


def _has(site: Site, facts: Mapping[str, HostFacts], placed: InstancePlan) -> tuple[Share, int]:
    """What the cluster's nodes have, and how many there are."""
    if site.platform.cluster == "existing":
        return Share(), 0
    if site.platform.nodes == "instances":
        nodes = placed.nodes
        cpu, memory, disk = sum(n.cpu for n in nodes), sum(n.memory for n in nodes), sum(n.disk for n in nodes)
        return Share(cpu=cpu, memory=memory, disk=disk), len(nodes)
    totals = [capacity(server.name, facts) for server in site.servers]
    if any(None in (total.cpu, total.memory, total.disk) for total in totals):
        return Share(), len(totals)
    keep = site.instances.reserve
    return (
        Share(
            cpu=sum((total.cpu or 0) for total in totals),
            memory=round(sum((total.memory or 0) for total in totals), 1),
            disk=sum(max(0, (total.disk or 0) - keep.disk) for total in totals),
        ),
        len(totals),
    )


def _fits(site: Site, asked: Share, has: Share, kind: Cluster) -> tuple[bool | None, str]:
    if kind == "existing":
        return None, "What an existing cluster has left is asked of it when services are installed."
    if has.cpu is None or has.memory is None or has.disk is None:
        return None, "What the servers have is not known yet: homewright discover"
    pairs = (
        (asked.cpu or 0, has.cpu, "CPUs"),
        (asked.memory or 0, has.memory, "GiB of memory"),
        (asked.disk or 0, has.disk, "GiB of disk"),
    )
    short = [f"{want:g} {unit} of {there:g}" for want, there, unit in pairs if want > there]
    told = ", ".join(f"{want:g} of {there:g} {unit}" for want, there, unit in pairs)
    if site.platform.cluster is None:
        would = f"would ask for {' and '.join(short)}." if short else f"would ask for {told}."
        return not short, f"No cluster is chosen, so nothing is asked for yet. The whole platform {would}"
    if short:
        fewer = "take fewer services, larger instances" if site.platform.optional else "take larger instances"
        return False, f"The platform asks for {' and '.join(short)}: {fewer} or another server."
    return True, f"It asks for {told}; the rest is for workspaces."


def _skipped(site: Site, secrets: Collection[str]) -> Iterator[Skip]:
    """What needs somebody's account, and is left out without one; nothing else depends on it."""
    wants = (
        ("accounts/github-token", "GitHub's command line on the servers", "there is no GitHub token"),
        ("accounts/hugging-face-token", "models that Hugging Face gives to accounts only", "there is no token of it"),
    )
    for secret, what, why in wants:
        if secret not in secrets:
            yield Skip(what=what, why=why, do=f"homewright site secret set {secret}")
    if site.network.overlay.kind == "none":
        do = "homewright site set network.overlay.kind zerotier"
        yield Skip(what="the overlay", why="the LAN alone was chosen, which is complete by itself", do=do)
    elif ZEROTIER not in secrets:
        do = f"homewright site secret set {ZEROTIER}"
        yield Skip(what="the overlay", why="there is no ZeroTier token", do=do)


def _problems(site: Site, facts: Mapping[str, HostFacts], kind: Cluster) -> Iterator[Misfit]:
    if kind == "microk8s":
        for server in site.servers:
            system = facts[server.name].system if server.name in facts else None
            if system is not None and system.os_id and system.os_id != "ubuntu" and site.platform.nodes == "servers":
                yield Misfit(
                    field="platform.cluster",
                    reason=f"MicroK8s is a snap, and {server.name} runs {system.os_name or system.os_id}",
                    do=("take kubeadm: homewright site set platform.cluster kubeadm",),
                )
    overlay = site.network.overlay
    if overlay.kind == "zerotier" and overlay.network_id is None:
        yield Misfit(
            field="network.overlay.network_id",
            reason="the overlay has no ZeroTier network yet",
            do=("homewright site set network.overlay.network_id …", "or homewright site set network.overlay.kind none"),
        )
    if site.platform.tls.issuer == "letsencrypt" and site.zone is None:
        yield Misfit(
            field="platform.tls.issuer",
            reason="Let's Encrypt vouches for names, and the site has no zone",
            do=("homewright site set zone …", "or homewright site set platform.tls.issuer private-ca"),
        )
