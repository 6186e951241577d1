"""Recorded machines as the ground of checks, with single facts changed where no recorded machine shows the case."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from homewright.checks import profiles
from homewright.checks.judging import Ground, judge
from homewright.checks.measurements import Measurements, Pair
from homewright.checks.models import Finding, Key
from homewright.discovery import machines
from homewright.discovery.facts import HostFacts, Missing, Nic
from homewright.site import files
from homewright.site.models import Site

MEASURED = {"rtt_ms": 0.3, "loss_percent": 0.0, "mtu": 1500}


@dataclass(frozen=True)
class Scene:
    """A recorded site and what is known about it. Each `with…` gives another scene with one thing changed."""

    site: Site
    facts: Mapping[str, HostFacts]
    measurements: Measurements = field(default_factory=Measurements)
    unreachable: Mapping[str, str] = field(default_factory=dict)
    done: frozenset[str] = frozenset()
    profile: str = "home"

    def judge(self, only: set[Key] | None = None) -> tuple[Finding, ...]:
        ground = Ground(self.site, self.facts, self.measurements, self.unreachable, self.done)
        return judge(ground, profiles.load(self.profile), only)

    def find(self, check: str, *about: str) -> Finding | None:
        return next(iter(self.judge({(check, about)})), None)

    def answering(self, **answers: Any) -> Scene:
        """Answers of the site, as site.yaml would have them."""
        data = self.site.model_dump(mode="json") | answers
        return replace(self, site=files.check(data, None, "a test's site"))

    def having(self, host: str, section: str, **values: Any) -> Scene:
        """Other values in one section of a server's facts."""
        old = self.facts[host]
        changed = getattr(old, section).model_copy(update=values)
        return self.knowing(host, **{section: changed})

    def knowing(self, host: str, **sections: Any) -> Scene:
        """Whole sections of a server's facts replaced."""
        return replace(self, facts={**self.facts, host: self.facts[host].model_copy(update=sections)})

    def missing(self, host: str, *sources: str, reason: str = "was not asked", **sections: Any) -> Scene:
        """Sources that could not be read, and the facts that are then empty."""
        gaps = tuple(Missing(source=source, reason=reason) for source in sources)
        return self.knowing(host, missing=(*self.facts[host].missing, *gaps), **sections)

    def with_nic(self, host: str, name: str, **values: Any) -> Scene:
        nics = tuple(n.model_copy(update=values) if n.name == name else n for n in self.facts[host].nics)
        return self.knowing(host, nics=nics)

    def with_gpu(self, host: str, address: str, **values: Any) -> Scene:
        gpus = tuple(g.model_copy(update=values) if g.address == address else g for g in self.facts[host].gpus)
        return self.knowing(host, gpus=gpus)

    def with_pair(self, source: str, target: str, **values: Any) -> Scene:
        changed = Pair(source=source, target=target, **values)
        others = [pair for pair in self.measurements.pairs if (pair.source, pair.target) != (source, target)]
        return self.measuring(pairs=(*others, changed))

    def measuring(self, **values: Any) -> Scene:
        data = {name: getattr(self.measurements, name) for name in Measurements.model_fields} | values
        return replace(self, measurements=Measurements(**data))

    def without(self, host: str, why: str = "no route to host") -> Scene:
        """A server that cannot be reached."""
        facts = {name: found for name, found in self.facts.items() if name != host}
        return replace(self, facts=facts, unreachable={**self.unreachable, host: why})


Change = Callable[[Scene], Scene]


@dataclass(frozen=True)
class Case:
    """What one check makes of one recorded machine."""

    check: str
    site: str
    """The recorded site."""
    about: tuple[str, ...]
    """The server, or source and target; none for the site."""
    change: Change | None
    """Alters facts of that machine, where no recorded one shows the case."""
    status: str
    says: str
    """Found in what was measured, or in the reason."""

    @property
    def key(self) -> Key:
        return self.check, self.about

    def scene(self) -> Scene:
        found = scene(self.site)
        return self.change(found) if self.change else found

    def __str__(self) -> str:
        return f"{self.check}-{'-'.join(self.about) or self.site}-{self.status}"


@cache
def scene(name: str) -> Scene:
    """A recorded site as it is, with pairs and disks that are well: bundles hold no measurements."""
    machine = machines.load(name)
    site = files.parse(machine.site, name)
    hosts = [server.name for server in site.servers]
    known = machine.facts()
    measured = Measurements(
        pairs=tuple(Pair(source=a, target=b, **MEASURED) for a in known for b in known if a != b),
        disk_ms=dict.fromkeys(known, 1.2),
        resolvers_answer={host: dict.fromkeys(known[host].names.resolvers, True) for host in hosts if host in known},
    )
    return Scene(site, known, measured, machine.unreachable)


def nic(name: str, **values: Any) -> Nic:
    return Nic(name=name, up=True, **values)
