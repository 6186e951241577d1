"""What the running kernel is set to, has loaded and has logged."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

from homewright.discovery.bundle import RawBundle
from homewright.discovery.facts import Kernel, PciFunction
from homewright.discovery.parsers.sizes import whole

KEPT_LINES = 20
_IOMMU = re.compile(r"\bDMAR\b|AMD-Vi")
_NO_IOMMU = re.compile(r"not available|disabled", re.IGNORECASE)
"""What the same drivers say of an IOMMU that is not there (AMD-Vi's says so on any machine), or is turned off."""
_XID = re.compile(r"NVRM: Xid|fallen off the bus")
_FLAGS = re.compile(r"^\s*(?:flags|capabilities)\s*:(.*)$", re.MULTILINE | re.IGNORECASE)
_VIRTUALIZATION = re.compile(r"^Virtuali[sz]\w*:\s*(VT-x|AMD-V)\s*$", re.MULTILINE | re.IGNORECASE)


def modules(text: str) -> tuple[str, ...]:
    """Names of loaded modules, from /proc/modules, its first column or lsmod."""
    names = (line.split()[0] for line in text.splitlines() if line.strip())
    return tuple(sorted({name for name in names if re.fullmatch(r"\w+", name) and name != "Module"}))


def limits(text: str) -> dict[str, int | None]:
    """Values under /proc/sys, by path without that, from lines `/proc/sys/PATH:VALUE`."""
    found = {}
    for line in text.splitlines():
        path, colon, value = line.rpartition(":")
        if colon:
            found[path.removeprefix("/proc/sys/")] = whole(value)
    return found


def swaps(text: str) -> tuple[str, ...]:
    """Devices and files of /proc/swaps."""
    rows = (line.split() for line in text.splitlines() if line.startswith("/"))
    return tuple(row[0].replace("\\040", " ") for row in rows)


def virtualization_flag(cpuinfo: str, lscpu: str = "") -> Literal["vmx", "svm", ""] | None:
    """The processor's flag, of /proc/cpuinfo or lscpu in any language; None where no flags of an x86 are printed."""
    for text in (cpuinfo, lscpu):
        for match in _FLAGS.finditer(text):
            flags = set(match.group(1).split())
            if {"fpu", "lm"} & flags:
                return "vmx" if "vmx" in flags else "svm" if "svm" in flags else ""
    if said := _VIRTUALIZATION.search(lscpu):
        return "vmx" if said.group(1).upper() == "VT-X" else "svm"
    return None


def memory_cgroup(text: str) -> bool | None:
    """Whether the memory controller is there: `v2 CONTROLLERS` and /proc/cgroups."""
    known = False
    for line in text.splitlines():
        words = line.split()
        if words[:1] == ["v2"]:
            known = True
            if "memory" in words:
                return True
        elif words[:1] == ["memory"] and len(words) >= 4:
            known = True
            if words[3] == "1":
                return True
    return False if known else None


def parse(bundle: RawBundle, functions: Iterable[PciFunction]) -> Kernel:
    found = limits(bundle.text("limits"))
    loaded = modules(bundle.text("modules", "lsmod")) if _asked(bundle, "modules", "lsmod") else None
    return Kernel(
        cmdline=tuple(bundle.text("cmdline").split()),
        modules=loaded,
        iommu=_iommu(bundle, functions),
        nested=_nested(bundle.text("kvm-nested")),
        virtualization_flag=virtualization_flag(
            "\n".join((bundle.text("cpuinfo"), bundle.text("lshw"))), bundle.text("lscpu", "lscpu-output-all")
        ),
        memory_cgroup=memory_cgroup(bundle.text("cgroups")),
        br_netfilter=_br_netfilter(bundle.text("br-netfilter"), loaded),
        inotify_instances=found.get("fs/inotify/max_user_instances"),
        inotify_watches=found.get("fs/inotify/max_user_watches"),
        aio_nr=found.get("fs/aio-nr"),
        aio_max_nr=found.get("fs/aio-max-nr"),
        swaps=swaps(bundle.text("swaps")),
        xid=_xid(bundle),
        iommu_log=tuple(
            line
            for line in _lines(_IOMMU, bundle, "kernel-log-iommu", "dmesg", "dmesg-grep-dmar-iommu")
            if not _NO_IOMMU.search(line)
        )[:KEPT_LINES],
    )


def _iommu(bundle: RawBundle, functions: Iterable[PciFunction]) -> bool | None:
    if any(function.iommu_group is not None for function in functions):
        return True
    return False if _asked(bundle, "sys-pci") else None


def _nested(text: str) -> bool | None:
    values = [line.split()[-1] for line in text.splitlines() if len(line.split()) == 2]
    return any(value in ("Y", "1") for value in values) if values else None


def _br_netfilter(said: str, loaded: tuple[str, ...] | None) -> bool | None:
    if loaded and "br_netfilter" in loaded:
        return True
    return {"loaded": True, "file": True, "absent": False}.get(said.strip())


def _xid(bundle: RawBundle) -> tuple[str, ...] | None:
    if not _asked(bundle, "kernel-log", "dmesg"):
        return None
    return _lines(_XID, bundle, "kernel-log", "dmesg")[-KEPT_LINES:]


def _lines(pattern: re.Pattern[str], bundle: RawBundle, *names: str) -> tuple[str, ...]:
    texts = (bundle.text(name) for name in names)
    return tuple(line.strip()[:300] for text in texts if text for line in text.splitlines() if pattern.search(line))


def _asked(bundle: RawBundle, *names: str) -> bool:
    return any(bundle.ended_well(name) for name in names)
