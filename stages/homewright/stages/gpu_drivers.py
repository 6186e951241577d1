"""NVIDIA's driver in an instance that has a GPU (stage 30, step 30): which package, and what nvidia-smi must say. Pure.

A container shares its server's kernel and driver; LXD lends it the user side (nvidia.runtime), so it is only proved.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

NVIDIA = "10de"
_PACKAGE = re.compile(r"nvidia-driver-(\d+)-server(-open)?")


def package(system: str, known: Iterable[str]) -> str:
    """The driver's package of what apt knows: Debian's own, or Ubuntu's newest for servers; empty where there is none.

    Ubuntu's open kernel modules where a version has them: Blackwell and later run with no others, Turing and later with
    both (NVIDIA's driver README, "Open Linux Kernel Modules").
    """
    names = set(known)
    if system == "debian":
        return "nvidia-driver" if "nvidia-driver" in names else ""
    found = [(int(match[1]), match[2] is not None, name) for name in names if (match := _PACKAGE.fullmatch(name))]
    return max(found, default=(0, False, ""))[2]


def functions(pci: str) -> list[str]:
    """Addresses of NVIDIA's display controllers (class 03xx) in lines `ADDRESS CLASS: VENDOR:DEVICE` (lspci -Dn)."""
    rows = (line.split() for line in pci.splitlines())
    return [row[0] for row in rows if len(row) > 2 and row[1].startswith("03") and row[2].startswith(f"{NVIDIA}:")]


def listed(smi: str) -> list[str]:
    """The names of the GPUs in `nvidia-smi -L`, such as `GPU 0: NVIDIA A2 (UUID: …)`."""
    return re.findall(r"^GPU \d+: (.+?) \(UUID", smi, re.MULTILINE)
