"""`homewright site remove-server` and `remove-instance`: what is lost is said first, and its name has to be typed."""

from __future__ import annotations

import argparse
import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from homewright.cli.output import Output
from homewright.errors import Cancelled, StateError, UsageError, addressed

if TYPE_CHECKING:
    from homewright.planning.leaving import Fates
    from homewright.site.models import Leaving, Site
    from homewright.site.paths import StateFolder


def add_server_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("server", metavar="NAME", help="its name")
    parser.add_argument(
        "--move", action="append", default=[], metavar="INSTANCE=SERVER", help="where an instance on it goes"
    )
    parser.add_argument(
        "--take-away", action="append", default=[], metavar="INSTANCE", help="an instance that is lost with all in it"
    )
    parser.add_argument("--lost", action="store_true", help="it does not come back: what was on it alone is lost")


def add_instance_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("instance", metavar="NAME", help="its name")
    parser.add_argument("--take-away", metavar="NAME", help="its name once more: what is in it is lost")


def remove_server(path: Path, args: argparse.Namespace, output: Output) -> int:
    from homewright.cli.servers import chosen
    from homewright.cluster.kubeconfig import SECRET
    from homewright.engine import departure
    from homewright.planning.known import known_facts
    from homewright.planning.leaving import without_server
    from homewright.site import files
    from homewright.site.paths import StateFolder
    from homewright.site.secrets import Secrets

    site, name = files.load(path), args.server
    state = StateFolder.of(site.name, args.state, path)
    gone = next((one for one in site.leaving if one.name == name), None)
    if gone is not None:
        return _leaves_already(path, site, state, gone, args, output)
    chosen(site, [name])
    facts = known_facts(site, state)
    applied = bool(state.journal.exists() and departure.begun_on(state, name))
    fates = _fates(args)
    formed = SECRET in Secrets(state.secrets).names()
    changes = without_server(site, facts, name, fates, applied=applied, lost=args.lost, formed=formed)
    if applied:
        _agree(name, site, fates, args.lost, args, output)
    after = files.update(path, changes, since=site)
    if not applied:
        _key_is_not_owed(state, name)
        output.line(f"Removed: {name}; what is on it stays as it is.")
    elif args.lost:
        output.line(f"Leaves:  {name}, which is lost: the cluster forgets it by force.")
    else:
        output.line(f"Leaves:  {name}")
    output.line(f"Saved:   {path}")
    if applied:
        output.line(addressed("Next:    homewright plan, then: homewright apply"))
        if not args.lost:
            output.line(addressed(f"Then:    homewright rollback --server {name}"))
    leaving = any(one.name == name for one in after.leaving)
    output.document({"version": 1, "file": str(path), "removed": name, "leaving": leaving, "lost": bool(args.lost)})
    return 0


def remove_instance(path: Path, args: argparse.Namespace, output: Output) -> int:
    from homewright.cluster.kubeconfig import SECRET
    from homewright.planning.known import known_facts
    from homewright.planning.leaving import without_instance
    from homewright.site import files
    from homewright.site.paths import StateFolder
    from homewright.site.secrets import Secrets

    site, name = files.load(path), args.instance
    state = StateFolder.of(site.name, args.state, path)
    facts = known_facts(site, state)
    changes = without_instance(site, facts, name, formed=SECRET in Secrets(state.secrets).names())
    output.line(f"{name} is taken away with all that is in it: nothing else is a copy of that.")
    _typed(name, args.take_away == name, f"homewright site remove-instance {name} --take-away {name}")
    files.update(path, changes, since=site)
    output.line(f"Saved:   {path}")
    output.line(addressed("Next:    homewright plan, then: homewright apply"))
    output.document({"version": 1, "file": str(path), "removed": name})
    return 0


def _fates(args: argparse.Namespace) -> Fates:
    """Raises UsageError."""
    from homewright.planning.leaving import Fates

    moved = {}
    for text in args.move:
        instance, mark, host = text.partition("=")
        if not (instance and mark and host):
            raise UsageError(f"--move {text} is not understood.", "It is INSTANCE=SERVER.", ["such as: s3-node=s1"])
        moved[instance] = host
    return Fates(moved, tuple(args.take_away))


def _agree(name: str, site: Site, fates: Fates, lost: bool, args: argparse.Namespace, output: Output) -> None:
    """Say what is lost, and have what is lost typed where it was not named on the command line."""
    root = site.workspaces.data_root
    if lost:
        output.line(f"{name} is lost, and with it whatever was on its disks alone: its instances, and {root}.")
        for instance, host in fates.moved.items():
            output.line(f"{instance} is made anew on {host}, empty.")
        _typed(name, not sys.stdin.isatty() and bool(args.lost), f"homewright site remove-server {name} --lost")
        return
    for instance, host in fates.moved.items():
        output.line(f"{instance} moves to {host} with all that is in it; it is stopped meanwhile.")
    for instance in fates.gone:
        output.line(f"{instance} is taken away with all that is in it: nothing else is a copy of that.")
    output.line(f"What workspaces keep in {root} on {name} stays on its disks, and is on no other server.")
    if fates.gone:
        words = f"homewright site remove-server {name} --take-away {' --take-away '.join(fates.gone)}"
        _typed(" ".join(fates.gone), not sys.stdin.isatty(), words)


def _typed(wanted: str, said: bool, otherwise: str) -> None:
    """Have the name of what is lost typed. Raises Cancelled where another is, UsageError where nobody is there."""
    if said:
        return
    if not sys.stdin.isatty():
        raise UsageError(f"{wanted} would be lost.", "There is no terminal to type its name on.", [otherwise])
    print(f"Type {wanted} to go on: ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip() != wanted:
        raise Cancelled("Nothing was changed.")


def _leaves_already(
    path: Path, site: Site, state: StateFolder, gone: Leaving, args: argparse.Namespace, output: Output
) -> int:
    """One that leaves is forgotten once nothing of ours is on it; or it is lost on its way, and forgotten by force."""
    from homewright.engine import departure
    from homewright.planning.leaving import Fates

    name = gone.name
    lose = args.lost and not gone.lost and bool(departure.begun_on(state, name))
    if lose:
        _agree(name, site, Fates({}), True, args, output)  # what becomes of its instances the site says by now
        departure.lose(path, site, name)
        output.line(f"Leaves:  {name}, which is lost: the cluster forgets it by force.")
    else:
        departure.forget(path, site, state, name)
        output.line(f"Removed: {name}")
    output.line(f"Saved:   {path}")
    if lose:
        output.line(addressed("Next:    homewright plan, then: homewright apply"))
    output.document({"version": 1, "file": str(path), "removed": name, "leaving": lose, "lost": lose})
    return 0


def _key_is_not_owed(state: StateFolder, name: str) -> None:
    """Nobody goes there any more to take the old controller's key away."""
    from homewright.access import key_change

    with contextlib.suppress(StateError):  # `status` tells of a record that cannot be read
        key_change.gone(state.key, [name])
