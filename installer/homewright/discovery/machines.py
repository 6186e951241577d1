"""Recorded machines that travel with Homewright: for rehearsals, tests and reports. Each folder is a small site.

A folder holds `machine.yaml` (what it is, where it comes from), `site.yaml` (names and addresses, for a rehearsal) and
one bundle for each host, as `homewright discover --save` writes it. The bundles are the truth.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from homewright.discovery.bundle import RawBundle
from homewright.discovery.bundle import load as load_bundles
from homewright.discovery.facts import HostFacts
from homewright.discovery.parsing import parse
from homewright.errors import SiteError

DESCRIPTION = "machine.yaml"
SITE = "site.yaml"

Origin = Literal["recorded", "composed"]


class Description(BaseModel):
    """machine.yaml: what a recorded machine is, and where it comes from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    title: Annotated[str, Field(min_length=10, max_length=120)]
    """What it is, in one line."""
    kind: Annotated[tuple[str, ...], Field(min_length=1)]
    """Tags to find it by: headless, amd, no-iommu, …"""
    origin: Origin
    """`recorded`: our probe ran on it; `composed`: written by us after facts that others publish."""
    how: Annotated[str, Field(min_length=20)]
    """When and how it was recorded, or what it was composed after."""
    sources: tuple[str, ...] = ()
    """Addresses of what a composed machine was composed after."""
    broken: tuple[str, ...] = ()
    """What is wrong with it on purpose, a sentence each; nothing, of a healthy one."""
    unreachable: dict[str, str] = {}
    """Servers of its site that did not answer, and why."""

    @model_validator(mode="after")
    def _composed_after_something(self) -> Description:
        if self.origin == "composed" and not self.sources:
            raise ValueError("a composed machine names what it was composed after")
        return self


@dataclass(frozen=True)
class Machine:
    """One folder of recorded machines."""

    name: str
    description: Description
    bundles: tuple[RawBundle, ...]
    """Of every host that answered, by name."""
    site: bytes
    """Its site.yaml."""

    @property
    def title(self) -> str:
        return self.description.title

    @property
    def kind(self) -> tuple[str, ...]:
        return self.description.kind

    @property
    def origin(self) -> Origin:
        return self.description.origin

    @property
    def sources(self) -> str:
        """Where it comes from, in words and addresses."""
        return " ".join((self.description.how.strip(), *self.description.sources))

    @property
    def unreachable(self) -> dict[str, str]:
        return self.description.unreachable

    def facts(self) -> dict[str, HostFacts]:
        """The facts of every host that answered, by name."""
        return {bundle.host: parse(bundle) for bundle in self.bundles}


def folder() -> Path:
    """Where they are."""
    return Path(str(resources.files("homewright.assets"))) / "machines"


def names() -> tuple[str, ...]:
    """What can be loaded, in alphabetical order."""
    return tuple(sorted(file.parent.name for file in folder().glob(f"*/{DESCRIPTION}")))


def load(name: str) -> Machine:
    """A recorded machine. Raises SiteError where there is none of this name, or its folder is damaged."""
    if name not in names():
        raise SiteError(f"There is no recorded machine {name}.", "", [f"name one of: {', '.join(names())}"])
    return of_folder(folder() / name)


def of_folder(place: Path) -> Machine:
    """The recorded machine in a folder. Raises SiteError where it is damaged."""
    description = _description(place / DESCRIPTION)
    return Machine(
        name=place.name,
        description=description,
        bundles=load_bundles(place),
        site=_read(place / SITE),
    )


def every() -> Iterator[Machine]:
    """All of them, in alphabetical order. Raises SiteError where one is damaged."""
    return map(load, names())


def _description(file: Path) -> Description:
    try:
        value = YAML(typ="safe", pure=True).load(io.BytesIO(_read(file)))
        return Description.model_validate(value)
    except YAMLError as error:
        raise SiteError(f"{file} is no YAML.", str(error).splitlines()[0]) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise SiteError(
            f"{file} describes no machine.", f"{where}: {first['msg']}." if where else f"{first['msg']}."
        ) from error


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise SiteError(f"{file} cannot be read.", f"{error.strerror or error}.") from error
