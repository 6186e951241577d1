"""What practice servers build the image of devenv from: a Debian and OpenTofu's archive, under their public names.

Packages of Debian and of npm come from where this machine gets them: the practice servers reach that too.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from typing import cast

from homewright.errors import LabError
from homewright.lab import base_image, cluster_files, cluster_images, go, mirror, privilege, record, services
from homewright.lab.acts import Request
from homewright.lab.code_server import architecture
from homewright.lab.oci import Recipe, assemble, take_layer
from homewright.lab.programs import named
from homewright.mirror.layout import Descriptor, Layout
from homewright.site import mirrored
from homewright.site.mirrored import Architecture
from homewright.site.paths import make_folder, write_atomically

Say = Callable[[str], None]

_SAME = (1980, 1, 1, 0, 0, 0)
"""The time of what is in the archive: the same program makes the same bytes."""


def ensure(say: Say) -> dict[str, Descriptor]:
    """Have OpenTofu laid out for the practice servers, and the base image made; the image by its reference.

    Takes minutes the first time. Raises LabError, MirrorError.
    """
    go.ensure([named("opentofu")], say=say)
    lay_out(say)
    return {mirrored.BASE.reference: _base(say)}


def lay_out(say: Say) -> None:
    """Have the archive where nodes ask for it, as it was built last, its SHA-256 beside it. Raises LabError."""
    program = mirrored.opentofu(cast("Architecture", architecture()[0]))
    target = cluster_files.place(program.url)
    beside = target.with_name(f"{target.name}.sha256")
    mark = target.with_name(f".{target.name}.from")
    wanted = go.place(named("opentofu")).name
    try:
        if target.is_file() and beside.is_file() and mark.is_file() and mark.read_text("ascii") == wanted:
            return
        make_folder(services.files())
        target.parent.mkdir(parents=True, exist_ok=True)
        mark.unlink(missing_ok=True)
        part = target.with_name(f".{target.name}.{os.getpid()}")
        with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed:
            entry = zipfile.ZipInfo("tofu", _SAME)
            entry.external_attr, entry.compress_type = 0o755 << 16, zipfile.ZIP_DEFLATED
            packed.writestr(entry, go.program(named("opentofu"), "tofu").read_bytes())
        beside.write_text(f"{go.checksum(part)}  {target.name}\n", encoding="ascii")
        part.replace(target)
        write_atomically(mark, wanted.encode())
    except OSError as error:
        raise LabError(
            "OpenTofu could not be laid out for the practice servers.",
            f"{error.filename}: {error.strerror}.",
            [f"free some room below {services.files()}", "then again: homewright lab up --cluster"],
        ) from error
    say("laid out OpenTofu for the practice servers")


def _base(say: Say) -> Descriptor:
    here, folder = mirror.of_this_machine(), record.image_folder()
    make_folder(folder)
    wanted = base_image.archive(folder, here)
    layout = Layout(cluster_images.folder()).create()
    named_already = layout.images().get(mirrored.BASE.reference)
    if not wanted.exists():
        owner = (os.getuid(), os.getgid())
        privilege.act(Request("base", image_folder=str(folder), owner=owner, mirror=here), say)
    try:
        layer = take_layer(wanted, layout)
    except OSError as error:
        raise LabError(f"{wanted} cannot be read.", f"{error.strerror}.", ["homewright lab up --cluster"]) from error
    image = assemble(Recipe((), command=("bash",)), [layer], layout, architecture()[0])
    if named_already != image:
        layout.name(mirrored.BASE.reference, image)
    return image
