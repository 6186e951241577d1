"""`homewright cancel`: end the run that is going on."""

from __future__ import annotations

import argparse

from homewright.cli import runs
from homewright.cli.output import Output
from homewright.engine import client


def add_arguments(parser: argparse.ArgumentParser) -> None:
    runs.add_take_argument(parser)


def run(args: argparse.Namespace, output: Output) -> int:
    _, _, state = runs.place(args)
    seq = client.cancel(state, take=output.progress if args.take else None)
    output.line("The run ends after what cannot be interrupted. Watch it: " + runs.command("attach"))
    output.document({"version": 1, "seq": seq})
    return 0
