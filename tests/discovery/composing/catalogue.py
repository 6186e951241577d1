"""Every composed machine, by name: its hosts, and what machine.yaml and site.yaml say of them."""

from __future__ import annotations

from dataclasses import dataclass, field

from . import sites
from .hardware import Host

PCI_IDS = "https://pci-ids.ucw.cz/v2.2/pci.ids"
VFIO = "https://docs.kernel.org/driver-api/vfio.html"
CPUINFO = "https://github.com/torvalds/linux/blob/v6.8/arch/x86/kernel/cpu/proc.c"
SMI = "https://docs.nvidia.com/deploy/nvidia-smi/index.html"


@dataclass(frozen=True)
class Composed:
    name: str
    title: str
    kind: tuple[str, ...]
    hosts: tuple[Host, ...]
    how: str
    sources: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()
    unreachable: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Servers that did not answer: address and why."""
    settings: str = ""
    """More lines of site.yaml."""


EVERY = (
    Composed(
        "attic",
        "A healthy site: three servers with different GPUs, on 10 and 2.5 Gb/s",
        ("site", "healthy", "headless", "amd", "intel", "bmc-graphics", "two-identical-gpus", "integrated-graphics"),
        (sites.BIRCH, sites.CEDAR, sites.MAPLE),
        "birch: a Ryzen 9 5950X on a B550 board with a GeForce RTX 3090; cedar: a Core i7-13700 on a Z690 board with a "
        "GeForce RTX 4070 Ti beside the processor's own graphics; maple: an EPYC 7313P on a Supermicro H12SSL board "
        "with two RTX A4000 and ASPEED graphics.",
        (
            PCI_IDS, VFIO, CPUINFO, SMI,
            "https://www.nvidia.com/en-us/geforce/graphics-cards/30-series/rtx-3090-3090ti/",
            "https://www.supermicro.com/en/products/motherboard/H12SSL-CT",
        ),
    ),
    Composed(
        "trouble",
        "Three servers with the usual problems, one of which does not answer",
        ("site", "broken", "unreachable", "no-iommu", "gpu-shares-group", "lost-gpu", "wifi", "docker", "cloned"),
        (sites.ELDER, sites.PINE),
        "pine: a Core i7-6700 on a B150 board with a GeForce GTX 1060, as an old desktop; elder: a Ryzen 5 3600 on "
        "a B450 board with a GeForce RTX 3060 and, in the chipset's slot, a GT 1030. rowan is off.",
        (
            PCI_IDS, VFIO, CPUINFO, SMI, "https://docs.nvidia.com/deploy/xid-errors/index.html",
            "https://docs.docker.com/engine/network/packet-filtering-firewalls/",
            "https://www.freedesktop.org/software/systemd/man/latest/machine-id.html",
        ),
        (
            "pine calls itself Pine_01: MicroK8s does not start with capitals or an underscore",
            "pine and elder were cloned from one image: they have the same machine-id",
            "pine's clock is a day and an hour behind",
            "pine has neither virtualization nor an IOMMU: both are off in its firmware",
            "pine's GPU is driven by nouveau, and is older than the platform supports (compute capability 6.1)",
            "pine has 8 GB of memory, swaps, and its disk is nearly full",
            "pine has its address by DHCP, on a link of 100 Mb/s",
            "pine runs docker and ufw: forwarded packets are dropped; a web server has ports 80 and 443",
            "pine's snapd is too old, and its kernel is older than LXD 6 wants",
            "elder reaches the network by Wi-Fi alone, which cannot be bridged",
            "elder's RTX 3060 has fallen off the bus: nvidia-smi gives up there, and the kernel logs Xid 79",
            "elder's GT 1030 shares its IOMMU group with the network cards",
            "elder's NVIDIA driver is 535, and apt is busy",
            "rowan does not answer",
        ),
        unreachable={"rowan": ("198.51.100.23", "nothing answers at port 22 of 198.51.100.23: it is off")},
    ),
)  # fmt: skip
