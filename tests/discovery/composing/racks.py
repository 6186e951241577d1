"""Composed servers of racks: data-centre GPUs, BMC graphics, ARM64, and hosts that are set up already."""

from __future__ import annotations

from .boards import ASPEED, B550, board, milan, nvidia, vermeer
from .distributions import BOOKWORM, JAMMY, NOBLE, Distribution
from .hardware import Cores, Disk, Graphics, Host, Nic, Setup
from .parts import AT, KERNEL, PLAIN, SNAPS, TB1, TB2, boot_id, lvm, mac, machine_id
from .processors import EPYC_7313P, NEOVERSE_V2, RYZEN_5950X, RYZEN_7950X, XEON_6338

U2 = "SAMSUNG MZQL23T8HCLS-00A07"
TB384 = 3_840_755_982_336
GPU_3D = "nvidiafb,nouveau,nvidia_drm,nvidia"


def _raphael() -> str:
    """AMD Ryzen 7000 on an X670E board."""
    fabric = "\n".join(f"00:18.{n} 0600 1022:14e{n} - {'k10temp' if n == 3 else '-'} 13 -" for n in range(8))
    return f"""
        00:00.0 0600 1022:14d8 1043:8877 - 0 -
        00:00.2 0806 1022:14d9 1043:8877 - - -
        00:01.0 0600 1022:14da - - 0 -
        00:01.1 0604 1022:14db - pcieport 1 -
        00:01.2 0604 1022:14db - pcieport 2 -
        00:01.3 0604 1022:14db - pcieport 3 -
        00:02.0 0600 1022:14da - - 4 -
        00:02.1 0604 1022:14db - pcieport 5 -
        00:03.0 0600 1022:14da - - 6 -
        00:04.0 0600 1022:14da - - 7 -
        00:08.0 0600 1022:14da - - 8 -
        00:08.1 0604 1022:14dd - pcieport 9 -
        00:08.3 0604 1022:14dd - pcieport 10 -
        00:14.0 0c05 1022:790b/71 1043:8877 piix4_smbus 12 i2c_piix4,sp5100_tco
        00:14.3 0601 1022:790e/51 1043:8877 - 12 -
        {fabric}
        02:00.0 0108 144d:a80a 144d:a801 nvme 16 nvme
        04:00.0 0604 1022:43f4/01 1b21:3328 pcieport 18 -
        05:00.0 0604 1022:43f5/01 1b21:3328 pcieport 18 -
        05:0c.0 0604 1022:43f5/01 1b21:3328 pcieport 18 -
        06:00.0 0200 8086:15f3/03 1043:87d2 igc 18 igc
        07:00.0 0106 1022:43f6/01 1b21:1062 ahci 18 ahci
        0a:00.0 0300 1002:164e/c1 1043:8877 amdgpu 19 amdgpu
        0a:00.1 0403 1002:1640 1002:1640 snd_hda_intel 20 snd_hda_intel
        0a:00.2 1080 1022:1649 1022:1649 ccp 21 ccp
        0a:00.3 0c03 1022:15b6 1043:8877 xhci_hcd 22 xhci_pci
        0b:00.0 0c03 1022:15b8 1043:8877 xhci_hcd 23 xhci_pci
    """


TWIN = Host(
    name="twin", distribution=NOBLE, kernel=KERNEL, cores=Cores(RYZEN_7950X, 1, 16), memory_kb=130_897_228, user="hal",
    maker="ASUS", product="System Product Name", machine_id=machine_id("twin"), boot_id=boot_id("twin"),
    board=("ASUSTeK COMPUTER INC.", "ROG STRIX X670E-E GAMING WIFI"),
    pci=board(_raphael(), nvidia("01:00", "2684", "22ba", "1043:88e2", 15),
              nvidia("03:00", "2684", "22ba", "1043:88e2", 17)),
    disks=(lvm("nvme0n1", TB2, "Samsung SSD 980 PRO 2TB", 61_203_283_968),),
    nics=(Nic("enp6s0", mac(0x81), "0000:06:00.0", "igc", ("198.51.100.41/24",), "198.51.100.1", speed=2500),),
    cmdline=f"{PLAIN} iommu=pt", driver_version="580.95.05", uptime_s=44_010.90, at=AT, boot_display="0000:0a:00.0",
    graphics=(
        Graphics("0000:01:00.0", "NVIDIA GeForce RTX 4090", 24564, "8.9", watts=450),
        Graphics("0000:03:00.0", "NVIDIA GeForce RTX 4090", 24564, "8.9", watts=450),
    ),
    setup=Setup(resolvers=("198.51.100.1",), search="lab.example", asked=("twin",), snaps=SNAPS),
)  # fmt: skip

