"""The answers of a site: versioned, validated, without secrets.

One field here is one question of the wizard and one key of ``site.yaml``. A field's description is what the help
of its screen shows.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PrivateAttr, field_validator, model_validator
from pydantic_core import PydanticCustomError

VERSION = 1

_LABEL = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
PLAIN_FOLDER = re.compile(r"(/[A-Za-z0-9._-]+)+")
"""A folder whose path may stand in a unit's lists of paths."""
_USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
_POWERFUL = frozenset(
    {"root", "adm", "sudo", "wheel", "shadow", "disk", "docker", "lxd", "incus", "libvirt", "kvm", "microk8s", "mem",
     "kmem", "tty", "staff", "systemd-journal"}
)  # fmt: skip
"""Groups whose members become root, or see what is not theirs."""
_HOST_KEY = re.compile(r"(SHA256:[A-Za-z0-9+/]{43}|(ssh|ecdsa)-[a-z0-9@.-]+ [A-Za-z0-9+/]+={0,2})( .*)?")


def _label(value: str) -> str:
    if not _LABEL.fullmatch(value):
        raise ValueError(
            "must be lowercase letters, digits and hyphens, and start with a letter (MicroK8s refuses others)"
        )
    return value


def _user(value: str) -> str:
    if not _USER.fullmatch(value):
        raise ValueError("is no Linux user name")
    return value


def _ipv4(value: str) -> str:
    try:
        ipaddress.IPv4Address(value)
    except ValueError:
        raise ValueError("must be an IPv4 address, such as 192.168.1.10") from None
    return value


def _host_key(value: str) -> str:
    if not _HOST_KEY.fullmatch(value.strip()):
        raise ValueError("must be a fingerprint (SHA256:…) or a public host key (ssh-ed25519 AAAA…)")
    return value.strip()


def _zone(value: str) -> str:
    if (
        len(value) > 253
        or not all(_LABEL.fullmatch(part) or part.isdigit() for part in value.split("."))
        or "." not in value
    ):
        raise ValueError("must be a domain with at least two labels, such as home.internal")
    return value


def _absolute(value: str) -> str:
    if not value.startswith("/") or ".." in PurePosixPath(value).parts or value == "/":
        raise ValueError("must be an absolute folder other than /")
    return value.rstrip("/")


def _plain_folder(value: str) -> str:
    if not PLAIN_FOLDER.fullmatch(value):
        raise ValueError("may have letters, digits and ._- in its names: systemd gives other characters a meaning")
    return value


def _harmless_group(value: str) -> str:
    if value in _POWERFUL:
        raise ValueError("gives more than the shared folders: name a group of its own")
    return value


def _bundle(value: str) -> str:
    if value != "official" and not value.startswith(("/", "~/")):
        raise ValueError("must be `official`, or a path that begins with / or ~/")
    return value


HostName = Annotated[str, AfterValidator(_label)]
UserName = Annotated[str, AfterValidator(_user)]
Address = Annotated[str, AfterValidator(_ipv4)]
HostKey = Annotated[str, AfterValidator(_host_key)]
Zone = Annotated[str, AfterValidator(_zone)]
AbsoluteFolder = Annotated[str, AfterValidator(_absolute)]
PlainFolder = Annotated[str, AfterValidator(_absolute), AfterValidator(_plain_folder)]
Bundle = Annotated[str, AfterValidator(_bundle)]


class Model(BaseModel):
    """Frozen, and strict about unknown fields: a typing mistake in site.yaml is an error, never ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, use_attribute_docstrings=True)


class Server(Model):
    """One server of the site."""

    name: HostName
    """What the server is called, here and on every other server."""
    address: Address
    """Its fixed IPv4 address."""
    user: UserName
    """The account that Homewright signs in as; it must be able to use sudo, or be root."""
    port: Annotated[int, Field(ge=1, le=65535)] = 22
    """The port that sshd listens on."""
    host_key: HostKey | None = None
    """Its SSH host key or fingerprint, where known beforehand; otherwise it is shown and asked about."""


class SudoSettings(Model):
    """What becomes of the sudoers file that first contact writes where sudo wants a password."""

    keep: bool = True
    """Keep it after a run, so that a resume after a power loss needs nobody; false takes it away when a run ends."""


class HostVenv(Model):
    """The Python environment on every server (stage 00, step 40)."""

    folder: AbsoluteFolder | None = None
    """Where it is made; by default .venv in the home of the server's user."""
    packages: tuple[str, ...] = ("ansible-core==2.19.14", "copier==9.19.1", "kubernetes==37.0.2")
    """What is installed in it: pip requirements, pinned."""


