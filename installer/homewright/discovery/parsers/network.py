"""Network interfaces, their addresses, and which of them leads outside."""

from __future__ import annotations

import re
from typing import Literal

from homewright.discovery.bundle import RawBundle
from homewright.discovery.facts import Nic
from homewright.discovery.parsers.shapes import document, record, records, word, words
from homewright.discovery.parsers.sizes import whole

Kind = Literal["ethernet", "wifi", "bridge", "bond", "vlan", "virtual", "loopback", "other"]

_HEAD = re.compile(r"^\d+: (?P<name>[^:@\s]+)(?:@\S+)?: <(?P<flags>[^>]*)>.*?(?: state (?P<state>\S+))?(?:\s|$)")
_INET = re.compile(r"^\s+inet6? (?P<address>[0-9a-fA-F:.]+/\d+)")
_LINK = re.compile(r"^\s+link/(?P<type>\S+)(?: (?P<mac>[0-9a-f:]{17}))?")
_BY_KIND: dict[str, Kind] = {
    "bridge": "bridge", "bond": "bond", "vlan": "vlan", "veth": "virtual", "tun": "virtual", "dummy": "virtual",
    "vxlan": "virtual", "macvlan": "virtual", "wireguard": "virtual", "openvswitch": "bridge",
}  # fmt: skip
_BY_NAME: tuple[tuple[str, Kind], ...] = (
    (r"lo$", "loopback"),
    (r"(docker|virbr|vmbr|lxdbr|lxcbr|br)[-\d]|br0", "bridge"),
    (r"bond\d", "bond"),
    (r"(veth|tap|tun|vnet|zt|wg|flannel|cali|cni|vxlan|dummy)", "virtual"),
    (r"[a-z0-9]+\.\d+$", "vlan"),
    (r"wl", "wifi"),
    (r"(en|eth|usb)", "ethernet"),
)


def addresses_json(text: str) -> dict[str, Nic]:
    """From `ip -d -j addr`."""
    found: dict[str, Nic] = {}
    for link in records(document(text)):
        name = word(link.get("ifname"))
        if not name:
            continue
        flags = words(link.get("flags"))
        state = word(link.get("operstate")).upper()
        detail = word(record(link.get("linkinfo")).get("info_kind"))
        kind = "loopback" if link.get("link_type") == "loopback" else _BY_KIND.get(detail) or by_name(name)
        found[name] = Nic(
            name=name,
            mac=word(link.get("address")) if kind != "loopback" else "",
            up=_is_up(state, flags),
            kind=kind,
            addresses=tuple(
                f"{entry['local']}/{entry['prefixlen']}"
                for entry in records(link.get("addr_info"))
                if word(entry.get("local")) and isinstance(entry.get("prefixlen"), int)
            ),
        )
    return found


def addresses_text(text: str) -> dict[str, Nic]:
    """From plain `ip addr`."""
    found: dict[str, Nic] = {}
    current = ""
    for line in text.splitlines():
        if head := _HEAD.match(line):
            current = head["name"]
            up = _is_up((head["state"] or "").upper(), head["flags"].split(","))
            found[current] = Nic(name=current, up=up, kind=by_name(current))
        elif current and (link := _LINK.match(line)):
            if link["type"] == "loopback":
                found[current] = found[current].model_copy(update={"kind": "loopback"})
            elif link["mac"]:
                found[current] = found[current].model_copy(update={"mac": link["mac"]})
        elif current and (inet := _INET.match(line)):
            addresses = (*found[current].addresses, inet["address"])
            found[current] = found[current].model_copy(update={"addresses": addresses})
    return found


def by_name(name: str) -> Kind:
    """What an interface probably is, where only its name is known."""
    for pattern, kind in _BY_NAME:
        if re.match(pattern, name):
            return kind
    return "other"


def default_devices(json_text: str, text: str) -> set[str]:
    """The interfaces that a default route leads through, from `ip -j route` or `ip route`."""
    routes = records(document(json_text))
    found = {word(route.get("dev")) for route in routes if route.get("dst") == "default" and word(route.get("dev"))}
    return found or {match.group(1) for match in re.finditer(r"^default\b.*?\bdev (\S+)", text, re.MULTILINE)}


def sysfs(text: str) -> dict[str, Nic]:
    """From the probe's listing of /sys/class/net: name|mac|operstate|type|speed|traits."""
    found: dict[str, Nic] = {}
    for line in text.splitlines():
        fields = line.split("|")
        if len(fields) < 6:
            continue
        name, mac, state, hardware, speed, traits = (field.strip() for field in fields[:6])
        has = set(traits.split(","))
        kind: Kind = by_name(name)
        if hardware == "772":
            kind = "loopback"
        elif "wifi" in has:
            kind = "wifi"
        elif has & {"bridge", "bond", "vlan"}:
            kind = "bridge" if "bridge" in has else "bond" if "bond" in has else "vlan"
        elif "device" in has and hardware == "1":
            kind = "ethernet"
        elif "device" not in has and kind == "ethernet":
            kind = "virtual"
        mbps = whole(speed) or None
        shown = "" if kind == "loopback" else mac
        found[name] = Nic(name=name, mac=shown, up=state == "up", kind=kind, speed_mbps=mbps)
    return found


def parse(bundle: RawBundle) -> tuple[Nic, ...]:
    listed = addresses_json(bundle.text("ip-addr-json")) or addresses_text(bundle.text("ip-addr"))
    kernel = sysfs(bundle.text("sys-net"))
    outside = default_devices(bundle.text("ip-route-json"), bundle.text("ip-route"))
    nics = []
    for name in dict.fromkeys((*listed, *kernel)):
        nic = listed.get(name) or kernel[name]
        if name in kernel:
            own = kernel[name]
            # sysfs knows radio and real devices; `ip -d` knows the kinds of virtual ones
            kind = (
                nic.kind if own.kind in ("virtual", "other", "ethernet") and nic.kind in _BY_KIND.values() else own.kind
            )
            nic = nic.model_copy(update={"kind": kind, "speed_mbps": own.speed_mbps, "mac": nic.mac or own.mac})
        nics.append(nic.model_copy(update={"default_route": name in outside}))
    return tuple(nics)


def _is_up(state: str, flags: list[str]) -> bool:
    return state == "UP" or (state in ("UNKNOWN", "") and "LOWER_UP" in flags)
