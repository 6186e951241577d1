"""`homewright check`, without a server: recorded machines, refusals, words; and apply's refusal."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from checking import scene

from homewright.checks import running
from homewright.checks.models import Report
from homewright.cli import findings as words
from homewright.site.paths import StateFolder

if TYPE_CHECKING:
    from .conftest import Run

SITE = """\
version: 1
name: home
servers:
- {name: s1, address: 192.0.2.11, user: operator}
- {name: s2, address: 192.0.2.12, user: operator}
"""


@pytest.fixture
def state(tmp_path: Path) -> StateFolder:
    return StateFolder(tmp_path / "state" / "homewright" / "sites" / "home")


@pytest.fixture
def site(tmp_path: Path, homewright: Run) -> Path:
    file = tmp_path / "here" / "site.yaml"
    file.write_text(SITE)
    return file


def trouble() -> Report:
    s = scene("attic").having("birch", "clock", offset_s=90_000.0).with_pair("birch", "maple", rtt_ms=900.0)
    return Report(site=s.site.name, profile=s.profile, at=1.0, findings=s.judge())


def test_recorded_machines_are_judged_without_asking_anybody(homewright: Run) -> None:
    done = homewright("check", "--from", "trouble", "--json")
    report = Report.model_validate_json(done.stdout)
    assert done.returncode == 1, done.stderr
    assert report.blocking() and len(report.ran) == len(report.findings)
    assert homewright("check", "--from", "no-such-place").returncode == 2
    assert "has no machine zebra" in homewright("check", "--from", "trouble", "zebra").stderr


def test_it_reads_well_aloud() -> None:
    lines = list(words.lines(trouble(), ["birch", "cedar", "maple"]))
    assert lines[0].startswith("birch: 2 failed"), "the worst first"
    assert any("Found: 25 h ahead. Wanted: 30 s" in line for line in lines)
    assert any(line.startswith("    Homewright can do that: homewright check birch --fix clock") for line in lines)
    assert any(line.startswith("      It changes: ") for line in lines)
    assert any("Round trip to maple" in line for line in lines)
    assert not re.search(r"[✓✗▶↺⊘│|]|  \S+  +\S", "\n".join(line.strip() for line in lines))
    assert lines[-1].startswith(("1 failure stands in the way", "2 failures stand in the way", "1 warning"))


def test_what_is_unknown_for_one_reason_is_said_once() -> None:
    s = scene("attic").measuring(pairs=(), errors={"birch": {"pairs": "it has no shell"}})
    report = Report(site=s.site.name, profile=s.profile, at=1.0, findings=s.judge())
    lines = [line for line in words.lines(report, ["birch"]) if "it has no shell" in line]
    assert len(lines) == 1
    assert "Round trip to cedar (net.round-trip), Round trip to maple (net.round-trip), Lost packets to" in lines[0]


def test_a_server_that_is_away_is_told_once() -> None:
    s = scene("attic").without("maple", "no route to host")
    report = Report(site=s.site.name, profile=s.profile, at=1.0, findings=s.judge(), unreachable=dict(s.unreachable))
    lines = list(words.lines(report, ["birch", "cedar", "maple"]))
    assert len([line for line in lines if "maple" in line and "could not be reached" in line]) == 1
    assert not any("to maple" in line for line in lines)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--reason", "it is so"), "--reason belongs to --accept"),
        (("--accept", "host.cpu"), "Why is it acceptable?"),
        (("--accept", "host.nothing", "--reason", "it is so"), "There is no check host.nothing"),
        (("s9",), "has no server s9"),
        (("--fix", "clock", "--recheck"), "not allowed with"),
    ],
)
def test_what_makes_no_sense_is_refused(homewright: Run, site: Path, arguments: tuple[str, ...], why: str) -> None:
    done = homewright("check", *arguments)
    assert done.returncode == 2
    assert why in done.stderr


def test_servers_that_nobody_can_reach_are_unknown(homewright: Run, site: Path, state: StateFolder) -> None:
    """There was no first contact: there is no key to sign in with."""
    done = homewright("check", "--json")
    assert done.returncode == 5
    report = Report.model_validate_json(done.stdout)
    assert set(report.unreachable) == {"s1", "s2"}
    assert report.blocking() == () and {one.status for one in report.of("s1")} == {"unknown"}
    assert running.recorded(state) == report
    assert (state.root / running.REPORT).stat().st_mode & 0o777 == 0o600
    assert homewright("check", "--fix", "clock", "--yes").returncode == 2


def recorded(state: StateFolder) -> Report:
    """A report on this site in which a check has failed and another warns."""
    findings = []
    for host in ("s1", "s2"):
        findings += [
            one.model_copy(update={"subjects": (host,)}) for one in trouble().of("birch") if one.scope == "host"
        ]
    findings = [
        one.model_copy(update={"status": "warning", "severity": "warning"}) if one.check == "host.swap" else one
        for one in findings
    ]
    report = Report(site="home", profile="home", at=1.0, findings=tuple(findings))
    running.keep(state.create(), report)
    return report


def test_apply_refuses_what_the_checks_found(homewright: Run, site: Path, state: StateFolder) -> None:
    recorded(state)
    done = homewright("apply", "--yes")
    assert done.returncode == 1
    assert "2 failed checks stand in the way" in done.stderr
    assert "host.clock-skew on s1" in done.stderr and "homewright" in done.stderr
    assert not state.journal.exists()
    assert "stand in the way of apply" in homewright("plan").stdout
    assert json.loads(homewright("apply", "--yes", "--json").stdout)["error"]["code"] == "checks"


def test_a_warning_is_accepted_with_its_reason(homewright: Run, site: Path, state: StateFolder) -> None:
    recorded(state)
    done = homewright("check", "s2", "--accept", "host.swap", "--reason", "it has  little memory")
    assert done.returncode == 1, "the clock still fails"
    assert "Accepted warning: Swap (host.swap)." in done.stdout
    assert "reason: it has little memory" in site.read_text()
    report = running.recorded(state)
    assert report is not None
    assert [one.subjects for one in report.findings if one.accepted] == [("s2",)]
    failed = homewright("check", "--accept", "host.clock-skew", "--reason", "clocks are overrated")
    assert failed.returncode == 2
    assert "only a warning can be accepted" in failed.stderr


def test_a_fix_says_what_it_changes_and_asks(homewright: Run, site: Path, state: StateFolder) -> None:
    recorded(state)
    done = homewright("check", "--fix", "clock")
    assert done.returncode == 2
    assert "It changes: the clock of birch is set" in done.stderr
    assert "There is no terminal to ask on" in done.stderr
    refused = homewright("check", "--fix", "nothing", "--yes")
    assert refused.returncode == 2
    assert "There is nothing for nothing to put right" in refused.stderr
