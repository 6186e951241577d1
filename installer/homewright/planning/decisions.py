"""All that planning decides about a site, each decision with its reason; each answer that does not fit. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from homewright.discovery.facts import HostFacts
from homewright.planning import gpus, instances, networks, platform
from homewright.planning.documents import Decision, Misfit
from homewright.planning.gpus import WORDS, GpuDocument
from homewright.planning.instances import InstancePlan
from homewright.planning.networks import Networks
from homewright.planning.platform import PlatformPlan
from homewright.site.models import Site

RANGES = {
    "lan": "LAN",
    "lxd": "range of LXD",
    "overlay": "range of the overlay",
    "pods": "range of pods",
    "services": "range of services",
    "load-balancer": "range of load balancers",
}


@dataclass(frozen=True)
class Decided:
    """What was decided about a site."""

    networks: Networks
    instances: InstancePlan
    gpus: GpuDocument
    platform: PlatformPlan

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """Each with one sentence why."""
        return (
            *_of_networks(self.networks),
            *_of_instances(self.instances),
            *_of_gpus(self.gpus),
            *_of_platform(self.platform),
        )

    @property
    def problems(self) -> tuple[Misfit, ...]:
        """Answers that cannot be carried out."""
        parts = (self.networks, self.instances, self.gpus, self.platform)
        return tuple(problem for part in parts for problem in part.problems)


def decide(site: Site, facts: Mapping[str, HostFacts], secrets: Collection[str] = ()) -> Decided:
    """Everything that planning decides; each part sees what those before it decided."""
    ranges = networks.propose(site, facts)
    placed = instances.place(site, facts, networks=ranges, need=platform.need(site))
    return Decided(
        ranges, placed, gpus.document(site, facts, placed=placed), platform.propose(site, facts, placed, secrets)
    )


def _of_networks(ranges: Networks) -> Iterator[Decision]:
    for one in ranges.ranges:
        yield Decision(topic=RANGES[one.name], chosen=one.cidr or "none", why=one.why)
    for bridge in ranges.bridges:
        yield Decision(topic=f"bridge of {bridge.host}", chosen=bridge.nic or "unknown", why=bridge.why)


def _of_instances(placed: InstancePlan) -> Iterator[Decision]:
    if placed.nodes:
        kind = "virtual machines" if placed.kind == "virtual-machine" else "containers"
        yield Decision(topic="kind of instances", chosen=kind, why=placed.why_kind)
    for node in placed.nodes:
        size = f"{node.cpu} CPU, {node.memory} GiB, {node.disk} GiB disk"
        where = f"{node.role} on {node.host}, {size}" + (f", {node.address}" if node.address else "")
        yield Decision(topic=f"instance {node.name}", chosen=where, why=placed.nodes_why)
    planes = [node.name for node in placed.nodes if node.role == "control-plane"]
    chosen = ", ".join(planes) if planes else "none" if placed.nodes else "on the servers"
    yield Decision(topic="control plane", chosen=chosen, why=placed.control_plane_why)


def _of_gpus(found: GpuDocument) -> Iterator[Decision]:
    for option in found.gpus:
        topic = f"GPU {option.address} of {option.host}"
        if option.chosen is None:
            suits = f"Nothing was chosen for it; it could be {WORDS[option.proposed]}."
            yield Decision(topic=topic, chosen="stays as it is", why=suits)
        else:
            to = f" {option.instance}" if option.instance else ""
            yield Decision(topic=topic, chosen=f"{option.chosen}{to}", why=option.why)


def _of_platform(planned: PlatformPlan) -> Iterator[Decision]:
    fits = {True: "it fits", False: "it does not fit", None: "unknown"}[planned.fits]
    kind = planned.cluster if planned.chosen else f"none yet ({planned.cluster} is proposed)"
    if not planned.chosen:
        fits = "not asked for yet"
    yield Decision(topic="cluster", chosen=kind, why=planned.why)
    yield Decision(topic="room for the platform", chosen=fits, why=planned.why_fits)
