"""The report of the last checks, as it is kept in the state folder. Who reads it loads nothing that checks."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from homewright.checks.models import Document, Report
from homewright.errors import StateError
from homewright.site.models import Site
from homewright.site.paths import StateFolder, write_atomically

REPORT = "checks.json"

Kept = TypeVar("Kept", bound=Document)


def recorded(state: StateFolder) -> Report | None:
    """The last report; None where nothing was checked yet, or where the file is of another version."""
    return kept(state.root / REPORT, Report)


def keep(state: StateFolder, report: Report) -> None:
    """Replace the last report. Raises StateError."""
    write_atomically(state.root / REPORT, report.model_dump_json(indent=1).encode() + b"\n")


def fits(site: Site, report: Report) -> bool:
    """Whether a report is about these servers, judged by this profile."""
    about = {host for finding in report.findings for host in finding.subjects} | report.unreachable.keys()
    named = {server.name for server in site.servers}
    return report.site == site.name and report.profile == site.profile and about == named


def kept(file: Path, kind: type[Kept]) -> Kept | None:
    """What a file of the state folder holds; None where there is none. Raises StateError where it cannot be read."""
    try:
        return kind.model_validate_json(file.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StateError(f"{file} cannot be read.", f"{error.strerror or error}.") from error
    except ValidationError:
        return None  # of another version, or cut: what it held can be found out again
