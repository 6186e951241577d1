"""What a server has to give, and how much of it each proposed instance gets. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping

from homewright.discovery.facts import HostFacts
from homewright.planning.documents import Document

GIB = 1024**3


USUAL = (4, 8, 50)
"""CPU, memory and disk (GiB) of an instance that nobody sized; product.md's defaults."""
LEAST = (2, 2, 20)
"""The least that an instance may have; product.md."""
GRAIN = (1, 1, 10)
"""In which steps instances are made larger than usual."""


class Share(Document):
    """A part of a server; None where it is not known."""

    cpu: int | None = None
    """Logical processors."""
    memory: float | None = None
    """GiB."""
    disk: float | None = None
    """GiB."""


def capacity(name: str, facts: Mapping[str, HostFacts], *, whole: bool = False) -> Share:
    """What a server has; None where it did not tell. With `whole` also the part of its disk that is in use."""
    if name not in facts:
        return Share()
    found = facts[name]
    memory = None if found.memory.total is None else math.floor(found.memory.total / GIB * 10) / 10
    _, disk = storage(found, whole=whole)
    return Share(cpu=found.cpu.threads, memory=memory, disk=disk)


def storage(facts: HostFacts, *, whole: bool = False) -> tuple[str, float | None]:
    """The file system that would hold LXD's pool, and how many GiB it has for instances.

    What is free counts; once LXD's cluster is there its instances have taken their part of that already, so then the
    whole file system counts, else a finished site would not fit on itself. With `whole` it always does.
    """
    snap = facts.software.lxd_from == "snap" or (facts.software.lxd_from == "" and facts.system.os_id == "ubuntu")
    folder = "/var/snap/lxd" if snap else "/var/lib/lxd"
    holding = [system for system in facts.file_systems if _holds(system.mount, folder)]
    if not holding:
        return "", None
    found = max(holding, key=lambda system: len(system.mount))
    size = found.size if whole or facts.software.lxd_clustered else found.free
    return found.mount, float(size // GIB)


def _holds(mount: str, folder: str) -> bool:
    return mount == "/" or folder == mount or folder.startswith(f"{mount.rstrip('/')}/")


def sizes(
    rooms: Mapping[str, tuple[float, float, float]], need: tuple[float, float, float] | None
) -> dict[str, tuple[int, int, int]]:
    """CPU, memory and disk of the instance on each server: as usual, less where there is less, more where the platform
    needs it. Each of the three is shared out by itself, evenly, and a server with less room gives what it has."""
    parts: list[dict[str, int]] = []
    for part in range(3):
        room = {host: rooms[host][part] for host in rooms}
        given = {host: int(min(USUAL[part], left)) for host, left in room.items()}
        lack = (need[part] if need else 0.0) - sum(given.values())
        # Grown together, the roomiest last: with k hosts left each takes a k-th of what is lacking.
        growing = sorted(room, key=lambda host: room[host])
        for place_left, host in enumerate(growing):
            if lack > 0:
                fair = math.ceil(lack / (len(growing) - place_left) / GRAIN[part]) * GRAIN[part]
                more = int(min(fair, room[host] - given[host]))
                given[host] += max(0, more)
                lack -= max(0, more)
        parts.append(given)
    return {host: (parts[0][host], parts[1][host], parts[2][host]) for host in rooms}
