"""What checks stand on: the site, the facts, what was measured; and the view of it that each scope has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from statistics import median

from homewright.checks.measurements import Measurements
from homewright.checks.models import Phase
from homewright.checks.profiles import Setting
from homewright.discovery.facts import HostFacts, Nic
from homewright.planning.groups import members
from homewright.site.answers import GpuChoice
from homewright.site.models import Server, Site


@dataclass(frozen=True)
class Ground:
    """All that is known. Nothing here is asked for anew: checks are pure."""

    site: Site
    facts: Mapping[str, HostFacts] = field(default_factory=dict)
    """By server."""
    measurements: Measurements = field(default_factory=Measurements)
    unreachable: Mapping[str, str] = field(default_factory=dict)
    """Servers that could not be reached, and why."""
    done: frozenset[str] = frozenset()
    """Steps that a run has finished, by id (`00/10`): what they made is ours, and their phase is reached."""

    @cached_property
    def hosts(self) -> tuple[str, ...]:
        return tuple(server.name for server in self.site.servers)

    @cached_property
    def servers(self) -> dict[str, Server]:
        return {server.name: server for server in self.site.servers}

    @cached_property
    def known(self) -> dict[str, HostFacts]:
        """Facts of the site's servers, in its order; of one that cannot be reached now, none."""
        return {name: self.facts[name] for name in self.hosts if name in self.facts and name not in self.unreachable}

    @cached_property
    def control_plane(self) -> frozenset[str]:
        return frozenset(members("kubernetes_control_plane", self.site, self.known))

    @cached_property
    def clock(self) -> float | None:
        """The median of the servers' clocks and of ours, in seconds to ours: what the site takes for the time.

        Of one server alone it is ours: half-way between the two is nobody's time.
        """
        offsets = [found.clock.offset_s for found in self.known.values() if found.clock.offset_s is not None]
        if len(offsets) < 2:
            return 0.0 if offsets else None
        return median([*offsets, 0.0])

    @cached_property
    def mtu(self) -> int | None:
        """The MTU that most servers have on their network; of two that are equally frequent, the larger."""
        found = [nic.mtu for name in self.known if (nic := self.nic(name)) is not None and nic.mtu]
        return max(found, key=lambda mtu: (found.count(mtu), mtu), default=None)

    def why_unknown(self, host: str) -> str:
        """Why there are no facts of this server."""
        if host in self.unreachable:
            return f"{host} cannot be reached: {self.unreachable[host]}".rstrip(".") + "."
        return f"{host} has not been looked at yet."

    def reached(self, phase: Phase) -> bool:
        return phase != "after-names" or "00/10" in self.done

    def nic(self, host: str) -> Nic | None:
        """The interface that carries the server's address; else the one that the site names, or the way outside."""
        facts, server = self.known.get(host), self.servers[host]
        if facts is None:
            return None
        carrier = [nic for nic in facts.nics if any(has.split("/")[0] == server.address for has in nic.addresses)]
        named = [nic for nic in facts.nics if nic.name == server.nic]
        outside = [nic for nic in facts.nics if nic.default_route]
        return next(iter((*carrier, *named, *outside)), None)

    def gpu_choices(self, host: str) -> tuple[GpuChoice, ...]:
        return tuple(choice for choice in self.site.gpus if choice.host == host)


@dataclass(frozen=True)
class HostView:
    """One server, seen by a check of scope host."""

    ground: Ground
    host: str
    facts: HostFacts
    limits: Setting

    @property
    def server(self) -> Server:
        return self.ground.servers[self.host]

    @property
    def site(self) -> Site:
        return self.ground.site

    @property
    def probed(self) -> bool:
        """Whether our own probe told these facts, to its end: else what was not asked seems to be absent."""
        return bool(self.facts.system.boot_id) and all(gap.source != "probe" for gap in self.facts.missing)

    def passed_through(self) -> frozenset[str]:
        """Addresses of this server's GPUs that are to be passed through."""
        return frozenset(choice.address for choice in self.ground.gpu_choices(self.host) if choice.use == "passthrough")


@dataclass(frozen=True)
class PairView:
    """The way from one server to another."""

    ground: Ground
    source: str
    target: str
    limits: Setting


@dataclass(frozen=True)
class SiteView:
    """All of it."""

    ground: Ground
    limits: Setting

    @property
    def site(self) -> Site:
        return self.ground.site
