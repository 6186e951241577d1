"""Applies the checks to what is known. Pure: facts and measurements in, findings out."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from homewright.checks.accepting import same_measure
from homewright.checks.catalogue import CHECKS
from homewright.checks.check import Check, Outcome, unknown
from homewright.checks.ground import Ground, HostView, PairView, SiteView
from homewright.checks.models import Finding, Key, Report, Severity, Status
from homewright.checks.profiles import Profile, Setting
from homewright.discovery.turn import TURN
from homewright.errors import visible

LONGEST = 200
"""Characters of a finding's text."""

__all__ = ["Ground", "hosts_of", "judge", "subjects", "to_judge_again"]


def judge(ground: Ground, profile: Profile, only: Collection[Key] | None = None) -> tuple[Finding, ...]:
    """A finding for every check that applies, check by check in the catalogue's order; with `only`, for those keys.

    A server that could not be reached gives `unknown` findings and takes nothing from the others.
    """
    with TURN:
        return tuple(_findings(ground, profile, only))


def subjects(check: Check, ground: Ground) -> tuple[tuple[str, ...], ...]:
    """Whom a check is about: every server, every ordered pair of two servers, or the site as a whole."""
    match check.scope:
        case "host":
            applies = check.applies or (lambda site, host: True)
            return tuple((host,) for host in ground.hosts if applies(ground.site, host))
        case "pair":
            return tuple((one, other) for one in ground.hosts for other in ground.hosts if one != other)
        case "site":
            return ((),)


def to_judge_again(report: Report) -> frozenset[Key]:
    """What a recheck has to judge: all that did not pass, and what depended on it.

    A pending finding is judged again too, which costs nothing. An accepted warning is: its value may have changed.
    """
    again = {finding.key for finding in report.findings if finding.status != "passed"}
    moved: dict[str, list[frozenset[str]]] = {}
    for finding in report.findings:
        if finding.open:
            moved.setdefault(finding.check, []).append(frozenset(finding.subjects))
    causes = {check.id: [about for cause in check.depends for about in moved.get(cause, ())] for check in CHECKS}
    for finding in report.findings:
        about = frozenset(finding.subjects)
        if any(not about or cause <= about for cause in causes.get(finding.check, ())):
            again.add(finding.key)
    return frozenset(again)


def hosts_of(keys: Collection[Key]) -> frozenset[str]:
    """The servers that these keys name: the ones whose facts have to be asked for again."""
    return frozenset(host for _, about in keys for host in about)


def _findings(ground: Ground, profile: Profile, only: Collection[Key] | None) -> Iterator[Finding]:
    wanted = None if only is None else frozenset(only)
    accepted = {(one.check, one.subjects): one for one in ground.site.accepted}
    for check in CHECKS:
        setting = profile.checks[check.id]
        if setting.severity == "off":
            continue
        for about in subjects(check, ground):
            if wanted is not None and (check.id, about) not in wanted:
                continue
            outcome = _outcome(check, ground, about, setting)
            if outcome is None:
                continue
            finding = _finding(check, about, outcome, setting.severity, _link(check, ground, about))
            acceptance = accepted.get(finding.key)
            if finding.status == "warning" and acceptance and same_measure(acceptance.measured, finding.measured):
                finding = finding.model_copy(update={"accepted": acceptance.reason})
            yield finding


def _outcome(check: Check, ground: Ground, about: tuple[str, ...], setting: Setting) -> Outcome | None:
    for host in about:
        if host not in ground.known:
            return unknown("", ground.why_unknown(host))
    if check.host is not None:
        return check.host(HostView(ground, about[0], ground.known[about[0]], setting))
    if check.pair is not None:
        return check.pair(PairView(ground, about[0], about[1], setting))
    assert check.site is not None
    return check.site(SiteView(ground, setting))


def _link(check: Check, ground: Ground, about: tuple[str, ...]) -> str:
    """Documentation that fits the server."""
    debian = any(ground.known[host].system.os_id == "debian" for host in about if host in ground.known)
    return check.debian_link if debian and check.debian_link else check.link


def _finding(check: Check, about: tuple[str, ...], outcome: Outcome, severity: Severity, link: str) -> Finding:
    status: Status = severity if outcome.verdict == "wrong" else outcome.verdict
    return Finding(
        check=check.id,
        title=check.title,
        category=check.category,
        scope=check.scope,
        phase=check.phase,
        subjects=about,
        status=status,
        severity="warning" if outcome.verdict == "warning" else severity,
        measured=_said(outcome.measured),
        threshold=_said(outcome.threshold),
        reason=_said(outcome.reason),
        remedy=outcome.remedy,
        link=link,
    )


def _said(text: str) -> str:
    """One line of text that a terminal may show, of 200 characters at most: servers have a hand in it."""
    if len(text) <= LONGEST and text.isprintable() and "  " not in text:
        return text
    line = " ".join(visible(text).split())
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1].rstrip()}…"
