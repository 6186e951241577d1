"""`homewright rollback STAGE|--all`: take a stage back, its last step first; or everything, the last stage first.

Later stages that were applied and rest on it go with it, before it.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from homewright.cli import runs
from homewright.cli.output import Output
from homewright.errors import Cancelled

if TYPE_CHECKING:
    from homewright.site.models import Site
    from homewright.site.paths import StateFolder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("stage", metavar="STAGE", nargs="?", help="such as 00")
    which.add_argument("--all", action="store_true", dest="everything", help="every stage")
    which.add_argument("--server", metavar="NAME", help="everything on a server that leaves the site, and there alone")
    runs.add_start_arguments(parser)


def run(args: argparse.Namespace, output: Output) -> int:
    from homewright.catalogue import load, shipped
    from homewright.engine import receipts, resting
    from homewright.engine.journal import Reader

    file, site, state = runs.place(args)
    if args.server is not None:
        return _server(args, output, file, site, state)
    catalogue = load([shipped(), *runs.stages(args)])
    stages = list(catalogue.stages)
    above: tuple[str, ...] = ()
    if not args.everything:
        named = catalogue.stage(args.stage).id
        above = resting.stages(site, state, catalogue, named) if site.servers else ()
        stages = [stage for stage in stages if stage.id in (named, *above)]
    known = [receipts.receipt(row) for row in Reader(state).receipts()]
    if not args.jsonl:
        where = ", ".join(server.name for server in site.servers) or "no server"
        for stage in reversed(stages):
            rests = ", since it rests on what is taken back after it" if stage.id in above else ""
            output.line(f"Stage {stage.id} {stage.title} will be taken back on {where}{rests}:")
            for step in reversed(stage.steps):
                output.line(f"  {step.id} {step.title}: {step.summary or 'what it made'}")
                for line in receipts.to_be_taken_back(known, step.id):
                    output.line(f"    {line}")
    which = "--all" if args.everything else named
    question = "Take everything back?" if args.everything else f"Take stage {which} back?"
    if above:
        question = f"Take stage {which} back, and before it {', '.join(reversed(above))}?"
    if not output.confirm(question, yes=args.yes, otherwise=f"say yes beforehand: homewright rollback {which} --yes"):
        raise Cancelled("Nothing was done.")
    only = None if args.everything else which
    return runs.start(args, output, "rollback", file=file, state=state, only=only)


def _server(args: argparse.Namespace, output: Output, file: Path, site: Site, state: StateFolder) -> int:
    """What was put on one server that leaves the site is taken back there; the others stay as they are."""
    from homewright.catalogue import load, shipped
    from homewright.engine import departure
    from homewright.errors import UsageError

    name = args.server
    one = next((one for one in site.leaving if one.name == name), None)
    if one is None or one.lost:
        why = "It is lost: nothing can be taken back there." if one is not None else "It does not leave the site."
        raise UsageError(f"{name} cannot be taken back alone.", why, [f"first: homewright site remove-server {name}"])
    begun = set(departure.begun_on(state, name))
    if not args.jsonl:
        output.line(f"Everything that was put on {name} will be taken back, and nothing on other servers:")
        for step in reversed(tuple(load([shipped(), *runs.stages(args)]).steps())):
            if step.id in begun:
                output.line(f"  {step.id} {step.title}: {step.summary or 'what it made'}")
    otherwise = f"say yes beforehand: homewright rollback --server {name} --yes"
    if not output.confirm(f"Take everything back on {name}?", yes=args.yes, otherwise=otherwise):
        raise Cancelled("Nothing was done.")
    return runs.start(args, output, "rollback", file=file, state=state, servers=(name,))
