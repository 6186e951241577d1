"""What all parts of a running engine share."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from homewright.access import key_change
from homewright.catalogue import Catalogue
from homewright.catalogue.models import Group
from homewright.discovery.facts import HostFacts
from homewright.engine import leftovers
from homewright.engine.fence import Fences
from homewright.engine.forks import Forks
from homewright.engine.journal.writer import Writer
from homewright.engine.proofs import Proofs
from homewright.engine.redaction import Redactor
from homewright.engine.runner_process import environment_of
from homewright.engine.runners.request import HostRequest, Watched, Way
from homewright.errors import HomewrightError
from homewright.planning.groups import members
from homewright.planning.hosts import endpoint
from homewright.site.models import Site
from homewright.site.paths import StateFolder
from homewright.site.secrets import Secrets

GROUPS: tuple[Group, ...] = (
    "servers",
    "lxd_servers",
    "instances",
    "kubernetes_control_plane",
    "kubernetes_workers",
    "kubernetes_nodes",
    "gpu_hosts",
    "passthrough_hosts",
    "gpu_instances",
    "dns_server",
    "controller",
)


def _set() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event


@dataclass
class Context:
    """One run of one engine."""

    run: str
    site: Site
    state: StateFolder
    catalogue: Catalogue
    facts: dict[str, HostFacts]
    writer: Writer
    controller: str
    fences: Fences
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the run is to end early."""
    going: asyncio.Event = field(default_factory=_set)
    """Cleared while no further step is to begin."""
    interrupted: bool = False
    """It is the engine that is to end (shutdown), not the run that is cancelled."""
    failure: HomewrightError | None = None
    """The journal could not be written."""
    calls: int = 0
    """How many runner processes were started, those of earlier engines of this run included."""
    attempt: int = 1
    """How many engines have worked on this run, this one included."""
    given: Mapping[str, str] = field(default_factory=dict)
    """What the verb that began the run tells its steps."""

    def __post_init__(self) -> None:
        # A mark that no runner's begins with: what is left of one is ended without what the others come from.
        mark = f"{leftovers.site_mark(self.state)}{self.run}:forks."
        self.forks = Forks(environment_of(os.environ, mark))
        self.proofs = Proofs(self.state, self.run, self.stop, self.forks)

    @property
    def folder(self) -> Path:
        return self.state.run(self.run)

    @cached_property
    def _members(self) -> dict[Group, tuple[str, ...]]:
        """Who is in which group: answers and facts stay those that the run began with."""
        return {group: members(group, self.site, self.facts) for group in GROUPS}

    def host_request(self, host: str, capture: dict[str, object] | None, watched: Watched | None = None) -> HostRequest:
        server = endpoint(host, self.site, self.facts, self.state)
        groups = tuple(group for group in GROUPS if host in self._members[group])
        return HostRequest(
            through=Way.to(server.through) if server.through else None,
            name=host,
            address=server.address,
            port=server.port,
            user=server.user,
            groups=groups,
            capture=capture,
            watched=watched,
        )


class SecretsWatch:
    """Keeps the writer's redactor in step with the secrets file, which others may add to while a run goes on."""

    def __init__(self, state: StateFolder, writer: Writer) -> None:
        self._state = state
        self._writer = writer
        self._seen: tuple[int, int] | None = None
        self._fixed = [
            text
            for file in (state.key, *key_change.olds(state.key), state.authority / "ca.key")
            if (text := _text(file))
        ]
        self.look(first=True)

    def look(self, first: bool = False) -> None:
        """Load the secrets where the file has changed. Costs one stat(2) where it has not."""
        try:
            status = self._state.secrets.stat()
            seen: tuple[int, int] | None = (status.st_mtime_ns, status.st_ino)
        except OSError:
            seen = None
        if seen != self._seen or first:
            self._seen = seen
            values = Secrets(self._state.secrets).values() if seen is not None else ()
            self._writer.redactor = Redactor([*values, *self._fixed])


def _text(file: Path) -> str:
    with contextlib.suppress(OSError):
        return file.read_text(errors="replace")
    return ""
