"""A workspace: its key, its specification, and what is seen of it now."""

from __future__ import annotations

import unicodedata
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

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
    model_config = ConfigDict(frozen=True, extra="forbid")


def _printable(value: str) -> str:
    if any(unicodedata.category(character).startswith("C") for character in value):
        raise ValueError("must not contain control characters")
    if "/" in value or value != value.strip():
        raise ValueError("must not contain a slash, nor spaces at its ends")
    return value


def _without_at(value: str) -> str:
    if "@" in value:
        raise ValueError("must not contain an @: what follows it would be read as the node")
    return value


class Key(WorkspaceModel):
    """What names a workspace. Written USER or USER/NAME; of the node template also USER/NAME@NODE."""

    user: Annotated[str, Field(min_length=1, max_length=253), AfterValidator(_printable)]
    """The user's true id, such as alice or bob@corp.com."""
    name: Annotated[
        str, Field(min_length=1, max_length=63), AfterValidator(_printable), AfterValidator(_without_at)
    ] = DEFAULT_NAME
    node: str | None = None

    def __str__(self) -> str:
        if self.node:  # a user's id may hold an @, so the name is always said before a node
            return f"{self.user}/{self.name}@{self.node}"
        return self.user if self.name == DEFAULT_NAME else f"{self.user}/{self.name}"


class Repository(WorkspaceModel):
    """What is cloned into a workspace. `homewright.workspaces.repositories.parse` checks what somebody asks for."""

    url: Annotated[str, Field(pattern=r"^https?://[^@\s]+$", max_length=500)]
    """Without a name or a password in it."""
    branch: Annotated[str, Field(max_length=200)] = ""
    """By default the server's."""
    shallow: bool = True
    """The newest commit alone, not the whole history."""


class Specification(WorkspaceModel):
    """What was asked for: the intent record."""

    version: Literal[1] = 1
    key: Key
    template: str = "node"
    preset: str = "small"
    repository: Repository | None = None


Whose = Literal["user", "cluster", "homewright"]
"""Whose problem it is: its user's, the cluster's administrator's, or that of Homewright and its templates."""


class Workspace(WorkspaceModel):
    """One workspace as it is now."""

    key: Key
    slug: str
    template: str
    preset: str
    title: str = ""
    """What people call it; empty where they call it by its name."""
    state: WorkspaceState
    reason: str = ""
    """Why it is in this state, in words; empty when there is nothing to say."""
    remedy: str = ""
    """What to do about it; empty when there is nothing to do."""
    whose: Whose | None = None
    """Whose problem it is, where that is known."""

    @property
    def whose_words(self) -> str:
        """`the user's`; empty where it is not known."""
        words = {"user": "the user's", "cluster": "the cluster's", "homewright": "Homewright's"}
        return words[self.whose] if self.whose else ""

    node: str = ""
    port: int | None = None
    address: str = ""
    """The URL to open: by its name in the site's zone where the machine that says so finds that name, else by the
    node's address."""
    by_name: str = ""
    """The URL by its name, for computers that ask the site's DNS server; empty without a zone."""
    route: str = ""
    """What leads to that address: a kind of object in the cluster, and its gateway. Only where one is shown alone."""
    sign_in: Literal["password"] = "password"
    """How its editor knows its user: by a password of its own, since the platform has no sign-in (OIDC) yet."""
    repository: Repository | None = None
    """What was cloned into it."""
    created_at: float | None = None
    started_at: float | None = None
    last_active_at: float | None = None
    """code-server's last heartbeat, Unix seconds; None when there was none since the start."""
    cpu: float | None = None
    """Processors in use; None until two looks could be compared."""
    memory: int | None = None
    """Bytes in use."""
    connections: int | None = None
    """Browser connections that are open now."""
    notes: tuple[str, ...] = ()
    """What is worth knowing besides its state: a certificate near its end, limits that the node cannot enforce."""


class Problem(WorkspaceModel):
    """Why a workspace does not start, or would not."""

    reason: str
    whose: Whose | None = None
    """Whose problem it is, where that is known."""
    remedy: str = ""


class PreviewDocument(WorkspaceModel):
    """What `homewright workspace create --dry-run --json` prints: what making it would do."""

    version: Literal[1] = 1
    workspace: str
    node: str
    """Where it would go: a server, or the cluster."""
    starts: bool
    """Nothing is known that would keep it from starting."""
    existing: Workspace | None = None
    problems: tuple[Problem, ...] = ()
    """Why it would not start."""
    misses: tuple[Problem, ...] = ()
    """What it would lack: it starts all the same."""
    must_accept: str = ""
    """A warning that must be accepted before it is made."""
    good: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    """What could not be looked at, and why."""


class WorkspaceChange(WorkspaceModel):
    """A line of `homewright workspace list --watch --json`."""

    version: Literal[1] = 1
    change: Literal["there", "changed", "gone", "silent", "answers"]
    """Of a workspace: it was there from the start or is new, has changed, is gone. Of a place: it does not answer, or
    does so again."""
    at: float
    """Unix seconds."""
    workspace: Workspace | None = None
    """As it is now; of one that is gone as it was last."""
    place: str = ""
    """The server, or `the cluster`."""
    why: str = ""


