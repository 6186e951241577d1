"""Composed workstations: desktops, a laptop, a mini PC, home servers of desktop parts."""

from __future__ import annotations

from .boards import (
    ALDER_LAKE_B660,
    ALDER_LAKE_N,
    B450,
    B550,
    HASWELL,
    TIGER_LAKE_H,
    Z170,
    board,
    nvidia,
    vermeer,
)
from .distributions import BOOKWORM, HWE, NOBLE
from .hardware import Cores, Disk, Graphics, Host, Nic, Part, Setup, ungrouped
from .parts import AT, GB500, KERNEL, PLAIN, SNAPS, TB1, TB2, TB4, boot_id, lvm, mac, machine_id
from .processors import (
    CORE_I5_4670K,
    CORE_I5_12600KF,
    CORE_I7_6700,
    CORE_I7_11800H,
    INTEL_N100,
    RYZEN_3600,
    RYZEN_5600,
    RYZEN_5950X,
)

PLAIN_DESKTOP = "root=UUID=8a1c63f7-2f0d-4c59-8a94-0d6f1b3e5c72 ro quiet splash vt.handoff=7"


def _desk(name: str, model: str, size: int, used: int) -> Disk:
    """A disk as Ubuntu's desktop installation parts it."""
    part = "p" if name[-1].isdigit() else ""
    efi = 1_127_219_200
    return Disk(name, size, model, parts=(
        Part(f"{name}{part}1", efi, "/boot/efi", file_system="vfat", used=6_443_008),
        Part(f"{name}{part}2", size - efi - 2_097_152, "/", file_system="ext4", used=used),
    ))  # fmt: skip


DESKTOP_SNAPS = (
    "bare 1.0 5 latest/stable canonical✓ base", "core24 20250829 1151 latest/stable canonical✓ base",
    "firefox 145.0-2 7298 latest/stable/… mozilla✓ -", "gnome-46-2404 0+git.d9fc0ae 125 latest/stable canonical✓ -",
    "snap-store 0+git.7a3a49a6 1310 2/stable/… canonical✓ -",
)  # fmt: skip

LINDEN = Host(
    name="linden", distribution=HWE, kernel="6.14.0-36-generic", cores=Cores(CORE_I5_12600KF, 1, 10),
    memory_kb=32_680_128, used_memory_kb=6_212_344, swap_kb=8_388_604, user="cleo",
    maker="ASRock", product="B660M Pro RS", machine_id=machine_id("linden"), boot_id=boot_id("linden"),
    pci=board(
        ALDER_LAKE_B660, nvidia("01:00", "2489", "228b", "1458:4075", 10),
        "02:00.0 0108 144d:a80a 144d:a801 nvme 11 nvme", "03:00.0 0200 10ec:8125/05 1849:8125 r8169 12 r8169",
    ),
    disks=(_desk("nvme0n1", "Samsung SSD 990 PRO 1TB", TB1, 212_600_012_800),),
    nics=(Nic("enp3s0", mac(0x61), "0000:03:00.0", "r8169", ("192.0.2.31/24",), "192.0.2.1", dhcp=True, speed=2500),),
    cmdline=PLAIN_DESKTOP, driver_version="570.195.03", uptime_s=20_412.55, at=AT,
    graphics=(
        Graphics("0000:01:00.0", "NVIDIA GeForce RTX 3060 Ti", 8192, "8.6", display=True, used_mib=912, watts=200,
                 processes=("G", "G", "C+G")),
    ),
    boot_display="0000:01:00.0", monitors=("0000:01:00.0",),
    setup=Setup(
        secure_boot="on", display_manager="gdm3", inotify=(128, 247_812), hold="", snaps=DESKTOP_SNAPS,
        resolvers=("192.0.2.1",), search="home.example", asked=("linden",), clock="systemd-timesyncd",
        timezone="Europe/London", renderer="NetworkManager", bridge_filter="file",
        listeners=(("tcp", "127.0.0.1:631", "cupsd"), ("udp", "0.0.0.0:5353", "avahi-daemon")),
        services=("gdm", "cups", "avahi-daemon", "bluetooth"),
    ),
)  # fmt: skip

