"""`homewright` where no full-screen program can be shown: where things stand, and the command that comes next.

The line-by-line face is complete: every question of the wizard is a field of the site file, every action a verb.
"""

from __future__ import annotations

import argparse
import os
import shlex
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from homewright.cli.output import Output
from homewright.errors import HomewrightError

if TYPE_CHECKING:
    from homewright.engine.journal.records import RunRecord
    from homewright.site.models import Site
    from homewright.site.paths import StateFolder


@dataclass(frozen=True)
class Standing:
    """Where one site stands."""

    name: str
    file: str
    says: str
    next: str
    """The command to run now."""


def run(args: argparse.Namespace, output: Output) -> int:
    files = _site_files(args.site)
    standings = [_standing(file, args.state) for file in files]
    why = "" if args.plain else "The full-screen program needs a terminal; here is the same, line by line. "
    output.line(f"{why}Help: homewright --help")
    output.line()
    for standing in standings:
        output.line(f"site {standing.name}: {standing.says}")
        output.line(f"  file: {standing.file}")
        output.line(f"  next: {standing.next}")
    if not standings:
        output.line("There is no site yet.")
        output.line("  next: homewright site new NAME --server NAME=USER@ADDRESS …")
        output.line("  or practise on this machine: homewright lab up")
    output.document({"version": 1, "sites": [asdict(standing) for standing in standings]})
    return 0


def _site_files(chosen: str | None) -> list[Path]:
    from homewright.site.paths import known_site_files, site_file

    if chosen or os.environ.get("HOMEWRIGHT_SITE"):
        return [site_file(chosen)]
    here = Path("site.yaml").absolute()
    return ([here] if os.access(here, os.F_OK) else []) + known_site_files()


def _standing(file: Path, state: str | None) -> Standing:
    from homewright.engine.journal import Reader
    from homewright.site import files
    from homewright.site.paths import StateFolder, known_site_files

    short = file.parent.name if file in known_site_files() else str(file)
    try:
        site = files.load(file)
        folder = StateFolder.of(site.name, state, file)
        folder.require_own()
        reader = Reader(folder)
        runs = reader.runs(1) if reader.exists() else []
    except HomewrightError as error:
        return Standing(short, str(file), error.what, f"homewright --site {shlex.quote(short)} site validate")
    says, verb = decide(site, folder, runs[0] if runs else None)
    return Standing(site.name, str(file), says, f"homewright --site {shlex.quote(short)} {verb}")


def decide(site: Site, state: StateFolder, latest: RunRecord | None) -> tuple[str, str]:
    """What to say about a site, and the verb that comes next."""
    count = f"{len(site.servers)} server{'' if len(site.servers) == 1 else 's'}"
    if not site.servers:
        return "no servers yet", "site add-server NAME=USER@ADDRESS"
    if not (state.key.exists() and state.known_hosts.exists()):
        return f"{count}, not yet trusted", "trust --all"
    if latest is None:
        return f"{count}, nothing run yet", "plan"
    verb = "apply" if latest.action.value == "run" else latest.action.value
    says = f"{count}, last {verb} {latest.state.value}"
    match latest.state.value:
        case "running" | "pending":
            return f"{says} ({latest.percent:.0f} %)", "attach"
        case "succeeded":
            return says, "workspace list"
        case "interrupted" | "cancelled":
            return says, "resume"
        case _:
            return says, "status"
