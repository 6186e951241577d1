"""`homewright resume`: go on with the run that did not end well. What was done is proved first, then the rest done."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from homewright.cli import runs
from homewright.cli.output import Output
from homewright.engine import launch
from homewright.engine.journal import Reader
from homewright.engine.states import Action, State
from homewright.errors import Cancelled, UsageError

if TYPE_CHECKING:
    from homewright.engine.journal.records import RunRecord, StepRecord

ENDED_WELL = (State.SUCCEEDED, State.ROLLED_BACK)
_WORDS = {Action.RUN: "apply", Action.VERIFY: "verify", Action.ROLLBACK: "rollback"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    runs.add_start_arguments(parser)
    add_machine_argument(parser)


def add_machine_argument(parser: argparse.ArgumentParser) -> None:
    """Which servers may be other machines than before: all that was applied is applied to them again."""
    parser.add_argument(
        "--new-machine",
        metavar="HOST",
        action="append",
        default=[],
        help="this server was replaced or installed anew: do all its steps again",
    )


def run(args: argparse.Namespace, output: Output) -> int:
    return go_on(args, output, "Go on with it?")


def go_on(
    args: argparse.Namespace,
    output: Output,
    question: str,
    *,
    anew: Sequence[str] = (),
    skips: Mapping[str, str] | None = None,
) -> int:
    """Say where the last run stands, ask, and start another engine on it; the exit code.

    Raises UsageError where a step or a server that was named is none of the run's, Cancelled at a no, and what
    `launch.resume` raises.
    """
    file, site, state = runs.place(args)
    reader = Reader(state)
    record = reader.run()
    steps = reader.steps(record.id)
    known = {step.step for step in steps}
    for step in (*anew, *(skips or {})):
        if step not in known:
            raise UsageError(f"The run {record.id} has no step {step}.", f"It has {', '.join(sorted(known))}.")
    if (anew or skips or args.new_machine) and record.action is not Action.RUN:
        raise UsageError(
            f"The last run is a {_WORDS[record.action]}, which is gone on with as a whole.",
            "Steps are run again, or skipped, and new machines are accepted, where they are applied.",
            [f"go on with it: {runs.command('resume')}", f"or apply first: {runs.command('apply')}"],
        )
    for host in args.new_machine:
        if host not in {server.name for server in site.servers}:
            names = ", ".join(server.name for server in site.servers)
            raise UsageError(f"{host} is no server of this site.", f"There are {names}.")
    if record.state in ENDED_WELL and not (anew or args.new_machine):
        output.line(
            f"Nothing remains to be done: run {record.id} {'is taken back' if back(record) else 'has succeeded'}."
        )
        output.line(f"Prove it again: {runs.command('verify')}")
        output.document({"version": 1, "id": record.id, "state": record.state, "resumed": False})
        return 0
    if not args.jsonl:
        for line in lines(record, steps):
            output.line(line)
    if not output.confirm(question, yes=args.yes, otherwise=f"say yes beforehand: {runs.command('resume --yes')}"):
        raise Cancelled("Nothing was done.")
    after = reader.last_seq(record.id)
    launch.resume(
        file, state, record.id, anew=anew, skips=skips, new_machines=args.new_machine, ask=runs.somebody(args)
    )
    if args.detach:
        output.line(f"Run {record.id} goes on. Watch it: {runs.command('attach')}")
        output.document({"version": 1, "id": record.id, "state": State.RUNNING, "resumed": True})
        return 0
    return runs.watch(args, output, state, record.id, after)


def back(record: RunRecord) -> bool:
    return record.action is Action.ROLLBACK


def lines(record: RunRecord, steps: Sequence[StepRecord]) -> Iterator[str]:
    """What was recorded: done, cut off, failed, and what remains."""
    yield f"Run {record.id}: {_WORDS.get(record.action, record.action)}, {record.state}."
    if record.reason:
        yield f"  why: {record.reason}"
    heads = [step for step in steps if not step.host]
    titles = (
        ("recorded as done, to be proved again first", ENDED_WELL),
        ("cut off in the middle", (State.INTERRUPTED, State.CANCELLED, State.RUNNING)),
        ("failed", (State.FAILED, State.INCOMPLETE)),
        ("skipped", (State.SKIPPED,)),
        ("not begun", (State.PENDING,)),
    )
    for title, states in titles:
        named = [f"{step.step} {step.title}" for step in heads if step.state in states]
        if named:
            yield f"  {title}: {', '.join(named)}"
