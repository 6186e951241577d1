"""Practice servers, broken for real: what is found, what Homewright puts right, and what a recheck has to judge."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from tmux_terminal import TmuxTerminal, homewright

from homewright.checks import running
from homewright.checks.catalogue import BY_ID
from homewright.checks.models import Finding, Key, Report
from homewright.checks.running import Progress
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

LIMIT_S = 180.0
"""For one look at three servers that lose packets, and all repairs, on two busy cores."""

UNMENDABLE = {"clock", "disk"}
"""A container's clock is its host's, and files of a person are never removed."""


@dataclass
class Broken:
    """The servers with all faults, the report on them, and what happened to it."""

    lab: Lab
    before: Report
    report: Report
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


def test_the_wizard_puts_right_what_can_be_and_judges_again_only_what_it_has_to(
    broken: Broken, checks_page: TmuxTerminal
) -> None:
    lab, wizard = broken.lab, checks_page
    wizard.press("F")
    wizard.wait(lambda text: "things?" in text and "change this" in text)
    wizard.press("Enter")
    wizard.wait("waiting: /var/lib/dpkg/lock-frontend", limit=LIMIT_S)
    run_of(lab, "lab", "mend", "s2", "apt-lock")  # it ends by itself: nobody is ended by a repair
    shown = wizard.wait("that did not work", limit=LIMIT_S)
    assert "it runs on" in shown and "Operation not permitted" in shown
    wizard.press("Escape")
    again = recorded_after(lab, broken.report, wizard)
    assert failed(again) == {("host.clock-skew", ("s1",)), ("host.disk", ("s1",))}, "all but what nobody can"
    assert set(again.ran) == to_judge(broken.report)
    assert len(again.ran) < len(again.findings) / 2
    for fault in sorted(UNMENDABLE):
        run_of(lab, "lab", "mend", "s1", fault)
    wizard.wait("2✗")
    wizard.press("r")
    broken.after = recorded_after(lab, again, wizard)
    assert broken.after.blocking() == ()
    assert set(broken.after.ran) == to_judge(again)
    assert len(broken.after.ran) < len(again.ran)
    assert (lab.state.root / running.REPORT).stat().st_mode & 0o777 == 0o600
    wizard.wait("passed")


@pytest.fixture
def checks_page(broken: Broken) -> Iterator[TmuxTerminal]:
    """The wizard at 80x24, come to the checks by keys, with what was found a moment ago."""
    lab = broken.lab
    for part in lab.state.root.glob("journal.db*"):
        part.unlink()  # the wizard goes on where a run of another test has ended
    outer = {name: value for name, value in lab.environment.items() if name not in ("TERM", "LANG", "LC_ALL")}
    opened = TmuxTerminal(homewright("--site", str(lab.site_file), *lab.state_args), outer)
    try:
        opened.wait(lambda text: "practice" in text and "all answer" in text)
        opened.press("Enter")
        opened.wait("8/9 Plan", limit=LIMIT_S)
        opened.wait("in the way", limit=LIMIT_S)
        opened.press("c")
        opened.wait("3/9 Checks")
        opened.wait("✗ failed")
        yield opened
    finally:
        opened.close()


def recorded_after(lab: Lab, before: Report, wizard: TmuxTerminal) -> Report:
    """The report that the wizard keeps next."""
    end = time.monotonic() + LIMIT_S
    while (found := running.recorded(lab.state)) is None or found.at == before.at:
        assert time.monotonic() < end, f"never judged again:\n{wizard.text()}"
        time.sleep(0.1)
    return found


def to_judge(report: Report) -> set[Key]:
    """What did not pass, and what a repair of it can change: all that a recheck has to judge."""
    causes = [finding for finding in report.findings if finding.open]
    depending = {
        finding.key
        for finding in report.findings
        for cause in causes
        if cause.check in BY_ID[finding.check].depends
        and (not finding.subjects or set(cause.subjects) <= set(finding.subjects))
    }
    return depending | {finding.key for finding in report.findings if finding.status != "passed"}


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
