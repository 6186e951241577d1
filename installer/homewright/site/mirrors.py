"""Where packages and images come from: the site's `mirror` is asked here and nowhere else. Pure.

Without an answer everything comes from where it usually does; the lab and an air-gapped site are two answers.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from urllib.parse import urlsplit

from homewright.site import mirrored
from homewright.site.models import MirrorSettings

_COMPONENTS = {"ubuntu": "main universe"}
"""Of a system's own archive, what our packages are in; Debian's are in main."""
_DRIVERS = {"ubuntu": "restricted", "debian": "contrib non-free non-free-firmware"}
"""What NVIDIA's drivers are in besides. apt warns where a mirror has no such part, and goes on."""
_REGISTRY = re.compile(r"[a-z0-9.-]+\.[a-z0-9.-]+(?::\d+)?|localhost(?::\d+)?|[a-z0-9-]+:\d+")


def apt_sources(mirror: MirrorSettings, system: str, codename: str, *, drivers: bool = False) -> str:
    """The one line of apt's sources for this system (its ID and VERSION_CODENAME); empty for the server's own."""
    parts = [_COMPONENTS.get(system, "main"), *([_DRIVERS[system]] if drivers and system in _DRIVERS else ())]
    return f"deb {mirror.apt.rstrip('/')} {codename} {' '.join(parts)}\n" if mirror.apt else ""


def pip_environment(mirror: MirrorSettings) -> dict[str, str]:
    """What pip is told by its environment; nothing for the server's own index."""
    return {"PIP_INDEX_URL": mirror.pip_index} if mirror.pip_index else {}


def image(mirror: MirrorSettings, reference: str) -> str:
    """A container image's reference as it is pulled: images.example.org/app:2 comes from a mirror at registry.lan:5000
    as registry.lan:5000/images.example.org/app:2. Short names are Docker's, as everywhere."""
    registry, slash, rest = reference.partition("/")
    if not slash or not _REGISTRY.fullmatch(registry):
        registry, rest = mirrored.DOCKER, reference if slash else f"library/{reference}"
    if not mirror.images:
        return f"{registry}/{rest}"
    return f"{mirror.images.rstrip('/')}/{registry}/{rest}"


def image_repository(mirror: MirrorSettings, registry: str = "registry.k8s.io") -> str:
    """Where the images of one registry are pulled from: what kubeadm is told as `imageRepository`."""
    return f"{mirror.images.rstrip('/')}/{registry}" if mirror.images else registry


def file(mirror: MirrorSettings, url: str) -> str:
    """A file's address as it is fetched: https://files.example.org/a/b comes from a mirror at http://mirror.lan/files
    as http://mirror.lan/files/files.example.org/a/b."""
    if not mirror.files:
        return url
    parts = urlsplit(url)
    return f"{mirror.files.rstrip('/')}/{parts.netloc}{parts.path}"


@dataclass(frozen=True)
class Fetch:
    """A program as a node fetches it."""

    url: str
    checksum: str
    """The address of its SHA-256: 64 hexadecimal digits, perhaps with the file's name behind them."""
    archive: bool
    """A .tar.gz whose folder `bin` has the programs; else the program itself."""


def program(mirror: MirrorSettings, name: str, version: str, architecture: mirrored.Architecture) -> Fetch:
    """Where the nodes get kubeadm, kubelet, kubectl or containerd; KeyError for another name."""
    found = mirrored.program(name, version, architecture)
    return Fetch(file(mirror, found.url), file(mirror, found.checksum), found.archive)


def checksum(mirror: MirrorSettings, program: mirrored.Program) -> str:
    """Where the SHA-256 of a program's file is read. A list of many files' is its publisher's alone: beside the copy of
    one file lies its own."""
    if mirror.files and program.sha256:
        return f"{file(mirror, program.url)}.sha256"
    return file(mirror, program.checksum)


def apt_script(mirror: MirrorSettings, *, drivers: bool = False) -> str:
    """Lines of shell that define `get`: apt-get, from the site's mirror alone where there is one. What else asks apt
    takes `$sources`, after a `get update` where that is not empty.

    The mirror's lists lie in a folder of their own that goes again: the server's sources stay as they are.
    """
    lines = ["export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8", "sources="]
    if mirror.apt:
        cases = " ".join(
            f"{system}) line={shlex.quote(apt_sources(mirror, system, '@', drivers=drivers).strip())} ;;"
            for system in ("ubuntu", "debian", "*")
        )
        lines += [
            ". /etc/os-release",
            "folder=$(mktemp -d)",
            "trap 'rm -rf \"$folder\"' EXIT",
            'chmod 755 "$folder"',
            'mkdir -p "$folder/lists/partial"',
            f"case $ID in {cases} esac",
            'printf \'%s\\n\' "$line" | sed "s/ @ / $VERSION_CODENAME /" >"$folder/sources.list"',
            'sources="-o Dir::Etc::SourceList=$folder/sources.list -o Dir::Etc::SourceParts=- '
            '-o Dir::State::Lists=$folder/lists"',
        ]
    options = "-q -y -o DPkg::Lock::Timeout=120 -o Acquire::Retries=3 -o Dpkg::Use-Pty=0"
    lines.append(f'get() {{ apt-get {options} $sources "$@"; }}')
    return "\n".join(lines) + "\n"
