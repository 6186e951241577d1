"""Opens a support bundle that somebody else made: nothing in it is trusted."""

from __future__ import annotations

import gzip
import tarfile
import zlib
from pathlib import Path

from pydantic import ValidationError

from homewright.errors import StateError, UsageError
from homewright.site.paths import make_folder
from homewright.support.contents import ABOUT, MEMBER, ROOT, Contents

MOST_BYTES = 1024 * 1024 * 1024
"""Unpacked; the lines of runs, nearly all of a bundle of ours, have an eighth of that at most."""
MOST_MEMBERS = 20_000


def unpack(file: Path, folder: Path) -> Contents:
    """Unpack a bundle below `folder` (`site.yaml`, `state/…`) and say what it is.

    Only names that a bundle has are taken, only plain files, and only so many bytes. Raises UsageError where the file
    is no support bundle.
    """
    try:
        with gzip.open(file) as whole:
            with tarfile.open(fileobj=whole, mode="r:") as archive:
                _members(archive, folder)
            while whole.read(1 << 20):  # to its end: only there it is known to be whole
                pass
        return Contents.model_validate_json((folder / ABOUT).read_bytes())
    except StateError as error:  # a name that is a file and a folder in one
        raise no_bundle(file, error.why) from error
    except (OSError, EOFError, tarfile.TarError, zlib.error, ValidationError) as error:
        why = f"{error.strerror or error}." if isinstance(error, OSError) else f"{str(error).splitlines()[0]}."
        raise no_bundle(file, why) from error


def no_bundle(file: Path, why: str) -> UsageError:
    """The error for a file that is no support bundle."""
    return UsageError(f"{file} is no support bundle.", why, ["one is made by: homewright support-bundle FILE"])


def _members(archive: tarfile.TarFile, folder: Path) -> None:
    left = MOST_BYTES
    make_folder(folder)
    for count, member in enumerate(archive):
        root, _, name = member.name.partition("/")
        if root != ROOT or not member.isfile() or not MEMBER.fullmatch(name) or ".." in name.split("/"):
            raise tarfile.ReadError(f"It has a member {member.name[:100]!r} that none of ours has")
        left -= member.size
        if left < 0 or count >= MOST_MEMBERS:
            raise tarfile.ReadError("It is larger than any of ours")
        source = archive.extractfile(member)
        assert source is not None
        target = folder / name
        make_folder(target.parent) if not target.parent.is_dir() else None
        with source, target.open("xb") as handle:
            target.chmod(0o600)
            while chunk := source.read(1 << 20):
                handle.write(chunk)
