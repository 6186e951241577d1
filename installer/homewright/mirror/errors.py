"""What can be wrong with a mirror."""

from __future__ import annotations

import errno
from pathlib import Path

from homewright.errors import HomewrightError


class MirrorError(HomewrightError):
    """Something that a site fetches is missing, or is not what it should be."""

    code = "mirror"


class MirrorAway(MirrorError):
    """A registry or web server does not answer."""

    code = "mirror-away"
    exit_code = 5


def wrong(what: str, wanted: str, found: str) -> MirrorError:
    """Something has another digest than it should have."""
    return MirrorError(
        f"{what} is not what it should be.",
        f"Its digest is {found}, and {wanted} is wanted: it is damaged, or somebody has put something else there.",
        ["fetch it again: homewright mirror fetch FOLDER", "or see who gives it out"],
    )


def unwritable(folder: Path, error: OSError) -> MirrorError:
    """A file could not be written in this folder: the disk is full, or is closed to us."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        do = ["free some space there, then again: what is whole already is not fetched anew"]
        return MirrorError("The disk is full.", f"{folder} takes nothing more; nothing half-fetched is left there.", do)
    return MirrorError(
        f"Nothing can be kept in {folder}.", f"{error.strerror or error}.", ["choose another folder, or open this one"]
    )
