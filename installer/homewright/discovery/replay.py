"""In a rehearsal a server says what it said when it was recorded."""

from __future__ import annotations

from homewright.discovery import bundle as bundles
from homewright.discovery.bundle import RawBundle
from homewright.errors import Unreachable
from homewright.site.models import Server
from homewright.site.rehearsed import Rehearsed


def replayed(server: Server, rehearsed: Rehearsed) -> RawBundle:
    """The recorded bundle of this server.

    Raises Unreachable where there is none: it did not answer when the others were recorded, or was added since.
    """
    file = rehearsed.bundles / f"{server.name}.json"
    if not file.exists():
        raise Unreachable(
            f"{server.name} does not answer.",
            f"The rehearsal {rehearsed.name} has no recording of it, as of a server that is down.",
            [f"check that it is on, and that sshd listens at {server.address}, port {server.port}"],
        )
    return bundles.load(file)[0]
