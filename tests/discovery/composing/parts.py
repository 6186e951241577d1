"""Parts that composed servers share: a time, kernels, disks, identities, snaps."""

from __future__ import annotations

import hashlib
import uuid

from .hardware import Disk, Part

AT = 1_763_712_000.0
"""21 November 2025, 8:00 UTC: when composed servers are said to have been asked."""

KERNEL = "6.8.0-87-generic"
PLAIN = "root=/dev/mapper/ubuntu--vg-ubuntu--lv ro"


def lvm(name: str, size: int, model: str, used: int, pci: str = "") -> Disk:
    """A disk as Ubuntu's server installation parts it, its volume as large as the disk."""
    part = "p" if name[-1].isdigit() else ""
    efi, boot = 1_127_219_200, 2_147_483_648
    rest = size - efi - boot - 3_145_728
    root = Part("ubuntu--vg-ubuntu--lv", rest - 4_194_304, "/", "lvm", "ext4", used)
    return Disk(name, size, model, parts=(
        Part(f"{name}{part}1", efi, "/boot/efi", file_system="vfat", used=6_443_008),
        Part(f"{name}{part}2", boot, "/boot", file_system="ext4", used=219_152_384),
        Part(f"{name}{part}3", rest, parts=(root,)),
    ), pci=pci)  # fmt: skip


TB1, TB2, TB4, GB500 = 1_000_204_886_016, 2_000_398_934_016, 4_000_787_030_016, 500_107_862_016


def mac(number: int) -> str:
    """One of the hardware addresses for documentation (RFC 7042, 2.1.1)."""
    return f"00:00:5e:00:53:{number:02x}"


def machine_id(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:32]


def boot_id(name: str) -> str:
    return str(uuid.UUID(hashlib.sha256(f"boot of {name}".encode()).hexdigest()[:32], version=4))


SNAPS = (
    "core22 20250923 2139 latest/stable canonical✓ base",
    "lxd 5.21.4-7a8a1ac 36558 5.21/stable/… canonical✓ held",
)