class WorkspacesDocument(WorkspaceModel):
    """What `homewright workspace list --json` prints."""

    version: Literal[1] = 1
    workspaces: tuple[Workspace, ...] = ()
    unreachable: dict[str, str] = {}
    """Nodes that did not answer, and why: what lives there is not in the list."""
    polled_at: float = 0.0


class WorkspaceEvent(WorkspaceModel):
    """Something that happened to a workspace."""

    at: float
    """Unix seconds."""
    what: str
    """A word: the cluster's own, such as FailedScheduling, or what somebody did."""
    about: str
    """`workspace`, or the kind of the object in the cluster."""
    message: str = ""
    count: int = 1
    warning: bool = False


class EventsDocument(WorkspaceModel):
    """What `homewright workspace events --json` prints."""

    version: Literal[1] = 1
    workspace: str
    events: tuple[WorkspaceEvent, ...] = ()


class SyncDocument(WorkspaceModel):
    """What `homewright workspace sync --json` prints."""

    version: Literal[1] = 1
    workspace: str
    repository: Repository
    branch: str = ""
    """What is checked out; empty where that is no branch."""
    cloned: bool = True
    pulled: int = 0
    """Commits that were brought just now."""
    dirty: int = 0
    """Files that are changed or new, and not committed: they stay as they are."""
    ahead: int | None = None
    """Commits that its server lacks; None where its branch follows none there."""
    behind: int | None = None
    problem: str = ""
    """Why it could not be brought up to date."""


class RepositoryFound(WorkspaceModel):
    """A repository that a git server lists for somebody."""

    name: str
    """OWNER/NAME."""
    url: str
    branch: str = ""
    """The one that is checked out where none is asked for."""
    private: bool = False
    empty: bool = False
    archived: bool = False

    @property
    def marks(self) -> str:
        """What is worth knowing of it in words; empty for nothing."""
        return ", ".join(name for name in ("private", "empty", "archived") if getattr(self, name))


class ServerTold(WorkspaceModel):
    """What a git server says of a user, by the credentials that are kept of them."""

    server: str
    kind: Literal["gitea", "other", "unknown"]
    """`other` tells neither who somebody is nor what they have; `unknown` did not answer from here."""
    accepted: bool | None = None
    """Whether it accepts the credentials; None where that cannot be told."""
    words: str
    login: str = ""
    """Who they are there."""
    repositories: tuple[RepositoryFound, ...] = ()


class RepositoryCheck(WorkspaceModel):
    """Whether a repository can be cloned by a user, asked from the machine of the manager."""

    repository: Repository
    state: Literal["good", "wrong", "unknown"]
    words: str
    remedy: str = ""


class CredentialsDocument(WorkspaceModel):
    """What `homewright workspace credentials --json` prints: never what they are."""

    version: Literal[1] = 1
    user: str
    servers: tuple[str, ...] = ()
    """The git servers that there are some for."""
    tested: tuple[ServerTold, ...] = ()
    """With --test: what each of them says, without its repositories."""


class RepositoriesDocument(WorkspaceModel):
    """What `homewright workspace repositories --json` prints."""

    version: Literal[1] = 1
    user: str
    servers: tuple[ServerTold, ...] = ()
    checked: RepositoryCheck | None = None
    """With --check: whether that one can be cloned."""


class GivenUp(WorkspaceModel):
    """Storage in the cluster that was given up by a deletion."""

    key: Key
    claims: tuple[str, ...]
    at: float
    """When, in Unix seconds."""
    due: float
    """From when on `purge` removes it."""


class GivenUpDocument(WorkspaceModel):
    """What `homewright workspace undelete --json` prints without a workspace: all that was given up."""

    version: Literal[1] = 1
    given_up: tuple[GivenUp, ...] = ()


class UsageRow(WorkspaceModel):
    """What one workspace uses now, and how much it may."""

    workspace: str
    template: str
    preset: str
    cpu: float | None = None
    """Processors."""
    cpu_limit: float | None = None
    memory: int | None = None
    """Bytes."""
    memory_limit: int | None = None


class UsageDocument(WorkspaceModel):
    """What `homewright workspace usage --json` prints."""

    version: Literal[1] = 1
    workspaces: tuple[UsageRow, ...] = ()
    unmeasured: str = ""
    """Why there are no figures of the cluster's; empty where there are."""


class BulkRow(WorkspaceModel):
    """How one of many ended."""

    workspace: str
    done: bool
    existed: bool | None = None
    """Of `create`: it was there before."""
    error: dict[str, Any] | None = None
    """Why it failed, in three parts."""


class BulkDocument(WorkspaceModel):
    """What a verb on several workspaces prints with --json."""

    version: Literal[1] = 1
    verb: str
    workspaces: tuple[BulkRow, ...] = ()
    done: int
    failed: int


class Session(WorkspaceModel):
    """One computer that has the workspace open."""

    address: str
    """Where from."""
    connections: int
    """0 where it cannot be told whether anybody is on: `address` says why."""


class WorkspaceDocument(WorkspaceModel):
    """What `create`, `show`, `start` and `stop` print with --json."""

    version: Literal[1] = 1
    workspace: Workspace
    existed: bool | None = None
    """Of `create`: it was there before."""
    warnings: tuple[str, ...] = ()
    sessions: tuple[Session, ...] = ()
    """Of `show`: who has it open now."""
