"""Checks of servers: what a table of cases cannot say."""

from __future__ import annotations

from checking import scene

from homewright.discovery.facts import Gpu


def test_virtual_machines_matter_only_where_there_are_some() -> None:
    for answers in ({"instances": {"kind": "container"}}, {"platform": {"nodes": "servers"}}):
        assert scene("trouble").answering(**answers).find("host.kvm", "pine") is None
    # a GPU can be given to a virtual machine alone
    given = scene("trouble").answering(
        instances={"kind": "container"}, gpus=[{"host": "pine", "address": "0000:01:00.0", "use": "passthrough"}]
    )
    assert (found := given.find("host.kvm", "pine")) is not None and found.status == "failed"


def test_a_server_without_snaps_needs_none() -> None:
    debian = scene("attic").having("birch", "system", os_id="debian", os_version="12").having(
        "birch", "software", snapd=None, snap_hold=None
    )  # fmt: skip
    assert debian.find("host.snapd", "birch") is None
    assert debian.find("host.snap-hold", "birch") is None
    wanted = debian.answering(platform={"cluster": "microk8s"}).find("host.snapd", "birch")
    assert wanted is not None and wanted.status == "failed"


def test_of_two_servers_the_clock_that_agrees_with_ours_is_right() -> None:
    two = scene("trouble").answering(servers=scene("trouble").site.model_dump(mode="json")["servers"][:2])
    assert (right := two.find("host.clock-skew", "elder")) is not None and right.status == "passed"
    assert (late := two.find("host.clock-skew", "pine")) is not None and late.status == "failed"


def test_a_single_server_is_compared_with_us_and_not_with_the_middle() -> None:
    one = scene("trouble").answering(servers=scene("trouble").site.model_dump(mode="json")["servers"][:1])
    name = one.site.servers[0].name
    for offset, status in ((40.0, "failed"), (20.0, "passed")):
        found = one.having(name, "clock", offset_s=offset).find("host.clock-skew", name)
        assert found is not None and found.status == status, found


def test_a_server_without_a_gpu_of_nvidias_needs_no_vt_d() -> None:
    intel = (Gpu(address="0000:00:02.0", vendor="intel"),)
    assert scene("attic").knowing("birch", gpus=intel).find("host.vt-d", "birch") is None


def test_bridges_that_every_server_has_do_not_count_as_one_address() -> None:
    both = scene("trouble").answering(servers=scene("trouble").site.model_dump(mode="json")["servers"][:2])
    docker = next(nic for nic in both.facts["pine"].nics if nic.name == "docker0")
    both = both.knowing("elder", nics=(*both.facts["elder"].nics, docker))
    assert (found := both.find("site.addresses")) is not None and found.status == "passed"
