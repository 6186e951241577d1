"""From a raw bundle to the facts of a host. Pure: what was not there to read is listed, never guessed."""

from __future__ import annotations

from homewright.discovery.bundle import RawBundle
from homewright.discovery.facts import HostFacts, Missing
from homewright.discovery.parsers import gpu, network, pci, processor, storage, system


def parse(bundle: RawBundle) -> HostFacts:
    """The facts in a bundle. Never raises: text that is not understood counts as missing, with the reason."""
    functions = pci.parse(bundle)
    smi = gpu.listed(bundle)
    facts = HostFacts(
        host=bundle.host,
        gathered_at=bundle.gathered_at,
        system=system.parse(bundle),
        cpu=processor.parse_cpu(bundle),
        memory=processor.parse_memory(bundle),
        disks=storage.parse_disks(bundle),
        file_systems=storage.parse_file_systems(bundle),
        nics=network.parse(bundle),
        pci=functions,
        gpus=gpu.parse(functions, smi),
    )
    return facts.model_copy(update={"missing": tuple(_missing(bundle, facts, smi))})


def _missing(bundle: RawBundle, facts: HostFacts, smi: list[gpu.Smi]) -> list[Missing]:
    """What is not known about this host, and why."""
    found = []

    def absent(what: str, *sources: str) -> None:
        found.append(Missing(source=what, reason=_why(bundle, sources)))

    if not facts.system.os_id:
        absent("os", "os-release", "lsb-release-a")
    if not facts.system.kernel:
        absent("kernel", "uname-a")
    if facts.system.virtualization == "unknown":
        absent("virtualization", "systemd-detect-virt")
    if facts.cpu.threads is None:
        absent("cpu", "cpuinfo", "lscpu", "lscpu-output-all")
    if facts.memory.total is None:
        absent("memory", "meminfo", "free-h")
    if not facts.disks:
        absent("disks", "lsblk-json", "lsblk")
    if not facts.file_systems:
        absent("file systems", "df", "df-h")
    if not facts.nics:
        absent("network", "ip-addr-json", "ip-addr", "sys-net")
    if not facts.pci:
        absent("pci", "sys-pci", *bundle.all("lspci"))
    elif all(function.iommu_group is None for function in facts.pci):
        off = "the kernel shows no IOMMU groups: it is off, or this is a guest or a container"
        found.append(Missing(source="iommu", reason=off if "sys-pci" in bundle.sources else "was not asked"))
    if not smi and (any(one.vendor == "nvidia" for one in facts.gpus) or _tried(bundle, "nvidia-smi")):
        absent("nvidia-smi", *bundle.all("nvidia-smi"))
    found += [
        Missing(source="gpu", reason=f"{one.name} is on no PCI bus: it can be neither passed through nor given away")
        for one in smi
        if not one.bus
    ]
    return found


def _tried(bundle: RawBundle, prefix: str) -> bool:
    """A tool that is there and did not work; one that is not installed is no news."""
    return any(source.stdout.strip() and not source.absent for source in bundle.all(prefix).values())


def _why(bundle: RawBundle, sources: tuple[str, ...]) -> str:
    reasons = [f"{name}: {bundle.sources[name].reason}" for name in sources if name in bundle.sources]
    return "; ".join(reasons) or "was not asked"
