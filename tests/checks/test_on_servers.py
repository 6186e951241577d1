"""Practice servers, broken for real: what is found, what Homewright puts right, and what a recheck has to judge."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from homewright.checks import fixing, running
from homewright.checks.catalogue import BY_ID
from homewright.checks.models import Finding, Key, Report
from homewright.checks.running import Progress
from homewright.errors import HomewrightError
from homewright.site import files

if TYPE_CHECKING:
    from practice_lab import Lab

pytestmark = pytest.mark.lab

FAULTS = {
    "s1": ("clock", "port", "disk", "loss"),
    "s2": ("resolv", "hostname", "apt-lock"),
    "s3": ("dns", "time-sync", "mtu"),
}
"""All of them at once; what is broken on which server does not matter, but that no two get into each other's way."""

FOUND: dict[str, set[Key]] = {
    "clock": {("host.clock-skew", ("s1",))},
    "port": {("net.ports", ("s1",))},
    "disk": {("host.disk", ("s1",))},
    "loss": {("net.loss", pair) for pair in (("s1", "s2"), ("s2", "s1"), ("s1", "s3"), ("s3", "s1"))},
    "resolv": {("net.resolvers", ("s2",))},
    "hostname": {("host.hostname", ("s2",))},
    "apt-lock": {("host.package-locks", ("s2",))},
    "dns": {("net.wildcard-dns", ("s3",))},
    "time-sync": {("host.time-sync", ("s3",))},
    "mtu": {("net.path-mtu", pair) for pair in (("s1", "s3"), ("s3", "s1"), ("s2", "s3"), ("s3", "s2"))},
}
"""Which findings each fault fails, and no other."""

BY_CHANCE = {key for key in FOUND["loss"] | FOUND["mtu"] if "s1" in key[1]}
"""Every fifth packet from the others to s1 is lost: not every way need lose a ping, or can tell its size then."""

UNMENDABLE = {"clock", "disk"}
"""A container's clock is its host's, and files of a person are never removed."""


@dataclass
class Broken:
    """The servers with all faults, the report on them, and what happened to it."""

    lab: Lab
    before: Report
    report: Report
    told: list[str] = field(default_factory=list)
    failures: dict[str, HomewrightError] = field(default_factory=dict)
    after: Report | None = None

    def the(self, fault: str) -> Finding:
        """A failed finding that this fault made."""
        failed = [one for one in self.report.findings if one.key in FOUND[fault] and one.status == "failed"]
        assert failed, f"{fault} was not found"
        return failed[0]


def run_of(lab: Lab, *words: str) -> str:
    done = lab.run(*words)
    assert done.returncode == 0, done.stderr
    return done.stdout


def failed(report: Report) -> set[Key]:
    return {finding.key for finding in report.blocking()}


@pytest.fixture(scope="module")
def broken(trusted_lab: Lab) -> Iterator[Broken]:
    """One check of servers that are well, and one of the same servers with all faults."""
    site, state = files.load(trusted_lab.site_file), trusted_lab.state
    before = running.check(site, state)
    try:
        for server, faults in FAULTS.items():
            run_of(trusted_lab, "lab", "break", server, *faults)
        checked = trusted_lab.run("check", "--json")
        assert checked.returncode == 1, checked.stderr
        yield Broken(trusted_lab, before, Report.model_validate_json(checked.stdout))
    finally:
        for server in FAULTS:
            trusted_lab.run("lab", "mend", server)
        (state.root / running.REPORT).unlink(missing_ok=True)


def test_each_fault_is_found_by_the_checks_that_should_and_by_no_other(broken: Broken) -> None:
    assert broken.before.blocking() == (), "the servers were not well before"
    fresh = failed(broken.report) - failed(broken.before)
    expected = set().union(*FOUND.values())
    assert fresh - expected == set()
    assert expected - fresh <= BY_CHANCE
    assert all(FOUND[fault] & fresh for fault in FOUND)
    unknown = {finding.key for finding in broken.report.findings if finding.status == "unknown"}
    # where no resolver answers, nobody knows what it would invent
    assert unknown <= {("net.path-mtu", key[1]) for key in BY_CHANCE} | {("net.wildcard-dns", ("s2",))}
    assert len(broken.report.ran) == len(broken.report.findings)


