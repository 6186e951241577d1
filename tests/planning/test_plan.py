"""Plans: pure tables of sites, facts and history."""

from __future__ import annotations

from pathlib import Path

import pytest

from homewright.catalogue import Catalogue
from homewright.catalogue.models import Stage
from homewright.discovery.facts import Gpu, HostFacts, System
from homewright.errors import CatalogueError, SiteError
from homewright.planning import digest, plan
from homewright.planning.groups import members
from homewright.site.models import Server, Site


def site(servers: int, **more: object) -> Site:
    found = tuple(Server(name=f"s{n}", address=f"192.0.2.{n}", user="ann") for n in range(1, servers + 1))
    return Site.model_validate({"name": "attic", "servers": [server.model_dump() for server in found], **more})


def catalogue() -> Catalogue:
    def stage(name: str, when: str | None = None, **step: object) -> Stage:
        base = {"id": f"{name}/10", "title": "T", "runner": "python", "run": "a", "verify": "b", "rollback": "c"}
        return Stage.model_validate({"id": name, "title": f"S{name}", "when": when, "steps": [base | step]})

    stages = (
        stage("00", summary="writes names", minutes=2.0),
        stage("10", when="zone", reboots=True, may_lock_out=True, revert={"files": ["/etc/netplan/"]}),
        stage("20", hosts="controller"),
    )
    return Catalogue(stages, "c0ffee", (), {stage.id: Path(f"/{stage.id}_x") for stage in stages})


def facts(name: str, machine: str, gpu: bool = False) -> HostFacts:
    gpus = (Gpu(address="0000:01:00.0", vendor="nvidia"),) if gpu else ()
    return HostFacts(host=name, gathered_at=0.0, system=System(machine_id=machine), gpus=gpus)


def test_stages_steps_hosts_and_minutes() -> None:
    planned = plan(site(3), catalogue(), {}, {"20/10": 0.5})
    assert [(stage.id, stage.skipped) for stage in planned.stages] == [
        ("00", ""),
        ("10", "zone is not set in the site"),
        ("20", ""),
    ]
    assert [(step.id, step.hosts, step.minutes, step.measured) for step in planned.steps()] == [
        ("00/10", ("s1", "s2", "s3"), 2.0, False),
        ("20/10", ("s1",), 0.5, True),
    ]
    assert planned.minutes == 2.5
    assert planned.hosts[0].changes == ("00/10 writes names", "20/10 T")
    assert planned.hosts[1].changes == ("00/10 writes names",)


def test_reboots_and_what_could_lock_out_are_said() -> None:
    planned = plan(site(2, zone="home.internal"), catalogue())
    assert planned.reboots == ("s1", "s2")
    assert planned.may_lock_out == ("10/10",)
    assert planned.hosts[1].may_lock_out


@pytest.mark.parametrize(
    ("servers", "known", "words"),
    [
        (1, {}, "only one server"),
        (2, {}, "Two servers cannot form a quorum"),
        (3, {}, "homewright discover"),
        (1, {"s1": facts("s1", "m")}, "no server has an nvidia gpu"),
    ],
)
def test_warnings(servers: int, known: dict[str, HostFacts], words: str) -> None:
    assert words.lower() in " ".join(plan(site(servers), catalogue(), known).warnings).lower()


def test_a_site_of_three_with_a_gpu_has_no_warning() -> None:
    known = {name: facts(name, name, gpu=True) for name in ("s1", "s2", "s3")}
    assert plan(site(3), catalogue(), known).warnings == ()


def test_a_site_without_servers_has_no_plan() -> None:
    with pytest.raises(SiteError, match="no server"):
        plan(site(0), catalogue())


def test_only_and_from() -> None:
    assert [step.id for step in plan(site(3), catalogue(), only="20").steps()] == ["20/10"]
    assert [step.id for step in plan(site(3), catalogue(), only="00_x").steps()] == ["00/10"]
    assert [step.id for step in plan(site(3, zone="a.b"), catalogue(), start_at="10").steps()] == ["10/10", "20/10"]
    with pytest.raises(CatalogueError, match="no stage 77"):
        plan(site(3), catalogue(), only="77")


