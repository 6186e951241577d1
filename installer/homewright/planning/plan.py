"""The plan: what apply would do, computed from the site, the catalogue, the facts and how long it took before. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Literal

from homewright.catalogue import Catalogue, Stage, Step
from homewright.discovery.facts import HostFacts
from homewright.errors import SiteError
from homewright.planning.answers import answer as answer
from homewright.planning.answers import flattened
from homewright.planning.changes import FileUse, PackageUse, files_of, packages_of
from homewright.planning.decisions import Decided, decide
from homewright.planning.documents import AtBoot, Decision, Document, Misfit
from homewright.planning.groups import members, why_empty
from homewright.site.answers import Instance
from homewright.site.models import Site

NOT_ASKED = "it was not asked for"
"""Why a stage is skipped that was left out on the command line."""
GIB = 1024**3


class PlanStep(Document):
    """One step that would run."""

    id: str
    title: str
    summary: str
    """What it changes on a server, in one sentence."""
    runner: str
    hosts: tuple[str, ...]
    skipped: str = ""
    """Why it runs on no server, in a sentence; empty where it runs."""
    requires: tuple[str, ...]
    reads: tuple[str, ...] = ()
    """The answers that it depends on."""
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
    files: tuple[FileUse, ...] = ()
    """Every file that will change."""
    packages: tuple[PackageUse, ...] = ()
    """Every package that is installed where it is missing."""
    reboots: bool
    may_lock_out: bool


class Machine(Document):
    """What a server was when the plan was made: what decisions rest on, and nothing that changes by itself."""

    host: str
    machine_id: str
    system: str
    """Its operating system with version, and its architecture."""
    cpu: int | None
    memory: int | None
    """GiB, rounded."""
    gpus: tuple[str, ...]
    """Address, vendor and device of each."""


class Plan(Document):
    """What apply would do."""

    version: Literal[1] = 1
    site: str
    digest: str
    """SHA-256 over site, catalogue, the servers' identity and what was decided; apply refuses another one."""
    stages: tuple[PlanStage, ...]
    hosts: tuple[PlanHost, ...]
    minutes: float
    """Total of the steps' minutes."""
    reboots: tuple[str, ...]
    """Servers that would be rebooted."""
    may_lock_out: tuple[str, ...]
    """Steps that could cut the operator off."""
    warnings: tuple[str, ...]
    decisions: tuple[Decision, ...] = ()
    """What was decided, each with one sentence why."""
    problems: tuple[Misfit, ...] = ()
    """Answers that cannot be carried out."""
    answers: dict[str, str] = {}
    """The answers that it was made for, by their dotted names; defaults are left out."""
    catalogue: str = ""
    """SHA-256 of the catalogue that it was made for."""
    machines: tuple[Machine, ...] = ()
    """The servers that it was made for, of those that were discovered."""
    instances: tuple[Instance, ...] = ()
    """The instances that are there once it is carried out."""

    at_boot: AtBoot | None = None
    """Whether the run goes on after the machine that Homewright runs on was off; None where nobody has asked it."""

    def steps(self) -> tuple[PlanStep, ...]:
        """The steps that would run, in order."""
        return tuple(step for stage in self.stages if not stage.skipped for step in stage.steps)

    def on(self, host: str) -> PlanHost | None:
        """What happens to this server; None where it is not in the plan."""
        return next((found for found in self.hosts if found.host == host), None)


def plan(
    site: Site,
    catalogue: Catalogue,
    facts: Mapping[str, HostFacts] | None = None,
    history: Mapping[str, float] | None = None,
    *,
    only: str | None = None,
    start_at: str | None = None,
    also: Collection[str] = (),
    decided: Decided | None = None,
    secrets: Collection[str] | None = None,
    back: Collection[tuple[str, str]] | None = None,
    places: Mapping[str, Sequence[str]] | None = None,
) -> Plan:
    """The plan. `history` has the minutes that steps took before; `only` and `start_at` name stages, `also` those
    besides `only`; `decided` is what `decisions.decide` made of the same site and facts, where the caller has it
    already; `secrets` names those that the site has (None: nobody has looked, and no step is skipped for the lack of
    one). `back` makes it a roll-back's, and has the steps, by server, that were applied: what was done is taken back,
    whatever answers and secrets were taken away since, also on a server that is in the step's group no more.
    `places` are the hosts of each step, in place of its group's; steps that it does not name run nowhere.

    Raises SiteError where there is no server, CatalogueError where a named stage is not in the catalogue.
    """
    known = facts or {}
    if not site.servers:
        raise SiteError(
            "The site has no server.",
            "There is nothing to run on.",
            ["add one: homewright site set servers.0 …, or in the wizard: homewright"],
        )
    chosen = _chosen(catalogue, only, start_at, also)
    stages = tuple(
        _stage(stage, site, catalogue, known, history or {}, chosen, secrets, back, places)
        for stage in catalogue.stages
    )
    running = [step for stage in stages if not stage.skipped for step in stage.steps if step.hosts]
    by_id = {step.id: step for step in catalogue.steps()}
    hosts = tuple(_host(server.name, running, by_id, site) for server in site.servers)
    found = decided or decide(site, known)
    decisions = found.decisions
    machines = _machines(site, known)
    answers = flattened(site)
    return Plan(
        site=site.name,
        digest=_digest(answers, catalogue.digest, machines, decisions),
        stages=stages,
        hosts=hosts,
        minutes=round(sum(step.minutes for step in running), 2),
        reboots=tuple(host.host for host in hosts if host.reboots),
        may_lock_out=tuple(step.id for step in running if step.may_lock_out),
        warnings=tuple(_warnings(site, known)),
        decisions=decisions,
        problems=found.problems,
        answers=answers,
        catalogue=catalogue.digest,
        machines=machines,
        instances=found.instances.nodes,
    )