HAZEL = Host(
    name="hazel", distribution=BOOKWORM, kernel="6.1.0-41-amd64", cores=Cores(RYZEN_5600, 1, 6), memory_kb=65_780_504,
    user="dora", maker="Gigabyte Technology Co., Ltd.", product="B550M DS3H",
    machine_id=machine_id("hazel"), boot_id=boot_id("hazel"),
    pci=board(
        vermeer(after="08", group=18), B550, "01:00.0 0108 144d:a809 144d:a801 nvme 16 nvme",
        "04:00.0 0200 10ec:8168/16 1458:e000 r8169 15 r8169", nvidia("07:00", "2805", "22bd", "1462:5174", 17),
    ),
    disks=(
        Disk("nvme0n1", TB1, "Samsung SSD 980 1TB", parts=(
            Part("nvme0n1p1", 536_870_912, "/boot/efi", file_system="vfat", used=6_127_616),
            Part("nvme0n1p2", 999_665_172_480, "/", file_system="ext4", used=22_817_644_544),
        )),
        Disk("sda", TB4, "WDC WD40EFPX-68C6CN0", rotates=True,
             parts=(Part("sda1", TB4 - 2_097_152, "/srv", file_system="ext4", used=1_310_220_812_288),)),
    ),
    nics=(Nic("enp4s0", mac(0x62), "0000:04:00.0", "r8169", ("192.0.2.32/24",), "192.0.2.1"),),
    cmdline="root=UUID=3b7d9c14-6a0e-4f2b-8d51-7c2e9f0a6b38 ro quiet iommu=pt", driver_version="580.95.05",
    uptime_s=2_001_934.12, at=AT,
    graphics=(Graphics("0000:07:00.0", "NVIDIA GeForce RTX 4060 Ti", 16380, "8.9", watts=165),),
    boot_display="0000:07:00.0",
    setup=Setup(snapd="", python="3.11", resolvers=("192.0.2.1",), search="home.example", asked=("hazel",)),
)  # fmt: skip

ALDER = Host(
    name="alder", distribution=NOBLE, kernel=KERNEL, cores=Cores(RYZEN_5600, 1, 6), memory_kb=32_779_812, user="ann",
    maker="Micro-Star International Co., Ltd.", product="MS-7C02",
    board=("Micro-Star International Co., Ltd.", "B450 TOMAHAWK MAX (MS-7C02)"),
    machine_id=machine_id("alder"), boot_id=boot_id("alder"),
    pci=board(
        vermeer(after="09", group=18), B450, "01:00.0 0108 144d:a808 144d:a801 nvme 16 nvme",
        "05:00.0 0200 10ec:8168/15 1462:7c02 r8169 15 r8169", nvidia("06:00", "2507", "228e", "1462:c978", 15),
        "08:00.0 0200 8086:1572/02 8086:0004 i40e 17 i40e", "08:00.1 0200 8086:1572/02 8086:0004 i40e 17 i40e",
    ),
    disks=(lvm("nvme0n1", TB1, "Samsung SSD 970 EVO Plus 1TB", 37_580_963_840),),
    nics=(
        Nic("enp5s0", mac(0x63), "0000:05:00.0", "r8169", ("192.0.2.33/24",), "192.0.2.1"),
        Nic("enp8s0f0np0", mac(0x64), "0000:08:00.0", "i40e", up=False, speed=None),
        Nic("enp8s0f1np1", mac(0x65), "0000:08:00.1", "i40e", up=False, speed=None),
    ),
    cmdline=f"{PLAIN} iommu=pt", driver_version="580.95.05", uptime_s=88_012.70, at=AT,
    graphics=(Graphics("0000:06:00.0", "NVIDIA GeForce RTX 3050", 8192, "8.6", watts=130),),
    boot_display="0000:06:00.0",
    setup=Setup(resolvers=("192.0.2.1",), search="home.example", asked=("alder",), snaps=SNAPS),
)  # fmt: skip

LARCH = Host(
    name="larch", distribution=NOBLE, kernel=KERNEL, cores=Cores(CORE_I7_6700, 1, 4), memory_kb=32_812_044, user="ann",
    maker="System manufacturer", product="System Product Name",
    board=("ASUSTeK COMPUTER INC.", "Z170-A"),
    machine_id=machine_id("larch"), boot_id=boot_id("larch"),
    pci=board(
        Z170, "00:02.0 0300 8086:1912/06 1043:8694 i915 8 i915,xe",
        "01:00.0 0300 10de:1f82/a1 1043:86b8 vfio-pci 12 nvidiafb,nouveau,nvidia_drm,nvidia",
        "01:00.1 0403 10de:10fa/a1 1043:86b8 snd_hda_intel 13 snd_hda_intel",
    ),
    disks=(lvm("sda", TB1, "CT1000MX500SSD1", 28_991_029_248),),
    nics=(Nic("enp0s31f6", mac(0x66), "0000:00:1f.6", "e1000e", ("192.0.2.34/24",), "192.0.2.1"),),
    cmdline=f"{PLAIN} intel_iommu=on iommu=pt pcie_acs_override=downstream,multifunction", uptime_s=401_223.94, at=AT,
    boot_display="0000:00:02.0", monitors=("0000:00:02.0",),
    setup=Setup(resolvers=("192.0.2.1",), search="home.example", asked=("larch",)),
)  # fmt: skip

