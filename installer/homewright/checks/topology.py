"""What the servers make together: a quorum, and a GPU somewhere."""

from __future__ import annotations

from homewright.checks.check import Check, Outcome, passed, remedy, unknown, wrong
from homewright.checks.ground import SiteView

_QUORUM = "https://microk8s.io/docs/high-availability"
_OPERATOR = "https://docs.nvidia.com/datacenter/cloud-native/gpu-operator/latest/platform-support.html"


def quorum(view: SiteView) -> Outcome:
    wanted = int(view.limits.number("servers"))
    threshold = f"{wanted} servers"
    count = len(view.ground.hosts)
    add = remedy(
        "Add a third server when there is one; it can be a small one. Until then, keep backups elsewhere.",
        "homewright site add-server",
    )
    if count >= wanted:
        return passed(f"{count} servers", threshold, "One server may fail: the others know that they may go on.")
    if count == 2:
        first = view.ground.hosts[0]
        return wrong(
            "2 servers",
            threshold,
            f"Two cannot form a quorum: {first} alone keeps the databases of LXD and Kubernetes.",
            add,
        )
    reason = "Everything stops while it is down, and workspaces share it with all else."
    return wrong("1 server" if count else "no server", threshold, reason, add)


def gpu(view: SiteView) -> Outcome:
    threshold = "an NVIDIA GPU"
    found = {name: sum(1 for one in facts.gpus if one.vendor == "nvidia") for name, facts in view.ground.known.items()}
    where = [f"{count} in {name}" for name, count in found.items() if count]
    if where:
        return passed(", ".join(where), threshold, "Workspaces can use a GPU.")
    silent = [
        name
        for name in view.ground.hosts
        if name not in found or any(gap.source == "pci" for gap in view.ground.known[name].missing)
    ]
    if silent:
        return unknown(threshold, f"Not known of: {', '.join(silent)}; the others have none.")
    return wrong(
        "none",
        threshold,
        "The platform goes without one, but models run on processors alone.",
        remedy("Put an NVIDIA GPU into one server, or accept that there is none.", "lspci -nn -d 10de:"),
    )


CHECKS = (
    Check("topology.quorum", "Quorum", "topology", "site", ("site.servers",), _QUORUM, site=quorum),
    Check("topology.gpu", "A GPU somewhere", "topology", "site", ("gpus", "pci"), _OPERATOR, site=gpu),
)
