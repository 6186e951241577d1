"""The composed sites and servers, described."""

from __future__ import annotations

from .boards import ASPEED, B450, B550, RAPTOR_LAKE, SKYLAKE, board, milan, nvidia, vermeer
from .distributions import JAMMY, NOBLE
from .hardware import Cores, Disk, Graphics, Host, Nic, Part, Setup, bound, ungrouped
from .parts import AT, GB500, KERNEL, PLAIN, SNAPS, TB2, lvm
from .processors import CORE_I7_6700, CORE_I7_13700, EPYC_7313P, RYZEN_3600, RYZEN_5950X

ATTIC = {"192.0.2.11": "birch", "192.0.2.12": "cedar", "192.0.2.13": "maple"}


def attic(own: str, chassis: int) -> Setup:
    """How a server of the healthy site is set up: names, time and limits as they should be, nothing in the way."""
    return Setup(
        chassis=chassis, resolvers=("192.0.2.1",), search="attic.example",
        hosts={address: name for address, name in ATTIC.items() if name != own}, asked=tuple(ATTIC.values()),
    )  # fmt: skip


BIRCH = Host(
    name="birch", distribution=NOBLE, kernel=KERNEL, cores=Cores(RYZEN_5950X, 1, 16), memory_kb=131_809_364,
    maker="ASUS", product="System Product Name",
    board=("ASUSTeK COMPUTER INC.", "ROG STRIX B550-F GAMING"),
    machine_id="0f7c1a52e8b94d06a3d15c7e2b9f4801", boot_id="5b1f0c7e-2f4a-4c39-9a57-3b0d6e1c8f21",
    pci=board(
        vermeer(after="08", group=18), B550,
        "01:00.0 0108 144d:a80a 144d:a801 nvme 16 nvme",
        "06:00.0 0200 8086:1563/01 8086:001a ixgbe 15 ixgbe", "06:00.1 0200 8086:1563/01 8086:001a ixgbe 15 ixgbe",
        nvidia("07:00", "2204", "1aef", "1043:87af", 17),
    ),
    disks=(lvm("nvme0n1", TB2, "Samsung SSD 980 PRO 2TB", 41_203_896_320, "0000:01:00.0"),),
    nics=(
        Nic("enp6s0f0", "00:00:5e:00:53:11", "0000:06:00.0", "ixgbe", ("192.0.2.11/24",), "192.0.2.1", speed=10000),
        Nic("enp6s0f1", "00:00:5e:00:53:12", "0000:06:00.1", "ixgbe", up=False, speed=None),
    ),
    cmdline=f"{PLAIN} amd_iommu=on iommu=pt", driver_version="580.95.05", uptime_s=612_305.44, at=AT,
    graphics=(Graphics("0000:07:00.0", "NVIDIA GeForce RTX 3090", 24576, "8.6", watts=350),),
    boot_display="0000:07:00.0", setup=attic("birch", 3),
)  # fmt: skip
CEDAR = Host(
    name="cedar", distribution=NOBLE, kernel=KERNEL, cores=Cores(CORE_I7_13700, 1, 16), memory_kb=65_573_412,
    maker="Micro-Star International Co., Ltd.", product="MS-7D25",
    board=("Micro-Star International Co., Ltd.", "PRO Z690-A (MS-7D25)"),
    machine_id="7a90b3c4d5e64f1798c2e1a0b7d64512", boot_id="c07b2f9d-6d0e-4c7a-8f1b-92d3a5e4b610",
    pci=board(
        RAPTOR_LAKE,
        "00:02.0 0300 8086:a780/04 1462:7d25 i915 0 i915,xe",
        nvidia("01:00", "2782", "22bc", "1462:5131", 11),
        "02:00.0 0108 15b7:5030/01 15b7:5030 nvme 12 nvme",
        "04:00.0 0200 8086:15f3/03 1462:7d25 igc 13 igc",
    ),
    disks=(lvm("nvme0n1", TB2, "WD_BLACK SN850X 2000GB", 30_871_420_928, "0000:02:00.0"),),
    nics=(Nic("enp4s0", "00:00:5e:00:53:21", "0000:04:00.0", "igc", ("192.0.2.12/24",), "192.0.2.1", speed=2500),),
    cmdline=f"{PLAIN} intel_iommu=on iommu=pt", driver_version="580.95.05", uptime_s=612_298.07, at=AT,
    graphics=(Graphics("0000:01:00.0", "NVIDIA GeForce RTX 4070 Ti", 12282, "8.9", watts=285),),
    boot_display="0000:00:02.0", setup=attic("cedar", 3),
)  # fmt: skip
MAPLE = Host(
    name="maple", distribution=NOBLE, kernel=KERNEL, cores=Cores(EPYC_7313P, 1, 16), memory_kb=263_795_132,
    maker="Supermicro", product="Super Server",
    board=("Supermicro", "H12SSL-CT"),
    machine_id="c3d84e0195a74b6fb0e27d94f1c58a36", boot_id="e84f2a60-91c5-4f0b-b3a8-15d7c92b6e04",
    pci=board(
        milan({
            "c0:01.1": nvidia("c1:00", "24b0", "228b", "10de:14ad"),
            "80:01.1": nvidia("81:00", "24b0", "228b", "10de:14ad"),
            "40:01.1": "41:00.0 0108 144d:a80a 144d:aa6b nvme {group} nvme",
            "40:01.2": "42:00.0 0108 144d:a80a 144d:aa6b nvme {group} nvme",
            "00:03.1": "01:00.0 0200 14e4:16d8/01 15d9:16d8 bnxt_en {group} bnxt_en\n"
                       "01:00.1 0200 14e4:16d8/01 15d9:16d8 bnxt_en {group} bnxt_en",
            "00:05.1": ASPEED,
        }),
    ),
    disks=(
        lvm("nvme0n1", 3_840_755_982_336, "SAMSUNG MZQL23T8HCLS-00A07", 64_424_509_440, "0000:41:00.0"),
        Disk("nvme1n1", 3_840_755_982_336, "SAMSUNG MZQL23T8HCLS-00A07", pci="0000:42:00.0"),
    ),
    nics=(
        Nic("eno1np0", "00:00:5e:00:53:31", "0000:01:00.0", "bnxt_en", ("192.0.2.13/24",), "192.0.2.1", speed=10000),
        Nic("eno2np1", "00:00:5e:00:53:32", "0000:01:00.1", "bnxt_en", up=False, speed=None),
    ),
    cmdline=f"{PLAIN} iommu=pt", driver_version="580.95.05", uptime_s=612_301.90, at=AT,
    graphics=(
        Graphics("0000:81:00.0", "NVIDIA RTX A4000", 16376, "8.6", watts=140),
        Graphics("0000:c1:00.0", "NVIDIA RTX A4000", 16376, "8.6", watts=140),
    ),
    boot_display="0000:03:00.0", setup=attic("maple", 17),
)  # fmt: skip

