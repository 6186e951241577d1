"""Disks and file systems."""

from __future__ import annotations

import re
from typing import Any, Literal

from homewright.discovery.bundle import RawBundle
from homewright.discovery.facts import Disk, FileSystem
from homewright.discovery.parsers.shapes import document, record, records, word, words
from homewright.discovery.parsers.sizes import size, whole

_ROW = re.compile(
    r"^(?P<tree>[\s│├└─|`-]*)(?P<name>[^\s│├└─]\S*)\s+\d+:\d+\s+[01]\s+(?P<size>\S+)\s+[01]\s+(?P<type>\w+)[^\S\n]*(?P<mount>.*)$"
)
_NOT_A_DISK = re.compile(r"^(loop|ram|zram|fd|sr|nbd)\d|^mmcblk\d+(boot|rpmb)")
_VIRTUAL_DISK = re.compile(r"^(vd|xvd)[a-z]")
_PSEUDO = {"tmpfs", "devtmpfs", "squashfs", "efivarfs", "udev", "none", "shm", "overlay", "fuse.lxcfs", "ramfs"}
_HOME = re.compile(r"/home(/|$)")
"""Where an account's files are: whatever file system that is, its room counts."""


def lsblk_json(text: str) -> list[Disk]:
    """From `lsblk -J -b`; old versions print numbers and booleans as strings."""
    disks = []
    for device in records(record(document(text)).get("blockdevices")):
        total = whole(str(device.get("size", "")))
        name = word(device.get("name"))
        if device.get("type") == "disk" and name and total and not _NOT_A_DISK.match(name):
            model = " ".join(word(device.get("model")).split())
            mounts = tuple(dict.fromkeys(_mounts(device)))
            disks.append(
                Disk(name=name, size=total, kind=disk_kind(name, device.get("rota")), model=model, mounts=mounts)
            )
    return disks


def lsblk_text(text: str) -> list[Disk]:
    """From plain `lsblk`: sizes are rounded there, and nothing tells spinning disks from others."""
    disks: list[Disk] = []
    usable = False
    for row in filter(None, map(_ROW.match, text.splitlines())):
        if row["type"] == "disk":
            total = size(row["size"])
            usable = bool(total) and not _NOT_A_DISK.match(row["name"])
            if usable and total:
                disks.append(Disk(name=row["name"], size=total, kind=disk_kind(row["name"], None)))
        elif row["type"] in ("rom", "loop"):
            usable = False
        mount = row["mount"].strip()
        if usable and mount.startswith("/") and mount not in disks[-1].mounts:
            disks[-1] = disks[-1].model_copy(update={"mounts": (*disks[-1].mounts, mount)})
    return disks


def df(text: str) -> list[FileSystem]:
    """From `df`, with or without a type column and -h; the real file systems, each device once (where it is mounted
    first), and / whatever it is."""
    lines = text.splitlines()
    # the heading is in any language: its blocks are told by their number, the column of types by what is in it
    unit = 1024 if lines and re.search(r"\s1(K|024)-\S", lines[0]) else 1
    typed = any(re.match(r"\S+\s+[A-Za-z]", line) for line in lines[1:])
    found: dict[str, FileSystem] = {}
    for line in lines[1:]:
        words = line.split(None, 6 if typed else 5)
        if len(words) < (7 if typed else 6):
            continue
        device, kind = words[0], words[1] if typed else ""
        total, left = (_amount(words[index]) for index in ((2, 4) if typed else (1, 3)))
        mount = words[-1]
        if total is None or left is None or not mount.startswith("/"):
            continue
        pseudo = {device, kind} & _PSEUDO and not _HOME.match(mount)
        if mount != "/" and (not total or pseudo or device in found):
            continue
        total, left = total * unit, left * unit
        found[device if mount != "/" else "/"] = FileSystem(mount=mount, size=total, free=left, kind=kind)
    return list(found.values())


def parse_disks(bundle: RawBundle) -> tuple[Disk, ...]:
    return tuple(
        lsblk_json(bundle.text("lsblk-json")) or lsblk_text(bundle.text("lsblk")) or sys_block(bundle.text("sys-block"))
    )


def parse_file_systems(bundle: RawBundle) -> tuple[FileSystem, ...]:
    # df ends with 1 when it could not read one mount, and has printed the others
    source = bundle.source("df")
    return tuple(df(source.printed) or df(bundle.text("df-k", "df-h")))


def is_disk(name: str) -> bool:
    """No loop device, RAM disk, floppy, optical drive or boot area of a card."""
    return not _NOT_A_DISK.match(name)


def sys_block(text: str) -> list[Disk]:
    """From the probe's listing of /sys/block: name|sectors of 512 bytes|rotational|model."""
    disks = []
    for line in text.splitlines():
        fields = [field.strip() for field in line.split("|")]
        if len(fields) == 4 and is_disk(fields[0]) and (sectors := whole(fields[1])):
            disks.append(
                Disk(name=fields[0], size=sectors * 512, kind=disk_kind(fields[0], fields[2]), model=fields[3])
            )
    return disks


def _amount(text: str) -> int | None:
    plain = whole(text)
    return plain if plain is not None else size(text)


def disk_kind(name: str, rotational: Any) -> Literal["hdd", "ssd", "nvme", "unknown"]:
    if name.startswith("nvme"):
        return "nvme"
    if name.startswith("mmcblk"):
        return "ssd"
    if _VIRTUAL_DISK.match(name):
        return "unknown"  # a hypervisor says of every disk that it rotates
    if rotational is True or rotational == "1":
        return "hdd"
    return "ssd" if rotational is False or rotational == "0" else "unknown"


def _mounts(device: dict[str, Any]) -> list[str]:
    own = [word(device.get("mountpoint")), *words(device.get("mountpoints"))]
    mounts = [mount for mount in own if mount.startswith("/")]
    for child in records(device.get("children")):
        mounts += _mounts(child)
    return mounts
