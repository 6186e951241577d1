"""The facts that were recorded last, as planning needs them: of the site's servers, and only those that can be read."""

from __future__ import annotations

import contextlib

from pydantic import ValidationError

from homewright.discovery.facts import HostFacts
from homewright.site.models import Site
from homewright.site.paths import StateFolder


def known_facts(site: Site, state: StateFolder) -> dict[str, HostFacts]:
    """Facts by server. A file that is missing or of another version counts as not known: nothing depends on it."""
    found = {}
    for server in site.servers:
        with contextlib.suppress(OSError, ValidationError):
            found[server.name] = HostFacts.model_validate_json((state.facts / f"{server.name}.json").read_bytes())
    return found
