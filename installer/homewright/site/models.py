"""The answers of a site: versioned, validated, without secrets.

One field here is one question of the wizard and one key of ``site.yaml``. A field's description is what the help
of its screen shows.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, PrivateAttr, field_validator, model_validator

from homewright.site.answers import (
    Acceptance,
    GpuChoice,
    InstanceSettings,
    NetworkSettings,
    NotifySettings,
    PlatformSettings,
    RunSettings,
)
from homewright.site.cluster import ClusterSettings
from homewright.site.values import (
    AbsoluteFolder,
    Address,
    Bundle,
    HostKey,
    HostName,
    InstanceImage,
    Model,
    NicName,
    PlainFolder,
    UserName,
    Zone,
    harmless_group,
    misfit,
)

VERSION = 1


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
    nic: NicName | None = None
    """The network interface that the bridge br0 takes over; by default the one that carries its address."""


class Leaving(Server):
    """A server that leaves the site: it is no server of it any more, and not quite gone."""

    lost: bool = False
    """It does not come back: nothing can be taken back on it, and the cluster forgets it by force."""


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
    instances: InstanceImage | None = None
    """Where the instances' image comes from: https://SERVER/PATH#IMAGE of a simplestreams server, or the path on this
    machine of a root file system with its metadata beside it in a .tar; by default Ubuntu 24.04 from Ubuntu's own."""
    images: Annotated[str, Field(pattern=r"^[a-z0-9.-]+(:[0-9]+)?(/[a-z0-9._/-]*)?$")] | None = None
    """A container registry that has copies, each below the name of the registry that it is from, such as
    registry.lan:5000 with registry.lan:5000/images.example.org/app; by default every image's own registry."""
    debian: Annotated[str, Field(pattern=r"^https?://[^\s/?#@]+(/[^\s?#]*)?$")] | None = None
    """Base address of a Debian mirror, for images that are built on the nodes; by default Debian's own."""
    npm: Annotated[str, Field(pattern=r"^https?://[^\s/?#@]+(/[^\s?#]*)?$")] | None = None
    """Base address of an npm registry, for the same; by default npm's own."""
    plain_http: bool = False
    """Whether that registry speaks HTTP without TLS."""
    files: Annotated[str, Field(pattern=r"^https?://[^\s/?#@]+(/[^\s?#]*)?$")] | None = None
    """Base address of a web server that has copies of files, each below the name of the server that it is from, such as
    http://mirror.lan/files with http://mirror.lan/files/files.example.org/app; by default every file's own server."""


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
    data_group: Annotated[UserName, AfterValidator(harmless_group)] = "homewright-data"
    """The group that the worker's jobs and the workspaces share those folders as."""
    first_port: Annotated[int, Field(ge=1024, le=64000)] = 8500
    """The first port given to a workspace on a node."""
    master: HostName | None = None
    """The server that gets no node workspaces; by default the first one, where there are several."""
    code_server: CodeServer = CodeServer()
    storage_class: Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$")] | None = None
    """What the storage of workspaces in the cluster is made of; by default the cluster's own default."""
    ingress_class: Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$")] | None = None
    """Which ingress controller leads to workspaces in the cluster; by default the cluster's own default."""
    ingress_namespace: Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")] = "ingress"
    """The namespace of that ingress controller: nothing else may reach workspaces in the cluster."""
    istio_gateway: (
        Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?/[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")] | None
    ) = None
    """NAMESPACE/NAME of the Istio Gateway that leads to workspaces, instead of an Ingress, where the cluster has Istio.
    It answers by HTTPS for all names right below the zone, with a certificate of its own; no dot may be in its name."""
    issuer: Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$")] | None = None
    """The ClusterIssuer that signs their addresses; by default what the ingress controller shows for all of them."""
    devenv_image: bool = False
    """Whether the image of the template devenv is built on a node and brought to all others: no registry has it. It
    takes minutes, and about a gigabyte on every node of a cluster that Homewright has made."""


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
    leaving: tuple[Leaving, ...] = ()
    """Servers that leave the site: kept here until what Homewright put on them is taken back, or they are forgotten."""
    zone: Zone | None = None
    """The DNS zone of the platform; while there is none, everything is reached by address."""
    network: NetworkSettings = NetworkSettings()
    gpus: tuple[GpuChoice, ...] = ()
    """What becomes of each GPU; one that is not named stays as it is."""
    instances: InstanceSettings = InstanceSettings()
    platform: PlatformSettings = PlatformSettings()
    cluster: ClusterSettings = ClusterSettings()
    environment: dict[str, str] = {}
    """Extra lines for the environment file of every server (stage 00, step 30); no secrets."""
    sudo: SudoSettings = SudoSettings()
    host_venv: HostVenv = HostVenv()
    mirror: MirrorSettings = MirrorSettings()
    workspaces: WorkspaceSettings = WorkspaceSettings()
    runs: RunSettings = RunSettings()
    notify: NotifySettings = NotifySettings()
    accepted: tuple[Acceptance, ...] = ()
    """Warnings of checks that somebody has accepted, each with the reason."""

    @model_validator(mode="after")
    def _servers_are_distinct(self) -> Site:
        _refuse_twice("name", [server.name for server in self.servers])
        _refuse_twice("address", [server.address for server in self.servers])
        _refuse_twice("name", [one.name for one in self.leaving], ("leaving",), "leaving servers")
        for index, one in enumerate(self.leaving):
            if one.name in {server.name for server in self.servers}:
                raise misfit(("leaving", index, "name"), f"{one.name} is a server of this site")
        master = self.workspaces.master
        if master is not None and master not in {server.name for server in self.servers}:
            raise misfit(("workspaces", "master"), f"{master} is no server of this site")
        return self

    @model_validator(mode="after")
    def _instances_fit(self) -> Site:
        nodes = self.instances.nodes or ()
        servers = {server.name: server.address for server in self.servers}
        owners = {address: name for name, address in servers.items()}
        _refuse_twice("name", [node.name for node in nodes], ("instances", "nodes"), "instances")
        _refuse_twice("address", [node.address for node in nodes], ("instances", "nodes"), "instances")
        for index, node in enumerate(nodes):
            at = ("instances", "nodes", index)
            if node.host not in servers:
                raise misfit((*at, "host"), f"{node.host} is no server of this site")
            if node.name in servers:
                raise misfit((*at, "name"), f"a server is called {node.name} already")
            if node.address in owners:
                raise misfit((*at, "address"), f"{node.address} is the address of {owners[node.address]}")
        for index, name in enumerate(self.instances.gone):
            if name in {node.name for node in nodes}:
                raise misfit(("instances", "gone", index), f"{name} is one of the instances that are to be there")
        return self

    @model_validator(mode="after")
    def _gpus_fit(self) -> Site:
        servers = {server.name for server in self.servers}
        nodes = self.instances.nodes
        seen: set[tuple[str, str]] = set()
        for index, gpu in enumerate(self.gpus):
            if gpu.host not in servers:
                raise misfit(("gpus", index, "host"), f"{gpu.host} is no server of this site")
            if (gpu.host, gpu.address) in seen:
                raise misfit(("gpus", index, "address"), f"{gpu.address} of {gpu.host} is there twice")
            seen.add((gpu.host, gpu.address))
            if gpu.instance is not None and gpu.use != "passthrough":
                raise misfit(("gpus", index, "instance"), "only a GPU that is passed through goes to an instance")
            if gpu.instance is not None and nodes is not None and gpu.instance not in {node.name for node in nodes}:
                raise misfit(("gpus", index, "instance"), f"{gpu.instance} is no instance of this site")
        return self

    def server(self, name: str) -> Server:
        """The server of this name; KeyError where there is none."""
        for server in self.servers:
            if server.name == name:
                return server
        raise KeyError(name)

    def with_back(self, names: Collection[str]) -> Site:
        """The site with these of the leaving servers among its servers, as the last ones: to take back what is there.

        Nothing is planned on them.
        """
        back = tuple(one for one in self.leaving if one.name in names)
        if not back:
            return self
        plain = tuple(Server.model_validate(one.model_dump(exclude={"lost"})) for one in back)
        staying = tuple(one for one in self.leaving if one not in back)
        instances = self.instances
        if instances.nodes is None:
            instances = instances.model_copy(update={"nodes": ()})
        return self.model_copy(update={"servers": (*self.servers, *plain), "leaving": staying, "instances": instances})

    @property
    def master(self) -> Server | None:
        """The server that gets no node workspaces: none on a site of one server (where they run with a warning)."""
        if len(self.servers) < 2:
            return None
        return self.server(self.workspaces.master) if self.workspaces.master else self.servers[0]


def _refuse_twice(
    what: str, values: Sequence[str | None], at: tuple[str, ...] = ("servers",), of: str = "servers"
) -> None:
    seen: set[str] = set()
    for index, value in enumerate(values):
        if value in seen:
            raise misfit((*at, index, what), f"two {of} have the {what} {value}")
        if value is not None:
            seen.add(value)
