"""`homewright plan`: what apply would do, where, for how long, and what it could break."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from homewright.cli import at_boot, preflight, runs
from homewright.cli.output import Output
from homewright.engine.journal import Reader
from homewright.errors import PlanMismatch, UsageError, addressed
from homewright.site.paths import StateFolder, write_atomically

if TYPE_CHECKING:
    from homewright.planning import Misfit, Plan, PlanHost
    from homewright.planning.difference import Difference
    from homewright.site.models import Site


PARTS = ("network", "gpus", "instances", "platform")


def add_choice_arguments(parser: argparse.ArgumentParser) -> None:
    """Which stages."""
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--only", metavar="STAGE", help="this stage alone")
    which.add_argument("--from", dest="start_at", metavar="STAGE", help="this stage and those after it")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_choice_arguments(parser)
    parser.add_argument("--save", metavar="FILE", type=Path, help="keep it, for apply --plan FILE")
    parser.add_argument(
        "--compare",
        metavar="FILE",
        nargs="?",
        const="",
        help="what is different from a plan that was saved; without FILE from what was applied last",
    )
    about = "one part of what was decided, with the reasons: " + ", ".join(PARTS)
    parser.add_argument("part", metavar="PART", nargs="?", choices=PARTS, help=about)


def run(args: argparse.Namespace, output: Output) -> int:
    _, site, state = runs.place(args)
    if args.part is not None:
        from homewright.cli import plan_parts

        return plan_parts.show(args.part, site, state, output)
    planned = compute(args, site, state)
    if args.compare is not None:
        return _compare(args.compare, planned, state, output)
    for line in lines(planned):
        output.line(line)
    for line in _since(planned, state):
        output.line(line)
    for line in preflight.warnings(site, state):
        output.line(line)
    if args.save is not None:
        save(args.save, planned)
        output.line(f"Saved as {args.save}. Carry it out: {runs.command(f'apply --plan {args.save}')}")
    output.document(planned)
    return 0


def compute(args: argparse.Namespace, site: Site, state: StateFolder) -> Plan:
    """The plan of now. Raises SiteError, CatalogueError, StateError."""
    from homewright.catalogue import load, shipped
    from homewright.planning import plan
    from homewright.planning.known import known_facts
    from homewright.site.secrets import Secrets

    catalogue = load([shipped(), *runs.stages(args)])
    history = Reader(state).history()
    planned = plan(
        site,
        catalogue,
        known_facts(site, state),
        history,
        only=args.only,
        start_at=args.start_at,
        secrets=Secrets(state.secrets).names(),
    )
    asks = sys.stdin.isatty() and not getattr(args, "yes", False)
    return at_boot.foreseen(planned, state.site, state, asks=asks) if state.site else planned


def save(file: Path, planned: Plan) -> None:
    """Raises UsageError where there is no such folder, StateError where the file cannot be written."""
    target = file.expanduser().absolute()
    if not target.parent.is_dir():
        raise UsageError(
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
    from homewright.planning.difference import difference, summary

    chosen = [[stage.id for stage in each.stages if not stage.skipped] for each in (approved, now)]
    if approved.digest == now.digest and chosen[0] == chosen[1]:
        return
    if approved.site != now.site:
        why = f"It is a plan for the site {approved.site}, and this is {now.site}."
    elif approved.digest == now.digest:
        why = "It is a plan for other stages."
    else:
        why = summary(difference(approved, now)) or "The site, the catalogue or a server is another one since then."
    raise PlanMismatch(
        "The plan that was saved no longer fits.",
        why,
        ["look at the new one: homewright plan --save FILE", "apply that"],
    )


def require_same_machines(approved: Plan, now: Plan) -> None:
    """Raises PlanMismatch where a server that the approved plan knew is another one, as the checks have found by now.

    What it did not know yet may have been learned since.
    """
    known = {machine.host for machine in approved.machines}
    those = tuple(machine for machine in now.machines if machine.host in known)
    if those == now.machines or those != approved.machines:
        require_same(approved, now)


def lines(planned: Plan) -> Iterator[str]:
    """The plan in words."""
    steps = [step for step in planned.steps() if not step.skipped]
    count = f"{len(steps)} step{'' if len(steps) == 1 else 's'}"
    yield f"Plan for the site {planned.site}: {count}, about {duration(planned.minutes)}."
    for stage in planned.stages:
        if stage.skipped:
            yield f"Stage {stage.id} {stage.title}: skipped, {stage.skipped}."
            continue
        yield f"Stage {stage.id} {stage.title}:"
        for step in stage.steps:
            if step.skipped:
                yield f"  {step.id} {step.title}: skipped. {step.skipped}"
                continue
            risks = [", reboots"] if step.reboots else []
            risks += [", could lock you out"] if step.may_lock_out else []
            yield f"  {step.id} {step.title} on {', '.join(step.hosts)}, about {duration(step.minutes)}{''.join(risks)}"
    for names, host in _alike(planned):
        yield f"Changes on {', '.join(names)}:"
        for change in host.changes:
            yield f"  {change}"
        for use in host.files:
            yield f"  file {use.path}{f' ({use.step})' if use.step else ' (every run)'}"
        for package in host.packages:
            yield f"  package {package.name}, where it is missing ({package.step})"
        if not host.changes:
            yield "  none"
    if planned.decisions:
        yield "Decided:"
    for decision in planned.decisions:
        yield f"  {decision.topic}: {decision.chosen}. {addressed(decision.why)}"
    yield from at_boot.plan_lines(planned)
    if planned.reboots:
        yield f"Will be rebooted: {', '.join(planned.reboots)}."
    for warning in planned.warnings:
        yield f"Warning: {addressed(warning)}"
    for problem in planned.problems:
        yield from in_words(problem)


def _alike(planned: Plan) -> Iterator[tuple[list[str], PlanHost]]:
    """Servers with the same changes together, so that fifty of them are not fifty lists."""
    groups: dict[tuple[object, ...], tuple[list[str], PlanHost]] = {}
    for host in planned.hosts:
        key = (host.changes, host.files, host.packages)
        groups.setdefault(key, ([], host))[0].append(host.host)
    yield from groups.values()


def in_words(problem: Misfit) -> Iterator[str]:
    """An answer that does not fit, and what to do."""
    yield f"Does not fit: {problem.field}: {problem.reason}."
    for step in problem.do:
        yield f"  do: {addressed(step)}"


def _compare(file: str, planned: Plan, state: StateFolder, output: Output) -> int:
    """What is different from a saved plan, or from what was applied last. Raises UsageError where there is neither."""
    from homewright.planning import kept
    from homewright.planning.difference import difference, sentences

    if file:
        found: Difference | None = difference(saved(Path(file)), planned, made=kept.applied(state) is not None)
    else:
        found = kept.since_last(state, planned)
    if found is None:
        raise UsageError(
            "There is nothing to compare with.",
            f"No plan was applied yet: {kept.applied_file(state)} is not there.",
            ["name a plan that was saved: homewright plan --compare FILE", "or apply one: homewright apply"],
        )
    output.line(f"Compared with {file or kept.last_named(state)}:")
    for line in sentences(found):
        output.line(f"  {addressed(line)}")
    if found.empty:
        output.line("  Nothing is different.")
    output.document(found)
    return 0


def _since(planned: Plan, state: StateFolder) -> Iterator[str]:
    """What is different from what was applied last; nothing where nothing was."""
    from homewright.planning import kept
    from homewright.planning.difference import sentences

    found = kept.since_last(state, planned)
    if found is None:
        return
    if found.empty:
        yield f"Nothing is different from {kept.last_named(state)}."
        return
    yield f"Different from {kept.last_named(state)}:"
    for line in sentences(found):
        yield f"  {addressed(line)}"


def duration(minutes: float) -> str:
    """Minutes in words: 20 seconds, 3 minutes, 1 hour 5 minutes."""
    if minutes < 1:
        return f"{max(1, round(minutes * 60))} seconds"
    whole = round(minutes)
    if whole < 60:
        return f"{whole} minute{'' if whole == 1 else 's'}"
    return f"{whole // 60} hour{'' if whole < 120 else 's'} {whole % 60} minutes"