WILLOW = Host(
    name="willow", distribution=NOBLE, kernel=KERNEL, cores=Cores(CORE_I5_4670K, 1, 4, 1), memory_kb=16_307_412,
    user="ann", maker="Gigabyte Technology Co., Ltd.", product="H87-HD3",
    machine_id=machine_id("willow"), boot_id=boot_id("willow"),
    pci=ungrouped(board(HASWELL, nvidia("01:00", "1e84", "10f8", "1458:4000", "-"))),
    disks=(lvm("sda", GB500, "Samsung SSD 860 EVO 500GB", 51_539_607_552),),
    nics=(Nic("eno1", mac(0x67), "0000:00:19.0", "e1000e", ("192.0.2.35/24",), "192.0.2.1"),),
    cmdline=f"{PLAIN} intel_iommu=on", driver_version="580.95.05", uptime_s=9_112.40, at=AT,
    boot_display="0000:01:00.0",
    graphics=(Graphics("0000:01:00.0", "NVIDIA GeForce RTX 2070 SUPER", 8192, "7.5", watts=215),),
    setup=Setup(secure_boot="bios", resolvers=("192.0.2.1",), search="home.example", asked=("willow",)),
)  # fmt: skip

ASPEN = Host(
    name="aspen", distribution=HWE, kernel="6.14.0-36-generic", cores=Cores(CORE_I7_11800H, 1, 8),
    memory_kb=32_591_760, used_memory_kb=5_004_212, swap_kb=8_388_604, user="eli",
    maker="LENOVO", product="82JH", machine_id=machine_id("aspen"), boot_id=boot_id("aspen"),
    board=("LENOVO", "LNVNB161216"),
    pci=board(
        TIGER_LAKE_H, "00:02.0 0300 8086:9a60/01 17aa:3801 i915 0 i915,xe",
        nvidia("01:00", "2520", "228e", "17aa:3801", 9), "02:00.0 0108 144d:a80a 144d:a801 nvme 10 nvme",
        "03:00.0 0200 10ec:8168/15 17aa:3938 r8169 11 r8169",
    ),
    disks=(_desk("nvme0n1", "SAMSUNG MZVL2512HCJQ-00BL2", 512_110_190_592, 144_812_904_448),),
    nics=(
        Nic("enp3s0", mac(0x68), "0000:03:00.0", "r8169", ("192.0.2.36/24",), "192.0.2.1", dhcp=True),
        Nic("wlp0s20f3", mac(0x69), "0000:00:14.3", "iwlwifi", up=False, speed=None, hardware=("device", "wifi")),
    ),
    cmdline=PLAIN_DESKTOP, driver_version="580.95.05", uptime_s=5_310.02, at=AT,
    graphics=(
        Graphics("0000:01:00.0", "NVIDIA GeForce RTX 3060 Laptop GPU", 6144, "8.6", used_mib=15, watts=95,
                 processes=("G",)),
    ),
    boot_display="0000:00:02.0", monitors=("0000:00:02.0",),
    setup=Setup(
        chassis=10, secure_boot="on", display_manager="gdm3", inotify=(128, 246_012), hold="", snaps=DESKTOP_SNAPS,
        resolvers=("192.0.2.1",), search="home.example", asked=("aspen",), clock="systemd-timesyncd",
        timezone="Europe/Paris", renderer="NetworkManager", services=("gdm",),
    ),
)  # fmt: skip

FERN = Host(
    name="fern", distribution=NOBLE, kernel=KERNEL, cores=Cores(INTEL_N100, 1, 4, 1), memory_kb=16_164_216, user="fay",
    sudo=1, maker="Default string", product="Default string", machine_id=machine_id("fern"), boot_id=boot_id("fern"),
    pci=board(ALDER_LAKE_N, "01:00.0 0280 10ec:c822 10ec:c822 rtw_8822ce 8 rtw88_8822ce"),
    disks=(lvm("sda", 512_110_190_592, "AirDisk 512GB SSD", 18_253_611_008),),
    nics=(
        Nic("wlp1s0", mac(0x6A), "0000:01:00.0", "rtw_8822ce", ("192.0.2.37/24",), "192.0.2.1", dhcp=True, speed=None,
            hardware=("device", "wifi")),
    ),
    cmdline=PLAIN, uptime_s=733_102.18, at=AT, boot_display="0000:00:02.0",
    setup=Setup(resolvers=("192.0.2.1",), search="home.example", asked=("fern",), clock="systemd-timesyncd",
                inotify=(128, 122_904), hold=""),
)  # fmt: skip

