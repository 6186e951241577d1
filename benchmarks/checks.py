"""All checks over 50 recorded servers, every pair of them included, and the plan for them: CPU time against 0.5 s."""

from __future__ import annotations

import statistics
import sys
import time

from homewright.catalogue.loading import load, shipped
from homewright.checks import profiles
from homewright.checks.judging import Ground, judge
from homewright.checks.measurements import Measurements, Pair
from homewright.discovery import machines
from homewright.discovery.facts import HostFacts
from homewright.planning.plan import plan
from homewright.site.models import Server, Site

HOSTS = 50
LIMIT_S = 0.5


def ground() -> Ground:
    """Fifty servers of the recorded machines, in turn, each with a name, an address and an identity of its own."""
    recorded = [facts for machine in machines.every() for facts in machine.facts().values()]
    servers, known = [], {}
    for number in range(HOSTS):
        name, address = f"s{number}", f"192.0.2.{number + 1}"
        servers.append(Server(name=name, address=address, user="ann"))
        known[name] = _of_its_own(recorded[number % len(recorded)], name, address)
    names = list(known)
    pairs = tuple(
        Pair(source=a, target=b, rtt_ms=0.4, loss_percent=0.0 if (i + j) % 7 else 20.0, mtu=1500)
        for i, a in enumerate(names) for j, b in enumerate(names) if a != b
    )  # fmt: skip
    measured = Measurements(pairs=pairs, disk_ms=dict.fromkeys(names, 3.0))
    return Ground(Site(name="fifty", servers=tuple(servers)), known, measured)


def _of_its_own(facts: HostFacts, name: str, address: str) -> HostFacts:
    system = facts.system.model_copy(update={"hostname": name, "machine_id": name * 8})
    nics = tuple(
        nic.model_copy(update={"addresses": (f"{address}/24",)}) if nic.default_route else nic for nic in facts.nics
    )
    return facts.model_copy(update={"host": name, "system": system, "nics": nics})


def main() -> int:
    profile, catalogue = profiles.load("home"), load([shipped()])
    checks, plans = [], []
    for _ in range(5):
        fresh = ground()
        began = time.process_time()
        findings = judge(fresh, profile)
        judged = time.process_time()
        plan(fresh.site, catalogue, fresh.facts)
        checks.append(judged - began)
        plans.append(time.process_time() - judged)
    checking, planning = statistics.median(checks), statistics.median(plans)
    failed = sum(1 for finding in findings if finding.status == "failed")
    print(f"{len(findings)} findings on {HOSTS} servers ({failed} failed): {checking:.3f} s of CPU")
    print(f"the plan for them: {planning:.3f} s of CPU (medians of {len(checks)})")
    print(f"ratio to the limit of {LIMIT_S} s for both: {(checking + planning) / LIMIT_S:.2f}")
    return 0 if checking + planning < LIMIT_S else 1


if __name__ == "__main__":
    sys.exit(main())
