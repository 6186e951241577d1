"""CPU and memory. The kernel's own files first: they have no locale."""

from __future__ import annotations

import re

from homewright.discovery.bundle import RawBundle
from homewright.discovery.facts import Cpu, Memory
from homewright.discovery.parsers.sizes import pairs, size, whole


def cpuinfo(text: str) -> Cpu:
    """From /proc/cpuinfo; cores and sockets only where it names them (not on ARM)."""
    blocks = [pairs(block) for block in re.split(r"\n\s*\n", text) if re.search(r"^processor\s*:", block, re.MULTILINE)]
    if not blocks:
        return Cpu()
    sockets = {block["physical id"] for block in blocks if "physical id" in block}
    cores = {(block["physical id"], block["core id"]) for block in blocks if {"physical id", "core id"} <= block.keys()}
    first = blocks[0]
    return Cpu(
        model=first.get("model name", ""),
        vendor=first.get("vendor_id", ""),
        sockets=len(sockets) or None,
        cores=len(cores) or None,
        threads=len(blocks),
    )


def lscpu(text: str) -> Cpu:
    """From lscpu's own layout, of any version; `-` is unknown. Frequencies, which a locale changes, are not read."""
    found = pairs(text)
    sockets = whole(found.get("Socket(s)", ""))
    per_socket = whole(found.get("Core(s) per socket", ""))
    clusters, per_cluster = whole(found.get("Cluster(s)", "")), whole(found.get("Core(s) per cluster", ""))
    threads = whole(found.get("CPU(s)", ""))
    cores = (
        sockets * per_socket if sockets and per_socket else clusters * per_cluster if clusters and per_cluster else None
    )
    model = found.get("Model name", "")
    return Cpu(
        model="" if model == "-" else model,
        vendor=found.get("Vendor ID", ""),
        sockets=sockets,
        cores=cores,
        threads=threads,
    )


def parse_cpu(bundle: RawBundle) -> Cpu:
    kernel = cpuinfo(bundle.text("cpuinfo"))
    tool = lscpu(bundle.text("lscpu", "lscpu-output-all"))
    usable = whole(bundle.text("nproc"))
    return Cpu(
        model=kernel.model or tool.model,
        vendor=kernel.vendor or tool.vendor,
        sockets=kernel.sockets or tool.sockets,
        cores=kernel.cores or tool.cores,
        threads=usable or kernel.threads or tool.threads,
    )


def meminfo(text: str) -> Memory:
    """From /proc/meminfo (its kB are 1,024 bytes)."""

    def kibibytes(key: str) -> int | None:
        number = whole(found.get(key, "").removesuffix("kB"))
        return None if number is None else number * 1024

    found = pairs(text)
    return Memory(total=kibibytes("MemTotal"), available=kibibytes("MemAvailable"), swap=kibibytes("SwapTotal"))


def free(text: str) -> Memory:
    """From `free`, with or without -h: the columns total and available; without a unit they are KiB."""

    def column(line: str, index: int) -> int | None:
        words = line.split()
        if len(words) <= index:
            return None
        plain = whole(words[index])
        return plain * 1024 if plain is not None else size(words[index])

    lines = {line.partition(":")[0].strip(): line for line in text.splitlines() if ":" in line}
    ram, swap = lines.get("Mem", ""), lines.get("Swap", "")
    return Memory(total=column(ram, 1), available=column(ram, 6), swap=column(swap, 1))


def parse_memory(bundle: RawBundle) -> Memory:
    kernel = meminfo(bundle.text("meminfo"))
    return kernel if kernel.total is not None else free(bundle.text("free-h", "free"))
