"""A kernel's boot log, whole: machine, processors, memory, Secure Boot and the IOMMU group of each function."""

from __future__ import annotations

import re

from homewright.discovery.facts import Cpu, Memory, PciFunction
from homewright.discovery.parsers.pci import full_address
from homewright.discovery.parsers.report import Report
from homewright.discovery.parsers.sizes import whole

_STAMP = r"^(?:\[\s*\d+\.\d+\]\s+)?"
_GROUP = re.compile(
    rf"{_STAMP}(?:pci (?P<address>[0-9a-f:.]{{12,14}}): Adding to iommu group (?P<group>\d{{1,6}})"
    r"|iommu: Adding device (?P<device>[0-9a-f:.]{12,14}) to group (?P<number>\d{1,6}))\s*$",
    re.MULTILINE,
)
_MEMORY = re.compile(rf"{_STAMP}Memory: \d+K/(\d{{1,15}})K available .*?(\d{{1,15}})K reserved", re.MULTILINE)


def parse(text: str) -> Report:
    version = _find(r"Linux version (\d\S*)", text)
    total = _MEMORY.search(text)
    # in front of the slash stands what was free then, and that is little where the rest is set up later
    kibibytes = (whole(total.group(1)) or 0) - (whole(total.group(2)) or 0) if total else 0
    boot = re.search(rf"{_STAMP}secureboot: Secure boot (enabled|disabled)", text, re.MULTILINE)
    return Report(
        kernel=version,
        architecture="x86_64" if ".x86_64" in version or "smpboot:" in text else "",
        product=_find(r"DMI: (.+?), BIOS", text),
        secure_boot=None if boot is None else boot.group(1) == "enabled",
        cpu=Cpu(
            model=_find(r"smpboot: CPU0: (.+?) \(", text),
            threads=whole(_find(r"smp: Brought up \d+ nodes?, (\d+) CPUs", text)),
        ),
        memory=Memory(total=kibibytes * 1024 if kibibytes > 0 else None),
        cmdline=tuple(_find(r"(?:Kernel c|C)ommand line: (.*)$", text).split()),
        pci=tuple(groups(text).values()),
    )


def groups(text: str) -> dict[str, PciFunction]:
    """The IOMMU group of each function, as the kernel logs it."""
    found = {}
    for match in _GROUP.finditer(text):
        address = full_address(match["address"] or match["device"])
        found[address] = PciFunction(
            address=address,
            class_id="",
            vendor_id="",
            device_id="",
            iommu_group=whole(match["group"] or match["number"]),
        )
    return found


def _find(pattern: str, text: str) -> str:
    found = re.search(_STAMP + pattern, text, re.MULTILINE)
    return found.group(1).strip() if found else ""
