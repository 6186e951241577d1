"""What the kernel and the clock of a server are set to (stage 10, step 00). Pure.

The thresholds are those of the checks, in the site's profile. A check that a profile turns off is about something that
its servers have no say in: practice servers share the kernel of one machine. Then the file is written all the same, and
what is in effect is the business of the machine below.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from homewright.checks.profiles import Profile

FILE = "/etc/sysctl.d/90-homewright.conf"
MODULES_FILE = "/etc/modules-load.d/homewright-cluster.conf"
MODULES = {"br_netfilter": "/proc/sys/net/bridge", "overlay": "/sys/module/overlay"}
"""What container runtimes need (Kubernetes, "Container Runtimes"), and what is there once it is loaded."""
_KEPT = "# Kept by Homewright (10/00).\n"


@dataclass(frozen=True)
class Setting:
    """One setting of the kernel."""

    name: str
    least: int
    """A higher value of before stays."""
    ours: bool
    """Whether the server itself can set it."""

    @property
    def path(self) -> str:
        return path(self.name)


def path(name: str) -> str:
    """Where the kernel shows a setting, and takes it."""
    return f"/proc/sys/{name.replace('.', '/')}"


def settings(profile: Profile) -> tuple[Setting, ...]:
    """What has to be set."""
    inotify, aio = profile.checks["host.inotify"], profile.checks["host.aio"]
    watching, asking = inotify.severity != "off", aio.severity != "off"
    return (
        Setting("fs.inotify.max_user_instances", int(inotify.number("instances")), watching),
        Setting("fs.inotify.max_user_watches", int(inotify.number("watches")), watching),
        Setting("fs.aio-max-nr", int(aio.number("raise_to")), asking),
        Setting("net.ipv4.ip_forward", 1, True),
    )


def modules_ours(profile: Profile) -> bool:
    """Whether the server can load modules of the kernel itself."""
    return profile.checks["host.br-netfilter"].severity != "off"


def values(profile: Profile, before: Mapping[str, int]) -> dict[Setting, int]:
    """What each is set to: as much as is needed, and no less than there was before."""
    return {one: max(one.least, before.get(one.name, 0)) for one in settings(profile)}


def is_ours(text: str) -> bool:
    """Whether a file of ours, by its name, is ours by its content too."""
    return text.startswith(_KEPT)


def text(wanted: Mapping[Setting, int]) -> str:
    """The file that systemd-sysctl reads at every start."""
    return _KEPT + "".join(f"{one.name} = {value}\n" for one, value in wanted.items())


def modules_text() -> str:
    """The file that systemd-modules-load reads at every start."""
    return _KEPT + "".join(f"{name}\n" for name in MODULES)
