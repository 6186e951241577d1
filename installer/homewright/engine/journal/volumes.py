"""Where a journal may lie: file systems of the network lock and sync differently, so they are refused."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

from homewright.errors import StateError

MAGIC = {
    0x6969: "NFS",
    0x517B: "SMB",
    0xFF534D42: "CIFS",
    0xFE534D42: "SMB",
    0x00C36400: "Ceph",
    0x01021997: "9P",
    0x5346414F: "AFS",
    0x6B414653: "AFS",
    0x73757245: "Coda",
    0x0BD00BD0: "Lustre",
    0x7461636F: "OCFS2",
    0x01161970: "GFS2",
}
"""Numbers of network file systems, as statfs(2) gives them (linux/magic.h)."""
FUSE = 0x65735546
LOCAL_FUSE = ("fuseblk", "fuse.overlayfs", "fuse-overlayfs", "fuse.bindfs", "fuse.lxcfs")


def network_kind(magic: int, mount_type: str) -> str | None:
    """The name of a network file system; None for a local one."""
    if magic == FUSE:
        return mount_type if mount_type.startswith("fuse.") and mount_type not in LOCAL_FUSE else None
    return MAGIC.get(magic & 0xFFFFFFFF)


def refuse_network(folder: Path) -> None:
    """Raises StateError where the folder lies on a file system of the network."""
    kind = network_kind(_magic(folder), mount_type(folder))
    if kind is not None:
        raise StateError(
            "The state folder lies on a network file system.",
            f"{folder} is on {kind}, where locks and syncs do not hold as on a local disk.",
            ["choose a folder on a local disk: homewright --state DIR …"],
        )


def read_only(folder: Path) -> bool:
    """Whether the folder's file system takes nothing, as the kernel makes one whose disk has errors."""
    try:
        return bool(os.statvfs(folder).f_flag & os.ST_RDONLY)
    except OSError:
        return False


def _magic(folder: Path) -> int:
    """f_type of statfs(2); 0 where it cannot be asked."""
    buffer = ctypes.create_string_buffer(256)
    if ctypes.CDLL(None, use_errno=True).statfs(os.fsencode(folder), buffer) != 0:
        return 0
    return ctypes.c_long.from_buffer(buffer).value


def mount_type(folder: Path) -> str:
    """The type of the mount that holds a place, by the longest mount point above it; empty where that is unknown."""
    place = str(folder.resolve())
    best, kind = "", ""
    try:
        table = Path("/proc/self/mounts").read_text(errors="replace")
    except OSError:
        return ""
    for line in table.splitlines():
        _, point, found, *_ = line.split(" ")
        point = point.replace("\\040", " ")
        inside = place == point or place.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, kind = point, found
    return kind
