"""`homewright pause`: begin no further step of the run that is going on."""

from __future__ import annotations

import argparse

from homewright.cli import runs
from homewright.cli.output import Output
from homewright.engine import client


def add_arguments(parser: argparse.ArgumentParser) -> None:
    runs.add_take_argument(parser)


def run(args: argparse.Namespace, output: Output) -> int:
    _, _, state = runs.place(args)
    seq = client.pause(state, take=output.progress if args.take else None)
    output.line("The run pauses when the step that it is at has ended. Let it go on: " + runs.command("continue"))
    output.document({"version": 1, "seq": seq})
    return 0
