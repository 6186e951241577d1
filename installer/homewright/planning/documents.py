"""What the parts of a plan have in common: documents, decisions with their reason, answers that do not fit."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Decision(Document):
    """One thing that was decided."""

    topic: str
    """Network, GPU, instances, platform: what it is about."""
    chosen: str
    """What was decided."""
    why: str
    """Why, in one sentence."""


class AtBoot(Document):
    """What becomes of a run when the machine that Homewright runs on loses power."""

    resumes: bool
    """Whether it goes on at boot, without anybody signed in."""
    why: str
    """One sentence: how, or what is in the way."""


class Misfit(Document):
    """An answer that cannot be carried out."""

    field: str
    """The answer, as site.yaml names it: network.pods, gpus, instances.nodes.n1."""
    reason: str
    """What is wrong, in one sentence."""
    do: tuple[str, ...] = ()
    """What to do, in order; each a sentence or a command."""
