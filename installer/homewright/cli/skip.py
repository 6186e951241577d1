"""`homewright skip STEP --reason R`: go on without a step. What depends on it runs only where its proof holds."""

from __future__ import annotations

import argparse

from homewright.cli import resume, runs
from homewright.cli.output import Output
from homewright.errors import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("step", metavar="STEP", help="such as 00/20")
    parser.add_argument("--reason", metavar="R", required=True, help="why; it is recorded with the run")
    runs.add_start_arguments(parser)
    resume.add_machine_argument(parser)


def run(args: argparse.Namespace, output: Output) -> int:
    reason = args.reason.strip()
    if not reason:
        raise UsageError("A step is skipped for a reason.", "", ["say it: --reason 'the printer is in the way'"])
    return resume.go_on(args, output, f"Skip {args.step}, and go on?", skips={args.step: reason})
