"""`homewright rollback STAGE`: take a stage back, its last step first."""

from __future__ import annotations

import argparse

from homewright.cli import runs
from homewright.cli.output import Output
from homewright.errors import Cancelled


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("stage", metavar="STAGE", help="such as 00")
    runs.add_start_arguments(parser)


def run(args: argparse.Namespace, output: Output) -> int:
    from homewright.catalogue import load, shipped

    file, site, state = runs.place(args)
    stage = load([shipped(), *runs.stages(args)]).stage(args.stage)
    if not args.jsonl:
        where = ", ".join(server.name for server in site.servers) or "no server"
        output.line(f"Stage {stage.id} {stage.title} will be taken back on {where}:")
        for step in reversed(stage.steps):
            output.line(f"  {step.id} {step.title}: {step.summary or 'what it made'}")
    question = f"Take stage {stage.id} back?"
    if not output.confirm(
        question, yes=args.yes, otherwise=f"say yes beforehand: homewright rollback {stage.id} --yes"
    ):
        raise Cancelled("Nothing was done.")
    return runs.start(args, output, "rollback", file=file, state=state, only=stage.id)
