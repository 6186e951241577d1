"""What iproute2 and sysfs print of a composed server's network interfaces."""

from __future__ import annotations

import json
from ipaddress import ip_interface
from typing import Any

from .hardware import Host, Nic

LOOPBACK: dict[str, Any] = {
    "ifindex": 1, "ifname": "lo", "flags": ["LOOPBACK", "UP", "LOWER_UP"], "mtu": 65536, "qdisc": "noqueue",
    "operstate": "UNKNOWN", "group": "default", "txqlen": 1000, "link_type": "loopback",
    "address": "00:00:00:00:00:00", "broadcast": "00:00:00:00:00:00", "promiscuity": 0, "allmulti": 0, "min_mtu": 0,
    "max_mtu": 0, "inet6_addr_gen_mode": "eui64", "num_tx_queues": 1, "num_rx_queues": 1, "gso_max_size": 65536,
    "gso_max_segs": 65535, "tso_max_size": 524280, "tso_max_segs": 65535, "gro_max_size": 65536,
    "addr_info": [
        {"family": "inet", "local": "127.0.0.1", "prefixlen": 8, "scope": "host", "label": "lo",
         "valid_life_time": 4294967295, "preferred_life_time": 4294967295},
        {"family": "inet6", "local": "::1", "prefixlen": 128, "scope": "host", "noprefixroute": True,
         "valid_life_time": 4294967295, "preferred_life_time": 4294967295},
    ],
}  # fmt: skip


def link_local(mac: str) -> str:
    """The address that the kernel makes of a hardware address (RFC 4291, appendix A)."""
    parts = [int(part, 16) for part in mac.split(":")]
    words = [(parts[0] ^ 2) << 8 | parts[1], parts[2] << 8 | 0xFF, 0xFE00 | parts[3], parts[4] << 8 | parts[5]]
    return str(ip_interface("fe80::" + ":".join(f"{word:x}" for word in words)).ip)


def _state(nic: Nic) -> str:
    return "UP" if nic.up else "DOWN"


def _addresses(nic: Nic) -> list[dict[str, Any]]:
    found = []
    for text in nic.addresses:
        one = ip_interface(text)
        life = 86_014 if nic.dhcp else 4294967295
        entry: dict[str, Any] = {
            "family": "inet", "local": str(one.ip), "prefixlen": one.network.prefixlen,
            "broadcast": str(one.network.broadcast_address), "scope": "global",
        }  # fmt: skip
        if nic.dhcp:
            entry |= {"metric": 100, "dynamic": True}
        found.append(entry | {"label": nic.name, "valid_life_time": life, "preferred_life_time": life})
    if nic.up and nic.addresses:
        found.append(
            {"family": "inet6", "local": link_local(nic.mac), "prefixlen": 64, "scope": "link",
             "valid_life_time": 4294967295, "preferred_life_time": 4294967295}
        )  # fmt: skip
    return found


def addresses(host: Host) -> str:
    """`ip -d -j addr`."""
    links: list[dict[str, Any]] = [LOOPBACK]
    for index, nic in enumerate(host.nics, start=2):
        flags = (
            ["BROADCAST", "MULTICAST", "UP", "LOWER_UP"] if nic.up else ["NO-CARRIER", "BROADCAST", "MULTICAST", "UP"]
        )
        link: dict[str, Any] = {"ifindex": index}
        if nic.parent:
            link["link"] = nic.parent
        link |= {"ifname": nic.name, "flags": flags, "mtu": nic.mtu,
                 "qdisc": "noqueue" if nic.kind else "mq"}  # fmt: skip
        if nic.master:
            link["master"] = nic.master
        link |= {
            "operstate": _state(nic), "group": "default", "txqlen": 1000, "link_type": "ether", "address": nic.mac,
            "broadcast": "ff:ff:ff:ff:ff:ff", "promiscuity": 0, "allmulti": 0, "min_mtu": 68, "max_mtu": 9194,
        }  # fmt: skip
        if nic.kind:
            link["linkinfo"] = {"info_kind": nic.kind}
            if nic.kind == "vlan":
                link["linkinfo"]["info_data"] = {"protocol": "802.1Q", "id": nic.tag, "flags": ["REORDER_HDR"]}
        link |= {
            "inet6_addr_gen_mode": "none" if nic.hardware == ("device", "wifi") else "eui64", "num_tx_queues": 1,
            "num_rx_queues": 1, "gso_max_size": 64000, "gso_max_segs": 64, "tso_max_size": 64000, "tso_max_segs": 64,
            "gro_max_size": 65536,
        }  # fmt: skip
        if nic.pci:
            link |= {"parentbus": "pci", "parentdev": nic.pci}
        links.append(link | {"addr_info": _addresses(nic)})
    return json.dumps(links, separators=(",", ":")) + "\n"