def test_the_digest_is_of_site_catalogue_and_who_the_servers_are() -> None:
    one = site(3)
    first = digest(one, "c", {"s1": facts("s1", "m1")})
    later = HostFacts(host="s1", gathered_at=99.0, system=System(machine_id="m1", uptime_s=5.0))
    assert digest(one, "c", {"s1": later}) == first
    assert digest(one, "c", {"s1": facts("s1", "m2")}) != first
    assert digest(one, "d", {"s1": facts("s1", "m1")}) != first
    assert digest(site(2), "c", {"s1": facts("s1", "m1")}) != first
    assert digest(one, "c", {"s1": facts("s1", "m1"), "other": facts("other", "m9")}) == first


@pytest.mark.parametrize(
    ("group", "servers", "names"),
    [
        ("servers", 2, ("s1", "s2")),
        ("controller", 2, ("s1",)),
        ("kubernetes_control_plane", 2, ("s1",)),
        ("kubernetes_control_plane", 4, ("s1", "s2", "s3")),
        ("kubernetes_workers", 1, ("s1",)),
        ("kubernetes_workers", 3, ("s2", "s3")),
        ("gpu_hosts", 3, ("s2",)),
        ("instances", 3, ("s1-node", "s2-node", "s3-node")),
    ],
)
def test_groups(group: str, servers: int, names: tuple[str, ...]) -> None:
    known = {"s1": facts("s1", "a"), "s2": facts("s2", "b", gpu=True)}
    assert members(group, site(servers), known) == names  # type: ignore[arg-type]  # a group each


@pytest.mark.parametrize(
    ("overlay", "runs"),
    [
        ({"kind": "zerotier", "network_id": "8056c2e21c000001"}, True),
        ({"kind": "none", "network_id": "8056c2e21c000001"}, False),  # kept in the file, and not wanted now
        ({}, False),
    ],
)
def test_a_step_without_its_answer_is_planned_to_be_taken_back_alone(overlay: dict[str, str], runs: bool) -> None:
    found = catalogue()
    when = {"when": "network.overlay.network_id", "secret": "overlay/zerotier-token"}
    steps = (found.stages[0].steps[0].model_copy(update=when),)
    stages = (found.stages[0].model_copy(update={"steps": steps}), *found.stages[1:])
    changed = Catalogue(stages, "c0ffee", (), {})
    wanted = site(2, network={"overlay": overlay})
    step = plan(wanted, changed, secrets=["overlay/zerotier-token"]).steps()[0]
    assert bool(step.hosts) is runs
    step = plan(wanted, changed, secrets=[], back=()).steps()[0]
    assert (step.hosts, step.skipped) == (("s1", "s2"), "")
    assert plan(wanted, changed, back=()).stages[1].skipped == "", "a whole stage too"


@pytest.mark.parametrize(
    ("applied", "hosts"),
    [
        (None, ()),
        (set(), ()),
        ({("00/10", "s2")}, ("s2",)),
        ({("00/10", "s2"), ("00/10", "s1"), ("00/20", "s1"), ("00/10", "gone")}, ("s1", "s2")),
    ],
)
def test_a_step_is_taken_back_where_it_was_applied_though_its_group_is_another_now(
    applied: set[tuple[str, str]] | None, hosts: tuple[str, ...]
) -> None:
    """Servers that carried instances, of a site whose servers are the nodes themselves by now."""
    found = catalogue()
    first = found.stages[0].steps[0].model_copy(update={"hosts": "lxd_servers"})
    stage = found.stages[0].model_copy(update={"steps": (first,)})
    assert first.id == "00/10"
    changed = Catalogue((stage,), "c0ffee", (), {})
    step = plan(site(2, platform={"nodes": "servers"}), changed, back=applied).steps()[0]
    assert step.hosts == hosts
    assert bool(step.skipped) is (not hosts)
