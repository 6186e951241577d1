"""Composed guests and odd hosts: virtual machines, an old kernel, BusyBox, another language, very many interfaces."""

from __future__ import annotations

from .boards import B550, Z170, board, nvidia, vermeer
from .distributions import FOCAL, NOBLE, Distribution
from .german import german
from .hardware import Cores, Disk, Graphics, Host, Nic, Part, Setup
from .parts import AT, GB500, KERNEL, PLAIN, SNAPS, TB1, boot_id, lvm, mac, machine_id
from .processors import CORE_I7_6700, QEMU_EPYC, RYZEN_5600, XEON_8259CL

GPU_3D = "nvidiafb,nouveau,nvidia_drm,nvidia"
GIB = 1024**3


def _cloud_disk(name: str, size: int, used: int, model: str | None) -> Disk:
    """A disk as Ubuntu's cloud images part it."""
    part = "p" if name[-1].isdigit() else ""
    efi, boot = 111_149_056, 957_350_400
    return Disk(name, size, model, rotates=name.startswith("sd"), parts=(
        Part(f"{name}{part}1", size - efi - boot - 5_242_880, "/", file_system="ext4", used=used),
        Part(f"{name}{part}14", 4_194_304),
        Part(f"{name}{part}15", efi, "/boot/efi", file_system="vfat", used=6_443_008),
        Part(f"{name}{part}16", boot, "/boot", file_system="ext4", used=109_051_904),
    ))  # fmt: skip


TENANT = Host(
    name="tenant", distribution=NOBLE, kernel=KERNEL, cores=Cores(QEMU_EPYC, 1, 8, 1), memory_kb=32_861_300,
    user="ubuntu",
    virtualization="kvm", maker="QEMU", product="Standard PC (Q35 + ICH9, 2009)",
    board=("", ""),
    machine_id=machine_id("tenant"), boot_id=boot_id("tenant"),
    pci=board(f"""
        00:00.0 0600 8086:29c0 1af4:1100 - - -
        00:01.0 0300 1234:1111/02 1af4:1100 bochs-drm - bochs
        00:1a.0 0c0300 8086:2937/03 1af4:1100 uhci_hcd - -
        00:1b.0 0403 8086:293e/03 1af4:1100 snd_hda_intel - snd_hda_intel
        00:1c.0 0604 1b36:000c - pcieport - -
        00:1c.1 0604 1b36:000c - pcieport - -
        00:1e.0 0604 8086:244e/92 - - - -
        00:1f.0 0601 8086:2918/02 1af4:1100 lpc_ich - lpc_ich
        00:1f.2 0106 8086:2922/02 1af4:1100 ahci - ahci
        00:1f.3 0c05 8086:2930/02 1af4:1100 i801_smbus - i2c_i801
        01:00.0 0300 10de:2531/a1 103c:151d nvidia - {GPU_3D}
        01:00.1 0403 10de:228e/a1 103c:151d snd_hda_intel - snd_hda_intel
        05:01.0 0604 1b36:0001 - - - -
        06:03.0 00ff 1af4:1002 1af4:0005 virtio-pci - -
        06:05.0 0100 1af4:1004 1af4:0008 virtio-pci - -
        06:12.0 0200 1af4:1000 1af4:0001 virtio-pci - -
    """),
    disks=(_cloud_disk("sda", 128 * GIB, 21_474_836_480, "QEMU HARDDISK"),),
    nics=(
        Nic("enp6s18", "02:00:5e:00:53:91", "0000:06:12.0", "virtio_net", ("192.0.2.81/24",), "192.0.2.1", speed=None),
    ),
    cmdline="root=LABEL=cloudimg-rootfs ro console=tty1 console=ttyS0", driver_version="580.95.05",
    uptime_s=99_214.30, at=AT, boot_display="0000:00:01.0", monitors=("0000:00:01.0",),
    graphics=(Graphics("0000:01:00.0", "NVIDIA RTX A2000", 6138, "8.6", watts=70, ecc=True),),
    setup=Setup(chassis=1, resolvers=("192.0.2.1",), search="home.example", asked=("tenant",), snaps=SNAPS),
)  # fmt: skip

