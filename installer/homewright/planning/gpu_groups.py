"""What a virtual machine gets together with a GPU: the IOMMU rule. Pure.

It gets the slot with all its functions, and with it every function of every group that one of them lies in. Bridges
(root ports among them) do not count: they stay with the server.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from homewright.discovery.facts import HostFacts, PciFunction

OWN_CLASSES = ("03", "0403", "0c03", "0c80")
"""Functions of a GPU's slot that are its own: display, audio, USB and serial bus (the USB-C port of some cards)."""
BRIDGES = ("0600", "0604")
"""Host and PCI bridges (root ports): VFIO leaves them to the server (Linux, Documentation/driver-api/vfio.rst)."""
KINDS = {
    "0100": "a SCSI controller", "0101": "an IDE controller", "0104": "a RAID controller", "0106": "a SATA controller",
    "0107": "a SAS controller", "0108": "an NVMe disk", "0200": "a network card", "0207": "a network card",
    "0280": "a Wi-Fi card", "0300": "another display", "0302": "another GPU", "0380": "another display",
    "0403": "a sound card", "0601": "the ISA bridge", "0780": "a communication controller", "0805": "a card reader",
    "0c03": "a USB controller", "0c05": "the SMBus", "0c80": "a serial bus", "1080": "a security processor",
}  # fmt: skip


@dataclass(frozen=True)
class Reach:
    """What a virtual machine gets with one GPU."""

    groups: tuple[int, ...]
    members: tuple[str, ...]
    """Full addresses of all functions in those groups but bridges."""
    gpus: tuple[str, ...]
    """The GPUs among them."""
    foreign: tuple[PciFunction, ...]
    """Those of them that are no GPU's own: with one of these the group cannot be given away."""


def slot(address: str) -> str:
    """The slot of a function: 0000:01:00 of 0000:01:00.1."""
    return address.rpartition(".")[0]


def reach(facts: HostFacts, address: str) -> Reach | None:
    """What goes with a GPU; None where its group is not known."""
    return reaches(facts).get(address)


def reaches(facts: HostFacts) -> Mapping[str, Reach]:
    """What goes with each GPU whose group is known. A group with two GPUs goes as a whole, and so do their slots."""
    slots: dict[str, list[PciFunction]] = {}
    groups: dict[int, list[PciFunction]] = {}
    for function in facts.pci:
        slots.setdefault(slot(function.address), []).append(function)
        if function.iommu_group is not None:
            groups.setdefault(function.iommu_group, []).append(function)
    gpus: dict[str, list[str]] = {}
    for gpu in facts.gpus:
        gpus.setdefault(slot(gpu.address), []).append(gpu.address)
    found: dict[str, Reach] = {}
    for gpu in facts.gpus:
        own = slots.get(slot(gpu.address), [])
        if any(function.address == gpu.address and function.iommu_group is not None for function in own):
            found[gpu.address] = found.get(gpu.address) or _closed(slot(gpu.address), slots, groups, gpus)
            # What goes with one goes with all of them.
            found |= dict.fromkeys(found[gpu.address].gpus, found[gpu.address])
    return found


def _closed(
    start: str,
    slots: Mapping[str, Sequence[PciFunction]],
    groups: Mapping[int, Sequence[PciFunction]],
    gpus: Mapping[str, Sequence[str]],
) -> Reach:
    """From one GPU's slot to its groups, to the slots of the GPUs that have a function in one of them, and so on."""
    taken, waiting, reached = {start}, [start], set[int]()
    members: dict[str, PciFunction] = {}
    while waiting:
        for function in slots[waiting.pop()]:
            if function.class_id in BRIDGES:
                continue
            members[function.address] = function
            if function.iommu_group is None or function.iommu_group in reached:
                continue
            reached.add(function.iommu_group)
            for other in groups[function.iommu_group]:
                members[other.address] = other
                beside = slot(other.address)
                if beside in gpus and beside not in taken and other.class_id not in BRIDGES:
                    taken.add(beside)
                    waiting.append(beside)
    passed = [function for _, function in sorted(members.items()) if function.class_id not in BRIDGES]
    return Reach(
        groups=tuple(sorted(reached)),
        members=tuple(function.address for function in passed),
        gpus=tuple(sorted(gpu for one in taken for gpu in gpus[one])),
        foreign=tuple(function for function in passed if not _own(function, taken)),
    )


def _own(function: PciFunction, slots: set[str]) -> bool:
    # A listing without classes (plain `lspci` cut short) tells nothing: then the slot decides.
    return slot(function.address) in slots and (not function.class_id or function.class_id.startswith(OWN_CLASSES))


def described(function: PciFunction) -> str:
    """A function in words: a network card (0000:04:00.0)."""
    kind = KINDS.get(function.class_id) or function.name or f"a device of class {function.class_id or '?'}"
    return f"{kind} ({function.address})"
