"""The image on a node: whether it is there and whole, bringing it there, passing it on, and taking it away."""

from __future__ import annotations

import functools
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from homewright.engine.runners.host import Host, together
from homewright.errors import HomewrightError
from homewright.site import mirrored, mirrors
from homewright.site.mirrored import Architecture
from homewright.stages.cluster import documents
from homewright.stages.cluster.look import ARCHITECTURES
from homewright.stages.devenv import recipe

CTR = f"{documents.PROGRAMS}/bin/ctr -a {documents.RUNTIME}/containerd.sock -n k8s.io"
INPUTS = "homewright.dev/inputs"
"""containerd's label on the image: another image under the same name has none."""
PINNED = "io.cri-containerd.pinned=pinned"
"""kubelet removes images that nobody uses when the disk is full; this one nobody could pull again."""
CHUNK = 16 << 20
BUILD_S = 3600
IMPORT_S = 900


@dataclass(frozen=True)
class Held:
    """What a node has under the image's name."""

    digest: str
    inputs: str
    """Empty for an image that this step has not brought."""
    pinned: bool
    whole: bool
    """Every part of it is there, and unpacked."""

    def is_good(self, architecture: Architecture) -> bool:
        return self.whole and self.pinned and self.inputs == recipe.inputs(architecture)


@dataclass(frozen=True)
class Node:
    """A node as it was found."""

    architecture: Architecture
    held: Held | None


_ASK = f"""set -eu
uname -m
{CTR} images ls name=={recipe.reference()} | sed -n 's/^localhost/ls &/p'
{CTR} images check name=={recipe.reference()} | sed -n 's/^localhost/check &/p'
"""


def look(host: Host) -> Node:
    """What the node has. Raises HomewrightError for a machine that the image is not built for."""
    machine, *lines = host.run(_ASK).stdout.splitlines()
    if machine not in ARCHITECTURES:
        raise HomewrightError(f"{host.name} is a {machine}.", "The image of devenv is there for x86_64 and aarch64.")
    return Node(cast(Architecture, ARCHITECTURES[machine]), held(lines))


def held(lines: Sequence[str]) -> Held | None:
    """What `ctr images ls` and `ctr images check` print of one image; None where they print nothing. Pure."""
    told = {words[0]: words[1:] for line in lines if (words := line.split())}
    if "ls" not in told:
        return None
    listed, checked = told["ls"], told.get("check", [])
    labels = dict(label.partition("=")[::2] for label in listed[-1].split(",") if "=" in label)
    whole = "complete" in checked and checked[-1] == "true"
    pinned = PINNED.partition("=")
    return Held(listed[2], labels.get(INPUTS, ""), labels.get(pinned[0]) == pinned[2], whole)


def require_room(host: Host) -> None:
    """Raises HomewrightError where a build would fill the node's disk."""
    place = recipe.FOLDER if host.exists(recipe.FOLDER) else recipe.FOLDER.rpartition("/")[0]
    free = int(host.run(f"df --output=avail -B1 {place} | tail -n 1").stdout)
    if free < recipe.ROOM:
        raise HomewrightError(
            f"{host.name} has too little room to build the image of devenv.",
            f"{place} has {free / 1e9:.1f} GB left, and a build takes {recipe.ROOM / 1e9:.1f} GB for some minutes.",
            [f"see what fills it: ssh {host.name} df -h {place}", "make room, then: homewright retry"],
        )


def build(host: Host, architecture: Architecture) -> None:
    """Build the image on this node: ARCHIVE has it afterwards. Raises HomewrightError, CommandFailed."""
    given = recipe.tofu(host.site, architecture, _published(host, architecture))
    host.run(
        f"rm -rf {recipe.CONTEXT} && mkdir -p -m 0755 {recipe.CONTEXT} && tar -x -C {recipe.CONTEXT}",
        stdin=recipe.context(),
    )
    host.show(recipe.script(host.site, architecture, given), timeout=BUILD_S)