OAK = Host(
    name="oak", distribution=NOBLE, kernel=KERNEL, cores=Cores(RYZEN_3600, 1, 6), memory_kb=65_776_120, user="gil",
    maker="ASUSTeK COMPUTER INC.", product="PRIME B550M-A", machine_id=machine_id("oak"), boot_id=boot_id("oak"),
    pci=board(
        vermeer(after="08", group=18), B550, "01:00.0 0108 15b7:5030/01 15b7:5030 nvme 16 nvme",
        "04:00.0 0200 10ec:8168/15 1043:8677 r8169 15 r8169", nvidia("07:00", "2503", "228e", "1458:4074", 17),
    ),
    disks=(lvm("nvme0n1", TB1, "WD_BLACK SN850X 1000GB", 22_548_578_304),),
    nics=(Nic("enp4s0", mac(0x71), "0000:04:00.0", "r8169", ("198.51.100.31/24",), "198.51.100.1"),),
    cmdline=f"{PLAIN} iommu=pt", driver_version="580.95.05", uptime_s=300_100.25, at=AT, boot_display="0000:07:00.0",
    graphics=(Graphics("0000:07:00.0", "NVIDIA GeForce RTX 3060", 12288, "8.6", watts=170),),
    setup=Setup(resolvers=("198.51.100.1",), search="pair.example", asked=("ash", "oak"),
                hosts={"198.51.100.32": "ash"}),
)  # fmt: skip
ASH = Host(
    name="ash", distribution=NOBLE, kernel=KERNEL, cores=Cores(CORE_I7_6700, 1, 4), memory_kb=32_811_004, user="gil",
    maker="Dell Inc.", product="OptiPlex 7040", machine_id=machine_id("ash"), boot_id=boot_id("ash"),
    board=("Dell Inc.", "0HD5W2"),
    pci=board(Z170.replace("8086:a145/31", "8086:a146/31"), "00:02.0 0300 8086:1912/06 1028:06b9 i915 8 i915,xe"),
    disks=(lvm("sda", GB500, "Samsung SSD 870 EVO 500GB", 19_327_352_832),),
    nics=(Nic("enp0s31f6", mac(0x72), "0000:00:1f.6", "e1000e", ("198.51.100.32/24",), "198.51.100.1"),),
    cmdline=f"{PLAIN} intel_iommu=on iommu=pt", uptime_s=300_088.61, at=AT, boot_display="0000:00:02.0",
    setup=Setup(resolvers=("198.51.100.1",), search="pair.example", asked=("ash", "oak"),
                hosts={"198.51.100.31": "oak"}),
)  # fmt: skip

BEECH = Host(
    name="beech", distribution=NOBLE, kernel=KERNEL, cores=Cores(RYZEN_5950X, 1, 16), memory_kb=131_807_004, user="ivo",
    maker="ASUS", product="System Product Name", machine_id=machine_id("beech"), boot_id=boot_id("beech"),
    board=("ASUSTeK COMPUTER INC.", "TUF GAMING B550-PLUS"),
    pci=board(
        vermeer(after="08", group=19), B550, "01:00.0 0108 144d:a80a 144d:a801 nvme 16 nvme",
        "04:00.0 0200 8086:15f3/03 1043:87d2 igc 15 igc", nvidia("06:00", "1ff2", "10fa", "1028:1613", 17),
        nvidia("07:00", "2204", "1aef", "1043:87af", 18),
    ),
    disks=(lvm("nvme0n1", TB2, "Samsung SSD 980 PRO 2TB", 88_046_829_568),),
    nics=(Nic("enp4s0", mac(0x73), "0000:04:00.0", "igc", ("192.0.2.41/24",), "192.0.2.1", speed=2500),),
    cmdline=f"{PLAIN} iommu=pt", driver_version="580.95.05", uptime_s=170_200.77, at=AT, boot_display="0000:06:00.0",
    monitors=("0000:06:00.0",),
    graphics=(
        Graphics("0000:06:00.0", "NVIDIA T400 4GB", 4096, "7.5", display=True, used_mib=184, watts=30,
                 processes=("G", "G")),
        Graphics("0000:07:00.0", "NVIDIA GeForce RTX 3090", 24576, "8.6", watts=350),
    ),
    setup=Setup(display_manager="gdm3", resolvers=("192.0.2.1",), search="home.example", asked=("beech",),
                services=("gdm",)),
)  # fmt: skip
