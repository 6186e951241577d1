"""What checks found, in sentences: they read well aloud, and nothing is said by a sign or a column alone. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING

from homewright.errors import addressed

if TYPE_CHECKING:
    from homewright.checks.models import Finding, Report, Status

_ORDER: dict[Status, int] = {"failed": 0, "unknown": 1, "warning": 2, "pending": 3, "passed": 4}
_WORDS: dict[Status, str] = {"failed": "Failed", "unknown": "Unknown", "warning": "Warning", "pending": "Not yet"}


def lines(report: Report, hosts: Sequence[str], *, mending: bool = True) -> Iterator[str]:
    """The report, server by server, the worst first; of recorded machines nothing can be mended."""
    groups = {host: _about(report, host) for host in hosts}
    away = report.unreachable.keys()
    for host in sorted(hosts, key=lambda host: _badness(groups[host])):
        if host in away:
            why = report.unreachable[host]
            yield f"{host} could not be reached, so its {len(groups[host])} checks are unknown: {why}"
        else:
            yield from _group(host, groups[host], away, mending)
    site = [finding for finding in report.findings if not finding.subjects]
    if site:
        yield from _group("The site as a whole", site, away, mending)
    yield from summary(report)


def summary(report: Report) -> Iterator[str]:
    """How it stands, in one or two sentences."""
    blocking, warnings, unknown = report.blocking(), report.warnings(), report.unknown()
    if blocking:
        verb = "stands" if len(blocking) == 1 else "stand"
        yield f"{_count(len(blocking), 'failure')} {verb} in the way of apply: {named(blocking)}."
    elif warnings or unknown:
        yield "Nothing stands in the way of apply."
    else:
        yield "Everything is as it should be."
    if warnings:
        command = addressed("homewright check --accept ID --reason R")
        yield f"{_count(len(warnings), 'warning')} can be accepted, each with a reason: {command}"


def named(findings: Sequence[Finding], most: int = 6) -> str:
    """Findings in a sentence: what, and where."""
    shown = [f"{finding.check}{_where(finding)}" for finding in findings[:most]]
    return ", ".join([*shown, *([f"and {len(findings) - most} more"] if len(findings) > most else [])])


def sentence(finding: Finding) -> str:
    """One finding in a line."""
    measured = f" Found: {finding.measured}." if finding.measured else ""
    wanted = f" Wanted: {finding.threshold}." if finding.threshold and measured else ""
    label = _WORDS.get(finding.status, "Passed")
    if finding.status == "warning" and finding.accepted is not None:
        label = "Accepted warning"
    return f"{label}: {finding.title}{_to(finding)} ({finding.check}).{measured}{wanted} {finding.reason}"


def _group(title: str, findings: Sequence[Finding], away: Collection[str], mending: bool) -> Iterator[str]:
    counts = {status: sum(1 for one in findings if one.status == status) for status in _ORDER}
    accepted = sum(1 for one in findings if one.accepted is not None and one.status == "warning")
    said = [
        f"{number} {word}"
        for number, word in (
            (counts["failed"], "failed"),
            (counts["unknown"], "unknown"),
            (counts["warning"] - accepted, "with a warning"),
            (accepted, "with an accepted warning"),
            (counts["pending"], "not due yet"),
            (counts["passed"], "passed"),
        )
        if number
    ]
    yield f"{title}: {', '.join(said) or 'nothing was checked'}."
    unknown: dict[str, list[Finding]] = {}
    for finding in sorted(findings, key=lambda one: _ORDER[one.status]):
        if finding.status in ("passed", "pending") or set(finding.subjects) & set(away):
            continue  # why the way to a server that is away is unknown was said already
        if finding.status == "unknown":
            unknown.setdefault(finding.reason, []).append(finding)
            continue
        yield f"  {sentence(finding)}"
        if finding.accepted is not None:
            yield f"    Accepted because: {finding.accepted}"
        elif finding.remedy is not None:
            yield f"    {finding.remedy.say}"
            yield from (f"    Do: {addressed(step)}" for step in finding.remedy.do)
            if finding.remedy.fix is not None and mending:
                where = f" {finding.subjects[0]}" if finding.subjects else ""
                command = addressed(f"homewright check{where} --fix {finding.remedy.fix}")
                yield f"    Homewright can do that: {command}"
                yield from (f"      It changes: {change}" for change in finding.remedy.changes)
    for reason, alike in unknown.items():
        what = ", ".join(f"{one.title}{_to(one)} ({one.check})" for one in alike)
        yield f"  Unknown: {what}. {reason}"


def _to(finding: Finding) -> str:
    return f" to {finding.subjects[1]}" if len(finding.subjects) == 2 else ""


def _about(report: Report, host: str) -> list[Finding]:
    """What is about a server: a pair is told at the server that it was measured on."""
    return [finding for finding in report.findings if finding.subjects[:1] == (host,)]


def _badness(findings: Sequence[Finding]) -> tuple[int, ...]:
    return tuple(-sum(1 for one in findings if one.status == status) for status in ("failed", "unknown", "warning"))


def _where(finding: Finding) -> str:
    match finding.subjects:
        case ():
            return ""
        case (host,):
            return f" on {host}"
        case (source, target, *_):
            return f" from {source} to {target}"
    raise AssertionError(finding.subjects)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
