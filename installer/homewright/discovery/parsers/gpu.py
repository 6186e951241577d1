"""GPUs: display controllers among the PCI functions, and what NVIDIA's own tool adds."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from homewright.discovery.bundle import RawBundle
from homewright.discovery.facts import Gpu, PciFunction
from homewright.discovery.parsers.pci import full_address
from homewright.discovery.parsers.sizes import whole

_MIB = 1024 * 1024
_BUS = re.compile(r"(?:[0-9A-Fa-f]{4,8}:)?[0-9A-Fa-f]{2}:[0-9A-Fa-f]{2}\.[0-7]")
_ROW = re.compile(
    r"^\|\s+\d+\s+(?P<name>\S.*?)\s+(?:On|Off|N/A)\s+\|\s+(?P<bus>[0-9A-Fa-f:.]+|N/A)\s+(?:On|Off|N/A)\s*\|"
)
_MEMORY = re.compile(r"\d+MiB\s*/\s*(\d+)MiB")
_VERSION = re.compile(r"Driver Version:\s*(\d[\w.]*)")
_VENDORS: dict[str, Literal["nvidia", "amd", "intel", "other"]] = {"10de": "nvidia", "1002": "amd", "8086": "intel"}


@dataclass(frozen=True)
class Smi:
    """One GPU as nvidia-smi lists it."""

    bus: str
    """Its full PCI address; empty where it is on no PCI bus (Jetson)."""
    name: str
    memory: int | None
    driver_version: str


def smi_csv(text: str) -> list[Smi]:
    """From --query-gpu=pci.bus_id,name,memory.total,driver_version; [N/A], ERR! and their like are unknown."""
    found = []
    for line in text.splitlines():
        fields = [field.strip() for field in line.split(",")]
        if len(fields) >= 4 and _BUS.fullmatch(fields[0]):
            # a name may hold a comma, the other three never do
            bus, name, memory, version = fields[0], ", ".join(fields[1:-2]), fields[-2], fields[-1]
            found.append(Smi(full_address(bus), name, _mebibytes(memory), version if version[:1].isdigit() else ""))
    return found


def smi_table(text: str) -> list[Smi]:
    """From plain `nvidia-smi`, of any version; long names are cut there with dots."""
    version = _VERSION.search(text)
    found: list[Smi] = []
    waiting = False
    for line in text.splitlines():
        if row := _ROW.match(line):
            bus = row["bus"] if _BUS.fullmatch(row["bus"]) else ""
            found.append(Smi(full_address(bus) if bus else "", row["name"], None, version.group(1) if version else ""))
            waiting = True
        elif waiting:
            waiting = False
            if memory := _MEMORY.search(line):
                last = found[-1]
                found[-1] = Smi(last.bus, last.name, _mebibytes(memory.group(1)), last.driver_version)
        elif "Processes:" in line or "MIG devices:" in line:
            break
    return found


def smi_xml(text: str) -> list[Smi]:
    """From `nvidia-smi -q -x`."""
    version = re.search(r"<driver_version>([^<]+)<", text)
    found = []
    for block in re.finditer(r'<gpu id="([^"]+)">(.*?)</gpu>', text, re.DOTALL):
        name = re.search(r"<product_name>([^<]+)<", block.group(2))
        memory = re.search(r"<fb_memory_usage>\s*<total>(\d+) MiB", block.group(2))
        if _BUS.fullmatch(block.group(1)):
            found.append(
                Smi(
                    full_address(block.group(1)),
                    name.group(1) if name else "",
                    _mebibytes(memory.group(1)) if memory else None,
                    version.group(1).strip() if version else "",
                )
            )
    return found


def listed(bundle: RawBundle) -> list[Smi]:
    """What nvidia-smi lists, in whichever form it was asked."""
    return (
        smi_csv(bundle.text("nvidia-smi-csv"))
        or smi_table(bundle.text("nvidia-smi"))
        or smi_xml(bundle.text("nvidia-smi-q-x"))
    )


def parse(functions: Iterable[PciFunction], smi: Iterable[Smi]) -> tuple[Gpu, ...]:
    """Every display controller (the ones of a BMC too, as `other`); by address."""
    by_bus = {entry.bus: entry for entry in smi if entry.bus}
    found: dict[str, Gpu] = {}
    for function in functions:
        if not function.class_id.startswith("03"):
            continue
        own = by_bus.pop(function.address, None)
        found[function.address] = Gpu(
            address=function.address,
            vendor=_VENDORS.get(function.vendor_id, "other"),
            name=own.name if own and "..." not in own.name else function.name or (own.name if own else ""),
            driver=function.driver,
            iommu_group=function.iommu_group,
            memory=own.memory if own else None,
            driver_version=own.driver_version if own else "",
        )
    for bus, entry in by_bus.items():
        found[bus] = Gpu(
            address=bus, vendor="nvidia", name=entry.name, driver="nvidia", memory=entry.memory,
            driver_version=entry.driver_version,
        )  # fmt: skip
    return tuple(found[address] for address in sorted(found))


def _mebibytes(text: str) -> int | None:
    number = whole(text.removesuffix("MiB"))
    return None if number is None else number * _MIB
