"""A workspace: its key, its specification, and what is seen of it now."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

DEFAULT_NAME = "default"


class WorkspaceState(StrEnum):
    """Computed from the node or the cluster at each look, never stored."""

    PENDING = "pending"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    ERROR = "error"
    UNKNOWN = "unknown"


class WorkspaceModel(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Key(WorkspaceModel):
    """What names a workspace. Written USER or USER/NAME; of the node template USER, USER/NAME or USER/NAME@NODE."""

    user: Annotated[str, Field(min_length=1, max_length=253)]
    """The user's true id, such as alice or bob@corp.com."""
    name: Annotated[str, Field(min_length=1, max_length=63)] = DEFAULT_NAME
    node: str | None = None

    def __str__(self) -> str:
        text = self.user if self.name == DEFAULT_NAME else f"{self.user}/{self.name}"
        return f"{text}@{self.node}" if self.node else text


class Specification(WorkspaceModel):
    """What was asked for: the intent record."""

    version: Literal[1] = 1
    key: Key
    template: str = "node"
    preset: str = "small"


class Workspace(WorkspaceModel):
    """One workspace as it is now."""

    key: Key
    slug: str
    template: str
    preset: str
    state: WorkspaceState
    reason: str = ""
    """Why it is in this state, in words; empty when there is nothing to say."""
    node: str = ""
    port: int | None = None
    address: str = ""
    """The URL to open."""
    created_at: float | None = None
    started_at: float | None = None
    last_active_at: float | None = None
    """code-server's last heartbeat, Unix seconds; None when there was none since the start."""
    cpu: float | None = None
    """Processors in use."""
    memory: int | None = None
    """Bytes in use."""
