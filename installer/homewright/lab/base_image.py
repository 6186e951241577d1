"""A plain Debian as one archive: what stands in for the public base image of what is built on the nodes."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from homewright.lab.image import bootstrap, isolated, source_lines
from homewright.lab.mirror import SUITE, Mirror, Source

CODENAME = "trixie"
"""Debian 13, as the table's base image is."""

_LEFT_OUT = ("dev", "proc", "sys", "run", "tmp", "var/lib/apt/lists", "var/cache/apt", "usr/share/doc", "usr/share/man",
             "usr/share/locale", "usr/share/info")  # fmt: skip
"""What a public image leaves out, or a builder mounts."""
_DPKG = """\
# As the public image has it: nothing of a build outlives a power cut.
force-unsafe-io
path-exclude=/usr/share/doc/*
path-exclude=/usr/share/man/*
path-exclude=/usr/share/locale/*
"""

Say = Callable[[str], None]


def archive(folder: Path, mirror: Mirror) -> Path:
    """Where the archive is that belongs to this mirror, there or not."""
    told = hashlib.sha256(f"{mirror.digest()} {CODENAME} {_LEFT_OUT} {_DPKG}".encode())
    return folder / f"debian-{told.hexdigest()[:16]}.tar"


def sources(mirror: Mirror) -> tuple[Source, ...]:
    """The mirror's sources for this Debian."""
    return tuple(
        Source(one.uri, one.suite.replace(SUITE, CODENAME), one.components, one.signed_by) for one in mirror.sources
    )


def build(wanted: Path, mirror: Mirror, owner: tuple[int, int], say: Say) -> None:
    """Build the archive as root and give it to `owner`. Raises LabError; nothing half-built stays."""
    started = time.monotonic()
    say(f"making a plain Debian 13 for images to be built on (about a minute; kept in {wanted.parent})")
    for left in wanted.parent.glob(".base-*"):
        shutil.rmtree(left, ignore_errors=True)
    work = wanted.parent / f".base-{os.getpid()}"
    work.mkdir(mode=0o700)
    try:
        root, made = work / "rootfs", work / "base.tar"
        bootstrap(root, mirror, CODENAME, ())
        files = {
            "etc/dpkg/dpkg.cfg.d/plain": _DPKG,
            "etc/apt/apt.conf.d/99plain": "".join(f"{one}\n" for one in mirror.apt),
        }
        if mirror.sources:
            files["etc/apt/sources.list"] = source_lines(sources(mirror))
        for name, text in files.items():
            (root / name).write_text(text, encoding="utf-8")
        without = [word for name in _LEFT_OUT for word in ("--exclude", f"./{name}/*")]
        plain: list[str | Path] = ["--numeric-owner", "--sort=name", "--mtime=@0", "--format=gnu", "-C", root, "."]
        words: list[str | Path] = ["tar", "--create", "--file", made]
        isolated([*words, *without, *plain])
        for old in wanted.parent.glob("debian-*.tar"):
            old.unlink()
        made.chmod(0o600)
        os.chown(made, *owner)
        made.rename(wanted)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    say(f"Debian 13: ready ({wanted.stat().st_size / 1e6:.0f} MB, {time.monotonic() - started:.0f} s)")
