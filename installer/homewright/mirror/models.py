"""What `homewright mirror` prints, and keeps beside what it has fetched."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]


class Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Item(Model):
    """One thing that a site fetches."""

    kind: Literal["image", "file", "package"]
    """A package is of the system's own archive, which apt has and checks: it is named, and neither fetched nor read."""
    name: str
    """What it is called here, such as kubelet."""
    version: str
    architecture: Literal["amd64", "arm64"] | None = None
    """Of a file; an image has those that were asked for."""
    reference: str
    """As it is published: an image's reference, a file's address, or a package's name."""
    source: str
    """Where this site gets it: from its mirror, where it has one."""
    checksum: str | None = None
    """Of a file, the address of its published SHA-256."""
    digest: Digest | None = None
    """What is published under the reference; known once it was fetched, and compared from then on."""
    state: Literal["unknown", "there", "missing", "wrong"] = "unknown"
    """In the folder, or at the site's mirror, as it was looked at now; `list` looks at nothing."""
    reason: str = ""
    """Why it is missing or wrong; of one that is there, that it was compared with nothing."""


class Carried(Model):
    """What a folder holds that was fetched into it."""

    version: Literal[1] = 1
    architectures: tuple[Literal["amd64", "arm64"], ...]
    digests: dict[str, Digest] = {}
    """By reference: what was published under it when it was fetched first."""
    held: dict[str, Digest] = {}
    """By reference: the image in the folder, for the site's own machines; a mirror that is filled from it has that."""


class MirrorDocument(Model):
    """Everything that a site's cluster fetches."""

    version: Literal[1] = 1
    site: str
    folder: str | None = None
    """The folder that was looked at; none where it was the site's mirror, or nothing at all."""
    items: tuple[Item, ...] = ()
