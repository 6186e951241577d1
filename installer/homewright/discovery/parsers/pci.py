"""PCI functions and their IOMMU groups, from the kernel's own listing or from any layout of lspci."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from homewright.discovery.bundle import RawBundle
from homewright.discovery.facts import PciFunction
from homewright.discovery.parsers.sizes import whole

_ADDRESS = r"(?:[0-9a-fA-F]{4,8}:)?[0-9a-fA-F]{2}:[0-9a-fA-F]{2}\.[0-7]"
_HEADER = re.compile(
    rf"^\s*(?P<address>{_ADDRESS})\s+(?P<class>[^\[:]+?)\s*(?:\[(?P<id>[0-9a-f]{{4}})\])?:\s*(?P<name>.*)$"
)
_IDS = re.compile(r"\s*\[(?P<vendor>[0-9a-f]{4}):(?P<device>[0-9a-f]{4})\]")
_BARE_IDS = re.compile(r"^(?P<vendor>[0-9a-f]{4}):(?P<device>[0-9a-f]{4})\b")
_TAIL = re.compile(r"\s*\((?:rev [0-9a-f]+|prog-if [^)]*)\)\s*")
_UNNAMED = re.compile(r"\bDevice ([0-9a-f]{4})$")
_MODULES = re.compile(r"^\s+Kernel modules:\s*(\S.*)")
_DRIVER = re.compile(r"^\s+Kernel driver in use:\s*(\S+)")
_GROUP_DETAIL = re.compile(r"^\s+IOMMU group:\s*(\d+)")
_GROUP = re.compile(r"IOMMU group\s+(\d+)\s*:?\s*(.*)$", re.IGNORECASE)

CLASSES = {
    "VGA compatible controller": "0300", "3D controller": "0302", "Display controller": "0380",
    "Audio device": "0403", "Multimedia controller": "0480", "Multimedia audio controller": "0401",
    "Host bridge": "0600", "ISA bridge": "0601", "PCI bridge": "0604",
    "Ethernet controller": "0200", "Infiniband controller": "0207", "Network controller": "0280",
    "IDE interface": "0101", "RAID bus controller": "0104", "SATA controller": "0106",
    "Non-Volatile memory controller": "0108", "USB controller": "0c03", "SMBus": "0c05",
    "Serial bus controller": "0c80", "System peripheral": "0880", "Generic system peripheral": "0880",
    "IOMMU": "0806", "Communication controller": "0780", "Serial controller": "0700",
    "Signal processing controller": "1180", "Encryption controller": "1080",
    "Processing accelerators": "1200", "Non-Essential Instrumentation": "1300",
    "Performance counters": "1101", "PIC": "0800", "DMA controller": "0801", "Mass storage controller": "0180",
    "Multimedia video controller": "0400", "FireWire (IEEE 1394)": "0c00", "Co-processor": "0b40",
    "RAM memory": "0500", "Memory controller": "0580", "SD Host controller": "0805", "Bridge": "0680",
}  # fmt: skip
_VENDORS = (
    ("NVIDIA ", "10de"), ("Intel ", "8086"), ("ASPEED ", "1a03"), ("Matrox ", "102b"), ("Red Hat", "1af4"),
    ("Cirrus Logic", "1013"), ("Mellanox ", "15b3"), ("Realtek ", "10ec"), ("Samsung ", "144d"), ("Broadcom", "14e4"),
)  # fmt: skip


def full_address(text: str) -> str:
    """A full lowercase address with a domain of at least four digits: 01:00.0 and 00000000:01:00.0 are 0000:01:00.0."""
    parts = text.strip().lower().split(":")
    domain = parts[0].lstrip("0").rjust(4, "0") if len(parts) == 3 else "0000"
    return ":".join((domain, *parts[-2:]))


def sysfs(text: str) -> dict[str, PciFunction]:
    """From the probe's listing of /sys/bus/pci/devices: address|class|vendor|device|driver|group."""
    found: dict[str, PciFunction] = {}
    for line in text.splitlines():
        fields = [field.strip() for field in line.split("|")]
        if len(fields) < 6 or not re.fullmatch(_ADDRESS, fields[0]):
            continue
        address, kind, vendor, device, driver, group = fields[:6]
        found[full_address(address)] = PciFunction(
            address=full_address(address),
            class_id=kind.removeprefix("0x")[:4].lower(),
            vendor_id=vendor.removeprefix("0x").lower(),
            device_id=device.removeprefix("0x").lower(),
            driver=driver or None,
            iommu_group=whole(group),
        )
    return found


