"""Where a server answers and what proves both sides: enough to open a connection, without any SSH library."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from homewright.site.models import Server
    from homewright.site.paths import StateFolder


@dataclass(frozen=True)
class Endpoint:
    """One server as a connection needs it."""

    name: str
    address: str
    port: int
    user: str
    key_file: Path
    """The engine's own private key; no other is ever offered."""
    known_hosts: Path
    """The site's own host keys; no other file is ever believed."""
    through: Endpoint | None = None
    """The server that it is reached through: an instance's own, since nothing else need know a way to its address."""

    @classmethod
    def of(cls, server: Server, state: StateFolder) -> Endpoint:
        """The endpoint of a site's server, with the key and the host keys of that site's state folder."""
        return cls(
            name=server.name,
            address=server.address,
            port=server.port,
            user=server.user,
            key_file=state.key,
            known_hosts=state.known_hosts,
        )
