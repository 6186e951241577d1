"""The shape of ``stage.yaml``: one stage, its steps, and how each is run, proved, taken back and recovered."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

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
    "kubernetes_nodes",
    "kubernetes_carriers",
    "kubernetes_api",
    "gpu_hosts",
    "passthrough_hosts",
    "gpu_instances",
    "dns_server",
    "controller",
]


class Definition(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Limits(Definition):
    """Limits of one step, in minutes."""

    soft: Minutes = 10
    """After this long the run warns."""
    hard: Minutes = 60
    """After this long the step is ended by force and has failed."""
    silent: Minutes = 15
    """After this long without any output the step is ended by force and has failed."""
    stop: Minutes = 2
    """After a cancel, how long the step may take to its next safe point (between two tasks, operations or servers)
    before it is ended by force."""


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


def _reverted_path(text: str) -> str:
    plain = text.rstrip("/")
    if not text.startswith("/") or "//" in text or {".", ".."} & set(text.split("/")) or plain.count("/") < 2:
        raise ValueError("must be an absolute path of at least two parts, such as /etc/netplan/")
    if f"{plain}/".startswith(("/proc/", "/sys/", "/dev/", "/run/", "/tmp/", "/var/lib/homewright/")):
        raise ValueError("cannot be put back: it does not last, or is not the server's own")
    return text


class Revert(Definition):
    """What a server does by itself where nobody confirms that a step which may lock out went well."""

    files: tuple[Annotated[str, AfterValidator(_reverted_path)], ...] = Field(min_length=1)
    """Files and folders as they are put back; a folder, with all that is in it, ends in /. What is not there before
    the step is removed again."""
    command: str = ""
    """A line of shell, run as root once the files are back: what makes them count, such as `netplan apply`."""
    minutes: Minutes = 4
    """How long the server waits, from when it could last be reached afresh, until it puts everything back; after a
    reboot the time begins anew."""


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
    """The numbered file (x8) that proves it: proved, broken or cannot tell. Python takes a second; a playbook of
    somebody's own tree, which proves by ending well and changing nothing, takes ten times as long."""
    rollback: str
    """The numbered file (x9) that takes it back."""
    recover: str | None = None
    """Inspects and mends a partial state, where `run` is not repeatable as it is."""
    requires: tuple[StepId, ...] | None = None
    """Steps that must have succeeded before; by default the one before in this stage."""
    hosts: Group = "servers"
    """The inventory's group that it runs on."""
    when: str | None = None
    """A dotted path of site.yaml that must be set for the step to run; otherwise it is skipped with that reason."""
    secret: str | None = None
    """A secret of somebody's account that the step needs; without it the step is skipped with that reason."""
    reads: tuple[str, ...] = ()
    """Answers (dotted paths of site.yaml) that it depends on: changing one makes the step pending again."""
    changes: Changes = Changes()
    """Every file, package, account and unit that it changes on a server; its receipts are made of these."""
    minutes: Minutes = 1
    """How long it takes, until history knows better."""
    limits: Limits = Limits()
    reboots: bool = False
    """Servers that it changed are rebooted after `run`, one after another, the one that Homewright runs on last; each
    has to come back with a new boot id before it is proved."""
    may_lock_out: bool = False
    """It could cut the operator off: the server is armed with `revert` before it, and disarmed once it is proved."""
    revert: Revert | None = None
    """What is put back; for steps that may lock out, and only for them."""
    shares_hosts: bool = False
    """It may work on a server while another step that says so works there too."""
    remedies: tuple[Remedy, ...] = ()

    @model_validator(mode="after")
    def _can_be_taken_back_by_the_server(self) -> Step:
        if self.may_lock_out and self.revert is None:
            raise ValueError("a step that may lock out needs revert: the files that the server puts back by itself")
        if self.revert is not None and not self.may_lock_out:
            raise ValueError("revert is only for a step that may_lock_out")
        if self.shares_hosts and (self.reboots or self.may_lock_out):
            raise ValueError("a step that reboots or may lock out has its servers to itself: no shares_hosts")
        return self


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
    groups: dict[Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")], Group] = {}
    """Other names of the inventory's groups: those that the playbooks of somebody's own tree call them by."""
    steps: tuple[Step, ...]