SSD240 = 240_057_409_536
PINE = Host(
    name="pine", hostname="Pine_01", distribution=JAMMY, kernel="5.15.0-160-generic", cores=Cores(CORE_I7_6700, 1, 4),
    memory_kb=8_040_260, used_memory_kb=3_911_504, swap_kb=4_194_300, user="ben",
    maker="System manufacturer", product="System Product Name",
    board=("ASUSTeK COMPUTER INC.", "B150M-A"),
    machine_id="9d2c6e0b1f5a47c3b8e49a07d6f1c235", boot_id="1c9e7d42-7a56-4d02-bb3c-60f8e2d9a415",
    pci=ungrouped(bound(
        board(SKYLAKE, nvidia("01:00", "1c03", "10f1", "1458:3702", 1)), "nouveau", "0000:01:00.0",
    )),
    disks=(Disk("sda", SSD240, "KINGSTON SA400S37240G", parts=(
        Part("sda1", 536_870_912, "/boot/efi", file_system="vfat", used=6_346_752),
        Part("sda2", 239_519_375_360, "/", file_system="ext4", used=218_402_316_288),
    )),),
    nics=(
        Nic("enp0s31f6", "00:00:5e:00:53:41", "0000:00:1f.6", "e1000e", ("198.51.100.21/24",), "198.51.100.1",
            dhcp=True, speed=100),
        Nic("docker0", "02:42:5e:00:53:41", addresses=("172.17.0.1/16",), up=False, speed=None, hardware=("bridge",),
            kind="bridge"),
    ),
    cmdline="root=UUID=4f0c2d1e-8b7a-4c36-9f25-d1e0a7b3c648 ro quiet splash",
    uptime_s=3_110_402.51, at=AT, skew_s=-90_000.0,
    kvm=False, vsock=False, boot_display="0000:01:00.0", monitors=("0000:01:00.0",),
    setup=Setup(
        display_manager="gdm3", inotify=(128, 62_541), nested=False, bridge_filter="loaded", docker="27.5.1", ufw=True,
        snapd="2.58", hold="", resolvers=("198.51.100.1",), search="fritz.example", python="3.10", clock="",
        synchronised=False, timezone="Europe/Vienna", renderer="NetworkManager", modules=("nouveau", "mxm_wmi"),
        packages=("nginx 1.18.0-6ubuntu14.7 ii ",), snaps=("bare 1.0 5 latest/stable canonical✓ base",),
        listeners=(
            ("tcp", "0.0.0.0:80", "nginx"), ("tcp", "0.0.0.0:443", "nginx"), ("tcp", "127.0.0.1:631", "cupsd"),
            ("tcp", "0.0.0.0:8443", "docker-proxy"), ("udp", "0.0.0.0:5353", "avahi-daemon"),
        ),
        services=("gdm", "nginx", "avahi-daemon", "cups"),
        hosts={"198.51.100.23": "rowan"}, asked=("elder", "pine", "rowan"), wildcard="198.51.100.250",
    ),
)  # fmt: skip
ELDER = Host(
    name="elder", distribution=NOBLE, kernel=KERNEL, cores=Cores(RYZEN_3600, 1, 6), memory_kb=32_796_216, user="ben",
    maker="Micro-Star International Co., Ltd.", product="MS-7B85",
    board=("Micro-Star International Co., Ltd.", "B450 GAMING PRO CARBON (MS-7B85)"),
    machine_id=PINE.machine_id, boot_id="7b40e8c5-03d9-4d6e-a1f2-8c5b96e7d043",
    pci=board(
        vermeer(after="08", group=18), B450,
        "01:00.0 0108 144d:a808 144d:a801 nvme 16 nvme",
        "04:00.0 0200 10ec:8168/15 1462:7b85 r8169 15 r8169",
        "05:00.0 0280 8086:2526/29 8086:0014 iwlwifi 15 iwlwifi",
        nvidia("06:00", "1d01", "0fb8", "1462:8c98", 15),
        nvidia("07:00", "2503", "228e", "1462:397d", 17),
    ),
    disks=(lvm("nvme0n1", GB500, "Samsung SSD 970 EVO Plus 500GB", 96_412_860_416, "0000:01:00.0"),),
    nics=(
        Nic("enp4s0", "00:00:5e:00:53:51", "0000:04:00.0", "r8169", up=False, speed=None),
        Nic("wlp5s0", "00:00:5e:00:53:52", "0000:05:00.0", "iwlwifi", ("198.51.100.22/24",), "198.51.100.1", dhcp=True,
            speed=None, hardware=("device", "wifi")),
    ),
    cmdline=PLAIN, driver_version="535.274.02", uptime_s=86_912.33, at=AT,
    graphics=(
        Graphics("0000:06:00.0", "NVIDIA GeForce GT 1030", 2048, "6.1"),
        Graphics("0000:07:00.0", "NVIDIA GeForce RTX 3060", 12288, "8.6",
                 error="Unable to determine the device handle for GPU0000:07:00.0: GPU is lost.  Reboot the system to "
                       "recover this GPU"),
    ),
    boot_display="0000:06:00.0", monitors=("0000:06:00.0",),
    setup=Setup(
        secure_boot="on", inotify=(128, 249_301), hold="", resolvers=("198.51.100.1",), search="fritz.example",
        clock="systemd-timesyncd", synchronised=True, timezone="Europe/Vienna", snaps=SNAPS, wildcard="198.51.100.250",
        asked=("elder", "pine", "rowan"), hosts={"198.51.100.21": "pine", "198.51.100.24": "rowan"},
        locks="/var/lib/dpkg/lock-frontend 41877 unattended-upgr\n/var/lib/dpkg/lock 41877 unattended-upgr\n",
        kernel_log=(
            "[72318.504417] NVRM: Xid (PCI:0000:07:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the "
            "bus.",
            "[72318.504420] NVRM: GPU 0000:07:00.0: GPU has fallen off the bus.",
        ),
    ),
)  # fmt: skip