def test_the_lab_knows_what_it_broke(broken: Broken) -> None:
    status = json.loads(run_of(broken.lab, "lab", "status", "--json"))
    assert {server["name"]: tuple(server["broken"]) for server in status["servers"]} == FAULTS


def test_apply_refuses_and_names_what_is_in_the_way(broken: Broken) -> None:
    done = broken.lab.run("apply", "--yes", "--plain")
    assert done.returncode == 1
    assert "stand in the way" in done.stderr
    assert "host.clock-skew on s1" in done.stderr
    assert " check --recheck" in done.stderr
    assert "stand in the way of apply" in broken.lab.run("plan").stdout


def test_every_remedy_says_before_what_it_changes(broken: Broken) -> None:
    for fault in FOUND:
        remedy = broken.the(fault).remedy
        assert remedy is not None and remedy.say and remedy.do
        assert remedy.fix is None or remedy.changes


def test_what_can_be_put_right_is(broken: Broken) -> None:
    site, state = files.load(broken.lab.site_file), broken.lab.state

    def say(text: str) -> None:
        broken.told.append(text)
        if "waiting: /var/lib/dpkg/lock-frontend is held by python3" in text:
            run_of(broken.lab, "lab", "mend", "s2", "apt-lock")  # it ends by itself: nobody is ended by a repair

    for fault in sorted(FOUND):
        try:
            fixing.fix(site, state, broken.the(fault), say)
        except HomewrightError as error:
            broken.failures[fault] = error
    assert set(broken.failures) == {"clock"}
    assert "it runs on" in broken.failures["clock"].what
    assert "Operation not permitted" in broken.failures["clock"].why
    assert any("the package manager is free" in line for line in broken.told)
    for fault in UNMENDABLE:
        run_of(broken.lab, "lab", "mend", "s1", fault)


def test_the_recheck_clears_them_and_judges_only_what_it_has_to(broken: Broken) -> None:
    site, state = files.load(broken.lab.site_file), broken.lab.state
    findings = broken.report.findings
    open_ones = [finding for finding in findings if finding.open]
    depending = {
        finding.key
        for finding in findings
        for cause in open_ones
        if cause.check in BY_ID[finding.check].depends
        and (not finding.subjects or set(cause.subjects) <= set(finding.subjects))
    }
    broken.after = running.recheck(site, state, broken.report)
    assert broken.after.blocking() == ()
    assert set(broken.after.ran) == depending | {finding.key for finding in findings if finding.status != "passed"}
    assert len(broken.after.ran) < len(findings) / 2
    assert running.recorded(state) == broken.after
    assert (state.root / running.REPORT).stat().st_mode & 0o777 == 0o600


def test_a_recheck_asks_only_the_server_that_it_is_about(broken: Broken) -> None:
    assert broken.after is not None
    run_of(broken.lab, "lab", "break", "s2", "port")
    found = broken.lab.run("check", "s2", "--json")
    assert found.returncode == 1
    report = Report.model_validate_json(found.stdout)
    assert failed(report) == {("net.ports", ("s2",))}
    assert {about for _, about in report.ran if len(about) == 1} == {("s2",)}
    fixed = broken.lab.run("check", "--fix", "port", "--yes")
    assert fixed.returncode == 0, fixed.stderr
    assert "It changes: what listens on 16443/tcp is stopped: python3" in fixed.stderr
    assert "s2: stopped practice-port.service" in fixed.stderr
    assert "1 of " in fixed.stderr
    assert "s2: facts are here" in fixed.stderr
    assert "s1: " not in fixed.stderr
    assert "s3: " not in fixed.stderr


def test_a_silent_server_holds_nobody_up(broken: Broken) -> None:
    site, state = files.load(broken.lab.site_file), broken.lab.state
    run_of(broken.lab, "lab", "unplug", "s3")
    heard: list[tuple[str, float]] = []
    started = time.monotonic()

    def hear(progress: Progress) -> None:
        heard.append((progress.host, time.monotonic() - started))

    try:
        report = running.check(site, state, hear, timeout=3.0)
        assert set(report.unreachable) == {"s3"}
        assert max(when for host, when in heard if host != "s3") < 30.0
        assert all(finding.status == "unknown" for finding in report.of("s3"))
        assert report.blocking() == ()
        others = [one for one in report.findings if one.subjects and "s3" not in one.subjects]
        assert {one.status for one in others} <= {"passed", "warning", "pending"}
    finally:
        run_of(broken.lab, "lab", "plug", "s3")
