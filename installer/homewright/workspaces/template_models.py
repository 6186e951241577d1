"""What a template says: data, checked when it is read. One model for each kind of place that workspaces live in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from homewright.errors import UsageError
from homewright.site.cluster import LabelKey, LabelValue
from homewright.workspaces.models import WorkspaceModel

WORKLOAD_MAX = 52
"""A StatefulSet's name: its pods carry it with a hash of ten digits in a label of 63 (kubernetes#64023)."""
PREFIX_MAX = WORKLOAD_MAX - 40 - 1
"""What is left of it before a slug of 40 characters and a hyphen."""
PLACEHOLDERS = ("{slug}", "{workload}")
PASSWORDS = ("{password}", "{password_hash}")
REPOSITORY_STEP = "repository"
"""The init container that clones."""
FILES = "/etc/homewright"
"""Where a pod finds the files of its template that hold its password; read-only."""

_SIZE = re.compile(r"([1-9][0-9]*)(MiB|GiB)")
_UNITS = {"MiB": 1 << 20, "GiB": 1 << 30}
_PROXY = re.compile(r"(https?|ftp|all|no)_proxy", re.IGNORECASE)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_IMAGE = re.compile(
    r"(?:[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?/)?[a-z0-9]+([._/-]+[a-z0-9]+)*"
    r"(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(@sha256:[0-9a-f]{64})?"
)

Label = Annotated[str, Field(pattern=r"^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$")]
"""A DNS label that begins with a letter."""
PodPath = Annotated[str, Field(pattern=r"^(/[A-Za-z0-9._-]+)+$", max_length=200)]
PortNumber = Annotated[int, Field(ge=1, le=65535)]


def bytes_of(size: str) -> int:
    """Bytes of `4GiB` or `512MiB`."""
    match = _SIZE.fullmatch(size)
    assert match is not None
    return int(match[1]) * _UNITS[match[2]]


def _size(value: str) -> str:
    if not _SIZE.fullmatch(value):
        raise ValueError("must be a number with MiB or GiB, such as 4GiB")
    return value


def _folder(value: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9_-]{0,31}", value):
        raise ValueError("must be one plain folder name: dot folders and paths are never shared")
    return value


def _image(value: str) -> str:
    if not _IMAGE.fullmatch(value):
        raise ValueError("is no name of an image, such as registry.example.org/team/editor:1.2")
    tag = value.rsplit("/", 1)[-1]
    if "@" not in value and (":" not in tag or tag.endswith(":latest")):
        raise ValueError("needs a tag that is not latest, or a digest: a restart must bring back what was there")
    return value


def _own_name(value: str) -> str:
    for placeholder in PLACEHOLDERS:
        value = value.replace(placeholder, "x")
    if not re.fullmatch(r"[a-z]([a-z0-9-]*[a-z0-9])?", value) or len(value) > 190:
        raise ValueError("must be a name in lower case with {slug} or {workload} in it")
    return value


def _named_by_slug(value: str) -> str:
    if not any(placeholder in value for placeholder in PLACEHOLDERS):
        raise ValueError("needs {slug} or {workload}: without it two people would get the same one")
    _own_name(value)
    return value


Size = Annotated[str, AfterValidator(_size)]
OwnName = Annotated[str, AfterValidator(_named_by_slug)]


class Preset(WorkspaceModel):
    """A size: limits, enforced where the node's kernel can."""

    title: str
    cpu: Annotated[float, Field(gt=0, le=1024)]
    """Processors."""
    memory: Size

    @property
    def memory_bytes(self) -> int:
        return bytes_of(self.memory)


class NodePreset(Preset):
    """A size of a workspace on a server."""

    tasks: Annotated[int, Field(ge=64)]
    """Processes and threads."""


class PodPreset(Preset):
    """A size of a workspace in the cluster. Requests are what the scheduler keeps free for it."""

    cpu_request: Annotated[float, Field(gt=0, le=1024)]
    """Processors."""
    memory_request: Size
    gpus: Annotated[int, Field(ge=0, le=64)] = 0
    """Whole NVIDIA GPUs."""

    @model_validator(mode="after")
    def _requests_within_limits(self) -> PodPreset:
        if self.cpu_request > self.cpu or bytes_of(self.memory_request) > self.memory_bytes:
            raise ValueError("it requests more than its limit")
        return self


class Mount(WorkspaceModel):
    """A folder under the data root of a server."""

    folder: Annotated[str, AfterValidator(_folder)]
    writable: bool = True


class Probe(WorkspaceModel):
    """How readiness is seen. Any other path than /healthz counts as activity."""

    path: Literal["/healthz"] = "/healthz"
    start_timeout_s: Annotated[int, Field(ge=5, le=3600)] = 300


class _Template(WorkspaceModel):
    """What all templates say. `version` is that of this format."""

    version: Literal[1]
    name: Label
    title: str
    summary: str
    warning: str = ""
    """What is said wherever a workspace of this template is created."""
    default_preset: str
    probe: Probe = Probe()
    environment: dict[str, str] = {}

    @property
    def sizes(self) -> Mapping[str, Preset]:
        raise NotImplementedError

    @model_validator(mode="after")
    def _is_consistent(self) -> _Template:
        if self.default_preset not in self.sizes:
            raise ValueError(f"default_preset {self.default_preset} is none of its presets")
        for variable, value in self.environment.items():
            if not _VARIABLE.fullmatch(variable) or any(ord(character) < 32 for character in value):
                raise ValueError(f"{variable!r} cannot be an environment variable")
            if _PROXY.fullmatch(variable):
                raise ValueError(f"{variable} is a proxy setting, and those break the installation of extensions")
        return self

    def _known(self, name: str) -> None:
        if name not in self.sizes:
            raise UsageError(
                f"Template {self.name} has no preset {name}.", "", [f"choose one of: {', '.join(self.sizes)}"]
            )


