"""Container images out of files, without a container engine: a layer is a tar archive, an image a document about it.

The same files make the same digests on every machine and at any time: names are sorted, and times, owners and what a
compressor does differently from version to version are left out.
"""

from __future__ import annotations

import io
import stat
import tarfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from homewright.mirror.layout import CHUNK, CONFIG, LAYER, MANIFEST, Descriptor, Layout, Receiver, told

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Entry:
    """One file of a layer: what is in it, or which file of this machine it is, or where it points to."""

    path: str
    """Without a leading slash."""
    content: Path | bytes = b""
    mode: int = 0o755
    link: str = ""
    """Of a symbolic link."""
    folder: bool = False
    owner: int = 0
    """User and group."""


@dataclass(frozen=True)
class Recipe:
    """An image: its layers, and what is started in it."""

    layers: tuple[tuple[Entry, ...], ...]
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    user: str = ""
    environment: tuple[str, ...] = field(default=(f"PATH={PATH}",))


def with_folders(entries: Iterable[Entry]) -> list[Entry]:
    """The entries with the folders that they lie in, sorted so that each folder comes before what is in it."""
    known = {entry.path: entry for entry in entries}
    for path in list(known):
        for parent in PurePosixPath(path).parents:
            if str(parent) != ".":
                known.setdefault(str(parent), Entry(str(parent), folder=True))
    return [known[path] for path in sorted(known, key=lambda path: path.split("/"))]


class _Output(io.RawIOBase):
    """What tarfile writes to."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        return self._receiver.write(bytes(data))  # type: ignore[call-overload]  # a buffer, whatever its type


def write_layer(entries: Sequence[Entry], layout: Layout) -> Descriptor:
    """Keep the layer of these files in the layout. Raises MirrorError, and OSError for a file that cannot be read."""
    with (
        layout.receiving() as receiver,
        tarfile.open(fileobj=_Output(receiver), mode="w|", format=tarfile.PAX_FORMAT, bufsize=CHUNK) as archive,
    ):
        for entry in with_folders(entries):
            _add(archive, entry)
    return Descriptor(LAYER, receiver.digest, receiver.size)


def _add(archive: tarfile.TarFile, entry: Entry) -> None:
    info = tarfile.TarInfo(entry.path)
    info.mode = stat.S_IMODE(entry.mode)
    info.uid = info.gid = entry.owner
    if entry.folder:
        info.type = tarfile.DIRTYPE
        archive.addfile(info)
    elif entry.link:
        info.type, info.linkname, info.mode = tarfile.SYMTYPE, entry.link, 0o777
        archive.addfile(info)
    elif isinstance(entry.content, bytes):
        info.size = len(entry.content)
        archive.addfile(info, io.BytesIO(entry.content))
    else:
        with entry.content.open("rb") as handle:
            info.size = entry.content.stat().st_size
            archive.addfile(info, handle)


def configuration(recipe: Recipe, layers: Sequence[Descriptor], architecture: str) -> bytes:
    """The document that says how the image is started. Its layers are not compressed: their digests are the same."""
    settings = {
        "Env": list(recipe.environment),
        "WorkingDir": "/",
        "Entrypoint": list(recipe.entrypoint),
        "Cmd": list(recipe.command),
        "User": recipe.user,
    }
    return told(
        {
            "architecture": architecture,
            "os": "linux",
            "config": {name: value for name, value in settings.items() if value},
            "rootfs": {"type": "layers", "diff_ids": [layer.digest for layer in layers]},
        }
    )


def make(recipe: Recipe, layout: Layout, architecture: str, made: dict[tuple[Entry, ...], Descriptor]) -> Descriptor:
    """Keep an image in the layout; `made` holds the layers that others of its images have had written already."""
    for layer in recipe.layers:
        if layer not in made:
            made[layer] = write_layer(layer, layout)
    return assemble(recipe, [made[layer] for layer in recipe.layers], layout, architecture)


def take_layer(archive: Path, layout: Layout) -> Descriptor:
    """Keep a tar archive as a layer. Raises MirrorError, and OSError for one that cannot be read."""
    with layout.receiving() as receiver, archive.open("rb") as handle:
        while data := handle.read(CHUNK):
            receiver.write(data)
    return Descriptor(LAYER, receiver.digest, receiver.size)


def assemble(recipe: Recipe, layers: Sequence[Descriptor], layout: Layout, architecture: str) -> Descriptor:
    """Keep the image of layers that are there already; of the recipe, how it is started."""
    config = layout.add(configuration(recipe, layers, architecture), CONFIG)
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": config.document(),
        "layers": [layer.document() for layer in layers],
    }
    return layout.add(told(manifest), MANIFEST)
