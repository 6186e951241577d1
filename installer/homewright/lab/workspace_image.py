"""The image of the template code-server, made here: Debian's own programs of this machine, and the bundle from npm.

It carries the name that the template pulls, so no template knows of the lab. It is made of installed packages, as the
other images are, and not of a root file system that somebody would have to be root to unpack.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import stat
import tarfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from homewright.errors import LabError
from homewright.lab import cluster_images, code_server
from homewright.lab.oci import Entry, Recipe, make
from homewright.lab.shell import run
from homewright.mirror.layout import Descriptor, Layout
from homewright.site.paths import write_atomically
from homewright.workspaces.templates import PodTemplate, shipped

PACKAGES = (
    "base-files", "bash", "dash", "coreutils", "diffutils", "findutils", "grep", "sed", "mawk", "tar", "gzip", "less",
    "hostname", "procps", "ncurses-base", "ncurses-bin", "libc-bin", "libstdc++6", "ca-certificates", "git",
)  # fmt: skip
"""Debian packages whose files are in the image, with everything that they depend on."""

TEMPLATE = "code-server"
USER = 1000
HOME = "home/coder"
_PLACE = "usr/lib/code-server"
_REVISION = 1
"""Raised when the same parts are put together differently."""

_LEFT_OUT = re.compile(r"etc/|usr/share/(?:doc|man|info|locale|lintian|bash-completion|doc-base|bug)/|usr/lib/systemd/")
"""Manuals, and this machine's settings: nobody's pod is given those."""
_MERGED = ("bin", "sbin", "lib", "lib64", "libx32", "lib32")
_AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")

_OWN = (
    Entry("etc/passwd", f"root:x:0:0::/root:/bin/bash\ncoder:x:{USER}:{USER}::/{HOME}:/bin/bash\n".encode(), 0o644),
    Entry("etc/group", f"root:x:0:\ncoder:x:{USER}:\n".encode(), 0o644),
    Entry("etc/nsswitch.conf", b"passwd: files\ngroup: files\nhosts: files dns\n", 0o644),
    Entry("etc/bash.bashrc", b"PS1='\\u@\\h:\\w\\$ '\n", 0o644),
    Entry("root", mode=0o700, folder=True),
    Entry("tmp", mode=0o1777, folder=True),
    Entry("usr/bin/awk", link="mawk"),
    Entry("usr/bin/sh", link="dash"),
    Entry("usr/bin/code-server", link="../lib/code-server/bin/code-server"),
    # The volume is mounted below it; settings of programs beside it last as long as the pod.
    Entry(HOME, mode=0o755, folder=True, owner=USER),
)

Say = Callable[[str], None]


@dataclass(frozen=True)
class Package:
    """An installed package: what it needs, each as the names of which one will do."""

    version: str
    needs: tuple[tuple[str, ...], ...]
    provides: tuple[str, ...]


def packages_said(said: str) -> dict[str, Package]:
    """The installed packages in what dpkg-query prints (`_FORMAT`)."""
    found = {}
    for line in said.splitlines():
        name, status, version, provides, before, needs = line.split("\t")
        if status == "installed":
            wanted = tuple(_names(one, "|") for one in f"{before},{needs}".split(",") if one.strip())
            found[name] = Package(version, wanted, _names(provides, ","))
    return found


_FORMAT = "${Package}\t${db:Status-Status}\t${Version}\t${Provides}\t${Pre-Depends}\t${Depends}\n"


def _names(text: str, separator: str) -> tuple[str, ...]:
    """The names in a field of dpkg's, without versions and architectures."""
    names = (re.sub(r"\s*\(.*?\)|\[.*?\]|:\w+", "", one).strip() for one in text.split(separator))
    return tuple(name for name in names if name)


def closure(installed: Mapping[str, Package], wanted: Iterable[str]) -> tuple[str, ...]:
    """These packages and all that they need, sorted. Raises LabError where one is not installed."""
    providers = {name: package for package, one in installed.items() for name in one.provides}
    found: set[str] = set()
    left = list(wanted)
    while left:
        name = left.pop()
        if name in found:
            continue
        if name not in installed:
            raise LabError(
                f"The workspaces' image needs the Debian package {name}.",
                "It is not installed on this machine.",
                [f"apt-get install {name}", "or: homewright lab up --cluster --yes"],
            )
        found.add(name)
        for choices in installed[name].needs:
            one = next((choice if choice in installed else providers.get(choice, "") for choice in choices
                        if choice in installed or choice in providers), choices[0])  # fmt: skip
            left.append(one)
    return tuple(sorted(found))


