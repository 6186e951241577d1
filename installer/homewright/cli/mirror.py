"""`homewright mirror`: everything that a site's cluster fetches, so that it can be carried in on a disk."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from homewright.cli.output import Output
from homewright.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from homewright.mirror.models import Item
    from homewright.site.models import Site

ARCHITECTURES = ("amd64", "arm64")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from homewright.cli import global_options

    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    shared = [global_options(suppress=True)]

    def action(name: str, text: str) -> argparse.ArgumentParser:
        child: argparse.ArgumentParser = actions.add_parser(name, help=text, description=text, parents=shared)
        child.add_argument(
            "--architecture", choices=ARCHITECTURES, action="append", help="of the servers (amd64); may be repeated"
        )
        return child

    action("list", "every image, file and package that the site's cluster fetches, and where each is from")
    fetch = action("fetch", "have all of them in a folder, checked; a second time only what is missing is fetched")
    fetch.add_argument("folder", metavar="FOLDER", type=Path)
    fetch.add_argument("--renew", action="store_true", help="take what is published now, also where it has changed")
    verify = action("verify", "read every byte in a folder; without one, ask the site's own mirror for all of them")
    verify.add_argument("folder", metavar="FOLDER", type=Path, nargs="?")
    verify.add_argument(
        "--against", metavar="FOLDER", type=Path, help="compare the site's own mirror with what this folder carries"
    )


def run(args: argparse.Namespace, output: Output) -> int:
    from homewright.mirror import carrying
    from homewright.mirror.needs import needs, packages
    from homewright.site import files
    from homewright.site.paths import site_file

    site = files.load(site_file(args.site))
    folder: Path | None = getattr(args, "folder", None)
    against: Path | None = getattr(args, "against", None)
    if folder is not None and against is not None:
        raise UsageError("Name one folder.", "Either it is read itself, or the mirror is compared with it.")
    known = folder or against
    carried = carrying.load(known) if known is not None else None
    if against is not None and carried is None:
        raise carrying.nothing_in(against)
    architectures = tuple(dict.fromkeys(args.architecture or (carried.architectures if carried else ("amd64",))))
    items = needs(site, architectures, carried.digests if carried else None)
    if args.action == "fetch":
        assert folder is not None
        carrying.require_folder(folder)
        items = carrying.fetch(items, folder, architectures, site.mirror, renew=args.renew, say=output.progress)
    elif args.action == "verify":
        items = carrying.look(items, folder) if folder is not None else carrying.ask(items, site.mirror, carried)
    _print(site, items, packages(site), folder, output)
    return 0 if all(item.state in ("unknown", "there") for item in items) else 1


def _print(site: Site, items: Sequence[Item], packages: Sequence[Item], folder: Path | None, output: Output) -> None:
    from homewright.mirror.models import MirrorDocument

    output.document(MirrorDocument(site=site.name, folder=str(folder) if folder else None, items=(*items, *packages)))
    for item in (*items, *packages):
        words = [f"{item.kind:<7}", f"{item.name:<26}", f"{item.version:<20}", item.source]
        if item.digest:
            words.append(item.digest)
        if item.state in ("missing", "wrong"):
            words.append(f"{item.state.upper()}: {item.reason}")
        elif item.reason:
            words.append(f"is there; {item.reason}")
        output.line(" ".join(words))
    bad = sum(item.state in ("missing", "wrong") for item in items)
    if bad:
        output.line(f"{bad} of {len(items)} are missing or wrong.")
    elif folder is not None:
        more = f" The {len(packages)} packages come from apt." if packages else ""
        output.line(f"All {len(items)} are in {folder}, and whole.{more}")
