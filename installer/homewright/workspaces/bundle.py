"""code-server as one archive on this machine: the official release, or a local bundle; checked by sha256 either way."""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from urllib.error import URLError

from homewright.site.models import CodeServer
from homewright.site.paths import cache_home, make_folder, sync_folder
from homewright.workspaces.errors import BundleError

RELEASES = "https://github.com/coder/code-server/releases/download"
RELEASE_API = "https://api.github.com/repos/coder/code-server/releases/tags"
PUBLISHED = {
    ("4.139.1", "amd64"): "53029be6c5781b7bca49b815fcc9a2a3fc111813ad8c9965b2c0f0d2985a0674",
    ("4.139.1", "arm64"): "0edb4b60d9c4744b2dd14b0911e3c2e6dd8c6f3c13bd58bda23ae744e59e7df1",
}
"""sha256 of the release's archives, as its own pages publish them; other versions are asked for there."""
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_CHUNK = 1 << 20
_TIMEOUT_S = 30

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Bundle:
    """An archive here, seen to be what its checksum says."""

    file: Path
    version: str
    sha256: str

    @property
    def size(self) -> int:
        return self.file.stat().st_size


def architecture(machine: str) -> str:
    """The release's word for a node's machine. Raises BundleError where there is no release for it."""
    try:
        return ARCHITECTURES[machine]
    except KeyError:
        raise BundleError(
            f"code-server is not released for {machine} servers.",
            "",
            ["choose another node: homewright workspace create … --node NAME"],
        ) from None


def wanted(settings: CodeServer, machine: str) -> str:
    """The sha256 of the bundle for a node's machine, without looking into the archive. Raises BundleError.

    The site's own answer comes first; then the file beside a local bundle, or what the release publishes.
    """
    kind = architecture(machine)
    if settings.sha256:
        return settings.sha256
    if settings.bundle == "official":
        return PUBLISHED.get((settings.version, kind)) or _published_now(settings.version, _name(settings, kind))
    file = Path(settings.bundle).expanduser()
    beside = file.with_name(f"{file.name}.sha256")
    try:
        digest = beside.read_text(encoding="ascii", errors="replace").split()[0].lower()
    except (OSError, IndexError) as error:
        raise BundleError(
            f"The code-server bundle {file} has no checksum.",
            f"{beside.name} is missing beside it, or empty, and workspaces.code_server.sha256 is not set.",
            [f"sha256sum {file} > {beside}"],
        ) from error
    if not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise BundleError(f"{beside} holds no sha256.", "", [f"sha256sum {file} > {beside}"])
    return digest


def ensure(settings: CodeServer, machine: str, progress: Progress | None = None) -> Bundle:
    """The bundle for a node's machine; downloaded into the cache where it is the official one and not there yet.

    Raises BundleError: not to be had, or not what it should be.
    """
    digest = wanted(settings, machine)
    if settings.bundle == "official":
        return official(_name(settings, architecture(machine)), settings.version, digest, progress)
    file = Path(settings.bundle).expanduser()
    if not file.is_file():
        raise BundleError(
            f"There is no code-server bundle {file}.",
            "",
            ["put it there, or: homewright site set workspaces.code_server.bundle official"],
        )
    _require(file, digest)
    return Bundle(file, settings.version, digest)


def _name(settings: CodeServer, kind: str) -> str:
    return f"code-server-{settings.version}-linux-{kind}.tar.gz"


def official(
    name: str, version: str, digest: str, progress: Progress | None = None, releases: str = RELEASES
) -> Bundle:
    """The release's archive out of the cache, or fetched into it."""
    folder = cache_home() / "code-server"
    file = folder / name
    if file.is_file() and checksum(file) == digest:
        return Bundle(file, version, digest)
    make_folder(folder)
    _download(f"{releases}/v{version}/{name}", file, digest, progress)
    return Bundle(file, version, digest)


def _download(address: str, file: Path, digest: str, progress: Progress | None) -> None:
    descriptor, temporary = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
    part = Path(temporary)
    try:
        with os.fdopen(descriptor, "wb") as handle:
            try:
                with urllib.request.urlopen(address, timeout=_TIMEOUT_S) as answer:
                    total = int(answer.headers.get("Content-Length") or 0)
                    done = 0
                    while data := answer.read(_CHUNK):
                        handle.write(data)
                        done += len(data)
                        if progress is not None:
                            progress(done, total)
            except (URLError, HTTPException, TimeoutError, ConnectionError) as error:
                raise BundleError(
                    "code-server cannot be downloaded.",
                    f"{address}: {getattr(error, 'reason', None) or error}.",
                    [
                        "see whether this machine reaches the internet, then try again",
                        "or get the archive elsewhere: homewright site set workspaces.code_server.bundle FILE",
                    ],
                ) from error
            handle.flush()
            os.fsync(handle.fileno())
        _require(part, digest)
        part.replace(file)
        sync_folder(file.parent)
    except OSError as error:
        raise BundleError(
            f"{file} cannot be saved.", f"{error.strerror or error}.", ["free some space there"]
        ) from error
    finally:
        part.unlink(missing_ok=True)


def _published_now(version: str, name: str) -> str:
    """The digest that the release's own page gives for one of its files."""
    address = f"{RELEASE_API}/v{version}"
    try:
        with urllib.request.urlopen(address, timeout=_TIMEOUT_S) as answer:
            return digest_of(json.load(answer), name)
    except (URLError, HTTPException, TimeoutError, ConnectionError, ValueError) as error:
        raise BundleError(
            f"The checksum of code-server {version} is not known.",
            f"{address}: {getattr(error, 'reason', None) or error}.",
            ["set it by hand: homewright site set workspaces.code_server.sha256 …"],
        ) from error


def digest_of(release: object, name: str) -> str:
    """The sha256 of a file in the release's description. Raises ValueError where it gives none."""
    assets = release.get("assets", []) if isinstance(release, dict) else []
    for asset in assets:
        if isinstance(asset, dict) and asset.get("name") == name:
            kind, _, digest = str(asset.get("digest") or "").partition(":")
            if kind == "sha256" and len(digest) == 64:
                return digest
    raise ValueError(f"it gives no sha256 for {name}")


def checksum(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as handle:
        while data := handle.read(_CHUNK):
            digest.update(data)
    return digest.hexdigest()


def _require(file: Path, digest: str) -> None:
    found = checksum(file)
    if found != digest:
        raise BundleError(
            f"{file.name.lstrip('.')} is not what it should be.",
            f"Its sha256 is {found}, wanted is {digest}.",
            ["get it again", "or, where the wanted one is wrong: homewright site set workspaces.code_server.sha256 …"],
        )
