"""Whether this machine can have practice servers, and if not, why not and what else to do."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path

from homewright.errors import LabError
from homewright.lab import packages
from homewright.lab.mirror import os_release
from homewright.lab.shell import run

_ELSEWHERE = "practise on a Debian 12 or 13 machine, or in a virtual machine with one"


@dataclass(frozen=True)
class Machine:
    """What decides whether the lab can run here."""

    system: str
    """As Python names it: linux, darwin, win32."""
    distribution: str
    """ID of /etc/os-release."""
    apt: bool
    lxd_socket: bool
    """Whether an LXD socket is at one of its standard places."""
    namespaces: bool
    """Whether the kernel has mount, process and user namespaces."""
    packaged: bool
    """Whether LXD comes as a Debian package here, or is installed."""


def obstacle(machine: Machine) -> LabError | None:
    """Why the practice servers cannot run here, and what else to do; None where they can."""
    what = "This machine cannot run the practice servers."
    if machine.system != "linux":
        name = {"darwin": "macOS", "win32": "Windows"}.get(machine.system, machine.system)
        return LabError(
            what,
            f"They are Linux containers, and this is {name}.",
            [_ELSEWHERE, "Homewright itself works from here, on servers of your own: homewright site new NAME"],
        )
    if not machine.namespaces:
        return LabError(
            what,
            "Its kernel has no mount, process or user namespaces, so it can run no containers (it may be one itself).",
            [_ELSEWHERE],
        )
    if machine.lxd_socket:
        return None if machine.apt else LabError(
            what, "Their image is built with debootstrap, which is installed by apt-get; there is none.", [_ELSEWHERE]
        )  # fmt: skip
    if not machine.apt:
        return LabError(
            what,
            f"It has no LXD, and {machine.distribution or 'this distribution'} has no apt-get to install it.",
            ["install LXD and set it up: lxd init --minimal; then again: homewright lab up", _ELSEWHERE],
        )
    if not machine.packaged:
        return LabError(
            what,
            f"{machine.distribution.capitalize()} has LXD as a snap only, and it is not installed or not set up.",
            ["sudo snap install lxd", "sudo lxd init --minimal", "then again: homewright lab up"],
        )
    return None


def require_namespaces() -> None:
    """Make sure that root may make the namespaces of a container. The caller is root. Raises LabError."""
    run(
        ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "true"],
        what="This machine cannot run the practice servers.",
        do=[f"root may make no namespaces here (it may be a container itself): {_ELSEWHERE}"],
    )


def without_lxd(machine: Machine) -> Machine:
    """The same machine where the LXD that it has is in nobody's use."""
    return replace(machine, lxd_socket=False)


def this_machine() -> Machine:
    """Look, without root."""
    from homewright.lab.lxd import STANDARD_SOCKETS

    distribution = os_release().get("ID", "") if sys.platform == "linux" else ""
    return Machine(
        system=sys.platform,
        distribution=distribution,
        apt=packages.has_apt(),
        lxd_socket=any(_exists(path) for path in STANDARD_SOCKETS),
        namespaces=all(Path(f"/proc/self/ns/{kind}").exists() for kind in ("mnt", "pid", "user")),
        packaged=distribution == "debian" or (not packages.missing(["lxcfs"]) and Path("/usr/bin/lxd").exists()),
    )


def _exists(path: str) -> bool:
    """Also where the folder is closed to others: an LXD that we may not see is one all the same."""
    try:
        Path(path).stat()
    except PermissionError:
        return True
    except OSError:
        return False
    return True
