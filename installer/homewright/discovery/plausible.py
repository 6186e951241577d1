"""What no machine can have is taken out of facts: a number that the wire or a broken tool has mangled is unknown.

The bounds are far above what is sold: x86-64 addresses 4 PiB of memory (52 bits), and Linux knows at most 8,192 logical
processors there (CONFIG_NR_CPUS).
"""

from __future__ import annotations

from homewright.discovery.facts import Cpu, Gpu, HostFacts, Memory, Nic, PciFunction

MOST_MEMORY = 1 << 52
MOST_STORAGE = 1 << 60
"""Bytes of one disk or file system; ext4 and XFS end at or below 2^63."""
MOST_PROCESSORS = 8192
MOST_MBPS = 10_000_000
MOST_MTU = 1 << 17
"""The loopback interface has 65,536."""
MOST_GROUPS = 1 << 16
MOST_GPU_MEMORY = 1 << 42


def plausible(facts: HostFacts) -> HostFacts:
    """The facts, with what cannot be left unknown."""
    return facts.model_copy(
        update={
            "cpu": _cpu(facts.cpu),
            "memory": _memory(facts.memory),
            "disks": tuple(disk for disk in facts.disks if 0 < disk.size <= MOST_STORAGE),
            "file_systems": tuple(one for one in facts.file_systems if 0 <= one.free <= one.size <= MOST_STORAGE),
            "nics": tuple(map(_nic, facts.nics)),
            "pci": tuple(map(_grouped, facts.pci)),
            "gpus": tuple(map(_gpu, facts.gpus)),
        }
    )


def _cpu(cpu: Cpu) -> Cpu:
    counts = {name: getattr(cpu, name) for name in ("sockets", "cores", "threads")}
    odd = {name: None for name, count in counts.items() if count is not None and not 0 < count <= MOST_PROCESSORS}
    return cpu.model_copy(update=odd) if odd else cpu


def _memory(memory: Memory) -> Memory:
    total, available, swap = memory.total, memory.available, memory.swap
    if total is not None and not 0 < total <= MOST_MEMORY:
        total = None
    if available is not None and available > (total if total is not None else MOST_MEMORY):
        available = None
    return Memory(total=total, available=available, swap=swap if swap is None or swap <= MOST_MEMORY else None)


def _nic(nic: Nic) -> Nic:
    odd: dict[str, None] = {}
    if nic.speed_mbps is not None and not 0 < nic.speed_mbps <= MOST_MBPS:
        odd["speed_mbps"] = None
    if nic.mtu is not None and not 0 < nic.mtu <= MOST_MTU:
        odd["mtu"] = None
    return nic.model_copy(update=odd) if odd else nic


def _grouped(function: PciFunction) -> PciFunction:
    fits = function.iommu_group is None or function.iommu_group <= MOST_GROUPS
    return function if fits else function.model_copy(update={"iommu_group": None})


def _gpu(gpu: Gpu) -> Gpu:
    odd: dict[str, None] = {}
    if gpu.iommu_group is not None and gpu.iommu_group > MOST_GROUPS:
        odd["iommu_group"] = None
    if gpu.memory is not None and not 0 < gpu.memory <= MOST_GPU_MEMORY:
        odd["memory"] = None
    return gpu.model_copy(update=odd) if odd else gpu
