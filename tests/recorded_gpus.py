"""Recorded machines with GPUs, before and after they were reserved."""

from __future__ import annotations

import functools

from homewright.discovery import machines
from homewright.discovery.facts import HostFacts
from homewright.planning.boot import GRUB
from homewright.site import files
from homewright.site.models import Site
from homewright.stages.gpu_reservation import Reservation


@functools.cache
def machine(name: str) -> tuple[Site, dict[str, HostFacts]]:
    found = machines.load(name)
    return files.parse(found.site, name), found.facts()


def reserving(name: str, *addresses: str) -> tuple[Site, HostFacts]:
    """The recorded machine's server that has these GPUs, and its site with them passed through."""
    site, facts = machine(name)
    host = next(one for one in facts.values() if any(gpu.address == addresses[0] for gpu in one.gpus))
    gpus = [{"host": host.host, "address": address, "use": "passthrough"} for address in addresses]
    return Site.model_validate({**site.model_dump(mode="json"), "gpus": gpus}), host


def restarted(facts: HostFacts, done: Reservation) -> HostFacts:
    """The same server after its next start: the arguments count, and vfio-pci has what was reserved."""
    grub = done.files.get(GRUB, "")
    added = grub.rpartition('"$GRUB_CMDLINE_LINUX_DEFAULT ')[2].rstrip('"\n').split() if grub else []
    pci = tuple(f.model_copy(update={"driver": "vfio-pci"}) if f.address in done.functions else f for f in facts.pci)
    gpus = tuple(g.model_copy(update={"driver": "vfio-pci"}) if g.address in done.functions else g for g in facts.gpus)
    line = (*facts.kernel.cmdline, *(one for one in added if one not in facts.kernel.cmdline))
    kernel = facts.kernel.model_copy(update={"cmdline": line})
    return facts.model_copy(update={"pci": pci, "gpus": gpus, "kernel": kernel})


def without_arguments(facts: HostFacts) -> HostFacts:
    """The same server before anybody told its kernel of an IOMMU."""
    line = tuple(one for one in facts.kernel.cmdline if "iommu" not in one)
    return facts.model_copy(update={"kernel": facts.kernel.model_copy(update={"cmdline": line})})