def addresses_text(host: Host) -> str:
    """`ip addr`."""
    text = (
        "1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536 qdisc noqueue state UNKNOWN group default qlen 1000\n"
        "    link/loopback 00:00:00:00:00:00 brd 00:00:00:00:00:00\n"
        "    inet 127.0.0.1/8 scope host lo\n       valid_lft forever preferred_lft forever\n"
        "    inet6 ::1/128 scope host noprefixroute \n       valid_lft forever preferred_lft forever\n"
    )
    for index, nic in enumerate(host.nics, start=2):
        flags = "BROADCAST,MULTICAST,UP,LOWER_UP" if nic.up else "NO-CARRIER,BROADCAST,MULTICAST,UP"
        name = f"{nic.name}@{nic.parent}" if nic.parent else nic.name
        master = f" master {nic.master}" if nic.master else ""
        text += (
            f"{index}: {name}: <{flags}> mtu {nic.mtu} qdisc {'noqueue' if nic.kind else 'mq'}{master} "
            f"state {_state(nic)} group default qlen 1000\n    link/ether {nic.mac} brd ff:ff:ff:ff:ff:ff\n"
        )
        for entry in _addresses(nic):
            life = "forever" if entry["valid_life_time"] == 4294967295 else f"{entry['valid_life_time']}sec"
            if entry["family"] == "inet":
                lease = " metric 100" if nic.dhcp else ""
                text += (
                    f"    inet {entry['local']}/{entry['prefixlen']}{lease} brd {entry['broadcast']} scope global "
                    f"{'dynamic ' if nic.dhcp else ''}{nic.name}\n"
                )
            else:
                text += f"    inet6 {entry['local']}/64 scope link \n"
            text += f"       valid_lft {life} preferred_lft {life}\n"
    return text


def _routes(host: Host) -> list[dict[str, Any]]:
    routes: list[dict[str, Any]] = []
    for nic in host.nics:
        if not nic.up:
            continue
        if nic.gateway:
            route = {"dst": "default", "gateway": nic.gateway, "dev": nic.name}
            routes.insert(0, route | ({"protocol": "dhcp", "prefsrc": nic.addresses[0].partition("/")[0], "metric": 100}
                                      if nic.dhcp else {"protocol": "static"}) | {"flags": []})  # fmt: skip
        for text in nic.addresses:
            one = ip_interface(text)
            routes.append(
                {"dst": str(one.network), "dev": nic.name, "protocol": "kernel", "scope": "link",
                 "prefsrc": str(one.ip)} | ({"metric": 100} if nic.dhcp else {}) | {"flags": []}
            )  # fmt: skip
    return routes


def routes(host: Host) -> str:
    """`ip -j route`."""
    return json.dumps(_routes(host), separators=(",", ":")) + " \n"


def routes_text(host: Host) -> str:
    """`ip route`."""
    words = {
        "gateway": "via",
        "dev": "dev",
        "protocol": "proto",
        "scope": "scope",
        "prefsrc": "src",
        "metric": "metric",
    }
    return "".join(
        " ".join([route["dst"], *(f"{word} {route[key]}" for key, word in words.items() if key in route)]) + " \n"
        for route in _routes(host)
    )


def sys_net(host: Host) -> str:
    """The probe's listing of /sys/class/net, in the order of the shell: by name."""
    rows = {"lo": "lo|00:00:00:00:00:00|unknown|772|||65536||||"}
    for nic in host.nics:
        speed = "" if nic.speed is None or "wifi" in nic.hardware else str(nic.speed if nic.up else -1)
        duplex = "" if not speed else "unknown" if not nic.up else nic.duplex
        traits = ",".join(trait for trait in ("wifi", "bridge", "bond", "vlan", "device") if trait in nic.hardware)
        rows[nic.name] = (
            f"{nic.name}|{nic.mac}|{_state(nic).lower()}|1|{speed}|{traits}|{nic.mtu}|{duplex}|{nic.driver}|{nic.pci}|{nic.master}"
        )
    return "".join(f"{rows[name]}\n" for name in sorted(rows))