CLOUD = Host(
    name="cloud",
    distribution=Distribution(
        NOBLE.release, "#26~24.04.1-Ubuntu SMP Fri Oct 3 00:20:44 UTC 2025 x86_64 x86_64 x86_64"
    ),
    kernel="6.14.0-1015-aws", cores=Cores(XEON_8259CL, 1, 2), memory_kb=16_063_480, user="ubuntu",
    virtualization="amazon", maker="Amazon EC2", product="g4dn.xlarge", kvm=False, vsock=True,
    board=("Amazon EC2", ""),
    machine_id=machine_id("cloud"), boot_id=boot_id("cloud"),
    pci=board(f"""
        00:00.0 0600 8086:1237 - - - -
        00:01.0 0601 8086:7000 - - - -
        00:01.3 0000 8086:7113/08 - - - i2c_piix4
        00:03.0 0300 1d0f:1111 1d0f:1111 - - -
        00:04.0 0108 1d0f:8061 - nvme - nvme
        00:05.0 0200 1d0f:ec20 1d0f:ec20 ena - ena
        00:1e.0 0302 10de:1eb8/a1 10de:12a2 nvidia - {GPU_3D}
        00:1f.0 0108 1d0f:cd01 1d0f:cd01 nvme - nvme
    """),
    disks=(
        _cloud_disk("nvme0n1", 128 * GIB, 30_601_641_984, "Amazon Elastic Block Store"),
        Disk("nvme1n1", 125_000_000_000, "Amazon EC2 NVMe Instance Storage"),
    ),
    nics=(Nic("ens5", "02:00:5e:00:53:92", "0000:00:05.0", "ena", ("10.0.20.17/24",), "10.0.20.1", dhcp=True,
              speed=None, mtu=9001),),
    cmdline="root=PARTUUID=0f1c2d3e-4a5b-4c6d-8e9f-0a1b2c3d4e5f ro console=tty1 console=ttyS0 "
    "nvme_core.io_timeout=4294967295 panic=-1",
    driver_version="570.195.03", uptime_s=7_204.11, at=AT, boot_display="0000:00:03.0",
    graphics=(Graphics("0000:00:1e.0", "Tesla T4", 15360, "7.5", watts=70, ecc=True),),
    setup=Setup(
        chassis=1, inotify=(128, 126_012), hold="", resolvers=("10.0.0.2",), search="eu-central-1.compute.internal",
        asked=("cloud",), nested=False,
        snaps=("amazon-ssm-agent 3.3.3050.0 11797 latest/stable/… aws✓ classic",
               "core22 20250923 2139 latest/stable canonical✓ base"),
        services=("snap.amazon-ssm-agent.amazon-ssm-agent",),
    ),
)  # fmt: skip

