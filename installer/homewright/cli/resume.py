"""`homewright resume`: go on with the run that did not end well. What was done is proved first, then the rest done."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from homewright.cli import runs
from homewright.cli.output import Output
from homewright.engine import client, launch, recorded
from homewright.engine.client import Presence
from homewright.engine.events import Kind
from homewright.engine.follow import follow
from homewright.engine.journal import Reader
from homewright.engine.states import PAUSED, Action, State, Verdict
from homewright.errors import Cancelled, HomewrightError, UsageError, addressed

if TYPE_CHECKING:
    from homewright.engine.journal.records import RunRecord
    from homewright.engine.remains import Remains

ENDED_WELL = (State.SUCCEEDED, State.ROLLED_BACK)
_WORDS = {Action.RUN: "apply", Action.VERIFY: "verify", Action.ROLLBACK: "rollback"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    runs.add_start_arguments(parser)
    add_machine_argument(parser)
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--look", action="store_true", help="say what is done and what remains, and do nothing")
    only.add_argument(
        "--prove", action="store_true", help="prove what is done, say what that showed, and do nothing else"
    )


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
    if args.look:
        from homewright.engine import remains

        file, _, state = runs.place(args)
        return _tell(remains.look(file, state), output)
    return prove(args, output) if args.prove else go_on(args, output, "Go on with it?")


def prove(args: argparse.Namespace, output: Output) -> int:
    """Prove what the last run has done and say where it stands then; 0 where all of it was proved."""
    from homewright.engine import remains

    file, _, state = runs.place(args)
    reader = Reader(state)
    record = reader.run()
    if record.state in ENDED_WELL:
        return _tell(remains.look(file, state), output)
    after = reader.last_seq(record.id)
    launch.resume(file, state, record.id, hold=True)
    presence = Presence(state, "attach")
    presence.start()
    try:
        for event in follow(reader, record.id, after):
            if event.kind == Kind.CONTROL and event.text.startswith(PAUSED):
                break
            if not output.json:
                runs.show(event, output, jsonl=False, coloured=sys.stdout.isatty())
        found = remains.look(file, state)
        if found.held:
            client.cancel(state)
            deque(follow(reader, record.id, reader.last_seq(record.id)), maxlen=0)  # until it has ended
    except KeyboardInterrupt:
        output.progress("\nThe proofs are ended; the run stands as it stood.")
        return runs.DETACHED
    finally:
        presence.stop()
    ended = reader.run(record.id)
    _tell(found.model_copy(update={"held": False, "state": ended.state, "reason": ended.reason}), output)
    verdicts = {host.verdict for step in found.steps for host in step.hosts} - {None}
    return 0 if verdicts <= {Verdict.PROVED} else 1


def _tell(found: Remains, output: Output) -> int:
    for line in lines(found):
        output.line(line)
    output.document(found)
    return 0


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
    found = recorded.read(state, record.id)

    def tell() -> None:
        from homewright.engine import remains

        for line in lines(remains.look(file, state, found=found)) if not args.jsonl else ():
            output.line(line)

    def tell_meanwhile() -> None:
        # What is wrong keeps the engine from starting too, and it tells.
        with contextlib.suppress(HomewrightError, OSError):
            tell()

    # The engine of a verify copies its stages anew, to where telling reads them.
    early = args.yes and record.action is not Action.VERIFY
    if not early:
        tell()
    if not output.confirm(question, yes=args.yes, otherwise=f"say yes beforehand: {runs.command('resume --yes')}"):
        raise Cancelled("Nothing was done.")
    after = reader.last_seq(record.id)
    launch.resume(
        file,
        state,
        record.id,
        anew=anew,
        skips=skips,
        new_machines=args.new_machine,
        ask=runs.somebody(args),
        meanwhile=tell_meanwhile if early else lambda: None,
    )
    if args.detach:
        output.line(f"Run {record.id} goes on. Watch it: {runs.command('attach')}")
        output.document({"version": 1, "id": record.id, "state": State.RUNNING, "resumed": True})
        return 0
    return runs.watch(args, output, state, record.id, after)


def back(record: RunRecord) -> bool:
    return record.action is Action.ROLLBACK


def lines(found: Remains) -> Iterator[str]:
    """Where the run stands, and what would be done."""
    from homewright.engine import remains

    yield f"Run {found.run}: {_WORDS.get(found.action, found.action)}, {found.state}."
    if found.reason:
        yield f"  why: {found.reason}"
    for line in remains.sentences(found):
        yield f"  {addressed(line)}"
    for step in found.steps:
        yield from (f"    {step.id} on {host.host}: {host.said}" for host in step.hosts if host.said)