def lspci(text: str) -> dict[str, PciFunction]:
    """From lspci with any of -D, -n, -nn, -k, -v, or none: what a layout does not print stays empty."""
    found: dict[str, PciFunction] = {}
    current = ""
    for line in _joined(text):
        header = _function(line)
        if header is not None:
            current = header.address
            found[current] = header
        elif current and (driver := _DRIVER.match(line)):
            found[current] = found[current].model_copy(update={"driver": driver.group(1)})
        elif current and (modules := _MODULES.match(line)):
            names = tuple(name for name in re.split(r"[,\s]+", modules.group(1)) if name)
            found[current] = found[current].model_copy(update={"modules": names})
        elif current and (group := _GROUP_DETAIL.match(line)):
            found[current] = found[current].model_copy(update={"iommu_group": whole(group.group(1))})
    return found


def iommu_groups(text: str) -> dict[str, PciFunction]:
    """From the usual listing scripts: the group in front of each function, or as a heading over several."""
    found: dict[str, PciFunction] = {}
    group: int | None = None
    for line in _joined(text):
        rest = line
        if heading := _GROUP.search(line):
            group, rest = whole(heading.group(1)), heading.group(2)
        function = _function(rest)
        if function is not None:
            found[function.address] = function.model_copy(update={"iommu_group": group})
    return found


def parse(bundle: RawBundle, reported: Iterable[PciFunction] = ()) -> tuple[PciFunction, ...]:
    """All functions, by address. What the kernel says wins; names come from lspci; hardware reports fill the rest."""
    known: dict[str, PciFunction] = dict(sysfs(bundle.text("sys-pci")))
    listings = [lspci(source.printed) for source in bundle.all("lspci").values()]
    listings += [iommu_groups(source.printed) for source in bundle.all("iommu-groups").values()]
    listings += [{function.address: function} for function in reported]
    for listing in listings:
        for address, function in listing.items():
            known[address] = _merged(known[address], function) if address in known else function
    # a boot log alone knows groups, but not what is in them
    shown = (function for function in known.values() if function.class_id or function.name)
    return tuple(sorted(shown, key=lambda function: function.address))


def _function(line: str) -> PciFunction | None:
    header = _HEADER.match(line)
    if header is None:
        return None
    kind, name = header["class"].strip(), header["name"]
    class_id = header["id"] or (kind if re.fullmatch(r"[0-9a-f]{4}", kind) else CLASSES.get(kind, ""))
    ids = _last(_IDS, name) or _BARE_IDS.match(name)
    name = _TAIL.sub(" ", name[: ids.start()] if ids else name).strip()
    vendor, device = (ids["vendor"], ids["device"]) if ids else (_vendor(name, class_id), "")
    if not device and (unnamed := _UNNAMED.search(name)):
        device = unnamed.group(1)
    return PciFunction(
        address=full_address(header["address"]), class_id=class_id, vendor_id=vendor, device_id=device, name=name
    )


def _vendor(name: str, class_id: str) -> str:
    """The vendor's id from its name, where lspci printed no ids; empty where it is not one that matters."""
    if name.startswith("Advanced Micro Devices"):
        return "1002" if class_id.startswith("03") or "[AMD/ATI]" in name else "1022"
    return next((vendor for start, vendor in _VENDORS if name.startswith(start)), "")


def _last(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    found = None
    for match in pattern.finditer(text):
        found = match
    return found


def _joined(text: str) -> Iterator[str]:
    """Lines, with those put together again that a narrow terminal or a mail program has wrapped."""
    held: str | None = None
    for raw in text.splitlines():
        line = raw.rstrip()
        starts = not line or line[0].isspace() or _GROUP.search(line) or re.match(rf"{_ADDRESS}\s", line)
        if held is not None and not starts and _HEADER.search(_GROUP.sub(r"\2", held)):
            held = f"{held} {line}"
            continue
        if held is not None:
            yield held
        held = line
    if held is not None:
        yield held


def _merged(first: PciFunction, second: PciFunction) -> PciFunction:
    return PciFunction(
        address=first.address,
        class_id=first.class_id or second.class_id,
        vendor_id=first.vendor_id or second.vendor_id,
        device_id=first.device_id or second.device_id,
        name=first.name or second.name,
        driver=first.driver or second.driver,
        iommu_group=first.iommu_group if first.iommu_group is not None else second.iommu_group,
        modules=first.modules or second.modules,
    )