LOST = TWIN.but(
    name="wreck", machine_id=machine_id("wreck"), boot_id=boot_id("wreck"), driver_version="550.163.01",
    pci=board(_raphael(), nvidia("01:00", "2204", "1aef", "1043:87af", 15),
              nvidia("03:00", "2204", "1aef", "1043:87af", 17)),
    nics=(Nic("enp6s0", mac(0x82), "0000:06:00.0", "igc", ("198.51.100.42/24",), "198.51.100.1", speed=2500),),
    graphics=(
        Graphics("0000:01:00.0", "NVIDIA GeForce RTX 3090", 24576, "8.6", watts=350),
        Graphics("0000:03:00.0", "NVIDIA GeForce RTX 3090", 24576, "8.6", watts=350, gone=True),
    ),
    setup=Setup(
        resolvers=("198.51.100.1",), search="lab.example", asked=("wreck",), snaps=SNAPS,
        kernel_log=(
            "[ 8123.118204] NVRM: Xid (PCI:0000:03:00): 31, pid=19942, name=python3, Ch 00000018, intr 00000000. MMU "
            "Fault: ENGINE GRAPHICS GPCCLIENT_T1_4 faulted @ 0x7f6a_4c000000. Fault is of type FAULT_PDE ACCESS_TYPE_"
            "VIRT_READ",
            "[41877.930112] NVRM: Xid (PCI:0000:03:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the "
            "bus.",
            "[41877.930119] NVRM: GPU 0000:03:00.0: GPU has fallen off the bus.",
        ),
    ),
)  # fmt: skip


def _whitley() -> str:
    """Two Xeons of the third generation: four slots with GPUs, one with a network card, and a board's own graphics."""
    rows, group = [], 0
    slots = {"17": "nvme", "31": "gpu", "4b": "gpu", "65": "nic", "98": "gpu", "b1": "gpu"}
    for bus in ("00", "16", "30", "4a", "64", "97", "b0"):
        for device, ids in (("00.0", "8086:09a2/04"), ("00.1", "8086:09a4/04"), ("00.2", "8086:09a3/04"),
                            ("00.4", "8086:0998")):  # fmt: skip
            rows.append(f"{bus}:{device} 0880 {ids} 8086:0000 - {group} -")
        group += 1
        below = f"{int(bus, 16) + 1:02x}"
        if below not in slots:
            continue
        rows.append(f"{bus}:02.0 0604 8086:347a/04 - pcieport {group} -")
        group += 1
        kind = slots[below]
        if kind == "gpu":
            rows.append(f"{below}:00.0 0302 10de:26b9/a1 10de:1851 nvidia {group} {GPU_3D}")
        elif kind == "nvme":
            rows.append(f"{below}:00.0 0108 144d:a80a 144d:aa6b nvme {group} nvme")
        else:
            rows += [f"{below}:00.{n} 0200 15b3:101d 15b3:0016 mlx5_core {group + n} mlx5_core" for n in (0, 1)]
            group += 1
        group += 1
    return "\n".join(rows) + f"""
        00:14.0 0c03 8086:a1af/0b 15d9:1c3c xhci_hcd {group} xhci_pci
        00:16.0 0780 8086:a1ba/0b 15d9:1c3c mei_me {group + 1} mei_me
        00:17.0 0106 8086:a182/0b 15d9:1c3c ahci {group + 2} ahci
        00:1c.0 0604 8086:a190/fb - pcieport {group + 3} -
        00:1f.0 0601 8086:a1c1/0b 15d9:1c3c - {group + 4} -
        00:1f.4 0c05 8086:a1a3/0b 15d9:1c3c i801_smbus {group + 4} i2c_i801
    """ + ASPEED.replace("{group}", str(group + 5)).replace("15d9:1b95", "15d9:1c3c")  # fmt: skip


GALLERY = Host(
    name="gallery", distribution=NOBLE, kernel=KERNEL, cores=Cores(XEON_6338, 2, 32), memory_kb=527_923_108,
    used_memory_kb=9_204_112, user="ops", maker="Supermicro", product="SYS-420GP-TNR",
    board=("Supermicro", "X12DPG-OA6"),
    machine_id=machine_id("gallery"), boot_id=boot_id("gallery"),
    pci=board(_whitley()),
    disks=(lvm("nvme0n1", TB384, U2, 96_636_764_160),),
    nics=(
        Nic("ens5f0np0", mac(0x83), "0000:65:00.0", "mlx5_core", ("198.51.100.51/24",), "198.51.100.1", speed=25000),
        Nic("ens5f1np1", mac(0x84), "0000:65:00.1", "mlx5_core", up=False, speed=None),
    ),
    cmdline=f"{PLAIN} intel_iommu=on iommu=pt", driver_version="580.95.05", uptime_s=5_400_812.33, at=AT,
    boot_display="0000:03:00.0",
    graphics=tuple(
        Graphics(f"0000:{bus}:00.0", "NVIDIA L40S", 46068, "8.9", watts=350, ecc=True)
        for bus in ("31", "4b", "98", "b1")
    ),
    setup=Setup(chassis=23, resolvers=("198.51.100.53",), search="dc.example", asked=("gallery",), snaps=SNAPS),
)  # fmt: skip

