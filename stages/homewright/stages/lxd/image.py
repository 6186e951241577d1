"""The image that instances are made of: from wherever the site says, brought into LXD once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from homewright.errors import HomewrightError
from homewright.lxd.client import Lxd, LxdAway, LxdError
from homewright.site.models import Site
from homewright.stages.lxd.standing import OWNER

USUAL = "https://cloud-images.ubuntu.com/releases#24.04"
"""Ubuntu's own server of images, which LXD knows as `ubuntu:`."""
PROPERTY = OWNER.removeprefix("user.")
"""The image's property that says whose it is."""


@dataclass(frozen=True)
class Local:
    """Two files on this machine."""

    metadata: Path
    rootfs: Path

    def fingerprint(self) -> str:
        """As LXD computes it: the SHA-256 of both, one after the other. Raises OSError."""
        total = hashlib.sha256()
        for path in (self.metadata, self.rootfs):
            with path.open("rb") as file:
                while data := file.read(1 << 20):
                    total.update(data)
        return total.hexdigest()


@dataclass(frozen=True)
class Remote:
    """An image of a simplestreams server, which LXD fetches itself."""

    server: str
    alias: str


def source(site: Site) -> Local | Remote:
    """Where the site's image comes from."""
    value = site.mirror.instances or USUAL
    if value.startswith("https://"):
        server, _, alias = value.partition("#")
        return Remote(server, alias)
    rootfs = Path(value).expanduser()
    beside = [path for path in (rootfs.with_suffix(end) for end in (".tar", ".tar.xz", ".tar.gz")) if path.exists()]
    return Local(beside[0] if beside else rootfs.with_suffix(".tar"), rootfs)


def missing(where: Local | Remote) -> str:
    """Why a local image cannot be read; empty where it can."""
    if isinstance(where, Local):
        for path in (where.rootfs, where.metadata):
            if not path.is_file():
                return f"There is no file {path} on this machine."
    return ""


def ensure(lxd: Lxd, site: Site, owner: str, kind: str, say: Callable[[str], None]) -> tuple[str, bool]:
    """The image's fingerprint in LXD, and whether it had to be brought there.

    Raises HomewrightError where it cannot be had: then nothing was made yet.
    """
    where = source(site)
    do = [
        "say where it comes from: homewright site set mirror.instances …",
        "https://SERVER/PATH#IMAGE, or a file here",
    ]
    if why := missing(where):
        raise HomewrightError("The instances' image cannot be read.", why, do)
    known = lxd.get("images", recursion=1)
    if isinstance(where, Local):
        try:
            # Where LXD has none it is not read twice: LXD says itself what it was given.
            fingerprint = where.fingerprint() if known else ""
            if any(image["fingerprint"] == fingerprint for image in known):
                return fingerprint, False
            return lxd.import_image(where.metadata, where.rootfs, {PROPERTY: owner}, say), True
        except OSError as error:
            raise HomewrightError("The instances' image cannot be read.", f"{error}.", do) from error
    for image in known:
        came = image.get("update_source") or {}
        if (came.get("server"), came.get("alias"), image["type"]) == (where.server, where.alias, kind):
            return str(image["fingerprint"]), False
    wanted = {
        "source": {
            "type": "image", "mode": "pull", "protocol": "simplestreams", "server": where.server, "alias": where.alias,
            "image_type": kind,
        },
        "properties": {PROPERTY: owner},
        "auto_update": False,
    }  # fmt: skip
    try:
        made = lxd.post("images", wanted, say=say)
    except LxdAway:  # a member of the cluster, which comes back, not where the image is from
        raise
    except LxdError as error:
        what = f"The instances' image {where.alias} cannot be fetched from {where.server}."
        raise HomewrightError(what, error.why, ["see whether the servers reach it: curl -I", *do]) from error
    return str(made["fingerprint"]), True


def remove(lxd: Lxd, owner: str) -> bool:
    """Remove our images; whether there was one."""
    ours = [one["fingerprint"] for one in lxd.get("images", recursion=1) if one["properties"].get(PROPERTY) == owner]
    for fingerprint in ours:
        lxd.delete(f"images/{fingerprint}")
    return bool(ours)
