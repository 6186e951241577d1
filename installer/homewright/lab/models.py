"""What the lab writes down, and what `lab status --json` prints."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

VERSION = 1

USER = "lab"
"""The account on every practice server."""

FIRST_HOST = 11
"""s1 has the address .11, s2 .12 and so on; .1 is the bridge."""

MOST_SERVERS = 20


Fault = Literal[
    "clock", "resolv", "port", "disk", "hostname", "mtu", "loss", "dns", "time-sync", "apt-lock"
]  # fmt: skip
"""How a practice server can be broken on purpose (breaking.py says what each does)."""

Nodes = Literal["servers", "instances"]
"""What the nodes of the practice servers' cluster are."""

State = Literal["none", "up", "incomplete", "broken"]


class Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Place(Model):
    """Where on this machine's networks a lab lives: chosen once, kept until `down`."""

    number: int = Field(ge=0, le=255)

    @property
    def bridge(self) -> str:
        return f"hwlab{self.number}"

    @property
    def network(self) -> str:
        return f"198.18.{self.number}.0/24"

    @property
    def gateway(self) -> str:
        return f"198.18.{self.number}.1"

    @property
    def project(self) -> str:
        """Its project in an LXD that is shared with others."""
        return "homewright-lab" if self.number == 0 else f"homewright-lab-{self.number}"

    def address(self, index: int) -> str:
        """The address of the server with this index, counted from 0."""
        return f"198.18.{self.number}.{FIRST_HOST + index}"

    def interface(self, name: str) -> str:
        """The host's end of a server's network cable."""
        return f"{self.bridge}{name}"


class LabServer(Model):
    """One practice server as it was made."""

    name: str
    address: str
    host_keys: tuple[str, ...] = ()
    """Its public host keys, read through LXD: Ed25519 first."""


class Record(Model):
    """The lab's own file (0600): written before the first effect, removed after the last."""

    version: Literal[1] = 1
    phase: Literal["going up", "up", "going down"]
    backend: Literal["private", "shared"]
    socket: str | None = None
    """The socket of the LXD that is shared; none for a private daemon."""
    place: Place
    password: str
    """Of the user `lab` on every server."""
    servers: tuple[LabServer, ...] = ()
    unplugged: tuple[str, ...] = ()
    broken: dict[str, tuple[Fault, ...]] = {}
    """What was broken on purpose and not mended yet, by server."""
    cluster: bool = False
    """Whether the lab has what a cluster needs: a mirror of images and files, and a site that says so."""
    nodes: Nodes = "servers"
    """What that cluster's nodes are."""
    earlier: bool = False
    """Whether its cluster begins with the Kubernetes before the newest, which the mirror has as well then."""
    simulated: int = Field(default=0, ge=0)
    """How many simulated nodes its cluster is to have."""
    daemon: tuple[int, int] | None = None
    """The private daemon's process id, and when it started in clock ticks since boot."""
    site_file: str


class ServerStatus(Model):
    """One practice server as it is now."""

    name: str
    address: str
    user: str
    power: Literal["on", "off"]
    cable: Literal["plugged", "unplugged"]
    ssh: Literal["answers", "silent"]
    """Whether sshd greets on port 22."""
    broken: tuple[Fault, ...] = ()
    """How it was broken on purpose; a repair there does not know of this, `lab mend` does."""


class SimulatedNodes(Model):
    """Nodes of the practice cluster on which nothing runs."""

    wanted: int
    ready: int | None
    """How many the cluster calls ready; None where it does not answer."""
    kwok: Literal["runs", "gone"]
    """What plays them."""


class LabStatus(Model):
    """How the practice servers are."""

    version: Literal[1] = 1
    state: State
    """`up`: all servers answer. `incomplete`: `lab up` or `lab down` was cut off. `broken`: a server is off, unplugged
    or silent, or the daemon is gone."""
    backend: Literal["private", "shared"] | None = None
    bridge: str | None = None
    network: str | None = None
    site_file: str | None = None
    servers: tuple[ServerStatus, ...] = ()
    mirror: str | None = None
    """Where their cluster's images come from: the lab's own registry, HOST:PORT."""
    simulated: SimulatedNodes | None = None
    """The simulated nodes of their cluster; null where none were asked for."""
    changed: bool | None = None
    """After `lab up`: whether anything had to be done."""
    reason: str | None = None
    """Why the state is not `up`, and what to do."""
