"""The plans that are kept in the state folder: the one that was approved last, and the one that was applied last.

`plans/approved.json` says what somebody agreed to: when a run is refused since something changed, it tells what.
`plans/applied.json` says what the servers were made to be: `homewright plan` after an edit is compared with it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from homewright.planning.changes import FileUse, PackageUse
from homewright.planning.plan import NOT_ASKED, Plan, PlanHost, PlanStage
from homewright.site.paths import StateFolder, make_folder, write_atomically

# What compares is loaded where something is compared: an engine hardly ever does, and it is an eighth of what it loads.
if TYPE_CHECKING:
    from homewright.planning.difference import Difference


def approved(state: StateFolder) -> Plan | None:
    """The plan that was approved last; None where there is none, or none that this version reads."""
    return _read(_folder(state) / "approved.json")


def applied(state: StateFolder) -> Plan | None:
    """What was applied last; None where nothing was, or nothing that this version reads."""
    return _read(applied_file(state))


def applied_file(state: StateFolder) -> Path:
    """Where that is kept."""
    return _folder(state) / "applied.json"


def since_last(state: StateFolder, now: Plan) -> Difference | None:
    """What this plan has otherwise than the one applied last, before the first run the one approved last.

    None where there is neither.
    """
    from homewright.planning.difference import difference

    made = applied(state)
    before = made or approved(state)
    return difference(before, now, made=made is not None) if before is not None else None


def last_named(state: StateFolder) -> str:
    """What `since_last` compares with, in words, and where it is kept."""
    if applied(state) is None:
        return f"what was approved last ({_folder(state) / 'approved.json'})"
    return f"what was applied last ({applied_file(state)})"


def approve(state: StateFolder, plan: Plan) -> None:
    """Keep what somebody agrees to. Raises StateError."""
    _write(_folder(state) / "approved.json", plan)


def apply(state: StateFolder, plan: Plan) -> None:
    """Keep what a run begins to apply; stages that it leaves out stay as applied before. Raises StateError."""
    _write(applied_file(state), merged(applied(state), plan))


def since_approval(state: StateFolder, digest: str | None, now: Plan) -> str:
    """What changed since the plan of this digest was approved; empty where that plan is not kept."""
    plan = approved(state)
    if plan is None or plan.digest != digest:
        return ""
    from homewright.planning.difference import difference, summary

    return summary(difference(plan, now, made=applied(state) is not None))


def roll_back(state: StateFolder, stages: frozenset[str]) -> None:
    """Keep that these stages are taken back. Raises StateError."""
    before = applied(state)
    if before is not None:
        _write(applied_file(state), without(before, stages))


def merged(before: Plan | None, now: Plan) -> Plan:
    """The new plan, with the stages that it was not asked for as they were before. Pure."""
    if before is None or before.site != now.site:
        return now
    earlier = {stage.id: stage for stage in before.stages if not stage.skipped}
    kept = {s.id for s in now.stages if s.skipped == NOT_ASKED and s.id in earlier}
    stages = tuple(earlier[stage.id] if stage.id in kept else stage for stage in now.stages)
    steps = frozenset(step.id for stage in stages if stage.id in kept for step in stage.steps)
    hosts = [_joined(before.on(host.host), host, steps) for host in now.hosts]
    instances = before.instances if _make_instances(stages, kept) else now.instances
    return now.model_copy(update={"stages": stages, "hosts": tuple(hosts), "instances": instances})


def without(before: Plan, stages: frozenset[str]) -> Plan:
    """The plan without these stages. Pure."""
    gone = frozenset(step.id for stage in before.stages if stage.id in stages for step in stage.steps)
    kept: tuple[PlanStage, ...] = tuple(
        stage.model_copy(update={"skipped": NOT_ASKED}) if stage.id in stages else stage for stage in before.stages
    )
    hosts = []
    for host in before.hosts:
        files = tuple(use for use in host.files if use.step not in gone)
        packages = tuple(use for use in host.packages if use.step not in gone)
        hosts.append(host.model_copy(update={"files": files, "packages": packages}))
    instances = () if _make_instances(before.stages, stages) else before.instances
    return before.model_copy(update={"stages": kept, "hosts": tuple(hosts), "instances": instances})


def _make_instances(stages: Sequence[PlanStage], among: Collection[str]) -> bool:
    """Whether the stage that makes the instances is among these: the first that reads what they are to be."""
    return next((s.id for s in stages if any("instances" in step.reads for step in s.steps)), None) in among


def _joined(before: PlanHost | None, now: PlanHost, steps: frozenset[str]) -> PlanHost:
    if before is None:
        return now
    files: tuple[FileUse, ...] = (*now.files, *(use for use in before.files if use.step in steps))
    packages: tuple[PackageUse, ...] = (*now.packages, *(use for use in before.packages if use.step in steps))
    return now.model_copy(update={"files": files, "packages": packages})


def _folder(state: StateFolder) -> Path:
    return state.root / "plans"


def _read(file: Path) -> Plan | None:
    try:
        return Plan.model_validate_json(file.read_bytes())
    except (OSError, ValidationError):
        return None


def _write(file: Path, plan: Plan) -> None:
    make_folder(file.parent)
    write_atomically(file, plan.model_dump_json(indent=2).encode() + b"\n")
