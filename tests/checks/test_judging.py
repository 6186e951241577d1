"""Applying the checks: whom they are about, what unreachable servers do, what a recheck covers, what was accepted."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from checking import Scene, scene

from homewright.checks import profiles
from homewright.checks.accepting import same_measure
from homewright.checks.catalogue import BY_ID, CHECKS
from homewright.checks.judging import Ground, hosts_of, subjects, to_judge_again
from homewright.checks.models import Finding, Key, Report
from homewright.discovery.facts import HostFacts, Listener, Nic
from homewright.errors import UsageError


def report(s: Scene) -> Report:
    return Report(site=s.site.name, profile=s.profile, at=1.0, findings=s.judge(), unreachable=dict(s.unreachable))


def keys(findings: tuple[Finding, ...]) -> set[Key]:
    return {finding.key for finding in findings}


def test_a_healthy_site_passes() -> None:
    assert Counter(finding.status for finding in scene("attic").judge()).keys() == {"passed"}


def test_practice_servers_pass_by_the_labs_profile() -> None:
    practice = replace(scene("practice"), profile="lab")
    for number, host in enumerate(practice.facts):
        # recorded before their image had a time service, and ids of their own
        practice = practice.having(host, "clock", service="systemd-timesyncd")
        practice = practice.having(host, "system", machine_id=f"{number}" * 32)
    assert report(practice).blocking() == () and report(practice).warnings() == ()
    assert report(replace(practice, profile="home")).blocking()


def test_every_server_every_pair_and_the_site_are_judged_once() -> None:
    found = Counter(finding.key for finding in scene("attic").judge())
    assert set(found.values()) == {1}
    ground = Ground(scene("attic").site)
    assert len(subjects(BY_ID["host.cpu"], ground)) == 3
    assert len(subjects(BY_ID["net.loss"], ground)) == 6
    assert subjects(BY_ID["topology.quorum"], ground) == ((),)


def test_an_unreachable_server_takes_nothing_from_the_others() -> None:
    whole, without = scene("attic"), scene("attic").without("maple", "no route to host")
    unknown = [finding for finding in without.judge() if finding.status == "unknown"]
    assert all("maple" in finding.subjects or not finding.subjects for finding in unknown)
    assert all("no route to host" in finding.reason for finding in unknown if finding.subjects)
    others = [finding for finding in without.judge() if finding.subjects and "maple" not in finding.subjects]
    assert others == [finding for finding in whole.judge() if finding.subjects and "maple" not in finding.subjects]
    # facts from before do not stand in for a server that is silent now
    stale = replace(whole, unreachable={"maple": "no route to host"})
    assert (found := stale.find("host.cpu", "maple")) is not None and found.status == "unknown"


def test_a_server_that_nobody_has_asked_is_unknown_not_failed() -> None:
    fresh = replace(scene("attic"), facts={})
    assert {finding.status for finding in fresh.judge() if finding.subjects} == {"unknown"}
    assert (found := fresh.find("host.cpu", "birch")) is not None and "not been looked at" in found.reason


def test_only_what_is_asked_for_is_judged() -> None:
    wanted: set[Key] = {("host.cpu", ("pine",)), ("net.loss", ("pine", "elder")), ("topology.quorum", ())}
    found = scene("trouble").judge(wanted)
    assert keys(found) == wanted
    assert found == tuple(finding for finding in scene("trouble").judge() if finding.key in wanted)


def test_severity_comes_from_the_profile() -> None:
    weak = scene("attic").having("birch", "cpu", threads=1)
    assert (hard := weak.find("host.cpu", "birch")) is not None and (hard.status, hard.severity) == ("failed", "failed")
    home = profiles.load("home")
    lenient = home.checks["host.cpu"].model_copy(update={"severity": "warning"})
    from homewright.checks.judging import judge

    soft = home.model_copy(update={"checks": {**home.checks, "host.cpu": lenient}})
    found = judge(Ground(weak.site, weak.facts), soft, {("host.cpu", ("birch",))})
    assert (found[0].status, found[0].severity) == ("warning", "warning")
    off = home.checks["host.cpu"].model_copy(update={"severity": "off"})
    none = home.model_copy(update={"checks": {**home.checks, "host.cpu": off}})
    assert judge(Ground(weak.site, weak.facts), none, {("host.cpu", ("birch",))}) == ()


def test_a_recheck_covers_what_did_not_pass_and_what_depended_on_it() -> None:
    broken = scene("attic").having("cedar", "system", hostname="Cedar_1")
    again = to_judge_again(report(broken))
    assert ("host.hostname", ("cedar",)) in again
    # names depend on it, and so does whether all host names differ
    assert {("net.names", ("cedar",)), ("site.hostnames", ())} <= again
    assert len(again) == 3
    assert hosts_of(again) == {"cedar"}


def test_a_recheck_of_a_site_that_passes_is_nothing() -> None:
    assert to_judge_again(report(scene("attic"))) == frozenset()


def test_a_recheck_covers_both_ways_of_a_broken_pair_only() -> None:
    lossy = scene("attic").with_pair("birch", "cedar", rtt_ms=0.3, loss_percent=40.0, mtu=1500)
    again = to_judge_again(report(lossy))
    back = {(check, ("cedar", "birch")) for check in ("net.round-trip", "net.path-mtu")}
    assert again == {(check, ("birch", "cedar")) for check in ("net.loss", "net.round-trip", "net.path-mtu")} | back


def test_what_was_judged_anew_stands_where_it_stood() -> None:
    before = report(scene("attic").having("cedar", "system", hostname="Cedar_1"))
    fresh = scene("attic").judge(set(to_judge_again(before)))
    after = before.updated(fresh, at=2.0)
    assert [finding.key for finding in after.findings] == [finding.key for finding in before.findings]
    assert after.blocking() == () and after.at == 2.0
    assert set(after.ran) == keys(fresh) and len(after.ran) == 3


def test_what_blocks_what_can_be_accepted_and_what_is_about_a_server() -> None:
    found = report(scene("trouble"))
    assert found.blocking() and all(finding.status == "failed" for finding in found.blocking())
    assert found.warnings() and all(finding.status == "warning" for finding in found.warnings())
    assert found.unknown() and all("pine" in finding.subjects for finding in found.of("pine"))
    assert (one := found.finding("host.kernel", "pine")) is not None and one.open
    assert found.finding("host.kernel", "nobody") is None


def accepting(measured: str, status: str = "warning") -> Scene:
    return scene("trouble").answering(
        accepted=[{"check": "host.swap", "subjects": ["pine"], "reason": "it has little memory", "measured": measured}]
    )


def test_an_accepted_warning_asks_again_only_when_another_value_is_measured() -> None:
    found = accepting("/swap.img").find("host.swap", "pine")
    assert found is not None and found.accepted == "it has little memory" and not found.open
    again = accepting("/dev/sda3").find("host.swap", "pine")
    assert again is not None and again.accepted is None and again.open
    assert found.key not in {finding.key for finding in report(accepting("/swap.img")).warnings()}
    assert (other := accepting("/swap.img").find("host.swap", "elder")) is None or other.accepted is None


def test_a_failed_check_is_never_accepted() -> None:
    hidden = scene("trouble").answering(
        accepted=[{"check": "host.kernel", "subjects": ["pine"], "reason": "let me", "measured": "5.15.0-160-generic"}]
    )
    found = hidden.find("host.kernel", "pine")
    assert found is not None and found.status == "failed" and found.accepted is None


@pytest.mark.parametrize(
    ("before", "now", "same"),
    [
        ("11.8 ms", "11.8 ms", True),
        ("11.8 ms", "12.4 ms", True),
        ("11.8 ms", "19.0 ms", False),
        ("15.9 GB", "15.7 GB", True),
        ("8.2 GB", "4.1 GB", False),
        ("2 servers", "3 servers", False),
        ("100 Mb/s on eth0", "10 Mb/s on eth0", False),
        ("570.133.20", "570.144", False),
        ("/swap.img", "/swap2.img", False),
        ("11.8 ms", "unknown", False),
    ],
)
def test_what_counts_as_the_same_value(before: str, now: str, same: bool) -> None:
    assert same_measure(before, now) is same


def test_a_profile_says_what_is_wrong_with_it() -> None:
    with pytest.raises(UsageError, match="no profile garage"):
        profiles.load("garage")
    with pytest.raises(UsageError, match="cannot be read"):
        profiles.parse("checks: [", "mine.yaml")
    with pytest.raises(UsageError) as wrong:
        profiles.parse("version: 1\nname: x\ntitle: y\nchecks: {host.cpu: {severity: fatal}}", "mine.yaml")
    assert "checks.host.cpu.severity" in wrong.value.why


def test_the_order_is_the_catalogues() -> None:
    order = [check.id for check in CHECKS]
    found = [finding.check for finding in scene("trouble").judge()]
    assert found == sorted(found, key=order.index)


@pytest.mark.parametrize("section", [name for name, kind in HostFacts.model_fields.items() if not kind.is_required()])
def test_facts_without_a_section_are_judged(section: str) -> None:
    empty = HostFacts(host="birch", gathered_at=0.0)
    bare = scene("attic").knowing("birch", **{section: getattr(empty, section)})
    before, after = keys(scene("attic").judge()), bare.judge()
    assert keys(after) <= before
    # what is not told never makes a check pass that failed, and is unknown more often than wrong
    assert {finding.key for finding in after if finding.status != "passed"} <= before


def test_a_probe_that_was_cut_off_leaves_questions_open() -> None:
    cut = scene("attic").having("birch", "system", kvm=False, vhost_vsock=False, systemd=False)
    for check in ("host.kvm", "host.vsock", "host.systemd"):
        assert (told := cut.find(check, "birch")) is not None and told.status in ("warning", "failed")
        open_ = cut.missing("birch", "probe", reason="it was cut off").find(check, "birch")
        assert open_ is not None and open_.status == "unknown"


def test_a_finished_site_passes() -> None:
    """Bridges, ports, names and a registry that are the platform's own are no obstacle to it."""
    steps = {"00/10", "10/10", "10/20", "20/10", "30/20", "40/core/cluster/10", "40/core/gpu/10", "40/core/ingress/10",
             "40/core/harbor/10"}  # fmt: skip
    finished = replace(scene("attic").answering(zone="home.internal"), done=frozenset(steps))
    own = (("lxd", 8443), ("kubelite", 16443), ("kubelite", 10250), ("k8s-dqlite", 19001), ("traefik", 80))
    taken = tuple(Listener(protocol="tcp", address="*", port=port, process=name) for name, port in own)
    vxlan = Listener(protocol="udp", address="*", port=4789)
    for host, facts in finished.facts.items():
        lan = next(nic for nic in facts.nics if nic.default_route)
        below = lan.model_copy(update={"master": "br0", "addresses": (), "default_route": False, "gateway": ""})
        bridges = (
            lan.model_copy(update={"name": "br0", "kind": "bridge", "speed_mbps": None, "driver": ""}),
            Nic(name="lxdbr0", kind="bridge", up=True, addresses=("10.100.0.1/24",), mtu=1500),
        )
        finished = finished.knowing(host, nics=(below, *bridges), listeners=(*taken, vxlan))
        finished = finished.having(host, "names", wildcard=True, search=("home.internal",))
        services = ("snap.microk8s.daemon-kubelite", "snap.lxd.daemon")
        finished = finished.having(host, "software", services=services, device_plugin=("nvidia-device-plugin",))
    found = report(finished)
    assert not [f"{one.check} {one.measured}" for one in found.findings if one.status != "passed"]