def merged(path: str) -> str:
    """A package's path in a system whose /bin, /sbin and /lib are links into /usr."""
    top, slash, _ = path.partition("/")
    return f"usr/{path}" if slash and top in _MERGED else path


def system(paths: Sequence[str]) -> tuple[Entry, ...]:
    """The files of packages, given as absolute paths, and what no package has: accounts, a home, this machine's CAs."""
    found: dict[str, Entry] = {}
    for path in paths:
        name, source = merged(path.lstrip("/")), Path(path)
        if _LEFT_OUT.match(name) or not (source.is_symlink() or source.exists()):
            continue  # the latter where dpkg was told to leave it out here
        mode = source.lstat().st_mode
        if stat.S_ISLNK(mode) and name not in _MERGED:
            found[name] = Entry(name, link=str(source.readlink()))
        elif stat.S_ISREG(mode):  # without the rights of another user: nothing in a pod needs them
            found[name] = Entry(name, source, stat.S_IMODE(mode) & 0o755)
    links = [
        Entry(name, link=f"usr/{name}") for name in _MERGED if any(path.startswith(f"usr/{name}/") for path in found)
    ]
    authorities = str(_AUTHORITIES).lstrip("/")
    own = (*links, *_OWN, *([Entry(authorities, _AUTHORITIES, 0o644)] if _AUTHORITIES.exists() else []))
    return tuple({one.path: one for one in (*found.values(), *own)}.values())


def _editor(folder: Path) -> tuple[Entry, ...]:
    """The unpacked bundle."""
    found = []
    for path in sorted(folder.rglob("*")):
        name = f"{_PLACE}/{path.relative_to(folder)}"
        if path.is_symlink():
            found.append(Entry(name, link=str(path.readlink())))
        elif path.is_file():
            found.append(Entry(name, path, stat.S_IMODE(path.stat().st_mode) & 0o755))
    return tuple(found)


def reference() -> str:
    """The image's name, as the template has it."""
    template = shipped()[TEMPLATE]
    assert isinstance(template, PodTemplate)
    return template.image


def ensure(say: Say) -> dict[str, Descriptor]:
    """Have the image made; by reference. One whose packages and bundle are as they were is taken as it is.

    It is unpacked in one place of a cache that all labs have: whoever calls this holds the images (`cluster.prepare`).
    Raises LabError, and MirrorError where the layout cannot be written.
    """
    bundle = code_server.ensure(say)
    installed = packages_said(run(["dpkg-query", "-W", f"-f={_FORMAT}"], what="The installed packages are not known."))
    names = closure(installed, PACKAGES)
    told = repr((_REVISION, reference(), _OWN, [(name, installed[name].version) for name in names]))
    key = hashlib.sha256((told + code_server.checksum_path(bundle).read_text()).encode()).hexdigest()
    layout = Layout(cluster_images.folder()).create()
    image = _kept(key, layout)
    if image is None:
        say("making the workspaces' image: code-server, git, and what they need")
        paths = run(["dpkg-query", "-L", *names], what="The packages' files are not known.").splitlines()
        image = _made(bundle, system([path for path in paths if path.startswith("/")]), layout)
        write_atomically(_record(), json.dumps({"key": key, "image": image.document()}).encode())
    if layout.images().get(reference()) != image:
        layout.name(reference(), image)
    return {reference(): image}


def _kept(key: str, layout: Layout) -> Descriptor | None:
    """The image that was made of the same, where it is still there."""
    known = _load()
    image = Descriptor.of(known["image"]) if known.get("key") == key else None
    return image if image is not None and layout.has(image) else None


def _made(bundle: Path, base: tuple[Entry, ...], layout: Layout) -> Descriptor:
    work = cluster_images.folder() / ".unpacked"
    shutil.rmtree(work, ignore_errors=True)
    try:
        work.mkdir(mode=0o700)
        with tarfile.open(bundle) as archive:
            archive.extractall(work, filter="tar")
        recipe = Recipe((base, _editor(next(work.iterdir()))), command=("code-server",), user=f"{USER}:{USER}")
        return make(recipe, layout, code_server.architecture()[0], {})
    except (OSError, tarfile.TarError) as error:
        raise LabError(
            "The workspaces' image could not be made.",
            f"{error}.",
            ["have its bundle built anew: homewright lab bundle", "see whether the disk is full"],
        ) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _record() -> Path:
    return cluster_images.folder() / "workspace.json"


def _load() -> dict[str, Any]:
    try:
        found = json.loads(_record().read_bytes())
    except (OSError, ValueError):
        return {}  # it is made anew, and comes out the same
    return found if isinstance(found, dict) else {}