SLICER = Host(
    name="slicer", distribution=JAMMY, kernel="5.15.0-160-generic", cores=Cores(EPYC_7313P, 1, 16),
    memory_kb=263_792_004, user="ops", maker="GIGABYTE", product="G242-Z11-00",
    board=("GIGABYTE", "MZ12-HD0-00"),
    machine_id=machine_id("slicer"), boot_id=boot_id("slicer"),
    pci=board(milan({
        "c0:01.1": f"c1:00.0 0302 10de:20f1/a1 10de:145f nvidia {{group}} {GPU_3D}",
        "40:01.1": "41:00.0 0108 144d:a80a 144d:aa6b nvme {group} nvme",
        "00:03.1": "01:00.0 0200 14e4:16d8/01 1458:0000 bnxt_en {group} bnxt_en",
        "00:05.1": ASPEED,
    })),
    disks=(lvm("nvme0n1", TB384, U2, 210_453_397_504),),
    nics=(Nic("eno1np0", mac(0x85), "0000:01:00.0", "bnxt_en", ("198.51.100.52/24",), "198.51.100.1", speed=10000),),
    cmdline=f"{PLAIN} iommu=pt", driver_version="570.195.03", uptime_s=1_209_998.10, at=AT, boot_display="0000:03:00.0",
    graphics=(Graphics("0000:c1:00.0", "NVIDIA A100-PCIE-40GB", 40960, "8.0", mig="Enabled", watts=250, ecc=True,
                       used_mib=88),),
    setup=Setup(chassis=23, resolvers=("198.51.100.53",), search="dc.example", asked=("slicer",), python="3.10",
                snapd="2.72"),
)  # fmt: skip

NOBLE_ARM = Distribution(
    NOBLE.release, "#88-Ubuntu SMP PREEMPT_DYNAMIC Sat Oct 11 09:14:27 UTC 2025 aarch64 aarch64 aarch64"
)

GRACE = Host(
    name="grace", distribution=NOBLE_ARM, kernel="6.8.0-1043-nvidia-64k", cores=Cores(NEOVERSE_V2, 1, 72, 1, arm=True),
    memory_kb=501_760_448, used_memory_kb=8_400_128, user="ops", maker="Supermicro", product="ARS-111GL-NHR",
    board=("Supermicro", "G1SMH-G"),
    machine_id=machine_id("grace"), boot_id=boot_id("grace"),
    pci=board(f"""
        0000:00:00.0 0604 10de:22b2 - pcieport 0 -
        0000:01:00.0 0200 15b3:101d 15b3:0016 mlx5_core 1 mlx5_core
        0000:01:00.1 0200 15b3:101d 15b3:0016 mlx5_core 2 mlx5_core
        0002:00:00.0 0604 10de:22b2 - pcieport 3 -
        0002:01:00.0 0604 1a03:1150/06 - - 4 -
        0002:02:00.0 0300 1a03:2000/52 15d9:1c56 ast 4 ast
        0006:00:00.0 0604 10de:22b2 - pcieport 5 -
        0006:01:00.0 0108 144d:a80a 144d:aa6b nvme 6 nvme
        0008:00:00.0 0604 10de:22b2 - pcieport 7 -
        0009:00:00.0 0604 10de:22b9 - pcieport 8 -
        0009:01:00.0 0302 10de:2342/a1 10de:16eb nvidia 9 {GPU_3D}
    """),
    disks=(lvm("nvme0n1", TB384, U2, 50_465_865_728),),
    nics=(
        Nic("enP0p1s0f0np0", mac(0x86), "0000:01:00.0", "mlx5_core", ("198.51.100.53/24",), "198.51.100.1",
            speed=100000),
        Nic("enP0p1s0f1np1", mac(0x87), "0000:01:00.1", "mlx5_core", up=False, speed=None),
    ),
    cmdline=f"{PLAIN} iommu.passthrough=1 init_on_alloc=0", driver_version="580.95.05", uptime_s=902_114.05, at=AT,
    boot_display="0002:02:00.0", vsock=True,
    graphics=(Graphics("0009:01:00.0", "NVIDIA GH200 480GB", 97871, "9.0", mig="Disabled", watts=900, ecc=True),),
    setup=Setup(chassis=23, resolvers=("198.51.100.254",), search="dc.example", asked=("grace",)),
)  # fmt: skip

