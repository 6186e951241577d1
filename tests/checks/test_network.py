"""Checks of the network: what a table of cases cannot say."""

from __future__ import annotations

import shlex
from dataclasses import replace

from checking import scene

from homewright.discovery.facts import FileSystem, Listener, Software


def test_a_smaller_interface_is_named_and_can_be_mended() -> None:
    odd = scene("attic").with_nic("cedar", "enp4s0", mtu=1400).with_pair("birch", "cedar", mtu=1400)
    found = odd.find("net.path-mtu", "birch", "cedar")
    assert found is not None and found.remedy is not None
    assert found.remedy.fix == "mtu" and "enp4s0 on cedar" in found.remedy.changes[0]
    # where both have the usual size, it is something between them, which nobody repairs from here
    between = scene("attic").with_pair("birch", "cedar", mtu=1400).find("net.path-mtu", "birch", "cedar")
    assert between is not None and between.remedy is not None and between.remedy.fix is None


def test_a_finished_site_holds_its_own_ports() -> None:
    own = [("lxd", 8443), ("kubelite", 16443), ("kubelite", 10250), ("traefik", 443), ("kube-controller", 10257)]
    taken = tuple(Listener(protocol="tcp", address="*", port=port, process=name) for name, port in own)
    kernel = Listener(protocol="udp", address="*", port=4789)
    finished = scene("attic").knowing("birch", listeners=(*taken, kernel), software=Software(services=("kubelet",)))
    done = frozenset({"20/10", "40/core/cluster/10", "40/core/ingress/10"})
    early = replace(finished, done=done - {"40/core/ingress/10"}).find("net.ports", "birch")
    assert early is not None and early.measured == "taken: 443/tcp by traefik"
    assert early.remedy is not None and early.remedy.fix is None, "it is never stopped"
    finished = replace(finished, done=done)
    assert (found := finished.find("net.ports", "birch")) is not None and found.status == "passed"
    # VXLAN's port has no process: without a cluster it is somebody else's
    strange = scene("attic").knowing("birch", listeners=(kernel,), software=Software(services=("ssh",)))
    assert (found := strange.find("net.ports", "birch")) is not None and found.status == "failed"


def test_ports_that_lead_to_the_instance_of_a_server_are_the_sites_own() -> None:
    led = tuple(
        Listener(protocol="tcp", address="192.0.2.11", port=port, process=name)
        for port, name in ((80, "systemd"), (443, "systemd-socket-"), (6443, "systemd"))
    )
    finished = replace(scene("attic").knowing("birch", listeners=led), done=frozenset({"40/core/cluster/00"}))
    assert (found := finished.find("net.ports", "birch")) is not None and found.status == "passed"
    before = replace(finished, done=frozenset()).find("net.ports", "birch")
    assert before is not None and before.status == "failed"


def test_what_stops_for_a_port_is_said_before() -> None:
    found = scene("trouble").find("net.ports", "pine")
    assert found is not None and found.remedy is not None and found.remedy.fix == "port"
    assert found.remedy.changes[0] == "what listens on 80/tcp is stopped: nginx, with its service"


def test_commands_take_whatever_a_server_says_as_one_word() -> None:
    odd = "http://proxy.example:3128/'; reboot; '"
    found = scene("attic").having("birch", "system", proxies={"http_proxy": odd}).find("net.proxy", "birch")
    assert found is not None and found.remedy is not None
    assert shlex.split(found.remedy.do[0])[-2:] == ["network.proxy", odd]
    full = FileSystem(mount="/home/a $(reboot)", size=10**12, free=0)
    s = scene("attic").knowing("birch", file_systems=(full,)).having("birch", "system", home=f"{full.mount}/ann")
    found = s.find("host.disk", "birch")
    assert found is not None and found.remedy is not None
    assert full.mount in shlex.split(found.remedy.do[-1])


def test_what_was_cut_out_of_a_proxy_is_in_no_command() -> None:
    cut = {"http_proxy": "http://***@proxy.example:3128"}
    found = scene("attic").having("birch", "system", proxies=cut).find("net.proxy", "birch")
    assert found is not None and found.remedy is not None
    assert found.remedy.do and not any("***" in line for line in found.remedy.do)


def test_the_overlay_matters_only_where_it_is_wanted() -> None:
    assert scene("attic").find("net.zerotier", "birch") is None
    assert scene("attic").find("net.overlay-mtu", "birch") is None


def test_a_single_server_has_nobody_to_find() -> None:
    one = scene("attic").answering(servers=scene("attic").site.model_dump(mode="json")["servers"][:1])
    assert one.find("net.names", "birch") is None


def test_a_resolver_is_proposed_that_answers_somebody_else() -> None:
    s = scene("attic").having("birch", "names", resolvers=())
    found = s.find("net.resolvers", "birch")
    assert found is not None and found.remedy is not None and found.remedy.fix == "resolv"
    assert s.facts["cedar"].names.resolvers[0] in found.remedy.changes[0]


def test_the_speed_of_a_bridge_is_that_of_its_interface() -> None:
    attic = scene("attic")
    lan = next(one for one in attic.facts["birch"].nics if one.name == "enp6s0f0")
    below = lan.model_copy(update={"master": "br0", "addresses": (), "default_route": False, "speed_mbps": 1000})
    bridge = lan.model_copy(update={"name": "br0", "kind": "bridge", "speed_mbps": None})
    bridged = attic.knowing("birch", nics=(below, bridge))
    for check in ("net.link-speed", "net.bridge-nic", "net.static-address"):
        assert (found := bridged.find(check, "birch")) is not None and found.status == "passed", found
