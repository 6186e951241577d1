"""The bridge as netplan files: what is written for which server, and which servers are refused before any change."""

from __future__ import annotations

import dataclasses
import importlib.util
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ruamel.yaml import YAML

from homewright.catalogue import load, shipped
from homewright.site.models import Site
from homewright.stages import bridge, bridge_effect
from homewright.stages.bridge import CLOUD, FILE, Refused, Seen, Wanted, astray, put_back, refuse_used, wanted
from homewright.stages.bridge_effect import SETTLE
from homewright.stages.netplan import Link

CLOUD_FILE = "/etc/netplan/50-cloud-init.yaml"
STATIC = """\
# from the installer
network:
  version: 2
  ethernets:
    eno1:
      addresses: [192.168.1.11/24, 10.7.0.1/16]  # both mine
      wakeonlan: true
      routes:
        - to: default
          via: 192.168.1.1
        - to: 10.9.0.0/16
          via: 10.7.0.9
      nameservers:
        search: [home.arpa]
        addresses: [192.168.1.1]
    eno2:
      dhcp4: true
"""


def site(nic: str | None = None, **network: Any) -> Site:
    server = {"name": "s1", "address": "192.168.1.11", "user": "ann", "nic": nic}
    return Site.model_validate({"name": "attic", "servers": [server], "network": network})


def link(name: str, *addresses: str, **more: Any) -> Link:
    file = more.pop("network_file", f"/run/systemd/network/10-netplan-{name}.network")
    return Link(
        name,
        addresses=addresses,
        mac=more.pop("mac", f"02:00:00:00:00:{sum(name.encode()) % 256:02x}"),
        network_file=file,
        **more,
    )


def seen(*links: Link, **more: Any) -> Seen:
    given = links or (link("eno1", "192.168.1.11/24"), link("eno2"))
    defaults = {"gateway": "192.168.1.1", "gateway_link": given[0].name, "resolvers": ("192.168.1.1",)}
    return Seen(
        links={one.name: one for one in (link("lo", "127.0.0.1/8", network_file=""), *given)}, **defaults | more
    )


def made(given: Seen, asked: Site | None = None, before: dict[str, Any] | None = None) -> Wanted:
    one = asked or site()
    return wanted(one, one.servers[0], given, before)


def of(found: Wanted, path: str = FILE) -> Any:
    return YAML(typ="safe").load(found.files[path])["network"]


def after(given: Seen, done: Wanted) -> Seen:
    """The same server with the files written and in effect."""
    links = {
        name: dataclasses.replace(one, addresses=(), master="br0" if name == done.nic else one.master)
        for name, one in given.links.items()
    }
    links["br0"] = Link(
        "br0", kind="bridge", mac=done.mac, addresses=tuple(map(str, of(done)["bridges"]["br0"]["addresses"])),
        network_file="/run/systemd/network/10-netplan-br0.network",
    )  # fmt: skip
    written = {path: text for path, text in done.files.items() if path != CLOUD}
    return dataclasses.replace(
        given, links=links, files={**given.files, **written}, gateway=done.gateway, gateway_link="br0", mark=done.nic
    )


def test_a_server_whose_network_netplan_does_not_know() -> None:
    found = of(made(seen(link("eno1", "192.168.1.11/24", network_file="/etc/systemd/network/lan.network"))))
    assert found == {
        "version": 2,
        "ethernets": {"eno1": {"renderer": "networkd", "dhcp4": False, "dhcp6": False, "link-local": []}},
        "bridges": {
            "br0": {
                "renderer": "networkd",
                "interfaces": ["eno1"],
                "macaddress": "02:00:00:00:00:73",
                "parameters": {"stp": False, "forward-delay": 0},
                "addresses": ["192.168.1.11/24"],
                "dhcp4": False,
                "routes": [{"to": "default", "via": "192.168.1.1"}],
                "nameservers": {"addresses": ["192.168.1.1"]},
            }
        },
    }


