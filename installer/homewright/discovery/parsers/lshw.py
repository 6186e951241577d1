"""lshw in its three layouts: the tree, -short, and -businfo."""

from __future__ import annotations

import re
from typing import Literal

from homewright.discovery.facts import Cpu, Disk, Memory, Nic, PciFunction
from homewright.discovery.parsers.network import by_name
from homewright.discovery.parsers.pci import CLASSES, full_address
from homewright.discovery.parsers.report import Report
from homewright.discovery.parsers.sizes import pairs, size, whole

_BUS = re.compile(r"pci@((?:[0-9a-f]{4,8}:)?[0-9a-f]{2}:[0-9a-f]{2}\.[0-7])")
_ROW = re.compile(r"^/\S*\s+(?:(?P<device>\S+)\s+)?(?P<class>[a-z]+)\s{2,}(?P<text>.*)$")
_VENDORS = {"NVIDIA": "10de", "Intel": "8086", "Advanced Micro": "1002", "ASPEED": "1a03", "Realtek": "10ec"}
_VOLUME = re.compile(r"^(\d{1,9})([KMGT])(i?)B\b\s*(.*)$")
_KINDS = {"desktop": "desktop", "notebook": "laptop", "laptop": "laptop", "server": "server", "low-profile": "desktop"}


def tree(text: str) -> Report:
    """From lshw without options."""
    nodes = [pairs(block) for block in re.split(r"^\s*\*-.*$", text, flags=re.MULTILINE)]
    titles = [title.strip() for title in re.findall(r"^\s*\*-(\S+)", text, re.MULTILINE)]
    if not titles:
        return Report()
    found = list(zip(titles, nodes[1:], strict=True))
    cpus = [node for title, node in found if title.startswith("cpu") and "product" in node]
    board = next((node for title, node in found if title == "core"), {})
    settings = [_settings(node) for node in cpus]
    memory = next((node for title, node in found if node.get("description") == "System Memory"), {})
    flags = set(cpus[0].get("capabilities", "").split()) if cpus else set()
    return Report(
        product=" ".join(filter(None, (board.get("vendor", ""), nodes[0].get("product") or board.get("product", "")))),
        chassis=_KINDS.get(_settings(nodes[0]).get("chassis", ""), ""),
        cpu=Cpu(
            model=cpus[0]["product"] if cpus else "",
            sockets=len(cpus) or None,
            cores=_sum(settings, "cores"),
            threads=_sum(settings, "threads"),
        ),
        flag=_flag(flags),
        memory=Memory(total=size(memory.get("size", ""))),
        nics=tuple(_nic(node) for title, node in found if title.startswith("network") and "logical name" in node),
        pci=tuple(_function(node) for _, node in found if _BUS.search(node.get("bus info", ""))),
    )


def short(text: str) -> Report:
    """From `lshw -short`: a table without bus addresses."""
    rows = [row for row in map(_ROW.match, text.splitlines()) if row]
    if not text.lstrip().startswith("H/W path"):
        return Report()
    model = next((row["text"] for row in rows if row["class"] == "processor"), "")
    memory = next((row["text"] for row in rows if row["text"].endswith("System Memory")), "")
    top = re.search(r"^\s+system\s+(\S.*)$", text, re.MULTILINE)
    disks: dict[str, Disk] = {}
    for row in rows:
        volume = (
            _VOLUME.match(row["text"]) if row["class"] == "disk" and (row["device"] or "").startswith("/dev/") else None
        )
        name = (row["device"] or "").removeprefix("/dev/")
        if volume and name not in disks and (total := _bytes(volume)):
            disks[name] = Disk(name=name, size=total, model=volume.group(4).strip())
    return Report(
        product=top.group(1).strip() if top else "",
        cpu=Cpu(model=" ".join(model.split())),
        memory=Memory(total=size(memory.split()[0]) if memory else None),
        disks=tuple(disks.values()),
        nics=tuple(
            Nic(name=row["device"], kind=by_name(row["device"]))
            for row in rows
            if row["class"] == "network" and row["device"] and not row["device"].startswith("/")
        ),
    )


def business(text: str) -> Report:
    """From `lshw -businfo`: PCI functions with their names."""
    found = []
    for line in text.splitlines():
        bus = _BUS.match(line)
        words = line.split(None, 1)
        if bus and len(words) == 2 and "display" in words[1]:
            name = words[1].partition("display")[2].strip()
            found.append(
                PciFunction(address=full_address(bus.group(1)), class_id="0300", vendor_id="", device_id="", name=name)
            )
    return Report(pci=tuple(found))


def _nic(node: dict[str, str]) -> Nic:
    settings = _settings(node)
    bus = _BUS.search(node.get("bus info", ""))
    name = node["logical name"]
    rate = re.fullmatch(r"(\d{1,6})([MG])bit/s", node.get("size", ""))
    return Nic(
        name=name,
        mac=node.get("serial", ""),
        up=settings.get("link") == "yes",
        kind=by_name(name),
        speed_mbps=int(rate.group(1)) * (1000 if rate.group(2) == "G" else 1) if rate else None,
        duplex={"full": "full", "half": "half"}.get(settings.get("duplex", ""), ""),
        driver=settings.get("driver", ""),
        pci_address=full_address(bus.group(1)) if bus else "",
    )


def _function(node: dict[str, str]) -> PciFunction:
    bus = _BUS.search(node["bus info"])
    vendor = node.get("vendor", "")
    return PciFunction(
        address=full_address(bus.group(1)) if bus else "",
        class_id=CLASSES.get(node.get("description", ""), ""),
        vendor_id=next((number for start, number in _VENDORS.items() if vendor.startswith(start)), ""),
        device_id="",
        name=f"{vendor} {node.get('product', '')}".strip() if node.get("product") != vendor else "",
        driver=_settings(node).get("driver") or None,
    )


def _settings(node: dict[str, str]) -> dict[str, str]:
    """The words of `configuration: a=b c=d`."""
    return dict(word.partition("=")[::2] for word in node.get("configuration", "").split() if "=" in word)


def _flag(flags: set[str]) -> Literal["vmx", "svm", ""] | None:
    if not {"fpu", "lm"} & flags:
        return None
    return "vmx" if "vmx" in flags else "svm" if "svm" in flags else ""


def _sum(settings: list[dict[str, str]], key: str) -> int | None:
    counts = [whole(one.get(key, "")) for one in settings]
    return sum(count or 0 for count in counts) or None if all(counts) else None


def _bytes(volume: re.Match[str]) -> int:
    """lshw counts disks in powers of 1000 (1TB), volumes in powers of 1024 (249MiB)."""
    power = "KMGT".index(volume.group(2)) + 1
    unit: int = (1024 if volume.group(3) else 1000) ** power
    return int(volume.group(1)) * unit
