"""`homewright support-bundle [FILE]`: one file, without secrets, that shows others what went wrong here."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from homewright.cli import runs
from homewright.cli.output import Output


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "file", metavar="FILE", type=Path, nargs="?", help="by default homewright-SITE-DATE.tar.gz, here"
    )


def run(args: argparse.Namespace, output: Output) -> int:
    from homewright.support import pack

    file, site, state = runs.place(args)
    state.require_own()
    target = args.file or Path(f"homewright-{site.name}-{time.strftime('%Y%m%d-%H%M%S')}.tar.gz")
    contents = pack(file, site.name, state, target)
    output.line(f"Written: {contents.file}")
    output.line(
        "In it: the answers, facts, findings and the journal; names, addresses and users of this site are in it."
    )
    output.line(f"Lines of the runs: {', '.join(contents.runs) or 'none'}.")
    output.line(f"Left out: {'; '.join(contents.left_out)}.")
    output.line(f"Open it: homewright --rehearse {contents.file}")
    output.document(contents)
    return 0
