"""The facts that were recorded last, as planning needs them: of the site's servers and no other."""

from __future__ import annotations

from homewright.discovery import recorded
from homewright.discovery.facts import HostFacts
from homewright.site.models import Site
from homewright.site.paths import StateFolder


def known_facts(site: Site, state: StateFolder) -> dict[str, HostFacts]:
    """Facts by server, of those that were discovered."""
    facts = recorded(state)
    return {server.name: facts[server.name] for server in site.servers if server.name in facts}
