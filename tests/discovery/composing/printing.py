"""What the commands of the probe print on a composed server: processor, memory, disks, PCI."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .hardware import Cores, Host, Part, Pci

CLASSES = {
    "0000": "Non-VGA unclassified device", "0101": "IDE interface", "0104": "RAID bus controller",
    "0106": "SATA controller", "0107": "Serial Attached SCSI controller", "0108": "Non-Volatile memory controller",
    "0100": "SCSI storage controller", "00ff": "Unclassified device",
    "0200": "Ethernet controller", "0207": "Infiniband controller", "0280": "Network controller",
    "0300": "VGA compatible controller", "0302": "3D controller", "0380": "Display controller",
    "0403": "Audio device", "0480": "Multimedia controller", "0500": "RAM memory", "0580": "Memory controller",
    "0600": "Host bridge", "0601": "ISA bridge", "0604": "PCI bridge", "0680": "Bridge",
    "0780": "Communication controller", "0700": "Serial controller", "0805": "SD Host controller", "0806": "IOMMU",
    "0880": "System peripheral", "0c03": "USB controller", "0c05": "SMBus", "0c80": "Serial bus controller",
    "1080": "Encryption controller", "1180": "Signal processing controller", "1300": "Non-Essential Instrumentation",
}  # fmt: skip


def _names() -> dict[str, str]:
    """Vendors (four digits), devices, and subsystems (device/subsystem), as pci.ids names them."""
    lines = (Path(__file__).parent / "names.txt").read_text(encoding="utf-8").splitlines()
    return dict(line.split(" ", 1) for line in lines if line and not line.startswith("#"))


NAMES = _names()


def lspci(functions: Iterable[Pci], *, names: bool = True) -> str:
    """`lspci -Dnnk`."""
    lines = []
    for one in functions:
        vendor, device = NAMES.get(one.vendor, ""), NAMES.get(one.ids, "Device") if names else "Device"
        revision = f" (rev {one.revision})" if one.revision else ""
        kind = CLASSES[one.class_id[:4]]
        lines.append(f"{one.address} {kind} [{one.class_id[:4]}]: {f'{vendor} {device}'.strip()} [{one.ids}]{revision}")
        if one.subsystem:
            maker = NAMES.get(one.subsystem[:4], "Device")
            named = NAMES.get(f"{one.ids}/{one.subsystem}", "Device")
            lines.append(f"\tSubsystem: {maker} {named} [{one.subsystem}]")
        if one.driver:
            lines.append(f"\tKernel driver in use: {one.driver}")
        if one.modules:
            lines.append(f"\tKernel modules: {', '.join(one.modules)}")
    return "\n".join(lines) + "\n"


def sys_pci(host: Host) -> str:
    rows = ""
    for one in host.pci:
        boots = "" if one.class_id[:4] != "0300" else "1" if one.address == host.boot_display else "0"
        group = "" if one.group is None else one.group
        rows += f"{one.address}|0x{one.class_id}|0x{one.vendor}|0x{one.ids[5:]}|{one.driver}|{group}|{boots}\n"
    return rows


_CONNECTORS = {
    "nvidia": ("DP-1", "DP-2", "DP-3", "HDMI-A-1"), "nouveau": ("DVI-D-1", "DP-1", "HDMI-A-1"),
    "i915": ("DP-1", "HDMI-A-1", "HDMI-A-2"), "xe": ("DP-1", "HDMI-A-1"), "amdgpu": ("DP-1", "HDMI-A-1"),
    "ast": ("VGA-1",), "mgag200": ("VGA-1",), "bochs-drm": ("Virtual-1",), "virtio-pci": ("Virtual-1",),
}  # fmt: skip


def drm(host: Host) -> str:
    """The connectors of every display controller with a driver that draws; the last one of each has the monitor."""
    rows = ""
    cards = [one for one in host.pci if one.class_id[:4] == "0300" and one.driver in _CONNECTORS]
    for number, one in enumerate(cards):
        names = ("eDP-1", *_CONNECTORS[one.driver]) if host.setup.chassis == 10 else _CONNECTORS[one.driver]
        shown = names[0] if host.setup.chassis == 10 else names[-1]
        for name in sorted(names):
            status = "connected" if one.address in host.monitors and name == shown else "disconnected"
            rows += f"{one.address}|card{number}-{name}|{status}\n"
    return rows


def iommu(host: Host) -> str:
    if all(one.group is None for one in host.pci):
        return ""
    amd = [one for one in host.pci if one.class_id.startswith("0806")]
    count = len(amd) if amd else 2
    if host.cores.arm:
        return "".join(f"smmu3.0x{base:016x}\n" for base in (0x11000000, 0x12000000))
    return "".join(f"{'ivhd' if amd else 'dmar'}{number}\n" for number in range(count))


def swaps(host: Host) -> str:
    text = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"
    if host.swap_kb:
        text += f"/swap.img                               file\t\t{host.swap_kb}\t\t0\t\t-2\n"
    return text


def cgroups(host: Host) -> str:
    """The controllers of cgroup v2, then /proc/cgroups."""
    controllers = [
        "cpuset",
        "cpu",
        "io",
        *(["memory"] if host.setup.cgroup_memory else []),
        "hugetlb",
        "pids",
        "rdma",
        "misc",
    ]
    text = f"v2 {' '.join(controllers)}\n" if host.setup.cgroup_v2 else ""
    text += "#subsys_name\thierarchy\tnum_cgroups\tenabled\n"
    names = ("cpuset", "cpu", "cpuacct", "blkio", "memory", "devices", "freezer", "net_cls", "perf_event", "net_prio",
             "hugetlb", "pids", "rdma", "misc")  # fmt: skip
    for number, name in enumerate(names, 1):
        on = 0 if name == "memory" and not host.setup.cgroup_memory else 1
        text += f"{name}\t{0 if host.setup.cgroup_v2 else number}\t{127 if on else 1}\t{on}\n"
    return text


def cpuinfo(cores: Cores) -> str:
    return _arm(cores) if cores.arm else _x86(cores)


def _x86(cores: Cores) -> str:
    model, blocks = cores.processor, []
    for index, (socket, core) in enumerate(_placed(cores)):
        fields = {
            "processor\t": index, "vendor_id\t": model.vendor, "cpu family\t": model.family, "model\t\t": model.number,
            "model name\t": model.model, "stepping\t": model.stepping, "microcode\t": model.microcode,
            "cpu MHz\t\t": f"{model.mhz:.3f}", "cache size\t": f"{model.cache_kb} KB", "physical id\t": socket,
            "siblings\t": cores.total // cores.sockets, "core id\t\t": core, "cpu cores\t": cores.cores,
            "apicid\t\t": index, "initial apicid\t": index, "fpu\t\t": "yes", "fpu_exception\t": "yes",
            "cpuid level\t": 16 if model.vendor == "AuthenticAMD" else 32, "wp\t\t": "yes",
            "flags\t\t": model.flags, "bogomips\t": model.bogomips or f"{model.mhz * 2:.2f}",
            "clflush size\t": 64, "cache_alignment\t": 64, "address sizes\t": model.address_sizes,
        }  # fmt: skip
        if index:
            # of all but the first one the probe keeps what tells them apart
            fields = {key: fields[key] for key in ("processor\t", "physical id\t", "core id\t\t")}
        blocks.append("".join(f"{key}: {value}\n" for key, value in fields.items()))
        blocks.append("\n" if index else "power management:\n\n")
    return "".join(blocks)


def _placed(cores: Cores) -> list[tuple[int, int]]:
    """Socket and core of every logical processor, in the kernel's order."""
    single = cores.processor.hybrid
    both = cores.cores - single
    if cores.processor.vendor == "GenuineIntel" and single:
        return [(0, core) for core in range(both) for _ in range(cores.threads)] + [
            (0, core) for core in range(both, cores.cores)
        ]
    return [(socket, core) for _ in range(cores.threads) for socket in range(cores.sockets) for core in range(both)]


