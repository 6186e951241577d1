"""`--rehearse DIR|NAME`: the wizard, or one verb, over recorded machines in place of the site's own."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator

from homewright.cli.output import Output
from homewright.errors import UsageError
from homewright.site import rehearsed

REAL = {
    "lab": "No practice servers are made in a rehearsal.",
    "trust": "There is nobody to trust in a rehearsal.",
    "workspace": "There are no workspaces in a rehearsal.",
}
"""The verbs that only real machines can answer."""


@contextlib.contextmanager
def rehearsing(args: argparse.Namespace, output: Output) -> Iterator[None]:
    """Have `args` name the rehearsal's site and state. The wizard begins anew; verbs go on from each other.

    Raises UsageError where the options contradict each other, RehearsalOnly where the verb needs real machines, and
    what `rehearsal.opened` raises.
    """
    if args.site or args.state:
        raise UsageError(
            "--rehearse brings a site and a state folder of its own.", "", ["leave --site and --state away"]
        )
    from homewright.rehearsal import opened

    with opened(args.rehearse, anew=args.verb is None) as here:
        if args.verb in REAL:
            rehearsed.refuse(here.state.root, REAL[args.verb])
        args.site, args.state = str(here.site_file), str(here.state.root)
        output.progress(
            f"Rehearsal of {here.name}: its machines are recordings; nobody is contacted, nothing is done for real."
        )
        yield
