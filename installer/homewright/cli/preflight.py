"""Before anything is done: what the checks found in the way. `--yes` answers a question, and this is none."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from homewright.cli.output import Output
from homewright.errors import HomewrightError

if TYPE_CHECKING:
    from homewright.site.models import Site
    from homewright.site.paths import StateFolder


class ChecksFailed(HomewrightError):
    """The last checks found what would make the deployment fail."""

    code = "checks"


def require(site: Site, state: StateFolder, output: Output) -> bool:
    """Raise ChecksFailed where the last checks of these servers found what blocks; whether they were made only now.

    A server that is away blocks nothing: its findings are unknown, and the run says so itself. In a rehearsal nothing
    is done for real, so nothing is in the way.
    """
    from homewright.checks import reports
    from homewright.site.rehearsed import Rehearsed

    if Rehearsed.of(state) is not None:
        return False
    report = reports.recorded(state)
    fresh = report is None or not reports.fits(site, report)
    if report is None or fresh:
        from homewright.cli.check import look

        output.progress("The servers have not been checked yet: checking them.")
        state.create()
        report = look(output, site, state, [server.name for server in site.servers])
    blocking = report.blocking()
    if blocking:
        from homewright.cli.findings import named

        raise ChecksFailed(
            f"{len(blocking)} failed check{'' if len(blocking) == 1 else 's'} "
            f"{'stands' if len(blocking) == 1 else 'stand'} in the way.",
            f"{named(blocking)}.",
            ["see why, and what to do: homewright check", "and when that is put right: homewright check --recheck"],
        )
    return fresh


def warnings(site: Site, state: StateFolder) -> Iterator[str]:
    """What a plan says of the last checks."""
    from homewright.checks import reports

    report = reports.recorded(state) if (state.root / reports.REPORT).exists() else None
    if report is None or not reports.fits(site, report):
        yield "The servers have not been checked yet; apply does so first. To look before: homewright check"
    elif report.blocking():
        from homewright.cli.findings import summary

        yield next(summary(report))
