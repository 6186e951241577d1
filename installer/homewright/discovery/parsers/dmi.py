"""dmidecode: maker, product, chassis, sockets and what memory is installed; no serial number is looked at."""

from __future__ import annotations

import re

from homewright.discovery.facts import Cpu, Memory
from homewright.discovery.parsers.report import Report
from homewright.discovery.parsers.sizes import size, whole
from homewright.discovery.parsers.system import PLACEHOLDER, chassis, virtualization


def parse(text: str) -> Report:
    blocks = _blocks(text)
    system = _first(blocks, "System Information")
    board = _first(blocks, "Base Board Information")
    sockets = [block for title, block in blocks if title == "Processor Information" and _populated(block)]
    modules = [size(block.get("Size", "").replace(" ", "")) for title, block in blocks if title == "Memory Device"]
    product = _named(system) or _named(board)
    virtual = virtualization("", f"{product} {_first(blocks, 'BIOS Information').get('Vendor', '')}", "")
    cores = [whole(block.get("Core Count", "")) for block in sockets]
    threads = [whole(block.get("Thread Count", "")) for block in sockets]
    model = next((_said(block.get("Version", "")) for block in sockets), "")
    return Report(
        product=product,
        chassis="vm" if virtual else chassis("none", _first(blocks, "Chassis Information").get("Type", "")),
        virtualization=virtual or "",
        cpu=Cpu(
            model=" ".join(model.split()),
            sockets=len(sockets) if all(cores) and sockets else None,
            cores=_sum(cores),
            threads=_sum(threads),
        ),
        memory=Memory(total=sum(filter(None, modules)) or None),
    )


def _blocks(text: str) -> list[tuple[str, dict[str, str]]]:
    """Title and `Key: value` pairs of each structure."""
    found = []
    for block in re.split(r"\n\s*\n|\n(?=Handle 0x)", text):
        lines = [line for line in block.splitlines() if not line.startswith(("#", "Handle "))]
        if lines and lines[0] and not lines[0][0].isspace():
            rows = (line.partition(":") for line in lines[1:] if re.match(r"^(?:\t| {4}|  )\S", line))
            found.append((lines[0].strip(), {key.strip(): value.strip() for key, colon, value in rows if colon}))
    return found


def _first(blocks: list[tuple[str, dict[str, str]]], title: str) -> dict[str, str]:
    return next((block for name, block in blocks if name == title), {})


def _named(block: dict[str, str]) -> str:
    parts = (_said(block.get("Manufacturer", "")), _said(block.get("Product Name", "")))
    return " ".join(filter(None, parts)) if parts[1] else ""


def _said(text: str) -> str:
    return "" if PLACEHOLDER.match(text) else text[:100]


def _populated(block: dict[str, str]) -> bool:
    return block.get("Status", "Populated").startswith("Populated")


def _sum(counts: list[int | None]) -> int | None:
    return sum(count or 0 for count in counts) or None if all(counts) else None