def _arm(cores: Cores) -> str:
    model = cores.processor
    first = (
        f"processor\t: 0\nBogoMIPS\t: {model.bogomips}\nFeatures\t: {model.flags}\n"
        f"CPU implementer\t: 0x{model.family:02x}\nCPU architecture: 8\nCPU variant\t: 0x{model.stepping:x}\n"
        f"CPU part\t: 0x{model.number:x}\nCPU revision\t: 0\n\n"
    )
    return first + "".join(f"processor\t: {index}\n\n" for index in range(1, cores.total))


def lscpu(cores: Cores, virtualization: str) -> str:
    model = cores.processor
    rows = {
        "Architecture": "aarch64" if cores.arm else "x86_64",
        "CPU op-mode(s)": "64-bit" if cores.arm else "32-bit, 64-bit",
        **({} if cores.arm else {"Address sizes": model.address_sizes}),
        "Byte Order": "Little Endian",
        "CPU(s)": cores.total,
        "On-line CPU(s) list": f"0-{cores.total - 1}",
        "Vendor ID": "ARM" if cores.arm else model.vendor,
        "Model name": model.model,
        **({"Model": 0} if cores.arm else {"CPU family": model.family, "Model": model.number}),
        "Thread(s) per core": cores.threads,
        "Core(s) per socket": cores.cores,
        "Socket(s)": cores.sockets,
        "Stepping": f"r{model.stepping}p0" if cores.arm else model.stepping,
        "BogoMIPS": model.bogomips or f"{model.mhz * 2:.2f}",
        "Flags": model.flags,
    }
    words = model.flags.split()
    if virtualization != "none":
        rows |= {"Hypervisor vendor": "KVM", "Virtualization type": "full"}
    elif "svm" in words or "vmx" in words:
        rows["Virtualization"] = "AMD-V" if "svm" in words else "VT-x"
    rows |= {"NUMA node(s)": cores.sockets}
    return "".join(f"{key + ':':<40} {value}\n" for key, value in rows.items())


