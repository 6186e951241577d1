"""The plan: what apply would do, computed from the site, the catalogue, the facts and how long it took before. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from homewright.catalogue import Catalogue, Stage, Step
from homewright.discovery.facts import HostFacts
from homewright.errors import SiteError
from homewright.planning.groups import members
from homewright.site.models import Site


class Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class PlanStep(Document):
    """One step that would run."""

    id: str
    title: str
    summary: str
    """What it changes on a server, in one sentence."""
    runner: str
    hosts: tuple[str, ...]
    requires: tuple[str, ...]
    minutes: float
    """How long it takes: the mean of its last successes, else what the catalogue says."""
    measured: bool
    """Whether `minutes` comes from past runs."""
    reboots: bool
    may_lock_out: bool


class PlanStage(Document):
    """One stage of the plan."""

    id: str
    title: str
    summary: str
    skipped: str = ""
    """Why it would not run; empty where it would."""
    steps: tuple[PlanStep, ...]


class PlanHost(Document):
    """What happens to one server."""

    host: str
    changes: tuple[str, ...]
    """One sentence a step."""
    reboots: bool
    may_lock_out: bool


class Plan(Document):
    """What apply would do."""

    version: Literal[1] = 1
    site: str
    digest: str
    """SHA-256 over site, catalogue and the servers' identity; apply refuses another one."""
    stages: tuple[PlanStage, ...]
    hosts: tuple[PlanHost, ...]
    minutes: float
    """Total of the steps' minutes."""
    reboots: tuple[str, ...]
    """Servers that would be rebooted."""
    may_lock_out: tuple[str, ...]
    """Steps that could cut the operator off."""
    warnings: tuple[str, ...]

    def steps(self) -> tuple[PlanStep, ...]:
        """The steps that would run, in order."""
        return tuple(step for stage in self.stages if not stage.skipped for step in stage.steps)


def plan(
    site: Site,
    catalogue: Catalogue,
    facts: Mapping[str, HostFacts] | None = None,
    history: Mapping[str, float] | None = None,
    *,
    only: str | None = None,
    start_at: str | None = None,
) -> Plan:
    """The plan. `history` has the minutes that steps took before; `only` and `start_at` name stages.

    Raises SiteError where there is no server, CatalogueError where a named stage is not in the catalogue.
    """
    known = facts or {}
    if not site.servers:
        raise SiteError(
            "The site has no server.",
            "There is nothing to run on.",
            ["add one: homewright site set servers.0 …, or in the wizard: homewright"],
        )
    chosen = _chosen(catalogue, only, start_at)
    stages = tuple(_stage(stage, site, catalogue, known, history or {}, chosen) for stage in catalogue.stages)
    running = [step for stage in stages if not stage.skipped for step in stage.steps]
    hosts = tuple(_host(server.name, running) for server in site.servers)
    return Plan(
        site=site.name,
        digest=digest(site, catalogue.digest, known),
        stages=stages,
        hosts=hosts,
        minutes=round(sum(step.minutes for step in running), 2),
        reboots=tuple(host.host for host in hosts if host.reboots),
        may_lock_out=tuple(step.id for step in running if step.may_lock_out),
        warnings=tuple(_warnings(site, known)),
    )


def digest(site: Site, catalogue_digest: str, facts: Mapping[str, HostFacts]) -> str:
    """What a plan was made for. Of the facts only who the servers are counts: free memory changes by the second."""
    identity = {name: found.system.machine_id for name, found in sorted(facts.items())}
    named = {server.name for server in site.servers}
    record = {
        "site": site.model_dump(mode="json"),
        "catalogue": catalogue_digest,
        "machines": {name: machine for name, machine in identity.items() if name in named},
    }
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


def answer(site: Site, path: str) -> Any:
    """The answer at a dotted path of site.yaml; None where there is none."""
    value: Any = site.model_dump(mode="json")
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _chosen(catalogue: Catalogue, only: str | None, start_at: str | None) -> set[str]:
    ids = [stage.id for stage in catalogue.stages]
    if only is not None:
        return {catalogue.stage(only).id}
    if start_at is not None:
        return set(ids[ids.index(catalogue.stage(start_at).id) :])
    return set(ids)


def _stage(
    stage: Stage,
    site: Site,
    catalogue: Catalogue,
    facts: Mapping[str, HostFacts],
    history: Mapping[str, float],
    chosen: set[str],
) -> PlanStage:
    skipped = ""
    if stage.id not in chosen:
        skipped = "it was not asked for"
    elif stage.when is not None and answer(site, stage.when) in (None, "", [], {}, False):
        skipped = f"{stage.when} is not set in the site"
    steps = tuple(_step(step, site, catalogue, facts, history) for step in stage.steps)
    return PlanStage(id=stage.id, title=stage.title, summary=stage.summary, skipped=skipped, steps=steps)


def _step(
    step: Step, site: Site, catalogue: Catalogue, facts: Mapping[str, HostFacts], history: Mapping[str, float]
) -> PlanStep:
    measured = history.get(step.id)
    return PlanStep(
        id=step.id,
        title=step.title,
        summary=step.summary or step.title,
        runner=step.runner,
        hosts=members(step.hosts, site, facts),
        requires=catalogue.requires(step),
        minutes=round(step.minutes if measured is None else max(measured, 0.01), 2),
        measured=measured is not None,
        reboots=step.reboots,
        may_lock_out=step.may_lock_out,
    )


def _host(name: str, steps: Iterable[PlanStep]) -> PlanHost:
    mine = [step for step in steps if name in step.hosts]
    return PlanHost(
        host=name,
        changes=tuple(f"{step.id} {step.summary}" for step in mine),
        reboots=any(step.reboots for step in mine),
        may_lock_out=any(step.may_lock_out for step in mine),
    )


def _warnings(site: Site, facts: Mapping[str, HostFacts]) -> Iterable[str]:
    servers = len(site.servers)
    if servers == 1:
        yield "There is only one server: when it is down, everything is down, and workspaces share it with all else."
    if servers == 2:
        yield (
            "Two servers cannot form a quorum: when one fails, the other cannot tell that it may go on alone. "
            f"So {site.servers[0].name} alone is the control plane; a third server would change that."
        )
    unknown = [server.name for server in site.servers if server.name not in facts]
    if unknown:
        yield f"The hardware of {', '.join(unknown)} is not known yet: homewright discover"
    elif not any(gpu.vendor == "nvidia" for found in facts.values() for gpu in found.gpus):
        yield "No server has an NVIDIA GPU: workspaces will run without one."
