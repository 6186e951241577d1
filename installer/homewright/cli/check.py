"""`homewright check`: whether the servers can carry the platform, what stands in the way, and putting it right."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from homewright.cli import findings as words
from homewright.cli import runs
from homewright.cli.output import Output
from homewright.errors import Cancelled, HomewrightError, UsageError

if TYPE_CHECKING:
    from homewright.checks.models import Finding, Report
    from homewright.site.models import Site
    from homewright.site.paths import StateFolder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("host", metavar="HOST", nargs="*", help="servers of the site (all of them by default)")
    act = parser.add_mutually_exclusive_group()
    act.add_argument("--fix", metavar="ID", help="put right what Homewright can: the id of a fix, or of a check")
    act.add_argument("--accept", metavar="ID", help="accept the warning of this check; --reason says why")
    act.add_argument("--recheck", action="store_true", help="only what had not passed, and what depended on it")
    act.add_argument(
        "--from", dest="source", metavar="DIR", help="judge recorded machines (a folder, or a name); contact nobody"
    )
    parser.add_argument("--reason", metavar="R", help="why the warning is acceptable here")
    parser.add_argument("--yes", action="store_true", help="do not ask before a fix")


def run(args: argparse.Namespace, output: Output) -> int:
    if args.reason is not None and args.accept is None:
        raise UsageError("--reason belongs to --accept.", "", ["homewright check --accept ID --reason R"])
    if args.source is not None:
        return _from(args, output)
    from homewright.cli.servers import chosen

    file, site, state = runs.place(args)
    hosts = [server.name for server in chosen(site, args.host)]
    state.create()
    if args.accept is not None:
        return _accept(args, output, file, site, state, hosts)
    if args.fix is not None:
        report = _fix(args, output, site, state, hosts)
    else:
        report = look(output, site, state, hosts, again=args.recheck)
    return _told(output, report, hosts)


def look(output: Output, site: Site, state: StateFolder, hosts: Sequence[str], *, again: bool = False) -> Report:
    """Check, or check again; what goes on is told as progress."""
    from homewright.checks import running
    from homewright.engine import done

    def tell(progress: running.Progress) -> None:
        output.progress(progress.error.as_text() if progress.error and progress.part == "facts" else progress.text)

    last = running.recorded(state)
    finished = done.steps(state)
    if again and last is not None:
        report = running.recheck(site, state, last, tell, done=finished)
    elif last is not None and len(hosts) < len(site.servers):
        report = running.check_some(site, state, last, hosts, tell, done=finished)
    else:
        report = running.check(site, state, tell, done=finished)
    output.progress(f"{len(report.ran)} of {len(report.findings)} checks were judged now.")
    return report


def exit_code(report: Report, hosts: Sequence[str]) -> int:
    """5 where nobody could be reached, 1 where something failed."""
    if hosts and all(host in report.unreachable for host in hosts):
        return 5
    return 1 if any(_about(finding, hosts) for finding in report.blocking()) else 0


def _about(finding: Finding, hosts: Sequence[str]) -> bool:
    return not finding.subjects or any(host in hosts for host in finding.subjects)


def _told(output: Output, report: Report, hosts: Sequence[str], *, mending: bool = True) -> int:
    for line in words.lines(report, hosts, mending=mending):
        output.line(line)
    output.document(report)
    return exit_code(report, hosts)


def _from(args: argparse.Namespace, output: Output) -> int:
    from homewright.checks import running
    from homewright.discovery.parsing import parse
    from homewright.rehearsal.opening import recording

    site, bundles = recording(args.source)
    known = [server.name for server in site.servers]
    for host in args.host:
        if host not in known:
            raise UsageError(f"{args.source} has no machine {host}.", "", [f"name one of: {', '.join(known)}"])
    report = running.judged(site, {one.host: parse(one) for one in bundles})
    return _told(output, report, args.host or known, mending=False)


def _known(output: Output, site: Site, state: StateFolder) -> Report:
    """The last report where it is about these servers, else one that is made now."""
    from homewright.checks import running

    last = running.recorded(state)
    if last is not None and running.fits(site, last):
        return last
    return look(output, site, state, [server.name for server in site.servers])


def _accept(
    args: argparse.Namespace, output: Output, file: Path, site: Site, state: StateFolder, hosts: Sequence[str]
) -> int:
    from homewright.checks import running
    from homewright.checks.accepting import accept
    from homewright.checks.catalogue import BY_ID

    if args.accept not in BY_ID:
        raise UsageError(f"There is no check {args.accept}.", "", ["see the ids: homewright check"])
    if args.reason is None:
        raise UsageError(
            "Why is it acceptable?",
            "Whoever looks at the site later has nothing else to go by.",
            [f'homewright check --accept {args.accept} --reason "…"'],
        )
    report = _known(output, site, state)
    about = [one for one in report.findings if one.check == args.accept and _about(one, hosts)]
    warnings = [one for one in about if one.status == "warning"]
    if not about:
        raise UsageError(f"{args.accept} was not checked there.", "", ["homewright check"])
    for finding in warnings or about[:1]:  # of one that is no warning, `accept` says why it cannot be accepted
        accept(file, finding, args.reason)
    reason = " ".join(args.reason.split())
    accepted = [one.model_copy(update={"accepted": reason}) for one in warnings]
    report = report.updated(accepted, report.at)
    running.keep(state, report)
    for finding in accepted:
        output.line(words.sentence(finding))
    output.line("The reason is kept in the site.")
    output.document(report)
    return exit_code(report, hosts)


def _fix(args: argparse.Namespace, output: Output, site: Site, state: StateFolder, hosts: Sequence[str]) -> Report:
    from homewright.checks import fixing

    report = _known(output, site, state)
    found = fixing.fixable(report, site, state, args.fix, hosts)
    if not found:
        raise UsageError(
            f"There is nothing for {args.fix} to put right.",
            "No finding of the last check has that remedy.",
            ["see what there is: homewright check"],
        )
    for finding in found:
        assert finding.remedy is not None
        where = " and ".join(finding.subjects) or "the site"
        output.progress(f"{where}: {finding.title}. {finding.remedy.say}")
        for change in finding.remedy.changes:
            output.progress(f"  It changes: {change}")
    if not output.confirm(
        "Do that?", yes=args.yes, otherwise=f"say yes beforehand: homewright check --fix {args.fix} --yes"
    ):
        raise Cancelled("Nothing was changed.")
    failures: list[HomewrightError] = []
    for finding in found:
        try:
            fixing.fix(site, state, finding, output.progress)
        except HomewrightError as error:
            failures.append(error)
    report = look(output, site, state, hosts, again=True)
    for failure in failures if len(failures) < len(found) else failures[1:]:
        output.progress(failure.as_text())
    if len(failures) == len(found):
        raise failures[0]
    return report
