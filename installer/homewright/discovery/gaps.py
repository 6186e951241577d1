"""What is not known about a host, and why: `unknown` is honest."""

from __future__ import annotations

from homewright.discovery.bundle import MISSING, RawBundle
from homewright.discovery.facts import HostFacts, Missing
from homewright.discovery.parsers.nvidia import Smi

NOT_ASKED = "was not asked"
NO_PUBLIC_NAME = "no public name is found, so it cannot be told whether resolvers invent answers"


def missing(bundle: RawBundle, facts: HostFacts, smi: list[Smi]) -> list[Missing]:
    """The sources that gave no facts, with the reason of each."""
    cut = [Missing(source="probe", reason=bundle.cut_off)] if bundle.cut_off else []
    return [*cut, *_machine(bundle, facts), *_graphics(bundle, facts, smi), *_programs(bundle, facts)]


def why(bundle: RawBundle, *sources: str) -> str:
    """What these sources said in place of facts."""
    reasons = [f"{name}: {bundle.sources[name].reason}" for name in sources if name in bundle.sources]
    return "; ".join(reasons) or bundle.cut_off or NOT_ASKED


def _machine(bundle: RawBundle, facts: HostFacts) -> list[Missing]:
    system, kernel = facts.system, facts.kernel
    gaps = [
        ("os", not system.os_id, ("os-release", "lsb-release-a")),
        ("kernel", not system.kernel, ("uname-a",)),
        ("virtualization", system.virtualization == "unknown", ("systemd-detect-virt",)),
        ("secure-boot", system.secure_boot is None and system.chassis != "container", ("secure-boot",)),
        ("cpu", facts.cpu.threads is None, ("cpuinfo", "lscpu", "lscpu-output-all")),
        ("memory", facts.memory.total is None, ("meminfo", "free-h")),
        ("disks", not facts.disks, ("lsblk-json", "lsblk", "sys-block")),
        ("file systems", not facts.file_systems, ("df", "df-k", "df-h")),
        ("network", not facts.nics, ("ip-addr-json", "ip-addr", "sys-net")),
        ("modules", kernel.modules is None, ("modules",)),
        ("limits", kernel.inotify_watches is None, ("limits",)),
        ("kernel-log", kernel.xid is None, ("kernel-log", "dmesg")),
    ]
    found = [_gap(bundle, source, told) for source, gap, told in gaps if gap]
    if system.sudo is False:
        found.append(_gap(bundle, "sudo", ("sudo",)))
    return found


def _graphics(bundle: RawBundle, facts: HostFacts, smi: list[Smi]) -> list[Missing]:
    found = []
    if not facts.pci:
        found.append(Missing(source="pci", reason=why(bundle, "sys-pci", *bundle.all("lspci"))))
    elif all(function.iommu_group is None for function in facts.pci):
        off = "the kernel shows no IOMMU groups: it is off, or this is a guest or a container"
        found.append(Missing(source="iommu", reason=off if "sys-pci" in bundle.sources else NOT_ASKED))
    if not smi and (any(one.vendor == "nvidia" for one in facts.gpus) or _tried(bundle, "nvidia-smi")):
        found.append(Missing(source="nvidia-smi", reason=why(bundle, *bundle.all("nvidia-smi"))))
    found += [Missing(source="nvidia-smi", reason=f"{one.bus}: {one.error}") for one in smi if one.error]
    found += [
        Missing(source="gpu", reason=f"{one.name} is on no PCI bus: it can be neither passed through nor given away")
        for one in smi
        if not one.bus
    ]
    return found


def _programs(bundle: RawBundle, facts: HostFacts) -> list[Missing]:
    software, names = facts.software, facts.names
    snaps = [name for name in bundle.all("snap-") if not bundle.ended_well(name)]
    nets = bundle.source("netplan")
    unanswered = names.wildcard is None and names.internet is False
    gaps = [
        ("clock", facts.clock.offset_s is None, ("clock-start",)),
        ("names", not names.resolvers, ("resolv-conf",)),
        ("names", bool(names.resolvers) and names.wildcard is None and not unanswered, ("getent",)),
        ("listeners", facts.listeners is None, ("ss", "proc-net")),
        ("software", software.docker is None, ("tools",)),
        ("services", not software.services, ("services",)),
        ("package-locks", software.package_locks is None, ("package-locks",)),
        ("firewall", software.forward_policy is None, ("firewall",)),
        ("snap", bool(snaps), tuple(snaps)),
        ("netplan", nets.exit_code not in (None, 0, MISSING), ("netplan",)),
    ]
    found = [_gap(bundle, source, told) for source, gap, told in gaps if gap]
    if names.resolvers and unanswered:
        found.append(Missing(source="names", reason=NO_PUBLIC_NAME))
    return found


def _gap(bundle: RawBundle, source: str, told: tuple[str, ...]) -> Missing:
    return Missing(source=source, reason=why(bundle, *told).removeprefix(f"{source}: "))


def _tried(bundle: RawBundle, prefix: str) -> bool:
    """A tool that is there and did not work; one that is not installed is no news."""
    return any(source.stdout.strip() and not source.absent for source in bundle.all(prefix).values())
