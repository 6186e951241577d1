"""The files that nodes fetch besides images, laid out as the practice servers' web server gives them out.

Each lies below the name of the server that it is published on, its SHA-256 beside it as there.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import cast

from homewright.errors import LabError
from homewright.lab import go
from homewright.lab.code_server import architecture
from homewright.lab.programs import EARLIER, KUBE, SUFFIX, Build, named
from homewright.lab.services import files
from homewright.mirror.layout import CHUNK
from homewright.site import mirrored
from homewright.site.mirrored import Architecture, Program
from homewright.site.mirrors import file as copy_of
from homewright.site.models import MirrorSettings
from homewright.site.paths import make_folder, write_atomically

Say = Callable[[str], None]

_AT = "http://files"
"""Any address: a copy's path below it is what is asked for."""


def place(url: str) -> Path:
    """Where the copy of a published file lies."""
    return files() / copy_of(MirrorSettings(files=_AT), url).removeprefix(f"{_AT}/")


def ensure(say: Say, version: str = mirrored.KUBERNETES) -> bool:
    """Have all of this Kubernetes there, as they were built last; whether anything was missing.

    Raises LabError where one cannot be written.
    """
    done = []
    for program in mirrored.programs(version, cast("Architecture", architecture()[0])):
        source = _source(program)
        mark = place(program.url).with_name(f".{place(program.url).name}.from")
        wanted = go.place(source).name.encode()
        with contextlib.suppress(OSError):
            if mark.read_bytes() == wanted and place(program.url).is_file() and place(program.checksum).is_file():
                continue
        try:
            mark.parent.mkdir(parents=True, exist_ok=True)
            mark.unlink(missing_ok=True)
            _put(program)
        except OSError as error:
            raise LabError(
                f"{program.name} could not be laid out for the practice servers.",
                f"{error.filename}: {error.strerror}.",
                [f"free some room below {files()}", "then again: homewright lab up --cluster"],
            ) from error
        write_atomically(mark, wanted)
        done.append(program.name)
    if done:
        say(f"laid out {', '.join(done)} for the practice servers")
    return bool(done)


def _source(program: Program) -> Build:
    if program.archive:
        return named("containerd")
    return named(f"kubernetes{SUFFIX}" if program.version == EARLIER else "kubernetes")


def _put(program: Program) -> None:
    target = place(program.url)
    make_folder(files())
    part = target.with_name(f".{target.name}.{os.getpid()}")
    part.unlink(missing_ok=True)
    try:
        if program.archive:
            _pack(part)
        else:
            os.link(go.program(_source(program), KUBE), part)
        digest = go.checksum(part)
        place(program.checksum).write_text(f"{digest}  {target.name}\n", encoding="ascii")
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _pack(target: Path) -> None:
    """containerd's programs as its release has them; the same programs make the same bytes."""
    with (
        target.open("wb") as raw,
        gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=1, mtime=0, filename="") as packed,
        tarfile.open(fileobj=cast("io.BytesIO", packed), mode="w|", bufsize=CHUNK) as archive,
    ):
        for name, _ in sorted(named("containerd").programs):
            source = go.program(named("containerd"), name)
            info = tarfile.TarInfo(f"bin/{name}")
            info.size, info.mode = source.stat().st_size, 0o755
            with source.open("rb") as handle:
                archive.addfile(info, handle)
