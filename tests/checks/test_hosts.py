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


def test_a_server_of_debian_is_not_sent_to_ubuntu_s_documentation() -> None:
    ubuntu = scene("trouble").answering(servers=scene("trouble").site.model_dump(mode="json")["servers"][:1])
    name = ubuntu.site.servers[0].name
    debian = ubuntu.having(name, "system", os_id="debian", os_version="12", secure_boot=True)
    there = {finding.check: finding for finding in debian.judge() if finding.subjects == (name,)}
    assert len(there) > 30
    for finding in there.values():
        link, _, rest = finding.link.removeprefix("https://").partition("/")
        # LXD's own documentation lies on a server of Ubuntu's maker.
        assert "ubuntu" not in link or rest.startswith(("lxd/", "microcloud/")), finding
        assert finding.remedy is None or not any("ubuntu-drivers" in one for one in finding.remedy.do), finding
    for check in ("host.os", "gpu.secure-boot", "net.static-address"):
        assert "debian.org" in there[check].link
        assert (other := ubuntu.find(check, name)) is not None and "debian" not in other.link


def test_no_server_of_debian_is_told_to_use_netplan() -> None:
    two = scene("attic")
    for server in two.site.servers:
        two = two.having(server.name, "system", os_id="debian", os_version="12")
    one_of_both = tuple(f"{server.address}/24" for server in two.site.servers if server.name in ("birch", "cedar"))
    two = two.with_nic("cedar", "enp4s0", addresses=one_of_both, mtu=1400).with_pair("birch", "cedar", mtu=1400)
    findings = two.judge()
    assert {"site.addresses", "net.path-mtu"} <= {one.check for one in findings if one.status == "failed"}
    for one in findings:
        assert one.remedy is None or "netplan" not in " ".join((one.remedy.say, *one.remedy.do)), one


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