class MirrorSettings(Model):
    """Where packages come from when it is not the public registries (air-gapped sites, the lab)."""

    pip_index: str | None = None
    """Base address of a Python package index; by default each server's own setting."""
    apt: str | None = None
    """Base address of a Debian or Ubuntu mirror; by default each server's own setting."""


class CodeServer(Model):
    """Which code-server the node workspaces run, and where it comes from."""

    bundle: Bundle = "official"
    """`official` for its release, or the path on this machine of a .tar.gz with a `.sha256` file beside it."""
    version: str = "4.139.1"
    """Its version; older than 4.124.2 is refused, because those have known holes."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    """The checksum that the bundle must have; by default the one published with it."""

    @field_validator("version")
    @classmethod
    def _no_known_holes(cls, version: str) -> str:
        parts = version.split(".")
        if len(parts) != 3 or not all(part.isascii() and part.isdigit() and len(part) < 9 for part in parts):
            raise ValueError("must look like 4.139.1")
        if tuple(int(part) for part in parts) < (4, 124, 2):
            raise ValueError("must be at least 4.124.2: older ones have known holes")
        return version


class WorkspaceSettings(Model):
    """Workspaces of the node template."""

    data_root: PlainFolder = "/srv/homewright/data"
    """The folder on every node that holds the shared `projects`, `datasets` and `jobs`."""
    data_group: Annotated[UserName, AfterValidator(_harmless_group)] = "homewright-data"
    """The group that the worker's jobs and the workspaces share those folders as."""
    first_port: Annotated[int, Field(ge=1024, le=64000)] = 8500
    """The first port given to a workspace on a node."""
    master: HostName | None = None
    """The server that gets no node workspaces; by default the first one, where there are several."""
    code_server: CodeServer = CodeServer()


class Origin:
    """What a site was read from: the digest of its file. All origins are equal: sites are compared by their answers."""

    def __init__(self, digest: str | None = None) -> None:
        self.digest = digest

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Origin)

    def __hash__(self) -> int:
        return 0


class Site(Model):
    """All answers. `version` is raised by a migration only."""

    _origin: Origin = PrivateAttr(default_factory=Origin)

    version: Literal[1] = 1
    name: HostName
    """The site's name."""
    profile: Literal["home", "lab"] = "home"
    """Which thresholds the checks use."""
    servers: tuple[Server, ...] = ()
    """The servers, the control plane first."""
    zone: Zone | None = None
    """The DNS zone of the platform; none until stage 30 has made it."""
    environment: dict[str, str] = {}
    """Extra lines for the environment file of every server (stage 00, step 30); no secrets."""
    sudo: SudoSettings = SudoSettings()
    host_venv: HostVenv = HostVenv()
    mirror: MirrorSettings = MirrorSettings()
    workspaces: WorkspaceSettings = WorkspaceSettings()

    @model_validator(mode="after")
    def _servers_are_distinct(self) -> Site:
        _refuse_twice("name", [server.name for server in self.servers])
        _refuse_twice("address", [server.address for server in self.servers])
        master = self.workspaces.master
        if master is not None and master not in {server.name for server in self.servers}:
            raise misfit(("workspaces", "master"), f"{master} is no server of this site")
        return self

    def server(self, name: str) -> Server:
        """The server of this name; KeyError where there is none."""
        for server in self.servers:
            if server.name == name:
                return server
        raise KeyError(name)

    @property
    def master(self) -> Server | None:
        """The server that gets no node workspaces: none on a site of one server (where they run with a warning)."""
        if len(self.servers) < 2:
            return None
        return self.server(self.workspaces.master) if self.workspaces.master else self.servers[0]


def misfit(path: tuple[str | int, ...], reason: str) -> PydanticCustomError:
    """Two answers that do not fit together, blamed on the one at `path`."""
    return PydanticCustomError("misfit", "{reason}", {"reason": reason, "path": path})


def _refuse_twice(what: str, values: Sequence[str]) -> None:
    seen: dict[str, int] = {}
    for index, value in enumerate(values):
        if value in seen:
            raise misfit(("servers", index, what), f"two servers have the {what} {value}")
        seen[value] = index
