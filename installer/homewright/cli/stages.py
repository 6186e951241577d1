"""`homewright stages new DIR`: a catalogue of somebody's own, from the numbered playbooks that are there."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from homewright.cli.output import Output
from homewright.errors import UsageError

if TYPE_CHECKING:
    from homewright.catalogue.scaffold import ScaffoldDocument


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from homewright.cli import global_options

    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    about = "write a stage.yaml beside numbered playbooks, so that --stages DIR runs them"
    new = actions.add_parser("new", help=about, parents=[global_options(suppress=True)])
    new.add_argument("folder", metavar="DIR", type=Path, help="the folder of the playbooks, or one above such folders")
    new.add_argument("--id", metavar="ID", default="", help="the stage's id; by default the number of its folder")
    new.add_argument("--title", metavar="TITLE", default="", help="what it is called; by default as its folder is")
    new.add_argument("--dry-run", action="store_true", help="show what would be written, and write nothing")


def run(args: argparse.Namespace, output: Output) -> int:
    from homewright.catalogue.scaffold import scaffold

    if args.action is None:
        raise UsageError("What shall be done with stages?", "", ["homewright stages new DIR"])
    made = scaffold(args.folder, title=args.title, stage=args.id, write=not args.dry_run)
    for line in lines(made, args.folder):
        output.line(line)
    output.document(made)
    return 1 if made.problems else 0


def lines(made: ScaffoldDocument, folder: Path) -> Iterator[str]:
    """What was done, and what somebody has to look at, in words."""
    for file in made.kept:
        yield f"{file} is there already, and was left alone."
    for stage in made.stages:
        count = f"{len(stage.steps)} step{'' if len(stage.steps) == 1 else 's'}"
        if stage.written:
            yield f"Written: {stage.file} (stage {stage.id} {stage.title}, {count})"
        else:
            yield f"{stage.file} would be:"
            yield from stage.text.splitlines()
        for one in stage.warnings:
            where = f"{one.file}, line {one.line}" if one.line is not None else one.file
            yield f"Look at {where}: {one.reason}."
            yield f"  do: {one.do}"
    for problem in made.problems:
        yield f"It cannot be run yet: {problem}"
    if made.stages and not made.problems and all(stage.written for stage in made.stages):
        yield f"See what it would do: homewright --stages {folder} plan"
