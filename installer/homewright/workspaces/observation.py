"""What a node reports of its workspaces, checked where it arrives."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict

from homewright.workspaces.models import Key


def printable(text: str) -> str:
    """Text as a terminal may show it: whoever sits in a workspace can put escape sequences into what its node says."""
    return "".join(character for character in text if character.isprintable() or character in "\t\n")


Foreign = Annotated[str, AfterValidator(printable)]
"""Text that others than us have a hand in: logs, names of processes, answers of servers."""


class Reported(BaseModel):
    """A node may run ahead of us in what it adds, never in what it leaves out."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Record(Reported):
    """The intent record, as far as the controller looks at it."""

    uid: str
    generation: int
    user: str
    name: str
    node: str
    slug: str
    template: str
    preset: str
    port: int
    unit: str
    system_user: str
    data_root: str
    created_at: float
    complete: bool = False
    deleting: str = ""
    bundle: str = ""
    certificate_expires_at: float | None = None
    certificate_names: tuple[str, ...] = ()
    settings: str = ""
    history: tuple[tuple[float, str, str], ...] = ()


class Unit(Reported):
    """systemd's properties, as it writes them."""

    loadstate: str = "not-found"
    activestate: str = "inactive"
    substate: str = "dead"
    result: str = "success"
    execmainstatus: str = "0"
    execmaincode: str = "0"
    nrestarts: str = "0"
    unitfilestate: str = ""
    activeentertimestamp: str = ""

    @property
    def active_since(self) -> float | None:
        """Unix seconds (systemd writes them as `@1700000000`)."""
        text = self.activeentertimestamp.lstrip("@")
        return float(text) if text.isdigit() and int(text) else None


class Health(Reported):
    """code-server's answer to /healthz."""

    ok: bool
    problem: Foreign = ""
    certificate: bool = False
    """The problem is its certificate."""
    heartbeat: float | None = None
    """Unix seconds of its last heartbeat."""


class Observation(Reported):
    """Everything seen of one workspace at one look."""

    record: Record
    unit: Unit = Unit()
    health: Health | None = None
    """None where nothing of its own listens on its port."""
    port_taken_by: Foreign = ""
    bundle_present: bool = True
    config_present: bool = True
    free: int | None = None
    """Bytes that may still be written under the data root."""
    cpu_us: int | None = None
    memory: int | None = None
    guests: dict[str, int] = {}
    """Remote address to how many connections it has."""
    last_lines: tuple[Foreign, ...] = ()

    def key(self, node: str) -> Key:
        return Key.model_construct(user=self.record.user, name=self.record.name, node=node)


class NodeReport(Reported):
    """One look at a node."""

    now: float
    monotonic: float
    architecture: str
    controllers: tuple[str, ...] = ()
    bundles: tuple[str, ...] = ()
    mounted: tuple[str, ...] = ()
    """Folders right under the root that no distribution has."""
    free_data: int | None = None
    free_bundles: int | None = None
    unreadable: dict[str, Foreign] = {}
    workspaces: tuple[Observation, ...] = ()