_OLD_SMI = (
    "Fri Nov 21 08:00:01 2025       \n"
    "+-----------------------------------------------------------------------------+\n"
    "| NVIDIA-SMI 470.256.02   Driver Version: 470.256.02   CUDA Version: 11.4     |\n"
    "|-------------------------------+----------------------+----------------------+\n"
    "| GPU  Name        Persistence-M| Bus-Id        Disp.A | Volatile Uncorr. ECC |\n"
    "| Fan  Temp  Perf  Pwr:Usage/Cap|         Memory-Usage | GPU-Util  Compute M. |\n"
    "|                               |                      |               MIG M. |\n"
    "|===============================+======================+======================|\n"
    "|   0  NVIDIA GeForce ...  Off  | 00000000:01:00.0 Off |                  N/A |\n"
    "| 23%   34C    P8     9W / 250W |      2MiB / 11178MiB |      0%      Default |\n"
    "|                               |                      |                  N/A |\n"
    "+-------------------------------+----------------------+----------------------+\n"
    "                                                                               \n"
    "+-----------------------------------------------------------------------------+\n"
    "| Processes:                                                                  |\n"
    "|  GPU   GI   CI        PID   Type   Process name                  GPU Memory |\n"
    "|        ID   ID                                                   Usage      |\n"
    "|=============================================================================|\n"
    "|  No running processes found                                                 |\n"
    "+-----------------------------------------------------------------------------+\n"
)
VETERAN = Host(
    name="veteran", distribution=FOCAL, kernel="5.4.0-216-generic", cores=Cores(CORE_I7_6700, 1, 4),
    memory_kb=32_812_960, swap_kb=8_388_604, user="ann", maker="System manufacturer", product="System Product Name",
    board=("ASUSTeK COMPUTER INC.", "Z170-A"),
    machine_id=machine_id("veteran"), boot_id=boot_id("veteran"),
    pci=board(Z170, nvidia("01:00", "1b06", "10ef", "1043:85e4", 1)),
    disks=(lvm("sda", GB500, "Samsung SSD 850 EVO 500GB", 122_406_567_936),),
    nics=(Nic("enp0s31f6", mac(0x93), "0000:00:1f.6", "e1000e", ("192.0.2.91/24",), "192.0.2.1"),),
    cmdline=f"{PLAIN} intel_iommu=on maybe-ubiquity", driver_version="470.256.02", uptime_s=12_960_402.20, at=AT,
    boot_display="0000:01:00.0",
    graphics=(Graphics("0000:01:00.0", "NVIDIA GeForce GTX 1080 Ti", 11178, "6.1"),),
    setup=Setup(
        cgroup_v2=False, inotify=(128, 8192), hold="", snapd="2.67.1", python="3.8", resolvers=("192.0.2.1",),
        search="home.example", asked=("veteran",), clock="systemd-timesyncd",
        snaps=("lxd 4.0.10-e664786 33110 4.0/stable/… canonical✓ -",),
    ),
    changes={
        # drivers before 510 do not know compute_cap, and say so
        "nvidia-smi-query": (
            'Field "compute_cap" is not a valid field to query.\n\n', "", 2,
        ),
        "nvidia-smi-csv": ("00000000:01:00.0, NVIDIA GeForce GTX 1080 Ti, 11178, 470.256.02\n", "", 0),
        "nvidia-smi": (_OLD_SMI, "", 0),
    },
)  # fmt: skip

_VLANS = 48
_PORTS = 150
CROWD = Host(
    name="crowd", distribution=NOBLE, kernel=KERNEL, cores=Cores(RYZEN_5600, 1, 6), memory_kb=65_780_504, user="ann",
    maker="Micro-Star International Co., Ltd.", product="MS-7C56",
    board=("Micro-Star International Co., Ltd.", "B550-A PRO (MS-7C56)"),
    machine_id=machine_id("crowd"), boot_id=boot_id("crowd"),
    pci=board(
        vermeer(after="08", group=18), B550, "01:00.0 0108 144d:a808 144d:a801 nvme 16 nvme",
        "04:00.0 0200 8086:1572/02 8086:0004 i40e 15 i40e", "04:00.1 0200 8086:1572/02 8086:0004 i40e 15 i40e",
        nvidia("07:00", "2503", "228e", "1458:4074", 17),
    ),
    disks=(lvm("nvme0n1", TB1, "Samsung SSD 970 EVO Plus 1TB", 64_424_509_440),),
    nics=(
        Nic("enp4s0f0np0", mac(0x94), "0000:04:00.0", "i40e", speed=10000, master="bond0"),
        Nic("enp4s0f1np1", mac(0x94), "0000:04:00.1", "i40e", speed=10000, master="bond0"),
        Nic("bond0", mac(0x94), addresses=("192.0.2.92/24",), gateway="192.0.2.1", hardware=("bond",), kind="bond",
            speed=20000),
        *(Nic(f"bond0.{100 + n}", mac(0x94), addresses=(f"172.16.{n}.1/24",), hardware=("vlan",), kind="vlan",
              parent="bond0", tag=100 + n, speed=20000) for n in range(_VLANS)),
        Nic("br-lab", "02:00:5e:00:60:00", addresses=("172.20.0.1/16",), hardware=("bridge",), kind="bridge",
            speed=10000, duplex="unknown"),
        *(Nic(f"veth{n:04x}", f"02:00:5e:00:61:{n:02x}", hardware=(), kind="veth", master="br-lab", speed=10000)
          for n in range(_PORTS)),
    ),
    cmdline=f"{PLAIN} iommu=pt", driver_version="580.95.05", uptime_s=501_223.84, at=AT, boot_display="0000:07:00.0",
    graphics=(Graphics("0000:07:00.0", "NVIDIA GeForce RTX 3060", 12288, "8.6", watts=170),),
    setup=Setup(resolvers=("192.0.2.1",), search="home.example", asked=("crowd",),
                modules=("bonding", "bridge", "veth")),
)  # fmt: skip