def test_what_a_file_says_of_addresses_moves_and_all_else_stays() -> None:
    found = made(seen(files={CLOUD_FILE: STATIC}, cloud_init=True))
    top = of(found)["bridges"]["br0"]
    assert top["addresses"] == ["192.168.1.11/24", "10.7.0.1/16"]
    assert top["routes"] == [{"to": "default", "via": "192.168.1.1"}, {"to": "10.9.0.0/16", "via": "10.7.0.9"}]
    assert top["nameservers"] == {"search": ["home.arpa"], "addresses": ["192.168.1.1"]}
    text = found.files[CLOUD_FILE]
    assert text.startswith("# from the installer\n") and "wakeonlan: true" in text
    assert of(found, CLOUD_FILE)["ethernets"] == {"eno1": {"wakeonlan": True}, "eno2": {"dhcp4": True}}
    assert "config: disabled" in found.files[CLOUD]


@pytest.mark.parametrize(
    "given",
    [
        seen(link("eno1", "192.168.1.11/24", network_file="/etc/systemd/network/lan.network")),
        seen(files={CLOUD_FILE: STATIC}, cloud_init=True),
        seen(link("eno1", "192.168.1.11/24"), files={CLOUD_FILE: "network: {ethernets: {eno1: {dhcp4: true}}}\n"}),
    ],
)
def test_a_second_run_changes_nothing(given: Seen) -> None:
    done = made(given)
    later = after(given, done)
    again = made(later)
    assert {path: text for path, text in again.files.items() if later.files.get(path) != text} == (
        {CLOUD: bridge.CLOUD_TEXT} if given.cloud_init else {}
    )
    assert astray(later, again) == ""
    assert (again.nic, again.mac, again.address, again.gateway) == (done.nic, done.mac, done.address, done.gateway)


def test_dhcp_becomes_the_same_address_for_good() -> None:
    text = "network: {ethernets: {lan: {match: {macaddress: '02:00:00:00:00:73'}, set-name: eno1, dhcp4: true}}}\n"
    found = made(seen(files={CLOUD_FILE: text}))
    assert of(found)["bridges"]["br0"]["interfaces"] == ["lan"]
    assert of(found)["ethernets"]["lan"]["match"] == {"macaddress": "02:00:00:00:00:73"}
    assert (of(found)["bridges"]["br0"]["dhcp4"], of(found)["bridges"]["br0"]["addresses"]) == (
        False,
        ["192.168.1.11/24"],
    )
    assert "dhcp4" not in of(found, CLOUD_FILE)["ethernets"]["lan"]


@pytest.mark.parametrize(
    ("section", "name", "inside"),
    [
        ("bonds", "bond0", "interfaces: [eno1, eno2], parameters: {mode: active-backup}"),
        ("vlans", "lan.7", "id: 7, link: eno1"),
    ],
)
def test_bonds_and_vlans_are_bridged_as_they_stand(section: str, name: str, inside: str) -> None:
    text = f"network: {{{section}: {{{name}: {{{inside}, addresses: [192.168.1.11/24], gateway4: 192.168.1.1}}}}}}\n"
    ports = (link("eno1", master="bond0" if section == "bonds" else ""), link("eno2"))
    found = made(seen(link(name, "192.168.1.11/24", kind=section[:-1]), *ports, files={CLOUD_FILE: text}))
    assert of(found)["bridges"]["br0"]["interfaces"] == [name]
    assert of(found)["bridges"]["br0"]["routes"] == [{"to": "default", "via": "192.168.1.1"}]
    assert of(found, CLOUD_FILE)[section][name] == YAML(typ="safe").load(f"{{{inside}}}")


def test_another_interface_is_chosen_than_the_one_with_the_address() -> None:
    given = seen(files={CLOUD_FILE: STATIC})
    found = made(given, site("eno2"))
    assert of(found)["bridges"]["br0"]["interfaces"] == ["eno2"]
    assert found.mac == given.links["eno2"].mac
    assert "192.168.1.11/24" in of(found)["bridges"]["br0"]["addresses"]
    assert set(of(found)["ethernets"]) == {"eno1", "eno2"}
    assert "addresses" not in of(found, CLOUD_FILE)["ethernets"]["eno1"]
    later = after(given, found)
    assert made(later, site("eno2")).files[FILE] == found.files[FILE]


