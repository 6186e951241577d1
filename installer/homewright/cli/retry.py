"""`homewright retry [STEP]`: after a failure, try again what failed, or run one step anew whatever its proof says."""

from __future__ import annotations

import argparse

from homewright.cli import resume, runs
from homewright.cli.output import Output


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "step", metavar="STEP", nargs="?", help="such as 00/20: it runs again even where its proof holds"
    )
    runs.add_start_arguments(parser)
    resume.add_machine_argument(parser)


def run(args: argparse.Namespace, output: Output) -> int:
    question = f"Run {args.step} again, and what remains?" if args.step else "Try again what failed, and go on?"
    return resume.go_on(args, output, question, anew=[args.step] if args.step else [])
