"""The Debian packages that the lab needs: which are missing, and their installation."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Sequence

from homewright.errors import LabError
from homewright.lab.shell import output, run

PRIVATE = (
    "lxd", "lxcfs", "debootstrap", "debian-archive-keyring", "squashfs-tools", "dnsmasq-base", "nftables", "iproute2",
    "openssh-client",
)  # fmt: skip
"""For a private daemon."""

SHARED = ("debootstrap", "debian-archive-keyring", "squashfs-tools", "iproute2", "openssh-client")
"""Where this machine has LXD in use."""

LOCK_S = 120
"""How long to wait for another program that installs packages."""


def missing(names: Iterable[str]) -> list[str]:
    """Those of the packages that are not installed."""
    wanted = list(dict.fromkeys(names))
    said = output(["dpkg-query", "-W", "-f=${Package} ${db:Status-Status}\n", *wanted]) or _one_by_one(wanted)
    there = {line.split()[0] for line in said.splitlines() if line.endswith(" installed")}
    return [name for name in wanted if name not in there]


def _one_by_one(names: Sequence[str]) -> str:
    """dpkg-query fails as a whole where it has never heard of one of them."""
    return "".join(output(["dpkg-query", "-W", "-f=${Package} ${db:Status-Status}\n", name]) for name in names)


def has_apt() -> bool:
    return shutil.which("apt-get") is not None and shutil.which("dpkg-query") is not None


def install(names: Sequence[str], say: Callable[[str], None]) -> None:
    """Install Debian packages as root. Raises LabError with apt's own reason."""
    say(f"installing {' '.join(names)}")
    command = ["apt-get", "-o", f"DPkg::Lock::Timeout={LOCK_S}", "-qq", "-y", "--no-install-recommends", "install"]
    what = f"The Debian packages {', '.join(names)} could not be installed."
    do = ["see apt's own words: sudo apt-get install " + " ".join(names), "then try again"]
    try:
        run([*command, *names], what=what, do=do, timeout=900)
    except LabError:
        # The lists may be missing, or older than the mirror.
        run(["apt-get", "-o", f"DPkg::Lock::Timeout={LOCK_S}", "-qq", "update"], what=what, do=do, timeout=300)
        run([*command, *names], what=what, do=do, timeout=900)
