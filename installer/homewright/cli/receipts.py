"""`homewright receipts [STEP]`: what every step changed on each server, and what takes it back."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence

from homewright.cli import runs
from homewright.cli.output import Output
from homewright.engine import receipts
from homewright.engine.journal import Reader
from homewright.engine.receipts import Receipt
from homewright.errors import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("step", metavar="STEP", nargs="?", help="one step alone, such as 00/10")
    parser.add_argument("--host", metavar="HOST", help="one server alone")


def run(args: argparse.Namespace, output: Output) -> int:
    _, site, state = runs.place(args)
    everything = [receipts.receipt(row) for row in Reader(state).receipts()]
    hosts = [server.name for server in site.servers]
    hosts += sorted({one.host for one in everything} - set(hosts))  # instances, and servers that were
    if args.host is not None and args.host not in hosts:
        raise UsageError(f"{args.host} is no server of this site.", f"It has {', '.join(hosts) or 'none'}.")
    known = {one.step for one in everything}
    if args.step is not None and args.step not in known:
        raise UsageError(
            f"There is no receipt of a step {args.step}.",
            f"There are some of {', '.join(sorted(known))}." if known else "No step of this site has left one yet.",
            ["see which steps there are: homewright plan"],
        )
    found = [one for one in everything if args.step in (None, one.step) and args.host in (None, one.host)]
    if not found:
        output.line("No step has changed anything yet.")
    for line in told(found):
        output.line(line)
    if output.json:
        from homewright.engine.receipts_document import receipts_document

        output.document(receipts_document(site.name, found))
    return 0


def told(found: Sequence[Receipt]) -> Iterator[str]:
    """Receipts in words, step by step."""
    for one in found:
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(one.done or one.taken))
        yield f"{one.step} on {one.host}: {one.title} ({when}, run {one.run})"
        if one.back is None:
            yield from (f"  {line}" for line in receipts.lines(one))
