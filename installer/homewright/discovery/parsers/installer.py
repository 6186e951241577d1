"""The probe of Ubuntu's installer (probert): interfaces, routes and block devices as JSON."""

from __future__ import annotations

import re

from homewright.discovery.facts import Disk, Nic
from homewright.discovery.parsers.network import Kind, by_name
from homewright.discovery.parsers.pci import full_address
from homewright.discovery.parsers.report import Report
from homewright.discovery.parsers.shapes import document, number, record, records, word
from homewright.discovery.parsers.storage import disk_kind, is_disk

_RUNNING = 0x40
"""IFF_RUNNING: it has a carrier (if.h)."""
_KINDS: dict[str, Kind] = {"eth": "ethernet", "wlan": "wifi", "bridge": "bridge", "bond": "bond", "vlan": "vlan",
                           "lo": "loopback"}  # fmt: skip
_ID_PATH = re.compile(r"pci-([0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7])")


def parse(text: str) -> Report:
    whole = record(document(text))
    network, storage = record(whole.get("network")), record(whole.get("storage"))
    outside = {
        number(route.get("ifindex"))
        for route in records(network.get("routes"))
        if route.get("dst") == "default" and number(route.get("family")) == 2
    }
    return Report(
        nics=tuple(nic for link in records(network.get("links")) if (nic := _nic(link, outside))),
        disks=tuple(
            disk for name, device in record(storage.get("blockdev")).items() if (disk := _disk(name, record(device)))
        ),
    )


def _nic(link: dict[str, object], outside: set[int | None]) -> Nic | None:
    netlink, udev = record(link.get("netlink_data")), record(link.get("udev_data"))
    shown = record(udev.get("attrs"))
    name = word(netlink.get("name")) or word(udev.get("INTERFACE"))
    if not name:
        return None
    addresses = records(link.get("addresses"))
    kind = _KINDS.get(word(link.get("type"))) or by_name(name)
    slot = _ID_PATH.match(word(udev.get("ID_PATH")))
    sources = [word(entry.get("source")) for entry in addresses if number(entry.get("family")) == 2]
    return Nic(
        name=name,
        mac=word(shown.get("address")) if kind != "loopback" else "",
        up=bool((number(netlink.get("flags")) or 0) & _RUNNING),
        kind=kind,
        speed_mbps=number(shown.get("speed")) or None,
        addresses=tuple(word(entry.get("address")) for entry in addresses if word(entry.get("address"))),
        default_route=number(netlink.get("ifindex")) in outside,
        mtu=number(shown.get("mtu")),
        driver=word(udev.get("ID_NET_DRIVER")),
        pci_address=full_address(slot.group(1)) if slot else "",
        dhcp="dhcp" in sources if sources else None,
        duplex={"full": "full", "half": "half"}.get(word(shown.get("duplex")), ""),
    )


def _disk(path: str, device: dict[str, object]) -> Disk | None:
    shown = record(device.get("attrs"))
    name, total = path.removeprefix("/dev/"), number(shown.get("size"))
    if device.get("DEVTYPE") != "disk" or not total or not is_disk(name):
        return None
    model = word(device.get("ID_MODEL")).replace("_", " ").strip()
    return Disk(name=name, size=total, kind=disk_kind(name, shown.get("queue/rotational")), model=model)