def test_the_sites_gateway_and_resolvers_count_before_the_servers() -> None:
    found = of(made(seen(files={CLOUD_FILE: STATIC}), site(gateway="192.168.1.254", resolvers=["192.168.1.53"])))
    assert {"to": "default", "via": "192.168.1.254"} in found["bridges"]["br0"]["routes"]
    assert "192.168.1.1" not in str(found["bridges"]["br0"]["routes"])
    assert found["bridges"]["br0"]["nameservers"] == {"search": ["home.arpa"], "addresses": ["192.168.1.53"]}


DUAL = """\
network:
  version: 2
  ethernets:
    eno1:
      addresses: [192.168.1.11/24, "2001:db8::11/64"]
      routes:
        - {to: default, via: "2001:db8::1"}
        - {to: default, via: 10.7.0.1, table: 100}
"""


def test_the_ways_out_by_ipv6_and_of_a_policy_are_not_the_servers_gateway() -> None:
    """netplan calls them `default` as well."""
    six, policy = {"to": "default", "via": "2001:db8::1"}, {"to": "default", "via": "10.7.0.1", "table": 100}
    found = made(seen(files={CLOUD_FILE: DUAL}))
    assert found.gateway == "192.168.1.1", "as the server has it by now"
    routes = of(found)["bridges"]["br0"]["routes"]
    assert routes == [six, policy, {"to": "default", "via": "192.168.1.1"}]
    both = DUAL.replace("      routes:\n", "      routes:\n        - {to: 0.0.0.0/0, via: 192.168.1.1}\n")
    moved = made(seen(files={CLOUD_FILE: both}), site(gateway="192.168.1.254"))
    assert of(moved)["bridges"]["br0"]["routes"] == [six, policy, {"to": "default", "via": "192.168.1.254"}]
    assert of(made(seen(files={CLOUD_FILE: both})))["bridges"]["br0"]["routes"][1:] == [six, policy]


def test_resolvers_put_before_the_sites_stay() -> None:
    given = seen()
    done = made(given, site(resolvers=["192.168.1.53"]))
    more = done.files[FILE].replace("- 192.168.1.53", "- 127.0.0.2\n          - 192.168.1.53")
    later = dataclasses.replace(after(given, done), files={FILE: more})
    assert made(later, site(resolvers=["192.168.1.53"])).files[FILE] == more


def test_a_gateway_edited_into_our_file_gives_way_to_the_one_of_before() -> None:
    given = seen()
    done = made(given)
    edited = done.files[FILE].replace("via: 192.168.1.1\n", "via: 192.168.1.9\n")
    later = dataclasses.replace(after(given, done), files={FILE: edited})
    assert made(later, before={"gateway": "192.168.1.1", "files": {}}).gateway == "192.168.1.1"


