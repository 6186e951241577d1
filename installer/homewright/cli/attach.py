"""`homewright attach`: watch the run that is going on, or read the last one again."""

from __future__ import annotations

import argparse

from homewright.cli import runs
from homewright.cli.output import Output
from homewright.engine.journal import Reader


def add_arguments(parser: argparse.ArgumentParser) -> None:
    runs.add_watch_arguments(parser)
    parser.add_argument("--since", metavar="SEQ", type=int, default=0, help="only what came after this event's number")
    parser.add_argument("--run", metavar="ID", help="another run than the latest")


def run(args: argparse.Namespace, output: Output) -> int:
    _, _, state = runs.place(args)
    record = Reader(state).run(args.run)
    return runs.watch(args, output, state, record.id, after=args.since)
