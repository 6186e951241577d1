"""Checking for real: facts and measurements of the servers, judged, and the report kept in the state folder."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from homewright.checks import profiles
from homewright.checks.catalogue import BY_ID, CHECKS
from homewright.checks.ground import Ground
from homewright.checks.judging import hosts_of, judge, subjects, to_judge_again
from homewright.checks.measurements import Measurements
from homewright.checks.measuring import Wanted, measure
from homewright.checks.models import Key, Report
from homewright.checks.reports import REPORT as REPORT
from homewright.checks.reports import fits as fits
from homewright.checks.reports import keep as keep
from homewright.checks.reports import kept
from homewright.checks.reports import recorded as recorded
from homewright.discovery import gather
from homewright.discovery import recorded as recorded_facts
from homewright.discovery.facts import HostFacts
from homewright.errors import HomewrightError
from homewright.site.models import Site
from homewright.site.paths import StateFolder, write_atomically

MEASURED = "measurements.json"


@dataclass(frozen=True)
class Progress:
    """One server has told its facts or has measured, or why it could not."""

    host: str
    part: Literal["facts", "measurements"]
    error: HomewrightError | None = None

    @property
    def text(self) -> str:
        if self.error is not None:
            return f"{self.host}: {self.error.what}"
        return f"{self.host}: {'facts are here' if self.part == 'facts' else 'has measured'}"


OnEvent = Callable[[Progress], None]


def check(
    site: Site,
    state: StateFolder,
    on_event: OnEvent = lambda progress: None,
    *,
    done: Collection[str] = (),
    timeout: float = 10.0,
) -> Report:
    """Ask and measure all servers, side by side, and judge everything; the report is kept in the state folder.

    `done` are the steps that a run has finished (`engine.done.steps`). `on_event` is called on the calling thread. A
    server that cannot be reached has `unknown` findings and holds up no other. Raises StateError.
    """
    hosts = [server.name for server in site.servers]
    facts, unreachable, measured = _look(site, state, hosts, Wanted.everything(site), on_event, timeout)
    ground = Ground(site, facts, measured, unreachable, frozenset(done))
    findings = judge(ground, profiles.load(site.profile))
    report = Report(
        site=site.name,
        profile=site.profile,
        at=time.time(),
        findings=findings,
        unreachable=unreachable,
        ran=tuple(finding.key for finding in findings),
    )
    _keep(state, report, measured)
    return report


def recheck(
    site: Site,
    state: StateFolder,
    report: Report,
    on_event: OnEvent = lambda progress: None,
    *,
    done: Collection[str] = (),
    timeout: float = 10.0,
) -> Report:
    """Judge again what had not passed and what depended on it; only the servers concerned are asked anew.

    `Report.ran` says what was judged. Everything is checked where the report is not about these servers.
    """
    if not fits(site, report):
        return check(site, state, on_event, done=done, timeout=timeout)
    keys = to_judge_again(report)
    return _again(site, state, report, keys, concerned(site, report, keys), on_event, done, timeout)


def check_some(
    site: Site,
    state: StateFolder,
    report: Report,
    hosts: Collection[str],
    on_event: OnEvent = lambda progress: None,
    *,
    done: Collection[str] = (),
    timeout: float = 10.0,
) -> Report:
    """Judge all that is about these servers, the site included; the others' findings stay as they were."""
    if not fits(site, report):
        return check(site, state, on_event, done=done, timeout=timeout)
    everyone = Ground(site)
    about = ((check.id, subject) for check in CHECKS for subject in subjects(check, everyone))
    keys = frozenset((name, subject) for name, subject in about if not subject or set(subject) & set(hosts))
    return _again(site, state, report, keys, hosts, on_event, done, timeout)


def judged(site: Site, facts: Mapping[str, HostFacts], at: float | None = None) -> Report:
    """The report on recorded machines: nobody is asked, nothing is measured, nothing is kept. Pure."""
    away = {server.name: "it has no recording" for server in site.servers if server.name not in facts}
    findings = judge(Ground(site, facts, unreachable=away), profiles.load(site.profile))
    ran = tuple(finding.key for finding in findings)
    when = at if at is not None else max((one.gathered_at for one in facts.values()), default=0.0)
    return Report(site=site.name, profile=site.profile, at=when, findings=findings, unreachable=away, ran=ran)


def _again(
    site: Site,
    state: StateFolder,
    report: Report,
    keys: Collection[Key],
    asked: Collection[str],
    on_event: OnEvent,
    done: Collection[str],
    timeout: float,
) -> Report:
    facts, unreachable, fresh = _look(site, state, asked, wanted(site, keys), on_event, timeout)
    known = {name: found for name, found in recorded_facts(state).items() if name not in asked} | facts
    away = {host: why for host, why in report.unreachable.items() if host not in asked} | unreachable
    measured = merged(kept(state.root / MEASURED, Measurements) or Measurements(), fresh)
    ground = Ground(site, known, measured, away, frozenset(done))
    findings = judge(ground, profiles.load(site.profile), only=keys)
    judged = {finding.key for finding in findings}
    # One that no longer applies (the port's check, once nothing listens) leaves the report.
    standing = tuple(finding for finding in report.findings if finding.key not in keys or finding.key in judged)
    report = report.model_copy(update={"findings": standing}).updated(findings, time.time(), away)
    _keep(state, report, measured)
    return report


