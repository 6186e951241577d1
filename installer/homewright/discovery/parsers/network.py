"""Network interfaces, their addresses, and which of them leads outside."""

from __future__ import annotations

import re
from typing import Literal

from homewright.discovery.bundle import RawBundle
from homewright.discovery.facts import Nic
from homewright.discovery.parsers.pci import full_address
from homewright.discovery.parsers.shapes import document, number, record, records, word, words
from homewright.discovery.parsers.sizes import whole

Kind = Literal["ethernet", "wifi", "bridge", "bond", "vlan", "virtual", "loopback", "other"]

_HEAD = re.compile(r"^\d+: (?P<name>[^:@\s]+)(?:@\S+)?: <(?P<flags>[^>]*)>.*?(?: state (?P<state>\S+))?(?:\s|$)")
_DETAIL = re.compile(r" (mtu|master) (\S+)")
_INET = re.compile(r"^\s+inet6? (?P<address>[0-9a-fA-F:.]+/\d+)")
_LINK = re.compile(r"^\s+link/(?P<type>\S+)(?: (?P<mac>[0-9a-f:]{17}))?")
_NET = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}/\d{1,2}")
_ROUTE = re.compile(rf"^(?P<net>{_NET.pattern})\s.*?\bdev (?P<dev>\S+)")
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
                if word(entry.get("local")) and number(entry.get("prefixlen")) is not None
            ),
            mtu=number(link.get("mtu")),
            master=word(link.get("master")),
            dhcp=_leased(
                [
                    entry.get("dynamic") is True
                    for entry in records(link.get("addr_info"))
                    if entry.get("family") == "inet"
                ]
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
            told = {match.group(1): match.group(2) for match in _DETAIL.finditer(line)}
            found[current] = Nic(
                name=current,
                up=up,
                kind=by_name(current),
                mtu=whole(told.get("mtu", "")),
                master=told.get("master", ""),
            )
        elif current and (link := _LINK.match(line)):
            if link["type"] == "loopback":
                found[current] = found[current].model_copy(update={"kind": "loopback"})
            elif link["mac"]:
                found[current] = found[current].model_copy(update={"mac": link["mac"]})
        elif current and (inet := _INET.match(line)):
            addresses = (*found[current].addresses, inet["address"])
            update: dict[str, object] = {"addresses": addresses}
            if "." in inet["address"]:
                update["dhcp"] = bool(found[current].dhcp) or " dynamic" in line
            found[current] = found[current].model_copy(update=update)
    return found


def by_name(name: str) -> Kind:
    """What an interface probably is, where only its name is known."""
    for pattern, kind in _BY_NAME:
        if re.match(pattern, name):
            return kind
    return "other"


def default_routes(json_text: str, text: str) -> dict[str, str]:
    """The interfaces that a default route leads through, each with its gateway (empty where it has none), from
    `ip -j route` or `ip route`."""
    found: dict[str, str] = {}
    for route in records(document(json_text)):
        if route.get("dst") == "default" and (device := word(route.get("dev"))):
            found.setdefault(device, word(route.get("gateway")))
    for match in () if found else re.finditer(r"^default\b(?: via (\S+))?.*?\bdev (\S+)", text, re.MULTILINE):
        found.setdefault(match.group(2), match.group(1) or "")
    return found


OUR_ROUTES = "114"
"""The routing protocol's number that marks the routes which Homewright itself makes; nobody has registered it
(linux/rtnetlink.h, /etc/iproute2/rt_protos)."""


def other_routes(json_text: str, text: str, *, ours: bool = False) -> dict[str, tuple[str, ...]]:
    """The IPv4 networks that lead through each interface beside its own, from `ip -j route` or `ip route`: those that
    Homewright made, or the others.

    What the kernel made of an interface's own address (`proto kernel`) says nothing new.
    """
    found: dict[str, list[str]] = {}
    listed = [
        (word(route.get("dev")), word(route.get("dst")), word(route.get("protocol")))
        for route in records(document(json_text))
    ]
    for line in () if listed else text.splitlines():
        if match := _ROUTE.match(line):
            made_by = re.search(r" proto (\S+)", line)
            listed.append((match["dev"], match["net"], made_by[1] if made_by else ""))
    for device, net, protocol in listed:
        if protocol != "kernel" and (protocol == OUR_ROUTES) == ours:
            found.setdefault(device, []).append(net)
    nets = {name: tuple(dict.fromkeys(filter(_NET.fullmatch, routes))) for name, routes in found.items() if name}
    return {name: routes for name, routes in nets.items() if routes}


def netplan_dhcp(text: str) -> dict[str, bool]:
    """Which interfaces get their IPv4 address by DHCP, by what the probe prints of netplan's files: a line dhcp4 under
    a line `NAME:`; later files win."""
    found: dict[str, bool] = {}
    names: list[tuple[int, str]] = []
    for line in text.splitlines():
        indent = len(line) - len(line.lstrip())
        key, colon, value = line.strip().partition(":")
        if line.startswith("#") or not colon:
            continue
        names = [entry for entry in names if entry[0] < indent]
        if not value.strip():
            names.append((indent, key))
        elif key == "dhcp4" and names and value.strip().lower() in ("true", "yes", "on", "false", "no", "off"):
            found[names[-1][1]] = value.strip().lower() in ("true", "yes", "on")
    return found


def sysfs(text: str) -> dict[str, Nic]:
    """From the probe's listing of /sys/class/net: name|mac|operstate|type|speed|traits, and
    |mtu|duplex|driver|pci address|master since version 2."""
    found: dict[str, Nic] = {}
    for line in text.splitlines():
        fields = line.split("|")
        if len(fields) < 6:
            continue
        more = (field.strip() for field in (*fields, *[""] * 5)[:11])
        name, mac, state, hardware, speed, traits, mtu, duplex, driver, slot, master = more
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
        found[name] = Nic(
            name=name, mac=shown, up=state == "up", kind=kind, speed_mbps=mbps, mtu=whole(mtu), driver=driver,
            duplex=duplex if duplex in ("full", "half") else "", pci_address=_pci(slot), master=master,
        )  # fmt: skip
    return found


def parse(bundle: RawBundle) -> tuple[Nic, ...]:
    listed = addresses_json(bundle.text("ip-addr-json")) or addresses_text(bundle.text("ip-addr"))
    kernel = sysfs(bundle.text("sys-net"))
    outside = default_routes(bundle.text("ip-route-json"), bundle.text("ip-route"))
    beyond = other_routes(bundle.text("ip-route-json"), bundle.text("ip-route"))
    ours = other_routes(bundle.text("ip-route-json"), bundle.text("ip-route"), ours=True)
    leased = netplan_dhcp(bundle.text("netplan"))
    nics = []
    for name in dict.fromkeys((*listed, *kernel)):
        nic = listed.get(name) or kernel[name]
        if name in kernel:
            own = kernel[name]
            # sysfs knows radio and real devices; `ip -d` knows the kinds of virtual ones
            kind = (
                nic.kind if own.kind in ("virtual", "other", "ethernet") and nic.kind in _BY_KIND.values() else own.kind
            )
            nic = nic.model_copy(
                update={
                    "kind": kind,
                    "speed_mbps": own.speed_mbps,
                    "mac": nic.mac or own.mac,
                    "mtu": nic.mtu or own.mtu,
                    "driver": own.driver,
                    "duplex": own.duplex,
                    "pci_address": own.pci_address,
                    "master": nic.master or own.master,
                }
            )
        # an address whose lease somebody else renews is not marked as one; netplan's files know
        dhcp = nic.dhcp or (leased.get(name) if nic.dhcp is not None else None) or nic.dhcp
        ways = {"default_route": name in outside, "gateway": outside.get(name, ""), "routes": beyond.get(name, ())}
        ways["instances"] = next(iter(ours.get(name, ())), "")
        nics.append(nic.model_copy(update={**ways, "dhcp": dhcp}))
    return tuple(nics)


def _leased(dynamic: list[bool]) -> bool | None:
    """Whether the IPv4 address comes from DHCP: such addresses have a life of their own. None where there is none."""
    return any(dynamic) if dynamic else None


def _pci(text: str) -> str:
    return full_address(text) if re.fullmatch(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]", text) else ""


def _is_up(state: str, flags: list[str]) -> bool:
    return state == "UP" or (state in ("UNKNOWN", "") and "LOWER_UP" in flags)
