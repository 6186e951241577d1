"""What the image of the template devenv is built from, and the script that builds it. Pure."""

from __future__ import annotations

import hashlib
import io
import json
import shlex
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from urllib.parse import urlsplit

from homewright.site import mirrored, mirrors
from homewright.site.mirrored import Architecture
from homewright.site.models import Site
from homewright.workspaces.templates import PodTemplate, shipped

TEMPLATE = "devenv"
FOLDER = "/var/lib/homewright-images"
"""On the node that builds, and on one that is brought the image: nothing of it is left afterwards."""
ARCHIVE = f"{FOLDER}/devenv.tar"
"""The image as one file, in the OCI image layout."""
CONTEXT = f"{FOLDER}/context"
RUN = "/run/homewright-images"
AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"
"""What a node of Debian's or Ubuntu's trusts."""
LABEL = "dev.homewright.inputs"
"""The image's own label that says which inputs it was built from."""
ROOM = 6 << 30
"""Bytes that a build takes on its node: the base twice with what is installed in each, tools unpacked and packed, the
archive. Measured: 2.9 GB at the most, and as much again for what Debian's packages and the tools come to be."""


@dataclass(frozen=True)
class Tofu:
    """OpenTofu's archive as a node fetches it."""

    url: str
    sha256: str


@cache
def reference() -> str:
    """The image's name, as the template has it."""
    template = shipped()[TEMPLATE]
    assert isinstance(template, PodTemplate)
    return template.image


@cache
def files() -> Mapping[str, bytes]:
    """The files that it is built from, by path: the Containerfile, and what that copies."""
    folder = resources.files("homewright.assets") / "devenv"
    return dict(sorted(_below(folder, "")))


def _below(folder: Traversable, path: str) -> Iterator[tuple[str, bytes]]:
    for one in folder.iterdir():
        if one.is_dir():
            yield from _below(one, f"{path}{one.name}/")
        else:
            yield f"{path}{one.name}", one.read_bytes()


def versions() -> dict[str, str]:
    """What the image has to say of itself, as `devenv-versions` prints it: the versions that are pinned here."""
    claude = json.loads(files()["package.json"])["dependencies"]["@anthropic-ai/claude-code"]
    return {"user": "1000:1000 node", "tofu": mirrored.OPENTOFU, "claude": str(claude)}


def inputs(architecture: Architecture) -> str:
    """Twenty hexadecimal digits of everything that decides what is in the image; where it comes from does not."""
    told = hashlib.sha256(f"{mirrored.BASE.reference} {mirrored.OPENTOFU} {architecture}\n".encode())
    for path, data in files().items():
        told.update(f"{path} {len(data)}\n".encode() + data)
    return told.hexdigest()[:20]


def context() -> bytes:
    """The files as one tar archive."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path, data in files().items():
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(data), 0o644
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def tofu(site: Site, architecture: Architecture, digest: str = "") -> Tofu:
    """OpenTofu's archive: the release by the digest that is known here, a mirror's copy by the one beside it."""
    program = mirrored.opentofu(architecture)
    return Tofu(mirrors.file(site.mirror, program.url), digest or program.sha256)


def proxies(site: Site) -> dict[str, str]:
    """What a build is told of the site's proxy; copies in the site's own network are reached without it."""
    if site.network.proxy is None:
        return {}
    mirror = site.mirror
    own = [urlsplit(one).hostname or "" for one in (mirror.files, mirror.debian, mirror.npm) if one]
    own += [mirror.images.partition("/")[0].partition(":")[0]] if mirror.images else []
    around = ",".join(dict.fromkeys(["localhost", "127.0.0.1", *(server.address for server in site.servers), *own]))
    return {"http_proxy": site.network.proxy, "https_proxy": site.network.proxy, "no_proxy": around}


def arguments(site: Site, given: Tofu) -> dict[str, str]:
    """What the Containerfile is told."""
    return {
        "BASE": mirrors.image(site.mirror, mirrored.BASE.reference),
        "APT_MIRROR": site.mirror.debian or "",
        "NPM_REGISTRY": site.mirror.npm or "",
        "OPENTOFU_URL": given.url,
        "OPENTOFU_SHA256": given.sha256,
    }


def script(site: Site, architecture: Architecture, given: Tofu) -> str:
    """The shell that builds: the context is in its folder, the archive afterwards too, and nothing else is left."""
    own = ["buildah", "--root", f"{FOLDER}/storage", "--runroot", RUN, "--storage-driver", "overlay"]
    name = reference()
    plain = site.mirror.images is not None and site.mirror.plain_http
    build = [
        "bud", "--isolation", "chroot", "--format", "oci", "--pull-always", "--no-cache", "--force-rm",
        f"--tls-verify={'false' if plain else 'true'}", "--label", f"{LABEL}={inputs(architecture)}",
        *(word for key, value in arguments(site, given).items() for word in ("--build-arg", f"{key}={value}")),
        "--file", f"{CONTEXT}/Containerfile", "--tag", name, CONTEXT,
    ]  # fmt: skip
    exported = "".join(f"export {key}={shlex.quote(value)}\n" for key, value in proxies(site).items())
    return f"""set -eu
umask 022
{exported}export TMPDIR={FOLDER}/tmp
mkdir -p "$TMPDIR"
buildah() {{ {shlex.join(["command", *own])} "$@"; }}
clean() {{
    buildah rm --all >/dev/null 2>&1 || true
    buildah rmi --all --force >/dev/null 2>&1 || true
    rm -rf --one-file-system {FOLDER}/storage {FOLDER}/tmp {CONTEXT} {RUN}
}}
trap clean EXIT
[ ! -s {AUTHORITIES} ] || cp {AUTHORITIES} {CONTEXT}/authorities.crt
buildah {shlex.join(build)}
rm -f {ARCHIVE}
buildah push --quiet {shlex.quote(name)} oci-archive:{ARCHIVE}:{shlex.quote(name)}
"""
