"""Which of the test networks 198.18.0.0/24 … 198.18.255.0/24 (RFC 2544) is free on this machine."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import ipaddress
import os
from collections.abc import Iterable, Iterator
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


def owner(folder: Path) -> str:
    """What marks the things of the lab in this folder as its own: twelve hex digits."""
    return hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:12]


def hardware_address(owner: str) -> str:
    """The bridge's, from the range that LXC uses: so a bridge shows whose it is, whatever else was lost."""
    return f"00:16:3e:{owner[0:2]}:{owner[2:4]}:{owner[4:6]}"


def owns_bridge(place: Place, owner: str) -> bool:
    """Whether the bridge is there and is this lab's."""
    try:
        found = (Path("/sys/class/net") / place.bridge / "address").read_text(encoding="ascii").strip()
    except OSError:
        return False
    return found == hardware_address(owner)


@contextlib.contextmanager
def choosing() -> Iterator[None]:
    """Hold off every other lab of this machine while a place is looked at and taken; seconds. The caller is root."""
    # The folder itself is locked: a lock file would stay behind.
    descriptor = os.open("/run", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def is_free(place: Place) -> bool:
    """Whether nothing on this machine has the bridge's name or overlaps the range."""
    mine = Network(place.network)
    return place.bridge not in interfaces() and not any(
        mine.overlaps(other) for other in used_networks() if other.prefixlen > 0
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
