"""GPUs: display controllers among the PCI functions, what the kernel shows of their screens and nvidia-smi adds."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

from homewright.discovery.bundle import RawBundle
from homewright.discovery.facts import Gpu, PciFunction
from homewright.discovery.parsers.nvidia import Smi
from homewright.discovery.parsers.pci import full_address

_VENDORS: dict[str, Literal["nvidia", "amd", "intel", "other"]] = {"10de": "nvidia", "1002": "amd", "8086": "intel"}
_ADDRESS = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")
_OFF_THE_BUS = re.compile(r"PCI:([0-9a-fA-F]{4,8}:[0-9a-fA-F]{2}:[0-9a-fA-F]{2})(?:\.[0-7])?\)?: 79,")
"""NVIDIA's Xid 79: the GPU has fallen off the bus."""


def boot_display(text: str) -> dict[str, bool]:
    """Which functions the firmware drew on, by address: the seventh field of the probe's listing."""
    rows = (line.split("|") for line in text.splitlines())
    return {
        full_address(row[0]): row[6].strip() == "1"
        for row in rows
        if len(row) >= 7 and row[6].strip() in ("0", "1") and _ADDRESS.fullmatch(row[0])
    }


def displays(text: str) -> dict[str, bool]:
    """Which functions have a monitor connected, by address, from the probe's lines address|connector|status."""
    found: dict[str, bool] = {}
    for line in text.splitlines():
        fields = [field.strip() for field in line.split("|")]
        if len(fields) == 3 and _ADDRESS.fullmatch(fields[0]) and fields[2] in ("connected", "disconnected"):
            address = full_address(fields[0])
            found[address] = found.get(address, False) or fields[2] == "connected"
    return found


def fallen(xid: Iterable[str]) -> dict[str, str]:
    """GPUs that the kernel's log says have fallen off the bus, by address."""
    hits = (_OFF_THE_BUS.search(line) for line in xid)
    return {full_address(f"{hit.group(1)}.0"): "it has fallen off the bus (Xid 79)" for hit in hits if hit}


def parse(
    functions: Iterable[PciFunction], smi: Iterable[Smi], bundle: RawBundle | None = None, xid: Iterable[str] = ()
) -> tuple[Gpu, ...]:
    """Every display controller (the ones of a BMC too, as `other`); by address."""
    by_bus = {entry.bus: entry for entry in smi if entry.bus}
    drawn = boot_display(bundle.text("sys-pci")) if bundle else {}
    lit = displays(bundle.text("drm")) if bundle else {}
    off = fallen(xid)
    found: dict[str, Gpu] = {}
    for function in functions:
        if not function.class_id.startswith("03"):
            continue
        own = by_bus.pop(function.address, None)
        short = own.name if own and "..." not in own.name and not own.error else ""
        found[function.address] = Gpu(
            address=function.address,
            vendor=_VENDORS.get(function.vendor_id, "other"),
            name=short or function.name or (own.name if own else ""),
            driver=function.driver,
            iommu_group=function.iommu_group,
            memory=own.memory if own else None,
            driver_version=own.driver_version if own else "",
            device_id=f"{function.vendor_id}:{function.device_id}" if function.device_id else "",
            boot_display=drawn.get(function.address),
            displays=lit.get(function.address, own.display if own else None),
            compute_capability=own.compute_capability if own else "",
            mig=own.mig if own else None,
            error=(own.error if own else "") or off.get(function.address, ""),
            processes=own.processes if own else None,
        )
    for bus, entry in by_bus.items():
        found[bus] = Gpu(
            address=bus, vendor="nvidia", name=entry.name, driver=None if entry.error else "nvidia",
            memory=entry.memory, driver_version=entry.driver_version, compute_capability=entry.compute_capability,
            mig=entry.mig, error=entry.error, displays=entry.display, processes=entry.processes,
        )  # fmt: skip
    return tuple(found[address] for address in sorted(found))
