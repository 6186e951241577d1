"""What a hardware report tells: inxi, lshw, dmidecode, a boot log or the Ubuntu installer's probe.

People attach these to bug reports. The probe asks for none of them; where a recording has nothing better, they count.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from typing import Literal, TypeVar

from homewright.discovery.facts import Cpu, Disk, FileSystem, Memory, Nic, PciFunction


@dataclass(frozen=True)
class Report:
    """Everything is optional: an empty value, None or an empty tuple is unknown."""

    os_name: str = ""
    kernel: str = ""
    architecture: str = ""
    hostname: str = ""
    product: str = ""
    chassis: str = ""
    virtualization: str = ""
    desktop: bool | None = None
    secure_boot: bool | None = None
    cpu: Cpu = field(default_factory=Cpu)
    flag: Literal["vmx", "svm", ""] | None = None
    memory: Memory = field(default_factory=Memory)
    """Installed memory where a report knows no other, which is a few percent more than the kernel's MemTotal."""
    disks: tuple[Disk, ...] = ()
    file_systems: tuple[FileSystem, ...] = ()
    nics: tuple[Nic, ...] = ()
    pci: tuple[PciFunction, ...] = ()
    cmdline: tuple[str, ...] = ()
    displays: dict[str, bool] = field(default_factory=dict)
    """Whether a screen is connected, by the PCI address of its GPU."""
    swaps: tuple[str, ...] = ()


def merged(reports: Iterable[Report]) -> Report:
    """One report of several: the first that knows a thing tells it; CPU and memory are put together by parts."""
    found = Report()
    for report in reports:
        values = {}
        for one in fields(Report):
            mine, theirs = getattr(found, one.name), getattr(report, one.name)
            if isinstance(mine, Cpu | Memory):
                values[one.name] = filled(mine, theirs)
            elif one.name == "pci":
                values[one.name] = (*mine, *theirs)
            else:
                values[one.name] = theirs if mine in (None, "", ()) or mine == {} else mine
        found = Report(**values)
    return found


Part = TypeVar("Part", Cpu, Memory)


def filled(mine: Part, theirs: Part) -> Part:
    """The first, with what it lacks taken from the second."""
    lacking = {name: getattr(theirs, name) for name, value in mine if value in (None, "")}
    return mine.model_copy(update=lacking)
