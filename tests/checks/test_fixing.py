"""What a repair works on, what it is given, and that it says before what it changes."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest
from checking import Scene, scene

from homewright.checks import fixing
from homewright.checks.catalogue import CHECKS
from homewright.checks.fixes.names import candidates
from homewright.checks.fixes.repair import Repair
from homewright.checks.ground import Ground
from homewright.checks.models import Finding, FixId, Report
from homewright.checks.profiles import load
from homewright.discovery.gathering import remember
from homewright.errors import UsageError
from homewright.site.paths import StateFolder
from homewright.site.rehearsed import RehearsalOnly, Rehearsed

HOSTS = ("birch", "cedar", "maple")


def ground(s: Scene) -> Ground:
    return Ground(s.site, s.facts, s.measurements, s.unreachable, s.done)


def the(s: Scene, check: str, *about: str) -> Finding:
    finding = s.find(check, *about)
    assert finding is not None and finding.remedy is not None and finding.remedy.fix is not None
    return finding


def smaller() -> Scene:
    """One server's interface takes smaller packets than the others'."""
    s = scene("attic")
    nic = ground(s).nic("maple")
    assert nic is not None
    s = s.with_nic("maple", nic.name, mtu=1400)
    for other in ("birch", "cedar"):
        for pair in ((other, "maple"), ("maple", other)):
            s = s.with_pair(*pair, rtt_ms=0.3, loss_percent=0.0, mtu=1400)
    return s


def test_every_id_has_a_repair_and_every_repair_an_id() -> None:
    assert set(fixing.REPAIRS) == set(get_args(FixId))


def test_a_wrong_mtu_is_mended_where_it_is_wrong() -> None:
    s = smaller()
    for pair in (("birch", "maple"), ("maple", "cedar")):
        assert fixing.places(ground(s), the(s, "net.path-mtu", *pair)) == ("maple",)


def test_loss_may_be_made_at_either_end() -> None:
    s = scene("attic").with_pair("birch", "maple", rtt_ms=1.0, loss_percent=40.0)
    assert fixing.places(ground(s), the(s, "net.loss", "birch", "maple")) == ("birch", "maple")


def test_each_server_is_repaired_once(tmp_path: Path) -> None:
    s = smaller()
    state = StateFolder(tmp_path).create()
    for facts in s.facts.values():
        remember(state, facts)
    report = Report(site=s.site.name, profile=s.profile, at=1.0, findings=s.judge())
    assert len([one for one in report.blocking() if one.check == "net.path-mtu"]) == 4
    for name in ("mtu", "net.path-mtu"):
        assert len(fixing.fixable(report, s.site, state, name, HOSTS)) == 1
    assert len(fixing.fixable(report, s.site, state, "mtu", ["birch"])) == 1, "birch sees what is wrong with maple"
    assert fixing.fixable(report, s.site, state, "clock", HOSTS) == ()
    assert len(fixing.once(ground(s), report.blocking())) == 1, "once, whichever of its pairs saw it"


def test_what_is_lost_both_ways_is_looked_for_once(tmp_path: Path) -> None:
    s = scene("attic")
    for pair in (("birch", "maple"), ("maple", "birch")):
        s = s.with_pair(*pair, rtt_ms=0.3, loss_percent=40.0)
    report = Report(site=s.site.name, profile=s.profile, at=1.0, findings=s.judge())
    assert len(fixing.fixable(report, s.site, StateFolder(tmp_path), "loss", HOSTS)) == 1


def test_an_accepted_warning_is_not_put_right(tmp_path: Path) -> None:
    s = scene("attic").having("birch", "clock", synchronised=False, service="")
    finding = the(s, "host.time-sync", "birch").model_copy(update={"status": "warning", "accepted": "as it is"})
    report = Report(site=s.site.name, profile=s.profile, at=1.0, findings=(finding,))
    assert fixing.fixable(report, s.site, StateFolder(tmp_path), "time-sync", HOSTS) == ()


def test_what_is_for_a_person_says_what_to_do(tmp_path: Path) -> None:
    finding = scene("attic").having("birch", "system", systemd=False).find("host.systemd", "birch")
    assert finding is not None and finding.remedy is not None
    with pytest.raises(UsageError, match="nothing that Homewright can put right by itself") as raised:
        fixing.fix(scene("attic").site, StateFolder(tmp_path), finding, print)
    assert raised.value.do == finding.remedy.do


def test_nothing_is_put_right_in_a_rehearsal(tmp_path: Path) -> None:
    s, state = smaller(), StateFolder(tmp_path).create()
    Rehearsed.mark(state, "attic")
    with pytest.raises(RehearsalOnly, match="is not put right in a rehearsal"):
        fixing.fix(s.site, state, the(s, "net.path-mtu", "birch", "maple"), print)


def test_resolvers_are_proposed_from_the_site_then_the_others_then_the_way_out() -> None:
    s = scene("attic").answering(network={"resolvers": ["192.0.2.53"]})
    s = s.having("cedar", "names", resolvers=("127.0.0.53", "198.51.100.7", "::1", "fe80::1%eth0"))
    finding = Finding(
        check="net.resolvers", title="Resolvers", category="network", scope="host", phase="always",
        subjects=("birch",), status="failed", severity="failed", measured="", threshold="", reason="",
    )  # fmt: skip
    server = s.site.server("birch")
    repair = Repair(ground(s), load("home"), finding, server, None, print)  # type: ignore[arg-type]  # nobody is asked
    found = candidates(repair)
    assert found[0] == "192.0.2.53"
    assert "198.51.100.7" in found
    assert not any(one.startswith("127.") or one == "::1" for one in found)
    assert len(set(found)) == len(found)


def test_every_check_that_offers_a_repair_says_what_it_changes() -> None:
    s = smaller().having("birch", "clock", offset_s=90_000.0)
    offered = [one for one in s.judge() if one.remedy is not None and one.remedy.fix is not None]
    assert offered and all(one.remedy is not None and one.remedy.changes for one in offered)
    assert {one.check for one in offered} <= {check.id for check in CHECKS}
