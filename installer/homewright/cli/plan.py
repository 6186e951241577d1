"""`homewright plan`: what apply would do, where, for how long, and what it could break."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from homewright.cli import runs
from homewright.cli.output import Output
from homewright.engine.journal import Reader
from homewright.errors import PlanMismatch, StateError, UsageError
from homewright.site.paths import StateFolder, write_atomically

if TYPE_CHECKING:
    from homewright.planning import Plan
    from homewright.site.models import Site


def add_choice_arguments(parser: argparse.ArgumentParser) -> None:
    """Which stages."""
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--only", metavar="STAGE", help="this stage alone")
    which.add_argument("--from", dest="start_at", metavar="STAGE", help="this stage and those after it")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_choice_arguments(parser)
    parser.add_argument("--save", metavar="FILE", type=Path, help="keep it, for apply --plan FILE")


def run(args: argparse.Namespace, output: Output) -> int:
    _, site, state = runs.place(args)
    planned = compute(args, site, state)
    for line in lines(planned):
        output.line(line)
    if args.save is not None:
        save(args.save, planned)
        output.line(f"Saved as {args.save}. Carry it out: {runs.command(args, f'apply --plan {args.save}')}")
    output.document(planned)
    return 0


def compute(args: argparse.Namespace, site: Site, state: StateFolder) -> Plan:
    """The plan of now. Raises SiteError, CatalogueError, StateError."""
    from homewright.catalogue import load, shipped
    from homewright.planning import plan
    from homewright.planning.known import known_facts

    catalogue = load([shipped(), *runs.stages(args)])
    history = Reader(state).history()
    return plan(site, catalogue, known_facts(site, state), history, only=args.only, start_at=args.start_at)


def save(file: Path, planned: Plan) -> None:
    """Raises StateError where the file cannot be written."""
    target = file.expanduser().absolute()
    if not target.parent.is_dir():
        raise StateError(
            f"{file} cannot be saved.", f"There is no folder {target.parent}.", ["make it, or name another"]
        )
    write_atomically(target, planned.model_dump_json(indent=2).encode() + b"\n")


def saved(file: Path) -> Plan:
    """A plan that was saved. Raises UsageError."""
    from pydantic import ValidationError

    from homewright.planning import Plan

    try:
        return Plan.model_validate_json(file.expanduser().read_bytes())
    except OSError as error:
        raise UsageError(f"{file} cannot be read.", f"{error.strerror}.", ["homewright plan --save FILE"]) from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise UsageError(
            f"{file} is no plan.", f"{where}: {first['msg']}.".lstrip(": "), ["homewright plan --save FILE"]
        ) from error


def require_same(approved: Plan, now: Plan) -> None:
    """Raises PlanMismatch where site, catalogue, servers or the chosen stages are others than they were."""
    chosen = [[stage.id for stage in each.stages if not stage.skipped] for each in (approved, now)]
    if approved.digest == now.digest and chosen[0] == chosen[1]:
        return
    why = "The site, the catalogue or a server is another one since it was saved."
    if approved.site != now.site:
        why = f"It is a plan for the site {approved.site}, and this is {now.site}."
    elif approved.digest == now.digest:
        why = "It is a plan for other stages."
    raise PlanMismatch(
        "The plan that was saved no longer fits.",
        why,
        ["look at the new one: homewright plan --save FILE", "apply that"],
    )


def lines(planned: Plan) -> Iterator[str]:
    """The plan in words."""
    steps = planned.steps()
    count = f"{len(steps)} step{'' if len(steps) == 1 else 's'}"
    yield f"Plan for the site {planned.site}: {count}, about {duration(planned.minutes)}."
    for stage in planned.stages:
        if stage.skipped:
            yield f"Stage {stage.id} {stage.title}: skipped, {stage.skipped}."
            continue
        yield f"Stage {stage.id} {stage.title}:"
        for step in stage.steps:
            risks = [", reboots"] if step.reboots else []
            risks += [", could lock you out"] if step.may_lock_out else []
            hosts = ", ".join(step.hosts) if step.hosts else "no server"
            yield f"  {step.id} {step.title} on {hosts}, about {duration(step.minutes)}{''.join(risks)}"
    for host in planned.hosts:
        yield f"Changes on {host.host}:"
        for change in host.changes:
            yield f"  {change}"
        if not host.changes:
            yield "  none"
    if planned.reboots:
        yield f"Will be rebooted: {', '.join(planned.reboots)}."
    for warning in planned.warnings:
        yield f"Warning: {warning}"


def duration(minutes: float) -> str:
    """Minutes in words: 20 seconds, 3 minutes, 1 hour 5 minutes."""
    if minutes < 1:
        return f"{max(1, round(minutes * 60))} seconds"
    whole = round(minutes)
    if whole < 60:
        return f"{whole} minute{'' if whole == 1 else 's'}"
    return f"{whole // 60} hour{'' if whole < 120 else 's'} {whole % 60} minutes"
