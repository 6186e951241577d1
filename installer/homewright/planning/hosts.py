"""Everything that steps are carried out on: the servers, and the instances on them with the way there."""

from __future__ import annotations

from collections.abc import Mapping

from homewright.access.endpoint import Endpoint
from homewright.discovery.facts import HostFacts
from homewright.planning.instances import place
from homewright.site.models import Site
from homewright.site.paths import StateFolder

SSH_PORT = 22
"""Where an instance's sshd listens."""


def instance_names(site: Site, facts: Mapping[str, HostFacts]) -> tuple[str, ...]:
    """The planned instances that have an address, in the plan's order."""
    return tuple(node.name for node in place(site, facts).nodes if node.address is not None)


def endpoint(name: str, site: Site, facts: Mapping[str, HostFacts], state: StateFolder) -> Endpoint:
    """How to reach a server or an instance; KeyError where the site has no such host.

    An instance has its server's user, and is reached through that server: its address is in LXD's range, to which the
    LAN's router, and so a laptop that Homewright may run on, has no way.
    """
    for server in site.servers:
        if server.name == name:
            return Endpoint.of(server, state)
    for node in place(site, facts).nodes:
        if node.name == name and node.address is not None:
            through = Endpoint.of(site.server(node.host), state)
            return Endpoint(name, node.address, SSH_PORT, through.user, state.key, state.known_hosts, through)
    raise KeyError(name)
