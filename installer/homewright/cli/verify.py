"""`homewright verify`: prove again everything that was done; changes nothing."""

from __future__ import annotations

import argparse

from homewright.cli import plan as plan_verb
from homewright.cli import runs
from homewright.cli.output import Output


def add_arguments(parser: argparse.ArgumentParser) -> None:
    runs.add_watch_arguments(parser)
    parser.add_argument("--detach", action="store_true", help="start it and come back at once")
    plan_verb.add_choice_arguments(parser)


def run(args: argparse.Namespace, output: Output) -> int:
    file, _, state = runs.place(args)
    return runs.start(args, output, "verify", file=file, state=state, only=args.only, start_at=args.start_at)
