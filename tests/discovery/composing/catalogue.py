"""Every composed machine, by name: its hosts, and what machine.yaml and site.yaml say of them."""

from __future__ import annotations

from dataclasses import dataclass, field

from . import busybox, desks, guests, racks, sites
from .hardware import Host

PCI_IDS = "https://pci-ids.ucw.cz/v2.2/pci.ids"
VFIO = "https://docs.kernel.org/driver-api/vfio.html"
CPUINFO = "https://github.com/torvalds/linux/blob/v6.8/arch/x86/kernel/cpu/proc.c"
SMI = "https://docs.nvidia.com/deploy/nvidia-smi/index.html"
XID = "https://docs.nvidia.com/deploy/xid-errors/index.html"
IPROUTE = "https://git.kernel.org/pub/scm/network/iproute2/iproute2.git"
COMMON = (PCI_IDS, VFIO, CPUINFO, SMI)


@dataclass(frozen=True)
class Composed:
    name: str
    title: str
    kind: tuple[str, ...]
    hosts: tuple[Host, ...]
    how: str
    sources: tuple[str, ...] = COMMON
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
        (*COMMON, "https://www.supermicro.com/en/products/motherboard/H12SSL-CT"),
    ),
    Composed(
        "trouble",
        "Three servers with the usual problems, one of which does not answer",
        ("site", "broken", "unreachable", "no-iommu", "gpu-shares-group", "lost-gpu", "wifi", "docker", "cloned"),
        (sites.ELDER, sites.PINE),
        "pine: a Core i7-6700 on a B150 board with a GeForce GTX 1060, as an old desktop; elder: a Ryzen 5 3600 on "
        "a B450 board with a GeForce RTX 3060 and, in the chipset's slot, a GT 1030. rowan is off.",
        (
            *COMMON, XID, "https://docs.docker.com/engine/network/packet-filtering-firewalls/",
            "https://www.freedesktop.org/software/systemd/man/latest/machine-id.html",
        ),
        (
            "pine calls itself Pine_01: MicroK8s does not start with capitals or an underscore",
            "pine and elder were cloned from one image: they have the same machine-id",
            "pine's clock is a day and an hour behind, and nothing sets it",
            "pine has neither virtualization nor an IOMMU: both are off in its firmware",
            "pine's GPU is driven by nouveau, and is older than the platform supports (compute capability 6.1)",
            "pine has 8 GB of memory, swaps, and its disk is nearly full",
            "pine has its address by DHCP, on a link of 100 Mb/s",
            "pine runs docker and ufw: forwarded packets are dropped; ports 80, 443 and 8443 are taken",
            "pine's snapd is too old, and its kernel is older than LXD 6 wants",
            "elder reaches the network by Wi-Fi alone, which cannot be bridged",
            "elder's RTX 3060 has fallen off the bus: nvidia-smi gives up there, and the kernel logs Xid 79",
            "elder's GT 1030 shares its IOMMU group with the network cards",
            "elder's NVIDIA driver is 535, and apt is busy",
            "elder resolves rowan to another address, and every unknown name to one",
            "rowan does not answer",
        ),
        unreachable={"rowan": ("198.51.100.23", "nothing answers at port 22 of 198.51.100.23: it is off")},
    ),
    Composed(
        "pair",
        "Two servers, one with a GPU: no quorum",
        ("site", "two-servers", "amd", "intel", "headless", "integrated-graphics"),
        (desks.ASH, desks.OAK),
        "oak: a Ryzen 5 3600 on a B550 board with a GeForce RTX 3060; ash: an office computer with a Core i7-6700 and "
        "no NVIDIA GPU.",
    ),
    Composed(
        "single",
        "One server with a small GPU for its desktop and a large one to give away",
        ("site", "one-server", "amd", "desktop", "two-gpus"),
        (desks.BEECH,),
        "A Ryzen 9 5950X on a B550 board, a T400 with the monitor and a GeForce RTX 3090 without.",
    ),
    Composed(
        "desktop",
        "Desktop with one NVIDIA GPU that its desktop runs on",
        ("one-server", "desktop", "intel", "secure-boot", "dhcp"),
        (desks.LINDEN,),
        "A Core i5-12600KF (no graphics of its own) on a B660 board with a GeForce RTX 3060 Ti; Ubuntu's desktop.",
        broken=("its only GPU is the desktop's", "its address comes from DHCP; it swaps; limits of inotify are low"),
    ),
    Composed(
        "headless",
        "Headless Debian server with one NVIDIA GPU",
        ("one-server", "headless", "amd", "debian", "no-snap"),
        (desks.HAZEL,),
        "A Ryzen 5 5600 on a B550 board with a GeForce RTX 4060 Ti of 16 GB; Debian 12 with its own kernel, no snaps.",
        (*COMMON, "https://packages.debian.org/bookworm/linux-image-amd64"),
    ),
    Composed(
        "twins",
        "Two identical GPUs, each in an IOMMU group of its own",
        ("one-server", "two-identical-gpus", "amd", "integrated-graphics"),
        (racks.TWIN,),
        "A Ryzen 9 7950X on an X670E board with two GeForce RTX 4090 beside the processor's own graphics.",
    ),
    Composed(
        "shared-group",
        "The GPU shares its IOMMU group with the network card",
        ("one-server", "gpu-shares-group", "amd", "headless"),
        (desks.ALDER,),
        "A Ryzen 5 5600 on a B450 board: a 10 Gb/s card has the processor's slot, so that a GeForce RTX 3050 sits in "
        "the chipset's, where everything is in one group.",
        broken=("the GPU cannot be given to a virtual machine without the network card that carries the address",),
    ),
    Composed(
        "split-functions",
        "The GPU's two functions are in different IOMMU groups (ACS override)",
        ("one-server", "gpu-functions-apart", "intel", "integrated-graphics", "vfio"),
        (desks.LARCH,),
        "A Core i7-6700 on a Z170 board with a GeForce GTX 1650, on a kernel with pcie_acs_override.",
        (*COMMON, "https://lkml.org/lkml/2013/5/30/513"),
        broken=("the GPU's audio function was left to its sound driver",),
    ),
    Composed(
        "no-iommu",
        "A processor without an IOMMU",
        ("one-server", "no-iommu", "intel", "bios"),
        (desks.WILLOW,),
        "A Core i5-4670K, which has no VT-d, on an H87 board with a GeForce RTX 2070 SUPER; booted by BIOS.",
        (*COMMON, "https://www.intel.com/content/www/us/en/products/sku/75048/"
                  "intel-core-i54670k-processor-6m-cache-up-to-3-80-ghz/specifications.html"),
        broken=("the kernel was asked for an IOMMU, and there is none",),
    ),
    Composed(
        "laptop",
        "Laptop with hybrid graphics",
        ("one-server", "laptop", "intel", "integrated-graphics", "wifi", "secure-boot", "dhcp"),
        (desks.ASPEN,),
        "A Core i7-11800H with its own graphics, which the panel hangs on, and a GeForce RTX 3060 Laptop GPU.",
    ),
    Composed(
        "wifi-only",
        "Mini PC with Wi-Fi alone, where sudo asks for a password",
        ("one-server", "mini-pc", "intel", "wifi", "no-nvidia", "sudo-password"),
        (desks.FERN,),
        "An Intel N100 with a Realtek Wi-Fi card; its network sockets are not used and it has no NVIDIA GPU.",
        broken=("Wi-Fi cannot be bridged", "sudo wants a password: what needs root is unknown"),
    ),
    Composed(
        "gallery",
        "Two-socket server with BMC graphics and four data-centre GPUs",
        ("one-server", "data-centre", "bmc-graphics", "intel", "two-sockets", "identical-gpus"),
        (racks.GALLERY,),
        "Two Xeon Gold 6338 on a Supermicro 420GP with four L40S, ConnectX-6 Dx and ASPEED graphics.",
        (*COMMON, "https://www.supermicro.com/en/products/system/gpu/4u/sys-420gp-tnr",
         "https://www.nvidia.com/en-us/data-center/l40s/"),
    ),
    Composed(
        "mig",
        "Server whose A100 is cut into MIG instances",
        ("one-server", "data-centre", "mig", "bmc-graphics", "amd", "ubuntu-22.04"),
        (racks.SLICER,),
        "An EPYC 7313P with an A100 PCIe of 40 GB, MIG on, seven 1g.5gb instances; Ubuntu 22.04 with kernel 5.15.",
        (*COMMON, "https://docs.nvidia.com/datacenter/tesla/mig-user-guide/"),
        broken=("its kernel is older than LXD 6 wants", "the driver is 570, not the recommended 580"),
    ),
    Composed(
        "lost-gpu",
        "Two GPUs, one of which was lost while nvidia-smi asked it",
        ("one-server", "lost-gpu", "xid", "two-identical-gpus", "amd"),
        (racks.LOST,),
        "A Ryzen 9 7950X with two GeForce RTX 3090, the second of which fell off the bus (Xid 79).",
        (*COMMON, XID),
        broken=("the second GPU is lost until the server restarts", "the driver is 550, older than 570"),
    ),
    Composed(
        "arm64",
        "ARM64 server: Grace Hopper with ASPEED graphics, several PCI domains",
        ("one-server", "arm64", "data-centre", "bmc-graphics", "pci-domains"),
        (racks.GRACE,),
        "A GH200 (72 Neoverse V2 cores, one H100) in a Supermicro ARS-111GL-NHR, ConnectX-6 Dx; pages of 64 KiB.",
        (PCI_IDS, VFIO, SMI, "https://github.com/torvalds/linux/blob/v6.8/arch/arm64/kernel/cpuinfo.c",
         "https://docs.nvidia.com/grace-perf-tuning-guide/"),
    ),
    Composed(
        "proxmox-host",
        "Proxmox VE host that has given its GPU to a guest",
        ("one-server", "proxmox", "debian", "vfio", "bridge", "amd", "root"),
        (racks.CRADLE,),
        "A Ryzen 9 5950X on a B550 board, its GeForce RTX 3090 bound to vfio-pci; Proxmox VE 8 on Debian 12, signed in "
        "as root.",
        (*COMMON, "https://pve.proxmox.com/wiki/PCI_Passthrough"),
        broken=("under Proxmox VE it is a Debian 12, where there are no snaps",),
    ),
    Composed(
        "proxmox-guest",
        "Virtual machine on Proxmox with a GPU passed through",
        ("one-server", "guest", "kvm", "no-iommu", "proxmox"),
        (guests.TENANT,),
        "A q35 guest with virtio devices and an RTX A2000 passed through, nested virtualization on.",
        (*COMMON, "https://pve.proxmox.com/wiki/PCI_Passthrough",
         "https://www.qemu.org/docs/master/specs/pci-ids.html"),
    ),
    Composed(
        "cloud-t4",
        "Cloud guest with a Tesla T4",
        ("one-server", "guest", "cloud", "no-iommu", "no-kvm", "dhcp", "jumbo-frames"),
        (guests.CLOUD,),
        "A g4dn.xlarge: four logical processors, a T4, an EBS volume, one NVMe disk, an ENA at an MTU of 9001.",
        (*COMMON, "https://docs.aws.amazon.com/ec2/latest/instancetypes/ac.html",
         "https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/network_mtu.html"),
        broken=("no virtual machines run in it: it has no /dev/kvm", "its address comes from DHCP"),
    ),
    Composed(
        "old-kernel",
        "Ubuntu 20.04: kernel 5.4, cgroup v1, a driver that does not know every field",
        ("one-server", "old-kernel", "old-driver", "intel", "ubuntu-20.04", "cgroup-v1"),
        (guests.VETERAN,),
        "A Core i7-6700 on a Z170 board with a GeForce GTX 1080 Ti and NVIDIA's driver 470.",
        broken=("the system, the kernel, the driver and the GPU are older than the platform supports",),
    ),
    Composed(
        "busybox",
        "BusyBox host without Python, systemd, util-linux or iproute2",
        ("one-server", "busybox", "no-python", "no-systemd", "no-iommu", "intel", "root"),
        (busybox.PEBBLE,),
        "A Core i5-4670K with a GeForce GT 710 under Alpine Linux 3.22; signed in as root.",
        (*COMMON, "https://busybox.net/downloads/BusyBox.html"),
        broken=("neither the system nor its tools are supported",),
    ),
    Composed(
        "german",
        "Tools that print German whatever they are asked for, and a sudo that wants a password",
        ("one-server", "other-language", "amd", "sudo-password"),
        (guests.BERG,),
        "A Ryzen 5 5600 on a B550 board with a GeForce RTX 3060; what coreutils, util-linux, sed and sudo print is "
        "from their German translations.",
        (*COMMON, "https://translationproject.org/team/de.html"),
        broken=("sudo wants a password: what needs root is unknown",),
    ),
    Composed(
        "many-nics",
        "Two hundred network interfaces: a bond, VLANs, a bridge with containers",
        ("one-server", "many-nics", "bond", "vlan", "bridge", "amd"),
        (guests.CROWD,),
        "A Ryzen 5 5600 with two ports of an X710 in a bond, 48 VLANs on it, and a bridge with 150 veth pairs.",
        (*COMMON, IPROUTE),
    ),
    Composed(
        "docker",
        "Home server with docker, ufw and a proxy: forwarded packets are dropped",
        ("one-server", "docker", "ufw", "proxy", "amd", "gpu-in-use"),
        (guests.HARBOUR,),
        "A Ryzen 5 5600 on a B550 board with a GeForce RTX 3060 that a container computes on.",
        (*COMMON, "https://docs.docker.com/engine/network/packet-filtering-firewalls/"),
        broken=("docker and ufw drop what is forwarded", "port 443 is taken by a container"),
    ),
    Composed(
        "ready",
        "A server that is set up: bridge, LXD in a cluster, DNS, its GPU reserved",
        ("one-server", "finished", "bridge", "lxd", "vfio", "amd"),
        (racks.READY,),
        "A Ryzen 9 5950X with a GeForce RTX 3090 bound to vfio-pci, br0, LXD 5.21 on port 8443 and bind9.",
        (*COMMON, "https://documentation.ubuntu.com/lxd/en/stable-5.21/"),
        settings="zone: ready.example\nnetwork:\n  lxd: 10.64.0.0/24\n",
    ),
)  # fmt: skip
