"""What the engine asks a step runner to do: one 0600 JSON file."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from homewright.access.endpoint import Endpoint
from homewright.engine.states import Action

EVENTS_DESCRIPTOR = 3
"""The descriptor that a runner writes its events to."""


class Watched(BaseModel):
    """What a step declares to change on one server, by the server's own names (`changes` in stage.yaml)."""

    model_config = ConfigDict(frozen=True)

    files: tuple[str, ...] = ()
    """A folder that is the step's own ends in /."""
    packages: tuple[str, ...] = ()
    accounts: tuple[str, ...] = ()
    units: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.files or self.packages or self.accounts or self.units)


class Way(BaseModel):
    """Where one host's sshd is, and who we are there."""

    model_config = ConfigDict(frozen=True)

    name: str
    address: str
    port: int
    user: str

    @classmethod
    def to(cls, endpoint: Endpoint) -> Way:
        return cls(name=endpoint.name, address=endpoint.address, port=endpoint.port, user=endpoint.user)


class HostRequest(Way):
    """How to reach one host."""

    through: Way | None = None
    """The server that an instance is reached through."""
    groups: tuple[str, ...] = ()
    capture: dict[str, Any] | None = None
    """What an earlier run of the step recorded of the state before; None where there is nothing."""
    watched: Watched | None = None
    """What is to be looked at for the step's receipt, beside a capture or a proof; None for nothing."""


class StepRequest(BaseModel):
    """One action of one step on some hosts."""

    model_config = ConfigDict(frozen=True)

    version: Literal[1] = 1
    run: str
    step: str
    action: Action
    file: Path
    """The numbered file to carry out."""
    hosts: tuple[HostRequest, ...]
    """The hosts to act on."""
    site: dict[str, Any]
    """All answers (`Site.model_dump(mode="json")`): every server, not only the ones to act on."""
    key_file: Path
    known_hosts: Path
    secrets_file: Path
    work: Path
    """A private folder for this action: artifacts, control sockets, temporary inventory."""
    fence: int
    """The fence number that this run holds on every host."""
    controller: str
    """Id of the controller that holds it."""
    accelerate: bool = True
    """Whether Mitogen may carry Ansible's tasks where its version allows; false for plain SSH."""
    given: dict[str, str] = {}
    """What the verb that began the run tells its steps, by name."""
    facts_file: Path | None = None
    """What is known of the servers, as JSON by their names, where anything is."""
    parent: int | None = None
    """Process id of the engine: a runner that finds another parent at its start ends at once."""

    def endpoint(self, way: Way) -> Endpoint:
        """How a connection gets to a host: by our key, and believing the site's own host keys alone."""
        through = way.through if isinstance(way, HostRequest) else None
        below = self.endpoint(through) if through is not None else None
        return Endpoint(way.name, way.address, way.port, way.user, self.key_file, self.known_hosts, below)


class ProofsRequest(BaseModel):
    """The proofs of several steps, for one process."""

    model_config = ConfigDict(frozen=True)

    version: Literal[1] = 1
    proofs: tuple[StepRequest, ...]
