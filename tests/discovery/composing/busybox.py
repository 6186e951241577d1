"""A host of BusyBox: no systemd, no Python, no util-linux, no iproute2."""

from __future__ import annotations

from . import network
from .boards import HASWELL, board
from .distributions import Distribution
from .hardware import Cores, Disk, Host, Nic, Part, Setup, ungrouped
from .parts import AT, boot_id, mac, machine_id
from .processors import CORE_I5_4670K

ALPINE = Distribution(
    'NAME="Alpine Linux"\nID=alpine\nVERSION_ID=3.22.2\nPRETTY_NAME="Alpine Linux v3.22"\n'
    'HOME_URL="https://alpinelinux.org/"\nBUG_REPORT_URL="https://gitlab.alpinelinux.org/alpine/aports/-/issues"\n',
    "#1-Alpine SMP PREEMPT_DYNAMIC 2025-11-14 09:12:40 x86_64",
)
_SSD = 128_035_676_160
_HELP = "BusyBox v1.37.0 (2025-08-05 16:40:33 UTC) multi-call binary.\n\nUsage: "

_BARE = Host(
    name="pebble", distribution=ALPINE, kernel="6.12.58-0-lts", cores=Cores(CORE_I5_4670K, 1, 4, 1),
    memory_kb=8_052_104, used_memory_kb=312_040, user="root", maker="Gigabyte Technology Co., Ltd.", product="H87-HD3",
    machine_id=machine_id("pebble"), boot_id=boot_id("pebble"),
    pci=ungrouped(board(
        HASWELL, "01:00.0 0300 10de:128b/a1 1462:8c93 - - nouveau",
        "01:00.1 0403 10de:0e0f/a1 1462:8c93 snd_hda_intel - snd_hda_intel",
    )),
    disks=(Disk("sda", _SSD, "SanDisk SD8SBAT1", parts=(Part("sda3", 120_000_000_000, "/", file_system="ext4"),)),),
    nics=(Nic("eth0", mac(0x99), "0000:00:19.0", "e1000e", ("192.0.2.95/24",), "192.0.2.1"),),
    cmdline="modules=sd-mod,usb-storage,ext4 quiet rootfstype=ext4", uptime_s=52_301.47, at=AT,
    boot_display="0000:01:00.0", vsock=False,
    setup=Setup(snapd="", python="", clock="", secure_boot="bios", resolvers=("192.0.2.1",), inotify=(128, 62_844),
                asked=("pebble",)),
    without=("systemd-detect-virt", "systemctl", "timedatectl", "python3", "lsblk", "ss", "dpkg-query"),
)  # fmt: skip


def _refused(command: str, letter: str, usage: str) -> tuple[str, str, int]:
    return "", f"{command}: unrecognized option: {letter}\n{_HELP}{usage}", 1


PEBBLE = _BARE.but(changes={
    "uname-a": (f"Linux pebble {_BARE.kernel} {ALPINE.uname} Linux\n", "", 0),
    "systemd": ("", "", 1),
    "machine-id": (f"{_BARE.machine_id}\n", "", 0),
    "cgroups": ("v2 cpuset cpu io memory hugetlb pids rdma misc\n", "", 0),
    "df": _refused("df", "l", "df [-PkmhTi] [-t TYPE] [FILESYSTEM]..."),
    "df-k": (
        "Filesystem           1024-blocks    Used Available Capacity Mounted on\n"
        "devtmpfs                 10240         0     10240   0% /dev\n"
        "shm                    4026052         0   4026052   0% /dev/shm\n"
        "/dev/sda3            114823584   1204412 107753596   1% /\n"
        "tmpfs                  1610424       420   1610004   0% /run\n", "", 0,
    ),
    "sys-block": (f"sda|{_SSD // 512}|0|SanDisk SD8SBAT1\n", "", 0),
    "ip-addr-json": _refused("ip", "d", "ip [OPTIONS] address|route|link|tunnel|neigh|rule [ARGS]"),
    "ip-addr": (network.addresses_text(_BARE), "", 0),
    "ip-route-json": _refused("ip", "j", "ip [OPTIONS] address|route|link|tunnel|neigh|rule [ARGS]"),
    "ip-route": (network.routes_text(_BARE), "", 0),
    "desktop": ("", "", 0),
    "lspci-Dnnk": _refused("lspci", "D", "lspci [-mk]"),
    "packages": None,
    "package-locks": ("", "no package manager of Debian, or /proc/locks may not be read", 1),
    "dpkg-audit": ("", "", 127),
    "proc-net": ("tcp 00000000:0016\ntcp6 00000000000000000000000000000000:0016\n", "", 0),
    "getent": (
        "name|pebble|0|127.0.1.1\nwildcard|homewright-no-such-name homewright-no-such-name.example.com|1|\n"
        "name|www.debian.org|1|\n", "", 0,
    ),
})  # fmt: skip
