"""What the hardware and checks screens ask of the rooms, over recorded machines: no server, no double."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from homewright import rehearsal
from homewright.discovery import bundle
from homewright.discovery.facts import HostFacts
from homewright.errors import HomewrightError
from homewright.rehearsal import Opened
from homewright.screens.services import Services
from homewright.screens.services_checks import Heard


@pytest.fixture
def trouble() -> Iterator[Opened]:
    with rehearsal.opened("trouble", anew=True) as opened:
        yield opened


def test_a_servers_own_checks_are_told_as_soon_as_it_has_answered(trouble: Opened) -> None:
    services, heard = Services(), list[Heard]()
    report = services.check(trouble.site_file, trouble.state, heard.append)
    facts = {one.host: one for one in heard if one.part == "facts"}
    assert facts.keys() == {"elder", "pine", "rowan"}
    assert facts["rowan"].error and not facts["rowan"].findings
    assert {finding.subjects for finding in facts["pine"].findings} == {("pine",)}
    # What its facts alone decide stands in the report in the same words, but where others' answers count too.
    final = {finding.key: finding for finding in report.findings}
    same = [finding for finding in facts["pine"].findings if final[finding.key] == finding]
    assert len(same) >= 0.8 * len(facts["pine"].findings) > 10
    assert report.blocking() and report.unreachable.keys() == {"rowan"}
    assert {check.check for check in report.findings} <= {row.id for row in services.check_rows()}


def test_the_last_report_is_shown_again_as_the_site_accepts_it_now(trouble: Opened) -> None:
    services = Services()
    report = services.check(trouble.site_file, trouble.state, lambda heard: None)
    warning = report.warnings()[0]
    services.accept_warnings(trouble.site_file, [warning], "it is an old machine")
    _, shown = services.checked(trouble.site_file, trouble.state)
    assert shown is not None
    again = shown.finding(warning.check, *warning.subjects)
    assert again is not None and again.accepted == "it is an old machine"
    services.take_back(trouble.site_file, [warning])
    _, shown = services.checked(trouble.site_file, trouble.state)
    assert shown is not None and shown.finding(*[warning.check, *warning.subjects]) == warning


def test_a_recheck_judges_what_did_not_pass(trouble: Opened) -> None:
    services = Services()
    report = services.check(trouble.site_file, trouble.state, lambda heard: None)
    again = services.recheck(trouble.site_file, trouble.state, report, lambda heard: None)
    assert {finding.key for finding in report.findings if finding.open} <= set(again.ran)
    assert len(again.ran) < len(report.ran)


def test_nothing_is_repaired_in_a_rehearsal(trouble: Opened) -> None:
    services = Services()
    report = services.check(trouble.site_file, trouble.state, lambda heard: None)
    able = next(one for one in report.findings if one.open and one.remedy and one.remedy.fix)
    with pytest.raises(HomewrightError, match="rehearsal"):
        services.fix(trouble.site_file, trouble.state, able, lambda text: None)


def test_what_servers_literally_say_is_kept_and_can_be_read_again(trouble: Opened, tmp_path: Path) -> None:
    services, told = Services(), dict[str, HostFacts | HomewrightError]()
    site = services.load(trouble.site_file)
    kept = services.save_bundles(site, trouble.state, tmp_path / "raw", told.__setitem__)
    assert kept == 2 and isinstance(told["rowan"], HomewrightError)
    assert {one.host for one in bundle.load(tmp_path / "raw")} == {"elder", "pine"}
