"""`homewright rollback STAGE|--all`: take a stage back, its last step first; or everything, the last stage first."""

from __future__ import annotations

import argparse

from homewright.cli import runs
from homewright.cli.output import Output
from homewright.errors import Cancelled


def add_arguments(parser: argparse.ArgumentParser) -> None:
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("stage", metavar="STAGE", nargs="?", help="such as 00")
    which.add_argument("--all", action="store_true", dest="everything", help="every stage")
    runs.add_start_arguments(parser)


def run(args: argparse.Namespace, output: Output) -> int:
    from homewright.catalogue import load, shipped
    from homewright.engine import receipts
    from homewright.engine.journal import Reader

    file, site, state = runs.place(args)
    catalogue = load([shipped(), *runs.stages(args)])
    stages = catalogue.stages if args.everything else [catalogue.stage(args.stage)]
    known = [receipts.receipt(row) for row in Reader(state).receipts()]
    if not args.jsonl:
        where = ", ".join(server.name for server in site.servers) or "no server"
        for stage in reversed(stages):
            output.line(f"Stage {stage.id} {stage.title} will be taken back on {where}:")
            for step in reversed(stage.steps):
                output.line(f"  {step.id} {step.title}: {step.summary or 'what it made'}")
                for line in receipts.to_be_taken_back(known, step.id):
                    output.line(f"    {line}")
    which = "--all" if args.everything else stages[0].id
    question = "Take everything back?" if args.everything else f"Take stage {which} back?"
    if not output.confirm(question, yes=args.yes, otherwise=f"say yes beforehand: homewright rollback {which} --yes"):
        raise Cancelled("Nothing was done.")
    only = None if args.everything else which
    return runs.start(args, output, "rollback", file=file, state=state, only=only)