class NodeTemplate(_Template):
    """A workspace on a server itself."""

    backend: Literal["node"]
    presets: dict[str, NodePreset]
    mounts: tuple[Mount, ...]
    opens: str
    """The mount that the editor opens."""

    @property
    def sizes(self) -> Mapping[str, NodePreset]:
        return self.presets

    @model_validator(mode="after")
    def _opens_a_mount(self) -> NodeTemplate:
        if self.opens not in {mount.folder for mount in self.mounts}:
            raise ValueError(f"opens {self.opens}, which is none of its mounts")
        return self

    def preset(self, name: str) -> NodePreset:
        """Raises UsageError where there is none of this name."""
        self._known(name)
        return self.presets[name]


class Volume(WorkspaceModel):
    """Storage that outlives the pod."""

    claim: OwnName
    """The name of its PersistentVolumeClaim, with {slug} or {workload} in it."""
    path: PodPath
    size: Size


class Port(WorkspaceModel):
    """A port of the Service, and the container's that it leads to."""

    name: Annotated[str, Field(pattern=r"^[a-z]([a-z0-9-]{0,13}[a-z0-9])?$")]
    service: PortNumber
    container: Annotated[int, Field(ge=1024, le=65535)]
    """Above 1023: a pod without capabilities binds no other."""


class InitStep(WorkspaceModel):
    """A command that ends before the workspace starts, in its image and with its volumes."""

    name: Label
    command: Annotated[tuple[str, ...], Field(min_length=1)]


class Reach(WorkspaceModel):
    """A service inside the cluster that workspaces may reach, besides DNS."""

    namespace: Label
    ports: Annotated[tuple[PortNumber, ...], Field(min_length=1)]


class Toleration(WorkspaceModel):
    """A taint that keeps other pods from a node, and its workspaces not."""

    key: LabelKey
    value: LabelValue | None = None
    """By default whatever the taint says."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] = "NoSchedule"


class PodTemplate(_Template):
    """A workspace in the cluster: one StatefulSet of none or one pod."""

    backend: Literal["kubernetes"]
    namespace: Label
    """Where its workspaces live; a namespace of its own, at Pod Security level restricted."""
    prefix: Annotated[str, Field(pattern=r"^[a-z]([a-z0-9-]*[a-z0-9])?$", max_length=PREFIX_MAX)]
    """Workload and Service are called PREFIX-SLUG."""
    host: Annotated[str, Field(pattern=r"^[a-z]([a-z0-9-]*[a-z0-9])?$", max_length=22)]
    """The first label of its address: https://HOST-SLUG.ZONE."""
    policy: Label
    """The NetworkPolicy that keeps the namespace's pods apart."""
    image: Annotated[str, AfterValidator(_image)]
    command: tuple[str, ...] = ()
    """By default the image's own."""
    user: Annotated[int, Field(ge=1, le=2**31 - 1)] = 1000
    """User, group and owner of the volumes."""
    presets: dict[str, PodPreset]
    volumes: Annotated[tuple[Volume, ...], Field(min_length=1)]
    ports: Annotated[tuple[Port, ...], Field(min_length=1)]
    web: str
    """The port that browsers reach and the probe asks."""
    files: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9._-]{0,62}$")], str]
    """Files below /etc/homewright, from a Secret; {password} and {password_hash} (Argon2id) are put in."""
    credentials: OwnName | None = None
    """A Secret of its user's own, whose keys become environment variables of the pod."""
    init: tuple[InitStep, ...] = ()
    repositories: PodPath | None = None
    """The folder of a volume below which a repository is cloned; its image has git, and timeout of coreutils."""
    reaches: tuple[Reach, ...] = ()
    tolerations: tuple[Toleration, ...] = ()
    """Nodes that are kept free by these taints take its workspaces, such as homewright.dev/simulated on practice
    clusters, where nothing runs."""

    @property
    def sizes(self) -> Mapping[str, PodPreset]:
        return self.presets

    @model_validator(mode="after")
    def _fits_together(self) -> PodTemplate:
        if self.web not in {port.name for port in self.ports}:
            raise ValueError(f"web {self.web} is none of its ports")
        for what, values in (
            ("claim", [volume.claim for volume in self.volumes]),
            ("path", [volume.path for volume in self.volumes]),
            ("port name", [port.name for port in self.ports]),
            ("service port", [port.service for port in self.ports]),
            ("init step", [step.name for step in self.init]),
        ):
            if len(set(values)) != len(values):
                raise ValueError(f"a {what} is there twice")
        if any(f"{volume.path}/".startswith(f"{FILES}/") for volume in self.volumes):
            raise ValueError(f"{FILES} is where the files are")
        if any(step.name == REPOSITORY_STEP for step in self.init):
            raise ValueError(f"{REPOSITORY_STEP} is the name of the step that clones")
        below = self.repositories
        if below is not None and not any(f"{below}/".startswith(f"{volume.path}/") for volume in self.volumes):
            raise ValueError(f"repositories {below} is in none of its volumes: they would be gone with the pod")
        if not any(word in text for text in self.files.values() for word in PASSWORDS):
            raise ValueError("none of its files holds {password} or {password_hash}: nobody would be asked for one")
        return self

    def preset(self, name: str) -> PodPreset:
        """Raises UsageError where there is none of this name."""
        self._known(name)
        return self.presets[name]
