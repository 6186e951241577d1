"""What planning costs for 50 recorded servers, part by part: CPU time against 0.2 s; and for 50 with 200 interfaces."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Mapping

from checks import HOSTS, ground

from homewright.catalogue.loading import load, shipped
from homewright.discovery import machines
from homewright.discovery.facts import HostFacts
from homewright.planning import gpus, instances, networks, platform
from homewright.planning.difference import difference
from homewright.planning.plan import plan
from homewright.site.models import Site

LIMIT_S = 0.2


def median(act: Callable[[], object], times: int = 5) -> float:
    """CPU seconds of one act, in the middle of several."""
    spent = []
    for _ in range(times):
        began = time.process_time()
        act()
        spent.append(time.process_time() - began)
    return statistics.median(spent)


def crowd(site: Site) -> Mapping[str, HostFacts]:
    """Fifty times the machine with two hundred interfaces."""
    one = next(iter(machines.load("many-nics").facts().values()))
    return {server.name: one.model_copy(update={"host": server.name}) for server in site.servers}


def main() -> int:
    fifty, catalogue = ground(), load([shipped()])
    site, facts = fifty.site, fifty.facts
    ranges = networks.propose(site, facts)
    placed = instances.place(site, facts, networks=ranges)
    whole = plan(site, catalogue, facts)
    parts: dict[str, Callable[[], object]] = {
        "networks": lambda: networks.propose(site, facts),
        "instances": lambda: instances.place(site, facts, networks=ranges, need=platform.need(site)),
        "GPUs": lambda: gpus.document(site, facts, placed=placed),
        "platform": lambda: platform.propose(site, facts, placed),
        "difference": lambda: difference(whole, whole),
    }
    for name, act in parts.items():
        print(f"{name} of {HOSTS} servers: {median(act) * 1000:.1f} ms of CPU")
    spent = median(lambda: plan(site, catalogue, facts))
    print(f"the whole plan: {spent:.3f} s of CPU; ratio to the limit of {LIMIT_S} s: {spent / LIMIT_S:.2f}")
    crowded = crowd(site)
    print(f"with 200 interfaces on each: {median(lambda: plan(site, catalogue, crowded), 3):.3f} s of CPU")
    return 0 if spent < LIMIT_S else 1


if __name__ == "__main__":
    sys.exit(main())