PVE = Distribution(BOOKWORM.release, "#1 SMP PREEMPT_DYNAMIC PMX 6.8.12-15 (2025-09-12T11:02Z) x86_64")
CRADLE = Host(
    name="cradle", distribution=PVE, kernel="6.8.12-15-pve", cores=Cores(RYZEN_5950X, 1, 16), memory_kb=131_805_948,
    used_memory_kb=71_204_512, user="root", maker="ASUS", product="System Product Name",
    board=("ASUSTeK COMPUTER INC.", "ROG STRIX B550-E GAMING"),
    machine_id=machine_id("cradle"), boot_id=boot_id("cradle"),
    pci=board(
        vermeer(after="08", group=18), B550, "01:00.0 0108 144d:a80a 144d:a801 nvme 16 nvme",
        "04:00.0 0200 8086:15f3/03 1043:87d2 igc 15 igc", nvidia("07:00", "2204", "1aef", "1043:87af", 17, "vfio-pci"),
    ),
    disks=(lvm("nvme0n1", TB2, "Samsung SSD 980 PRO 2TB", 38_654_705_664),),
    nics=(
        Nic("enp4s0", mac(0x88), "0000:04:00.0", "igc", speed=2500, master="vmbr0"),
        Nic("vmbr0", mac(0x88), addresses=("192.0.2.61/24",), gateway="192.0.2.1", hardware=("bridge",), kind="bridge",
            speed=2500, duplex="unknown"),
        Nic("tap100i0", "02:00:5e:00:53:88", hardware=(), kind="tun", master="vmbr0", speed=10000),
    ),
    cmdline="root=/dev/mapper/pve-root ro quiet amd_iommu=on iommu=pt", uptime_s=2_204_112.78, at=AT,
    boot_display="0000:07:00.0",
    setup=Setup(
        snapd="", python="3.11", resolvers=("192.0.2.1",), search="home.example", asked=("cradle",),
        listeners=(("tcp", "*:8006", "pveproxy"), ("tcp", "127.0.0.1:85", "pvedaemon"),
                   ("tcp", "*:3128", "spiceproxy")),
        services=("pveproxy", "pvedaemon", "pve-cluster"),
    ),
)  # fmt: skip

READY = Host(
    name="ready", distribution=NOBLE, kernel=KERNEL, cores=Cores(RYZEN_5950X, 1, 16), memory_kb=131_809_364,
    used_memory_kb=42_004_100, user="ann", maker="ASUS", product="System Product Name",
    board=("ASUSTeK COMPUTER INC.", "ROG STRIX B550-E GAMING"),
    machine_id=machine_id("ready"), boot_id=boot_id("ready"),
    pci=board(
        vermeer(after="08", group=18), B550, "01:00.0 0108 144d:a80a 144d:a801 nvme 16 nvme",
        "04:00.0 0200 8086:15f3/03 1043:87d2 igc 15 igc", nvidia("07:00", "2204", "1aef", "1043:87af", 17, "vfio-pci"),
    ),
    disks=(lvm("nvme0n1", TB2, "Samsung SSD 980 PRO 2TB", 288_046_829_568), Disk("sda", TB1, "CT1000MX500SSD1")),
    nics=(
        Nic("enp4s0", mac(0x89), "0000:04:00.0", "igc", speed=2500, master="br0"),
        Nic("br0", mac(0x89), addresses=("192.0.2.71/24",), gateway="192.0.2.1", hardware=("bridge",), kind="bridge",
            speed=2500, duplex="unknown"),
        Nic("lxdbr0", "02:00:5e:00:53:8a", addresses=("10.64.0.1/24",), hardware=("bridge",), kind="bridge",
            speed=10000, duplex="unknown"),
        Nic("tap4f1c22d0", "02:00:5e:00:53:8b", hardware=(), kind="tun", master="lxdbr0", speed=10000),
    ),
    cmdline=f"{PLAIN} amd_iommu=on iommu=pt", uptime_s=86_400.50, at=AT,
    boot_display="0000:07:00.0",
    setup=Setup(
        resolvers=("192.0.2.1",), search="ready.example", asked=("ready",), snaps=SNAPS, bridge_filter="loaded",
        listeners=(("tcp", "*:8443", "lxd"), ("tcp", "10.64.0.1:53", "dnsmasq"), ("udp", "10.64.0.1:53", "dnsmasq"),
                   ("udp", "0.0.0.0%lxdbr0:67", "dnsmasq"), ("tcp", "192.0.2.71:53", "named"),
                   ("udp", "192.0.2.71:53", "named")),
        services=("named", "snap.lxd.daemon"),
        cluster=True, modules=("bridge", "stp", "llc", "tap", "tun", "vhost_net", "nf_tables"),
    ),
)  # fmt: skip