def concerned(site: Site, report: Report, keys: Collection[Key]) -> list[str]:
    """The servers whose facts are needed anew to judge these: all of them where something about the site is open."""
    named = hosts_of(keys)
    still = {finding.key for finding in report.findings if finding.open}
    whole = any(key in still and not key[1] and _reads_facts(key[0]) for key in keys)
    return [server.name for server in site.servers if whole or server.name in named]


def wanted(site: Site, keys: Iterable[Key]) -> Wanted:
    """What has to be measured anew to judge these. Pairs are measured both ways: one way explains the other."""
    pairs: set[tuple[str, str]] = set()
    single: dict[str, set[str]] = {name: set() for name in ("disk_ms", "resolves", "resolvers_answer", "outbound")}
    everyone = [server.name for server in site.servers]
    for check_id, about in keys:
        reads = BY_ID[check_id].reads if check_id in BY_ID else ()
        hosts = about or tuple(everyone)
        if "measured.pairs" in reads:
            mine = about if len(about) == 2 else None
            pairs |= {(a, b) for a in everyone for b in everyone if a != b and _part(a, b, mine, hosts)}
        for name, into in single.items():
            if f"measured.{name}" in reads:
                into.update(hosts)
    return Wanted(frozenset(pairs), *(frozenset(into) for into in single.values()))


def merged(old: Measurements, new: Measurements) -> Measurements:
    """What was measured anew in the place of what was measured before; the rest stays. Pure."""
    fresh = {(pair.source, pair.target): pair for pair in new.pairs}
    pairs = [fresh.pop((pair.source, pair.target), pair) for pair in old.pairs]
    failed = {(host, name) for host, reasons in new.errors.items() for name in reasons}
    errors = {
        host: {name: why for name, why in reasons.items() if host not in _fresh(new, name)}
        for host, reasons in old.errors.items()
    }
    for host, reasons in new.errors.items():
        errors[host] = errors.get(host, {}) | reasons
    return Measurements(
        pairs=(*pairs, *fresh.values()),
        disk_ms={host: ms for host, ms in old.disk_ms.items() if (host, "disk_ms") not in failed} | new.disk_ms,
        resolves=old.resolves | new.resolves,
        resolvers_answer=old.resolvers_answer | new.resolvers_answer,
        outbound=old.outbound | new.outbound,
        errors={host: reasons for host, reasons in errors.items() if reasons},
    )


def _fresh(measured: Measurements, name: str) -> set[str]:
    """The servers that have measured this now."""
    if name == "pairs":
        return {pair.source for pair in measured.pairs}
    return set(getattr(measured, name))


def _part(one: str, other: str, pair: tuple[str, ...] | None, hosts: tuple[str, ...]) -> bool:
    return {one, other} == set(pair) if pair else one in hosts or other in hosts


def _reads_facts(check_id: str) -> bool:
    reads = BY_ID[check_id].reads if check_id in BY_ID else ()
    return any(not name.startswith(("site.", "measured.")) for name in reads)


def _look(
    site: Site, state: StateFolder, hosts: Collection[str], what: Wanted, on_event: OnEvent, timeout: float
) -> tuple[dict[str, HostFacts], dict[str, str], Measurements]:
    """Facts and measurements at the same time: a server tells the one while it measures the other."""
    told: queue.SimpleQueue[Progress | None] = queue.SimpleQueue()
    outcomes: dict[str, HostFacts | HomewrightError] = {}
    measured: list[Measurements] = []
    failures: list[BaseException] = []

    def facts(host: str, outcome: HostFacts | HomewrightError) -> None:
        told.put(Progress(host, "facts", outcome if isinstance(outcome, HomewrightError) else None))

    def measurement(host: str, error: HomewrightError | None) -> None:
        told.put(Progress(host, "measurements", error))

    def part(act: Callable[[], None]) -> None:
        try:
            act()
        except BaseException as error:  # raised again below, on the thread that asked
            failures.append(error)
        finally:
            told.put(None)

    def ask() -> None:
        outcomes.update(gather(site, state, list(hosts), facts, timeout=timeout))

    def time_them() -> None:
        measured.append(measure(site, state, what, measurement, timeout=timeout))

    threads = [threading.Thread(target=part, args=(act,), daemon=True) for act in (ask, time_them)]
    for thread in threads:
        thread.start()
    running = len(threads)
    while running:
        progress = told.get()
        if progress is None:
            running -= 1
        else:
            on_event(progress)
    if failures:
        raise failures[0]
    found = {host: one for host, one in outcomes.items() if isinstance(one, HostFacts)}
    away = {host: one.what for host, one in outcomes.items() if isinstance(one, HomewrightError)}
    return found, away, measured[0]


def _keep(state: StateFolder, report: Report, measured: Measurements) -> None:
    write_atomically(state.root / MEASURED, measured.model_dump_json(indent=1).encode() + b"\n")
    keep(state, report)