WIFI = link("wlp3s0", "192.168.1.11/24", wireless=True)
BOND = link("bond0", "192.168.1.11/24", kind="bond")
LOST = link("eno1", "192.168.1.11/24", network_file="")
REFUSED = [
    (seen(WIFI), site(), "Wi-Fi"),
    (seen(), site("eno7"), "no interface eno7"),
    (seen(link("eno1", "192.168.1.12/24")), site(), "no interface there has 192.168.1.11"),
    (seen(link("eno1", master="bond0"), BOND), site("eno1"), "belongs to bond0"),
    (seen(BOND), site(), "netplan did not make"),
    (seen(link("vmbr0", "192.168.1.11/24", kind="bridge")), site(), "a bridge that is not Homewright's"),
    (seen(link("wg0", "192.168.1.11/24", kind="wireguard")), site(), "no bridge can take over"),
    (seen(link("eno1", "192.168.1.11/24"), link("br0", kind="bridge")), site(), "there is a bridge br0 already"),
    (seen(link("eno1", "192.168.1.11/24"), link("br0", kind="dummy")), site(), "there is a dummy br0 already"),
    (seen(files={FILE: "network: {version: 2}\n"}), site(), "is not Homewright's"),
    (seen(files={CLOUD_FILE: "network: {bridges: {br0: {interfaces: [eno2]}}}\n"}), site(), "defines a bridge br0"),
    (seen(files={CLOUD_FILE: "network: [\n"}), site(), "is no YAML"),
    (seen(netplan=False, manager="ifupdown"), site(), "set up by ifupdown"),
    (seen(networkd=False), site(), "no systemd-networkd"),
    (seen(LOST, manager="NetworkManager"), site(), "set up by NetworkManager"),
    (seen(link("eno1", "192.168.1.11/24", carrier=False)), site(), "no cable"),
    (seen(link("eno1", "192.168.1.11/24", network_file="/etc/systemd/network/05-lan.network")), site(), "comes before"),
    (seen(), site(gateway="10.0.0.1"), "the gateway 10.0.0.1 is not in its network 192.168.1.0/24"),
    (seen(files={"/run/netplan/a.yaml": "network: {ethernets: {eno1: {dhcp4: true}}}\n"}), site(), "/run/netplan/a"),
    (
        seen(files={CLOUD_FILE: "network: {ethernets: {all: {match: {name: 'en*'}, dhcp4: true}}}\n"}),
        site(),
        "is eno1 and eno2 in one",
    ),
    (
        seen(files={CLOUD_FILE: "network: {ethernets: {eno1: {}, x: {match: {macaddress: '02:00:00:00:00:73'}}}}\n"}),
        site(),
        "twice",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("given", "asked", "why"), REFUSED, ids=[why for _, _, why in REFUSED])
def test_what_can_have_no_bridge_is_refused_with_the_reason(given: Seen, asked: Site, why: str) -> None:
    with pytest.raises(Refused) as refused:
        made(given, asked)
    assert why in refused.value.what
    assert refused.value.why == "Nothing was changed."
    assert refused.value.do


def test_an_interface_that_nobody_has_set_up_can_be_chosen() -> None:
    found = made(seen(link("eno1", "192.168.1.11/24"), link("eno2", network_file="")), site("eno2"))
    assert found.nic == "eno2"


def test_a_server_whose_way_out_is_wifi_keeps_it() -> None:
    """Its cable has the address that we know, and no gateway: NetworkManager, which runs, has the Wi-Fi alone."""
    radio = link("wlp3s0", "192.168.1.77/24", wireless=True, network_file="")
    given = seen(link("eno1", "192.168.1.11/24"), radio, gateway_link="wlp3s0", manager="NetworkManager")
    found = made(given)
    assert (found.nic, found.gateway, "routes" in of(found)["bridges"]["br0"]) == ("eno1", "", False)
    later = dataclasses.replace(after(given, found), gateway="192.168.1.1", gateway_link="wlp3s0")
    assert astray(later, found) == ""
    chosen = made(given, site(gateway="192.168.1.1"))
    assert chosen.gateway == "192.168.1.1"
    assert "the default route goes to 192.168.1.1 on wlp3s0" in astray(later, chosen)


def test_a_file_that_came_later_is_never_emptied() -> None:
    given = seen()
    later = after(given, made(given))
    more = dataclasses.replace(later, files={**later.files, CLOUD_FILE: STATIC})
    with pytest.raises(Refused, match="did not when that was made"):
        made(more, before={"files": {}})


WIFI = "network:\n  wifis:\n    wlan0: {dhcp4: true, access-points: {home: {password: hunter22}}}\n"
SECRETS = (
    WIFI.removeprefix("network:\n"),
    "  tunnels:\n    wg0: {mode: wireguard, keys: {private: hunter22}}\n",
    "  # wg0: {private: hunter22}\n",
    "  bonds:\n    b0: {auth: {key-management: 802.1x}}\n",
    "  nm-devices:\n    x: {networkmanager: {passthrough: {wifi-security.psk: hunter22}}}\n",
)


@pytest.mark.parametrize("more", SECRETS)
def test_a_file_with_secrets_is_neither_edited_nor_written_down(more: str) -> None:
    mixed = seen(files={CLOUD_FILE: f"{STATIC}{more}"})
    assert bridge.recorded(mixed) == {}
    with pytest.raises(Refused, match="secrets") as caught:
        made(mixed)
    assert "move those into a file of their own" in caught.value.as_text()
    apart = seen(files={CLOUD_FILE: STATIC, "/etc/netplan/60-wifi.yaml": f"network:\n{more}"})
    assert set(made(apart).files) == {FILE, CLOUD_FILE}
    assert bridge.recorded(apart) == {CLOUD_FILE: STATIC}


def test_the_state_of_before_holds_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the step itself records it for the journal."""
    step = importlib.util.spec_from_file_location("bridge_step", shipped() / "10_baremetal_infra" / "18_bridge.py")
    assert step is not None and step.loader is not None
    module: Any = importlib.util.module_from_spec(step)
    step.loader.exec_module(module)
    asked = site()
    host: Any = SimpleNamespace(
        name="s1",
        site=asked,
        address=asked.servers[0].address,
        stat=lambda path: "600 root:root",
        exists=lambda _: False,
    )
    given = seen(files={CLOUD_FILE: STATIC, "/etc/netplan/60-wifi.yaml": WIFI})
    monkeypatch.setattr(module, "look", lambda _: given)
    before = module.capture(host)
    assert (before["files"], list(before["states"])) == ({CLOUD_FILE: STATIC}, [CLOUD_FILE])
    mixed = dataclasses.replace(given, files={CLOUD_FILE: f"{STATIC}{SECRETS[0]}"})
    monkeypatch.setattr(module, "look", lambda _: mixed)
    with pytest.raises(Refused, match="secrets"):
        module.capture(host)


def test_what_was_written_down_is_enough_to_put_back_what_was_edited() -> None:
    other = "network: {version: 2, ethernets: {eno2: {dhcp4: true}}}\n"
    plain = "network: {version: 2, renderer: networkd}\n"
    paths = ("/etc/netplan/60-more.yaml", "/etc/netplan/70-plain.yaml", "/run/netplan/80-run.yaml")
    given = seen(files={CLOUD_FILE: STATIC, **dict(zip(paths, (other, plain, other), strict=True))})
    before = bridge.recorded(given)
    assert before == {CLOUD_FILE: STATIC, paths[0]: other}
    later = after(given, made(given, before={"files": before}))
    assert put_back(before, {**later.files, paths[1]: "network: {}\n"}, site().servers[0]) == {
        FILE: None, CLOUD_FILE: STATIC,
    }  # fmt: skip
    assert FILE in bridge.recorded(later)


def test_an_address_with_options_keeps_them() -> None:
    options = "network: {version: 2, ethernets: {eno1: {addresses: [192.168.1.11/24: {lifetime: 0}]}}}\n"
    given = seen(files={CLOUD_FILE: options})
    found = made(given)
    assert found.address == "192.168.1.11/24"
    assert of(found)["bridges"]["br0"]["addresses"] == [{"192.168.1.11/24": {"lifetime": 0}}]


@pytest.mark.parametrize(
    ("name", "change", "why"),
    [
        ("br0", None, "no bridge br0"),
        ("br0", {"addresses": ()}, "no address"),
        ("br0", {"stp": 1}, "spanning tree"),
        ("br0", {"forward_delay": 15}, "spanning tree"),
        ("br0", {"mac": "02:00:00:00:00:99"}, "hardware address"),
        ("br0", {"carrier": False}, "carrier"),
        ("eno1", {"master": ""}, "no port"),
        ("eno1", {"addresses": ("10.0.0.9/24",)}, "still has"),
    ],
)
def test_what_is_not_in_effect_is_seen(name: str, change: dict[str, Any] | None, why: str) -> None:
    given = seen()
    done = made(given)
    links = dict(after(given, done).links)
    if change is None:
        del links[name]
    else:
        links[name] = dataclasses.replace(links[name], **change)
    assert why in astray(dataclasses.replace(after(given, done), links=links), done)
    elsewhere = dataclasses.replace(after(given, done), gateway_link="eno2")
    assert "default route" in astray(elsewhere, done)


def test_taking_back_restores_the_files_that_it_changed_and_no_other() -> None:
    given = seen(files={CLOUD_FILE: STATIC, "/etc/netplan/60-more.yaml": "network: {version: 2}\n"})
    done = made(given)
    now = {**after(given, done).files, "/etc/netplan/60-more.yaml": "network: {version: 2} # mine\n"}
    server = site().servers[0]
    assert put_back(
        given.files, {**now, "/etc/netplan/60-more.yaml": given.files["/etc/netplan/60-more.yaml"]}, server
    ) == {
        FILE: None,
        CLOUD_FILE: STATIC,
    }
    with pytest.raises(Refused, match="was edited since"):
        put_back(given.files, {**now, CLOUD_FILE: now[CLOUD_FILE].replace("eno2", "eno3")}, server)


def test_a_bridge_that_carries_instances_is_not_taken_back() -> None:
    given = seen()
    later = after(given, made(given))
    server = site().servers[0]
    refuse_used(server, later, "eno1")
    tap = dataclasses.replace(later, links={**later.links, "veth7": link("veth7", kind="veth", master="br0")})
    with pytest.raises(Refused, match="carries others: veth7"):
        refuse_used(server, tap, "eno1")


def test_a_bridge_that_moved_is_wrong_as_long_as_its_old_interface_is_a_port_too() -> None:
    """Two ports on one cable are a loop. What an instance has on the bridge is no matter of this step."""
    given = seen()
    there = after(given, made(given))
    there = dataclasses.replace(there, mark="eno1")
    to_be = made(there, site("eno2"))
    assert to_be.nic == "eno2"
    moved = after(there, to_be)
    instance = link("veth1", kind="veth", master="br0", network_file="")
    both = dataclasses.replace(moved.links["eno1"], master="br0")
    moved = dataclasses.replace(moved, links={**moved.links, "veth1": instance})
    assert (
        astray(dataclasses.replace(moved, links={**moved.links, "eno1": both}), to_be)
        == "br0 still has the port eno1 beside eno2"
    )
    free = dataclasses.replace(moved.links["eno1"], master="")
    moved = dataclasses.replace(moved, links={**moved.links, "eno1": free}, mark="eno1")
    assert astray(moved, to_be) == ""
    assert bridge.port_of(moved) == "eno2", "what is written down is of before, where the server took the move back"


@pytest.mark.parametrize(("holder", "taken"), [("eno1", False), ("eno2", False), ("", True)])
def test_a_server_with_two_cables_in_one_network_hears_itself(
    holder: str, taken: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Linux answers on each interface for the addresses of all: that is no other machine."""
    given = seen()
    mac = given.links[holder].mac.upper() if holder else "02:00:00:00:99:99"
    monkeypatch.setattr(bridge_effect, "who_has", lambda *_: {"192.168.1.11": mac, "192.168.1.1": "02:00:00:00:00:01"})
    host: Any = SimpleNamespace(name="s1")
    with pytest.raises(Refused, match="another machine") if taken else nullcontext():
        bridge_effect.refuse_conflicts(host, given, made(given))


def test_the_server_itself_does_what_the_step_does() -> None:
    revert = load([shipped()]).step("10/10").revert
    assert revert is not None
    assert revert.command == SETTLE
    assert {str(Path(FILE).parent) + "/", CLOUD} == set(revert.files)
