"""Which of the site's servers a command line means."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from homewright.errors import UsageError

if TYPE_CHECKING:
    from homewright.site.models import Server, Site


def chosen(site: Site, names: Sequence[str]) -> tuple[Server, ...]:
    """The servers of these names, in the site's order; all of them where no name is given. Raises UsageError."""
    known = {server.name: server for server in site.servers}
    if not known:
        raise UsageError(
            f"The site {site.name} has no servers yet.",
            "",
            ["homewright site add-server NAME=USER@ADDRESS", "or the wizard: homewright"],
        )
    for name in names:
        if name not in known:
            raise UsageError(f"The site {site.name} has no server {name}.", "", [f"name one of: {', '.join(known)}"])
    return tuple(server for server in site.servers if not names or server.name in names)