def meminfo(host: Host) -> str:
    total, used = host.memory_kb, host.used_memory_kb
    cached = min(total // 4, 6_291_456)
    available = total - used
    rows = {
        "MemTotal": total, "MemFree": available - cached, "MemAvailable": available, "Buffers": cached // 20,
        "Cached": cached - cached // 20, "SwapCached": 0, "Active": used, "Inactive": cached, "Unevictable": 27648,
        "Mlocked": 27648, "SwapTotal": host.swap_kb, "SwapFree": host.swap_kb, "Zswap": 0, "Zswapped": 0, "Dirty": 412,
        "Writeback": 0, "AnonPages": used // 2, "Mapped": used // 8, "Shmem": 9216, "KReclaimable": cached // 16,
        "Slab": cached // 10, "SReclaimable": cached // 16, "SUnreclaim": cached // 10 - cached // 16,
        "KernelStack": 12288, "PageTables": 18432, "SecPageTables": 0, "NFS_Unstable": 0, "Bounce": 0,
        "WritebackTmp": 0, "CommitLimit": total // 2 + host.swap_kb, "Committed_AS": used,
        "VmallocTotal": 34359738367, "VmallocUsed": 141312, "VmallocChunk": 0, "Percpu": 15104,
        "HardwareCorrupted": 0, "AnonHugePages": 0, "ShmemHugePages": 0, "ShmemPmdMapped": 0, "FileHugePages": 0,
        "FilePmdMapped": 0,
    }  # fmt: skip
    text = "".join(f"{key + ':':<15} {value:>8} kB\n" for key, value in rows.items())
    for key in ("HugePages_Total", "HugePages_Free", "HugePages_Rsvd", "HugePages_Surp"):
        text += f"{key + ':':<15} {0:>8}\n"
    return text + f"{'Hugepagesize:':<15} {2048:>8} kB\n{'Hugetlb:':<15} {0:>8} kB\n"


def snap_mounts(host: Host) -> list[tuple[str, int]]:
    """Where snaps are mounted, each a loop device with a squashfs; whole MiB, as for squashfs on 4 KiB blocks."""
    found = []
    for row in host.setup.snaps:
        name, _, revision = row.split()[:3]
        found.append((f"/snap/{name}/{revision}", (60 + len(name) * 7) * 1024 * 1024))
    if host.setup.snapd and host.setup.snaps:
        found.append(("/snap/snapd/25577", 53_346_304))
    return found


def lsblk(host: Host) -> str:
    """`lsblk -J -b -o NAME,TYPE,SIZE,ROTA,MODEL,MOUNTPOINT`, in the layout of util-linux."""

    def part(one: Part, rotates: bool) -> dict[str, Any]:
        row: dict[str, Any] = {
            "name": one.name, "type": one.kind, "size": one.size, "rota": rotates, "model": None,
            "mountpoint": one.mount,
        }  # fmt: skip
        if one.parts:
            row["children"] = [part(child, rotates) for child in one.parts]
        return row

    rows: list[dict[str, Any]] = [
        {"name": f"loop{number}", "type": "loop", "size": size, "rota": False, "model": None, "mountpoint": mount}
        for number, (mount, size) in enumerate(snap_mounts(host))
    ]
    for disk in host.disks:
        row: dict[str, Any] = {
            "name": disk.name, "type": "disk", "size": disk.size, "rota": disk.rotates, "model": disk.model,
            "mountpoint": None,
        }  # fmt: skip
        if disk.parts:
            row["children"] = [part(one, disk.rotates) for one in disk.parts]
        rows.append(row)
    return _printed({"blockdevices": rows})


def _printed(value: Any, depth: int = 0) -> str:
    """JSON as util-linux's libsmartcols prints it: three blanks a level, objects of a list joined by `},{`."""
    pad = "   " * (depth + 1)
    if isinstance(value, dict):
        body = (",\n").join(f"{pad}{json.dumps(key)}: {_printed(item, depth + 1)}" for key, item in value.items())
        return "{\n" + body + "\n" + "   " * depth + "}" + ("\n" if not depth else "")
    if isinstance(value, list):
        return "[\n" + pad + ",".join(_printed(item, depth + 1) for item in value) + "\n" + "   " * depth + "]"
    return json.dumps(value)


def df(host: Host) -> str:
    """`df -l -PT -B1`."""
    memory = host.memory_kb * 1024
    rows = [("tmpfs", "tmpfs", memory // 10, 2_420_736, "/run")]
    for number, (mount, size) in enumerate(snap_mounts(host)):
        rows.append((f"/dev/loop{number}", "squashfs", size, size, mount))
    for disk in host.disks:
        rows += [row for part in disk.parts for row in _mounted(part)]
    rows += [
        ("tmpfs", "tmpfs", memory // 2, 0, "/dev/shm"),
        ("tmpfs", "tmpfs", 5_242_880, 0, "/run/lock"),
        ("tmpfs", "tmpfs", memory // 10, 12_288, "/run/user/1000"),
    ]
    text = "Filesystem     Type            1-blocks          Used      Available Capacity Mounted on\n"
    for device, kind, total, used, mount in rows:
        usable = total if kind in ("tmpfs", "squashfs") else total * 95 // 100 if kind == "ext4" else total
        left = max(0, usable - used)
        percent = -(-100 * used // (used + left)) if used + left else 0
        text += f"{device:<14} {kind:<8} {total:>15} {used:>13} {left:>14} {percent:>7}% {mount}\n"
    return text


def _mounted(part: Part) -> list[tuple[str, str, int, int, str]]:
    rows = []
    if part.mount and part.mount.startswith("/"):
        device = f"/dev/mapper/{part.name}" if part.kind == "lvm" else f"/dev/{part.name}"
        # what a file system keeps for itself: inode tables and journal of ext4 are 1.6 %
        size = part.size * 984 // 1000 if part.file_system == "ext4" else part.size
        rows.append((device, part.file_system, size, part.used, part.mount))
    for child in part.parts:
        rows += _mounted(child)
    return rows
