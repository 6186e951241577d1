"""`homewright apply`: carry the plan out, in an engine that outlives this command."""

from __future__ import annotations

import argparse
from pathlib import Path

from homewright.cli import plan as plan_verb
from homewright.cli import preflight, runs
from homewright.cli.output import Output
from homewright.errors import Cancelled


def add_arguments(parser: argparse.ArgumentParser) -> None:
    runs.add_start_arguments(parser)
    plan_verb.add_choice_arguments(parser)
    said = "pause before every step that reboots servers or could lock you out, until `continue`"
    parser.add_argument("--ask-first", action="store_true", help=said)
    parser.add_argument(
        "--new-machine",
        metavar="SERVER",
        action="append",
        default=[],
        help="this server may be another machine than before: it was replaced, or installed anew; once for each",
    )
    parser.add_argument("--plan", metavar="FILE", type=Path, help="a plan that was saved; another one is refused")


def run(args: argparse.Namespace, output: Output) -> int:
    from homewright.cli.servers import chosen
    from homewright.planning import kept

    file, site, state = runs.place(args)
    planned = plan_verb.compute(args, site, state)
    if args.plan is not None:
        plan_verb.require_same(plan_verb.saved(args.plan), planned)
    if preflight.require(site, state, output):
        planned = plan_verb.compute(args, site, state)  # the checks have learned who the servers are
        if args.plan is not None:
            plan_verb.require_same_machines(plan_verb.saved(args.plan), planned)
    if not args.jsonl:
        for line in plan_verb.lines(planned):
            output.line(line)
        output.line()
    if not output.confirm("Carry this out?", yes=args.yes, otherwise="say yes beforehand: homewright apply --yes"):
        raise Cancelled("Nothing was done.")
    kept.approve(state, planned)
    return runs.start(
        args,
        output,
        "apply",
        file=file,
        state=state,
        only=args.only,
        start_at=args.start_at,
        plan_digest=planned.digest,
        ask_first=args.ask_first,
        new_machines=tuple(server.name for server in chosen(site, args.new_machine)) if args.new_machine else (),
    )
