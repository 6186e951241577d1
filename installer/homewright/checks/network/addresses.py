"""The site's ranges and addresses: nothing overlaps, nothing is given twice."""

from __future__ import annotations

from homewright.checks.check import Check, Outcome, passed, remedy, unknown, wrong
from homewright.checks.ground import SiteView
from homewright.planning.networks import propose

_MICROK8S = "https://microk8s.io/docs/services-and-ports"
_SERVICES = "https://kubernetes.io/docs/concepts/services-networking/cluster-ip-allocation/"


def ranges(view: SiteView) -> Outcome:
    threshold = "LAN, LXD, overlay, pods, services and load balancer apart"
    found = propose(view.site, view.ground.known)
    problems = [problem for problem in found.problems if problem.field.startswith("network.")]
    if problems:
        first = problems[0]
        more = f" ({len(problems) - 1} more)" if len(problems) > 1 else ""
        return wrong(
            f"{first.field}: {first.reason}{more}",
            threshold,
            "Packets for one range would be taken for the other's.",
            remedy(
                "Choose another range, or take the answer back: then a free one is proposed.",
                "homewright site show network",
                f"homewright site unset {first.field}",
            ),
        )
    if not found.of("lan") or found.network("lan") is None:
        return unknown(threshold, "The LAN is not known yet, since no server has told its prefix.")
    chosen = sum(1 for one in found.ranges if one.chosen)
    return passed(f"{len(found.ranges)} ranges, {chosen} of them chosen", threshold, "No two ranges overlap.")


def twice(view: SiteView) -> Outcome:
    threshold = "every address once"
    holders: dict[str, list[str]] = {}
    for server in view.site.servers:
        holders.setdefault(server.address, []).append(server.name)
    for node in view.site.instances.nodes or ():
        if node.address:
            holders.setdefault(node.address, []).append(node.name)
    gateway = view.site.network.gateway
    if gateway and gateway not in holders:  # a server may be the gateway
        holders.setdefault(gateway, []).append("the gateway")
    for name, facts in view.ground.known.items():
        for nic in facts.nics:
            for address in (one.split("/")[0] for one in nic.addresses if nic.kind != "loopback"):
                others = [who for who in holders.get(address, ()) if who != name]
                # an instance has its address inside its server as well: only strangers count
                if others and not _inside(view, others, name):
                    holders[address] = [*others, f"{name} ({nic.name})"]
    shared = {address: who for address, who in holders.items() if len(who) > 1}
    if shared:
        address, who = next(iter(shared.items()))
        return wrong(
            f"{address}: {' and '.join(who)}",
            threshold,
            "Two with one address take each other's packets.",
            remedy(
                "Change one of them, in the site or on the server.",
                "homewright site show servers",
                "homewright site show instances.nodes",
            ),
        )
    return passed(f"{len(holders)} addresses", threshold, "No address is used twice.")


def _inside(view: SiteView, others: list[str], host: str) -> bool:
    nodes = {node.name: node.host for node in view.site.instances.nodes or ()}
    return all(nodes.get(other) == host for other in others)


CHECKS = (
    Check("net.ranges", "Address ranges", "network", "site", ("nics", "site.network", "site.servers"), _MICROK8S,
          site=ranges),
    Check("net.addresses", "Addresses are used once", "network", "site", ("nics", "site.network", "site.instances"),
          _SERVICES, site=twice),
)  # fmt: skip
