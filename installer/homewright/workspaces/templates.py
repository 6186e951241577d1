"""Templates: what a workspace is made from. They are data, checked when they are read."""

from __future__ import annotations

import re
from importlib import resources
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationError, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from homewright.errors import UsageError
from homewright.workspaces.errors import WorkspaceError
from homewright.workspaces.models import WorkspaceModel

_SIZE = re.compile(r"([1-9][0-9]*)(MiB|GiB)")
_UNITS = {"MiB": 1 << 20, "GiB": 1 << 30}
_PROXY = re.compile(r"(https?|ftp|all|no)_proxy", re.IGNORECASE)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def _size(value: str) -> str:
    if not _SIZE.fullmatch(value):
        raise ValueError("must be a number with MiB or GiB, such as 4GiB")
    return value


def _folder(value: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9_-]{0,31}", value):
        raise ValueError("must be one plain folder name: dot folders and paths are never shared")
    return value


class Preset(WorkspaceModel):
    """A size: limits, enforced where the node's kernel can."""

    title: str
    cpu: Annotated[float, Field(gt=0, le=1024)]
    """Processors."""
    memory: Annotated[str, AfterValidator(_size)]
    tasks: Annotated[int, Field(ge=64)]
    """Processes and threads."""

    @property
    def memory_bytes(self) -> int:
        match = _SIZE.fullmatch(self.memory)
        assert match is not None
        return int(match[1]) * _UNITS[match[2]]


class Mount(WorkspaceModel):
    """A folder under the data root."""

    folder: Annotated[str, AfterValidator(_folder)]
    writable: bool = True


class Probe(WorkspaceModel):
    """How readiness is seen. Any other path than /healthz counts as activity."""

    path: Literal["/healthz"] = "/healthz"
    start_timeout_s: Annotated[int, Field(ge=5, le=3600)] = 300


class Template(WorkspaceModel):
    """One template. `version` is that of this format."""

    version: Literal[1]
    name: str
    title: str
    summary: str
    backend: Literal["node"]
    warning: str = ""
    """What is said wherever a workspace of this template is created."""
    default_preset: str
    presets: dict[str, Preset]
    mounts: tuple[Mount, ...]
    opens: str
    """The mount that the editor opens."""
    probe: Probe = Probe()
    environment: dict[str, str] = {}

    @model_validator(mode="after")
    def _fits_together(self) -> Template:
        if self.default_preset not in self.presets:
            raise ValueError(f"default_preset {self.default_preset} is none of its presets")
        if self.opens not in {mount.folder for mount in self.mounts}:
            raise ValueError(f"opens {self.opens}, which is none of its mounts")
        for variable, value in self.environment.items():
            if not _VARIABLE.fullmatch(variable) or any(ord(character) < 32 for character in value):
                raise ValueError(f"{variable!r} cannot be an environment variable")
            if _PROXY.fullmatch(variable):
                raise ValueError(f"{variable} is a proxy setting, and those break the installation of extensions")
        return self

    def preset(self, name: str) -> Preset:
        """Raises UsageError where there is none of this name."""
        try:
            return self.presets[name]
        except KeyError:
            raise UsageError(
                f"Template {self.name} has no preset {name}.", "", [f"choose one of: {', '.join(self.presets)}"]
            ) from None


class TemplatesDocument(WorkspaceModel):
    """What `homewright workspace templates --json` prints."""

    version: Literal[1] = 1
    templates: tuple[Template, ...]


def parse(text: str, source: str) -> Template:
    """A template from its YAML. Raises WorkspaceError with the source, the field and the reason."""
    try:
        return Template.model_validate(YAML(typ="safe", pure=True).load(text))
    except YAMLError as error:
        raise WorkspaceError(f"The template {source} cannot be read.", str(error), ["mend the file"]) from error
    except ValidationError as error:
        problem = error.errors()[0]
        field = ".".join(str(part) for part in problem["loc"]) or "the whole"
        raise WorkspaceError(
            f"The template {source} is wrong.", f"{field}: {problem['msg']}.", ["mend the file"]
        ) from error


def shipped() -> dict[str, Template]:
    """The templates that come with Homewright, by name. Raises WorkspaceError."""
    found: dict[str, Template] = {}
    folder = resources.files("homewright.assets") / "templates"
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        if file.name.endswith(".yaml"):
            template = parse(file.read_text(encoding="utf-8"), file.name)
            found[template.name] = template
    return found