def digest(site: Site, catalogue_digest: str, facts: Mapping[str, HostFacts]) -> str:
    """What a plan is made for. Of the facts only who the servers are and what was decided by them counts: free memory
    changes by the second."""
    return _digest(flattened(site), catalogue_digest, _machines(site, facts), decide(site, facts).decisions)


def _digest(
    answers: Mapping[str, str], catalogue: str, machines: Sequence[Machine], decisions: Sequence[Decision]
) -> str:
    record = {
        "site": dict(answers),
        "catalogue": catalogue,
        "machines": [machine.model_dump(mode="json") for machine in machines],
        "decisions": [[decision.topic, decision.chosen] for decision in decisions],
    }
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


def _machines(site: Site, facts: Mapping[str, HostFacts]) -> tuple[Machine, ...]:
    found = []
    for server in site.servers:
        if server.name in facts:
            one = facts[server.name]
            found.append(
                Machine(
                    host=server.name,
                    machine_id=one.system.machine_id,
                    system=f"{one.system.os_id} {one.system.os_version} {one.system.architecture}".strip(),
                    cpu=one.cpu.threads,
                    memory=None if one.memory.total is None else round(one.memory.total / GIB),
                    gpus=tuple(f"{gpu.address} {gpu.vendor} {gpu.device_id}".strip() for gpu in one.gpus),
                )
            )
    return tuple(found)


def _chosen(catalogue: Catalogue, only: str | None, start_at: str | None, also: Collection[str]) -> Collection[str]:
    ids = [stage.id for stage in catalogue.stages]
    if only is not None:
        return {catalogue.stage(only).id, *also}
    if start_at is not None:
        return set(ids[ids.index(catalogue.stage(start_at).id) :])
    return set(ids)


def _stage(
    stage: Stage,
    site: Site,
    catalogue: Catalogue,
    facts: Mapping[str, HostFacts],
    history: Mapping[str, float],
    chosen: Collection[str],
    secrets: Collection[str] | None,
    back: Collection[tuple[str, str]] | None,
    places: Mapping[str, Sequence[str]] | None,
) -> PlanStage:
    skipped = ""
    if stage.id not in chosen:
        skipped = NOT_ASKED
    elif stage.when is not None and back is None and answer(site, stage.when) in (None, "", [], {}, False):
        skipped = f"{stage.when} is not set in the site"
    elif places is not None and not any(step.id in places for step in stage.steps):
        skipped = NOT_ASKED
    steps = tuple(_step(step, site, catalogue, facts, history, secrets, back, places) for step in stage.steps)
    return PlanStage(id=stage.id, title=stage.title, summary=stage.summary, skipped=skipped, steps=steps)


def _step(
    step: Step,
    site: Site,
    catalogue: Catalogue,
    facts: Mapping[str, HostFacts],
    history: Mapping[str, float],
    secrets: Collection[str] | None,
    back: Collection[tuple[str, str]] | None,
    places: Mapping[str, Sequence[str]] | None,
) -> PlanStep:
    measured = history.get(step.id)
    hosts, skipped = members(step.hosts, site, facts), ""
    if places is not None:
        hosts = tuple(places.get(step.id, ()))
    elif back is not None:
        hosts += tuple(one.name for one in site.servers if one.name not in hosts and (step.id, one.name) in back)
    when, secret = (None, None) if back is not None else (step.when, step.secret)
    if when is not None and answer(site, when) in (None, "", [], {}, False):
        hosts, skipped = (), f"{when} is not set in the site."
    elif secret is not None and secrets is not None and secret not in secrets:
        hosts, skipped = (), f"The site has no secret {secret}."
    return PlanStep(
        id=step.id,
        title=step.title,
        summary=step.summary or step.title,
        runner=step.runner,
        hosts=hosts,
        skipped=skipped or ("" if hosts else why_empty(step.hosts, site)),
        requires=catalogue.requires(step),
        reads=step.reads,
        minutes=round(step.minutes if measured is None else max(measured, 0.01), 2),
        measured=measured is not None,
        reboots=step.reboots,
        may_lock_out=step.may_lock_out,
    )


def _host(name: str, steps: Iterable[PlanStep], by_id: Mapping[str, Step], site: Site) -> PlanHost:
    mine = [step for step in steps if name in step.hosts]
    declared = [by_id[step.id] for step in mine]
    return PlanHost(
        host=name,
        changes=tuple(f"{step.id} {step.summary}" for step in mine),
        files=tuple(files_of(declared, site, name)),
        packages=tuple(packages_of(declared)),
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
