"""GPUs kept for virtual machines (stage 10, step 20): which files a server needs for it, and whether they count.

What the files say is planning's decision (`planning.boot`), so what the plan showed is what is written. Pure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from homewright.discovery.facts import HostFacts
from homewright.errors import HomewrightError
from homewright.planning.boot import EXECUTABLE, GRUB, OURS, arguments_in, bound, is_ours, preview
from homewright.planning.gpus import problems
from homewright.site.models import Site

BUILT = "/var/lib/homewright/start"
"""Which files the boot loader's settings and the initial file system were last built from: a power loss in between
leaves files that nothing has read."""


class CannotReserve(HomewrightError):
    """A GPU cannot be kept for a virtual machine; nothing was changed."""

    code = "gpu"


@dataclass(frozen=True)
class Reservation:
    """What a server's files should be."""

    files: Mapping[str, str]
    """Text by path."""
    obsolete: tuple[str, ...]
    """Files of ours that are no longer needed."""
    commands: tuple[str, ...]
    """What makes the files count at the next start."""
    functions: tuple[str, ...]
    """The PCI functions that have to belong to vfio-pci then."""

    @property
    def digest(self) -> str:
        """Of everything that is built from."""
        return hashlib.sha256(repr(sorted(self.files.items())).encode()).hexdigest()

    def mode(self, path: str) -> int:
        """The mode of one of the files."""
        return 0o755 if path in EXECUTABLE else 0o644


def reservation(site: Site, facts: HostFacts, now: Mapping[str, str]) -> Reservation:
    """The files of the server that these facts are of; `now` has the text of those of `OURS` that are there.

    Raises CannotReserve where an answer cannot be carried out, or a file of that name is somebody else's.
    """
    host = facts.host
    own = site.model_copy(update={"gpus": tuple(choice for choice in site.gpus if choice.host == host)})
    misfits = [one for one in problems(own, {host: facts}) if one.field == "gpus"]
    if misfits:
        raise _cannot(host, misfits[0].reason, *misfits[0].do)
    foreign = next((path for path, text in now.items() if not is_ours(text)), "")
    if foreign:
        raise _cannot(host, f"{foreign} is there and is not Homewright's", "move it away")
    found = preview(site, {host: facts}, host, arguments_in(now.get(GRUB, "")))
    files = {change.path: change.after for change in found.files if change.after is not None}
    return Reservation(
        files=files,
        obsolete=tuple(path for path in OURS if path in now and path not in files),
        commands=found.commands,
        functions=bound(facts, found.gpus),
    )


def not_bound(facts: HostFacts, functions: tuple[str, ...]) -> str:
    """A function that virtual machines could not have now, and why; empty where there is none."""
    drivers = {function.address: function.driver for function in facts.pci}
    for function in functions:
        if function not in drivers:
            return f"there is no {function} any more"
        if drivers[function] != "vfio-pci":
            return f"{function} belongs to {drivers[function] or 'no driver'}, not to vfio-pci"
    return ""


def _cannot(host: str, why: str, *do: str) -> CannotReserve:
    return CannotReserve(f"A GPU of {host} cannot be reserved: {why}.", "Nothing was changed.", list(do))
