"""Which of the test networks 198.18.0.0/24 … 198.18.255.0/24 (RFC 2544) is free on this machine."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from pathlib import Path

from homewright.errors import LabError
from homewright.lab.models import Place
from homewright.lab.shell import output

Network = ipaddress.IPv4Network


def choose(interfaces: Iterable[str], used: Iterable[Network]) -> Place:
    """The first place with a free bridge name and a range that overlaps no other. Raises LabError."""
    names = set(interfaces)
    ranges = [network for network in used if network.prefixlen > 0]
    for number in range(256):
        place = Place(number=number)
        if place.bridge not in names and not any(Network(place.network).overlaps(other) for other in ranges):
            return place
    raise LabError(
        "There is no room for the practice servers' network.",
        "Every range in 198.18.0.0/16 overlaps an address or a route of this machine.",
        ["remove a route to 198.18.0.0/15, where that is a VPN's", "or see them: ip route"],
    )


def interfaces() -> list[str]:
    """The names of this machine's network interfaces."""
    return [path.name for path in Path("/sys/class/net").iterdir()]


def used_networks() -> list[Network]:
    """What this machine has addresses in or routes to."""
    found = []
    for line in output(["ip", "-4", "-o", "route", "show", "table", "all"]).splitlines():
        words = line.split()
        target = words[1] if words and words[0] in ("local", "broadcast", "unreachable", "blackhole") else words[:1]
        text = target if isinstance(target, str) else "".join(target)
        if text and text != "default":
            try:
                found.append(Network(text, strict=False))
            except ValueError:
                continue
    return found
