"""Which servers are in a group of the inventory. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from homewright.catalogue.models import Group
from homewright.discovery.facts import HostFacts
from homewright.site.models import Site


def members(group: Group, site: Site, facts: Mapping[str, HostFacts]) -> tuple[str, ...]:
    """Names of the group's servers, in the site's order.

    Two servers cannot form a quorum and neither can four: the control plane is one server below three, else three.
    """
    names = tuple(server.name for server in site.servers)
    match group:
        case "servers" | "lxd_servers":
            return names
        case "controller" | "dns_server":
            return names[:1]
        case "kubernetes_control_plane":
            return names[:3] if len(names) >= 3 else names[:1]
        case "kubernetes_workers":
            master = site.master
            return tuple(name for name in names if master is None or name != master.name)
        case "gpu_hosts":
            return tuple(
                name for name in names if name in facts and any(g.vendor == "nvidia" for g in facts[name].gpus)
            )
        case "instances":
            return ()