HARBOUR = Host(
    name="harbour", distribution=NOBLE, kernel=KERNEL, cores=Cores(RYZEN_5600, 1, 6), memory_kb=32_780_012, user="kit",
    maker="ASRock", product="B550 Pro4", machine_id=machine_id("harbour"), boot_id=boot_id("harbour"),
    pci=board(
        vermeer(after="08", group=18), B550, "01:00.0 0108 144d:a808 144d:a801 nvme 16 nvme",
        "04:00.0 0200 10ec:8125/05 1849:8125 r8169 15 r8169", nvidia("07:00", "2503", "228e", "1458:4074", 17),
    ),
    disks=(lvm("nvme0n1", TB1, "Samsung SSD 970 EVO Plus 1TB", 300_647_710_720),),
    nics=(
        Nic("enp4s0", mac(0x95), "0000:04:00.0", "r8169", ("192.0.2.93/24",), "192.0.2.1", speed=2500),
        Nic("docker0", "02:42:5e:00:53:95", addresses=("172.17.0.1/16",), up=False, speed=None, hardware=("bridge",),
            kind="bridge"),
        Nic("br-3f1c9a7be024", "02:42:5e:00:53:96", addresses=("172.18.0.1/16",), hardware=("bridge",), kind="bridge",
            speed=10000, duplex="unknown"),
        Nic("veth7a20c1d", "02:00:5e:00:53:97", hardware=(), kind="veth", master="br-3f1c9a7be024", speed=10000),
    ),
    cmdline=PLAIN, driver_version="580.95.05", uptime_s=3_600_200.11, at=AT, boot_display="0000:07:00.0",
    graphics=(Graphics("0000:07:00.0", "NVIDIA GeForce RTX 3060", 12288, "8.6", watts=170, used_mib=4012,
                       processes=("C",)),),
    setup=Setup(
        docker="28.5.2", ufw=True, bridge_filter="loaded", resolvers=("192.0.2.1",), search="home.example",
        asked=("harbour",), snaps=SNAPS,
        listeners=(("tcp", "0.0.0.0:443", "docker-proxy"), ("tcp", "[::]:443", "docker-proxy"),
                   ("tcp", "0.0.0.0:11434", "docker-proxy"), ("tcp", "[::]:11434", "docker-proxy")),
        proxies=("http_proxy=http://192.0.2.3:3128", "https_proxy=http://192.0.2.3:3128",
                 "no_proxy=localhost,127.0.0.1,192.0.2.0/24"),
    ),
)  # fmt: skip

BERG = german(HARBOUR.but(
    name="berg", machine_id=machine_id("berg"), boot_id=boot_id("berg"), user="lena",
    nics=(Nic("enp4s0", mac(0x98), "0000:04:00.0", "r8169", ("192.0.2.94/24",), "192.0.2.1", speed=2500),),
    setup=Setup(resolvers=("192.0.2.1",), search="heim.example", asked=("berg",), timezone="Europe/Berlin",
                snaps=SNAPS),
))  # fmt: skip
