"""`homewright site import`: servers out of an ssh_config or an Ansible inventory."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from homewright.cli.output import Output
from homewright.errors import UsageError, addressed

if TYPE_CHECKING:
    from homewright.access import importing


def add_arguments(parser: argparse.ArgumentParser) -> None:
    said = "the ones to add, without any they are listed; or one file: a site export"
    parser.add_argument("host", nargs="*", metavar="HOST|FILE", help=said)
    parser.add_argument(
        "--from",
        dest="source",
        metavar="FILE",
        type=Path,
        help="an ssh_config, or an Ansible inventory in INI or YAML; by default ~/.ssh/config",
    )
    parser.add_argument(
        "--group", metavar="GROUP", help="add all hosts of this group of the inventory; all for every one"
    )


def run(path: Path, args: argparse.Namespace, output: Output) -> int:
    """List what a file holds, or add what is named. Raises UsageError, SiteError."""
    from homewright.access import importing
    from homewright.site import files

    site = files.load(path)
    taken = {name for server in site.servers for name in (server.name, server.address)}
    file = args.source or importing.USUAL
    found = importing.find(args.source, taken) if args.source else importing.usual(taken)
    chosen = _chosen(found, args.host, args.group, file)
    if chosen:
        fresh = [{"name": one.name, "address": one.address, "user": one.user, "port": one.port} for one in chosen]
        files.update(path, {"servers": [*site.servers, *fresh]}, since=site)
        names = [one.name for one in chosen]
        output.line(f"Added:  {', '.join(names)}")
        for one in chosen:
            if one.note:
                output.line(f"Note:   {one.name}: {one.note}")
        output.line(f"Saved:  {path}")
        output.line(addressed(f"Next:   homewright trust {' '.join(names)}"))
    else:
        _list(found, file, output)
    output.document(
        {
            "version": 1,
            "file": str(path),
            "hosts": [asdict(one) for one in found.hosts],
            "said": list(found.said),
            "added": [one.name for one in chosen],
        }
    )
    return 0


def _chosen(found: importing.Found, names: list[str], group: str | None, file: Path) -> list[importing.Host]:
    hosts = {one.name: one for one in found.hosts}
    for name in names:
        if name not in hosts:
            known = f"name one of: {', '.join(hosts)}" if hosts else "homewright site add-server NAME=USER@ADDRESS"
            raise UsageError(f"{file} names no host {name}.", "", [known])
        if hosts[name].reason:
            raise UsageError(f"{name} cannot be taken over: {hosts[name].reason}.", "", ["homewright site import"])
    chosen = [hosts[name] for name in dict.fromkeys(names)]
    if group is not None:
        members = [one for one in found.hosts if group == "all" or group in one.groups]
        if not members:
            known = ", ".join(sorted({name for one in found.hosts for name in one.groups}))
            raise UsageError(
                f"{file} has no group {group}.", "", [f"name one of: {known}" if known else "name the hosts themselves"]
            )
        usable = [one for one in members if not one.reason]
        if not usable:
            why = "; ".join(f"{one.name} {one.reason}" for one in members)
            raise UsageError(f"No host of {group} can be taken over.", f"{why}.", ["homewright site import"])
        chosen += [one for one in usable if one not in chosen]
    return chosen


def _list(found: importing.Found, file: Path, output: Output) -> None:
    for one in found.hosts:
        words = [f"{one.name}  {one.user}@{one.address}:{one.port}"]
        words += [f"in {', '.join(one.groups)}"] if one.groups else []
        words += [f"not to be taken over: {one.reason}"] if one.reason else []
        words += [one.note] if one.note else []
        output.line("  ".join(words))
    for said in found.said:
        output.line(f"Note: {said}.")
    if not found.hosts:
        output.line(f"{file} names no host that could be a server.")
