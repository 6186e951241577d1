"""The shape of ``stage.yaml``: one stage, its steps, and how each is run, proved, taken back and recovered."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

StepId = Annotated[str, Field(pattern=r"^[0-9a-z_]+(/[0-9a-z_-]+)+$")]


def _compiles(text: str) -> str:
    """A wrong one is told when the catalogue is loaded, not in the middle of a failure."""
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"is no regular expression: {error}") from None
    return text


Expression = Annotated[str, AfterValidator(_compiles)]
Minutes = Annotated[float, Field(gt=0)]
Runner = Literal["ansible", "pyinfra", "python"]
Group = Literal[
    "servers",
    "lxd_servers",
    "instances",
    "kubernetes_control_plane",
    "kubernetes_workers",
    "gpu_hosts",
    "passthrough_hosts",
    "dns_server",
    "controller",
]


class Definition(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Limits(Definition):
    """Limits of one step, in minutes."""

    soft: Minutes = 10
    """After this long the run warns."""
    hard: Minutes = 60
    """After this long the step is ended by force and has failed."""
    silent: Minutes = 15
    """After this long without any output the step is ended by force and has failed."""


class Remedy(Definition):
    """What to do when a failure's output looks like this."""

    when: Expression
    """A regular expression over the step's output."""
    say: str
    """What it means, in a sentence."""
    do: tuple[str, ...] = ()
    """What to do, in order; each a sentence or a command."""


PLACEHOLDERS = ("user", "home", "host", "host_venv")
"""What a changed file may have in braces: of each server its user and the user's home, its name, its environment."""
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


def _changed_file(text: str) -> str:
    unknown = [name for name in _PLACEHOLDER.findall(text) if name not in PLACEHOLDERS]
    if unknown:
        known = ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)
        raise ValueError(f"has an unknown placeholder {{{unknown[0]}}} (known: {known})")
    if not text.startswith(("/", "{home}/", "{host_venv}")) or "/../" in text:
        raise ValueError("must be an absolute path, or begin with {home}/ or {host_venv}")
    return text


class Changes(Definition):
    """What a step changes on a server, so that a plan can name it all beforehand."""

    files: tuple[Annotated[str, AfterValidator(_changed_file)], ...] = ()
    """Files that it writes or edits; a folder that is the step's own ends in /. Placeholders: {user}, {home}, {host},
    {host_venv}."""
    packages: tuple[Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9+.-]+$")], ...] = ()
    """Packages that it installs where they are missing; what they need comes with them."""
    accounts: tuple[Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_-]*$")], ...] = ()
    """Accounts that it makes."""
    units: tuple[Annotated[str, Field(pattern=r"^[A-Za-z0-9@:_.-]+\.[a-z]+$")], ...] = ()
    """Units of systemd that it installs, enables or starts, with their suffix."""


class Step(Definition):
    """One step of a stage."""

    id: StepId
    """stage/step, such as 00/10; a component of stage 40 has one more part (40/core/keycloak/10)."""
    title: str
    summary: str = ""
    """What it changes on a host, in one sentence."""
    runner: Runner
    """What carries `run` and `rollback` out; `verify` and `recover` that end in .py and are no pyinfra are python."""
    run: str
    """The numbered file (x0–x7) that does the work."""
    verify: str
    """The numbered file (x8) that proves it: proved, broken or cannot tell."""
    rollback: str
    """The numbered file (x9) that takes it back."""
    recover: str | None = None
    """Inspects and mends a partial state, where `run` is not repeatable as it is."""
    requires: tuple[StepId, ...] | None = None
    """Steps that must have succeeded before; by default the one before in this stage."""
    hosts: Group = "servers"
    """The inventory's group that it runs on."""
    reads: tuple[str, ...] = ()
    """Answers (dotted paths of site.yaml) that it depends on: changing one makes the step pending again."""
    changes: Changes = Changes()
    """Every file, package, account and unit that it changes on a server; its receipts are made of these."""
    minutes: Minutes = 1
    """How long it takes, until history knows better."""
    limits: Limits = Limits()
    reboots: bool = False
    may_lock_out: bool = False
    remedies: tuple[Remedy, ...] = ()


class Stage(Definition):
    """One stage: a numbered folder."""

    id: Annotated[str, Field(pattern=r"^[0-9a-z_]+(/[0-9a-z_-]+)*$")]
    """00, 10, … or 40/core/keycloak."""
    title: str
    summary: str = ""
    requires: tuple[str, ...] | None = None
    """Stages that come before; by default the one before in the catalogue's order."""
    when: str | None = None
    """A dotted path of site.yaml that must be set for the stage to run; otherwise it is skipped with that reason."""
    steps: tuple[Step, ...]
