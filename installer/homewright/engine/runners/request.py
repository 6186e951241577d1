"""What the engine asks a step runner to do: one 0600 JSON file."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from homewright.engine.states import Action

EVENTS_DESCRIPTOR = 3
"""The descriptor that a runner writes its events to."""


class HostRequest(BaseModel):
    """How to reach one host."""

    model_config = ConfigDict(frozen=True)

    name: str
    address: str
    port: int
    user: str
    groups: tuple[str, ...] = ()
    capture: dict[str, Any] | None = None
    """What an earlier run of the step recorded of the state before; None where there is nothing."""


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
    parent: int | None = None
    """Process id of the engine: a runner that finds another parent at its start ends at once."""