def _published(host: Host, architecture: Architecture) -> str:
    """The digest that is beside a mirror's copy of OpenTofu; empty where the release itself is fetched."""
    if not host.site.mirror.files:
        return ""
    address = mirrors.checksum(host.site.mirror, mirrored.opentofu(architecture))
    asked = host.run(f"curl -fsSL -m 20 --retry 1 {shlex.quote(address)}", check=False)
    digest = next(iter(asked.stdout.split()), "")
    if asked.exit_code != 0 or len(digest) != 64 or set(digest) - set("0123456789abcdef"):
        raise HomewrightError(
            f"{host.name} cannot fetch OpenTofu.",
            f"{address} does not answer with a checksum: {asked.stderr.strip() or digest[:80] or 'nothing'}",
            [f"try it on {host.name}: curl -fI {address}", "have it there: homewright mirror fetch FOLDER"],
        )
    return digest


def export(host: Host) -> None:
    """Have the image that this node holds as ARCHIVE."""
    where = recipe.ARCHIVE
    host.show(
        f"mkdir -p -m 0755 {recipe.FOLDER} && rm -f {where} && {CTR} images export {where} {recipe.reference()}",
        timeout=IMPORT_S,
    )


def pass_on(source: Host, targets: Sequence[Host]) -> None:
    """Bring the source's ARCHIVE to others, by way of this machine, which holds one piece of it at a time.

    Raises CommandFailed. Whoever fails to take it is out, with its `error` kept.
    """
    size = int(source.run(["stat", "-c", "%s", recipe.ARCHIVE]).stdout)
    together(targets, lambda host: host.run(f"mkdir -p -m 0755 {recipe.FOLDER} && : >{recipe.ARCHIVE}"))
    for number in range(-(-size // CHUNK)):
        read = f"dd if={recipe.ARCHIVE} bs={CHUNK} skip={number} count=1 status=none"
        append = functools.partial(_append, source.run(read, timeout=120).stdout_bytes)
        together(targets, append)


def _append(data: bytes, host: Host) -> None:
    host.run(f"cat >>{recipe.ARCHIVE}", stdin=data, timeout=120)


def take_in(host: Host, architecture: Architecture) -> str:
    """Import ARCHIVE, and let it go; the image's digest. containerd compares every part with the digest it goes by."""
    name = recipe.reference()
    host.show(
        f"set -eu\n{CTR} images import {recipe.ARCHIVE}\n"
        f"{CTR} images label {name} {INPUTS}={recipe.inputs(architecture)} {PINNED} >/dev/null\n"
        f"rm -rf --one-file-system {recipe.FOLDER}\n",
        timeout=IMPORT_S,
    )
    found = look(host).held
    if found is None or not found.is_good(architecture):
        raise HomewrightError(
            f"The image of devenv is not on {host.name} after it was imported.",
            f"containerd tells of {found or 'none of that name'}.",
            ["see what containerd says there: sudo journalctl -u homewright-containerd -n 50"],
        )
    return found.digest


def users(host: Host) -> list[str]:
    """The containers on this node that are made of the image."""
    asked = f"{CTR} containers ls | awk -v name={recipe.reference()} '$2 == name {{ print $1 }}'"
    return host.run(asked).stdout.split()


def remove(host: Host) -> bool:
    """Take the image away, unless a container there is made of it; whether it went, or anything of a build did."""
    host.run(f"rm -rf --one-file-system {recipe.RUN}")
    left = host.remove(recipe.FOLDER)
    if host.run(f"[ -S {documents.RUNTIME}/containerd.sock ]", check=False).exit_code != 0:
        host.say("no containerd of the site's answers here: the image has gone with it")
        return left
    found = look(host).held
    if found is None:
        return left
    if not found.inputs:
        host.say(f"{recipe.reference()} is not one that was built here, and stays")
        return left
    if using := users(host):
        host.say(f"{len(using)} containers on {host.name} are made of it, so it stays there")
        return left
    # containerd knows it by its own digest as well, and gives up no room before the last name has gone.
    named = f"{CTR} images ls | awk '$3 == \"{found.digest}\" && $1 ~ /^sha256:/ {{ print $1 }}'"
    host.run(f"{CTR} images rm --sync {recipe.reference()} $({named})", timeout=120)
    return True
