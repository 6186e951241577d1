"""Packages, snaps and firewalls: what is installed on a server, and what it runs into."""

from __future__ import annotations

import re

from homewright.checks.check import Check, Outcome, passed, remedy, unknown, wrong
from homewright.checks.ground import HostView

_MICROCLOUD = "https://documentation.ubuntu.com/microcloud/latest/microcloud/reference/requirements/"
_HOLD = "https://snapcraft.io/docs/managing-updates"
_APT = "https://manpages.debian.org/stable/apt/apt-get.8.en.html"
_DPKG = "https://manpages.debian.org/stable/dpkg/dpkg.1.en.html"
_FIREWALL = "https://documentation.ubuntu.com/lxd/latest/howto/network_bridge_firewalld/"


def snapd(view: HostView) -> Outcome | None:
    wanted = view.limits.text("minimum")
    threshold = f"{wanted} or newer"
    if not _snaps(view):
        return None
    found = view.facts.software.snapd
    if found is None and _said(view, "snap", "software"):
        return unknown(threshold, f"snapd is not known: {view.facts.why_unknown('snap', 'software')}.")
    if found is not None and _numbers(found) >= _numbers(wanted):
        return passed(found, threshold, "LXD and MicroK8s come as snaps.")
    return wrong(
        found or "not installed",
        threshold,
        "LXD and MicroK8s come as snaps, which an older snapd cannot hold.",
        remedy(f"Bring snapd up to date on {view.host}.", "sudo apt-get update", "sudo apt-get install -y snapd"),
    )


def snap_hold(view: HostView) -> Outcome | None:
    threshold = "snaps are held from refreshing"
    if not _snaps(view) or (view.facts.software.snapd is None and not _said(view, "snap", "software")):
        return None
    until = view.facts.software.snap_hold
    if until is None:
        return unknown(threshold, f"It is not known: {view.facts.why_unknown('snap', 'software')}.")
    if until:
        return passed(f"held: {until}", threshold, "The cluster is refreshed when you say so.")
    return wrong(
        "not held",
        threshold,
        "Snaps refresh by themselves: the cluster's members would restart at different versions.",
        remedy(
            f"Hold the snaps of {view.host}; refresh them when it suits you: sudo snap refresh.",
            "sudo snap refresh --hold",
            fix="snap-hold",
            changes=("snaps are no longer refreshed by themselves",),
        ),
    )


def package_locks(view: HostView) -> Outcome:
    threshold = "apt and dpkg are free"
    locks = view.facts.software.package_locks
    if locks is None:
        return unknown(threshold, f"It is not known: {view.facts.why_unknown('package-locks')}.")
    if not locks:
        return passed("free", threshold, "Packages can be installed.")
    return wrong(
        "; ".join(locks),
        threshold,
        f"Somebody installs packages on {view.host} right now.",
        remedy(
            "Wait until it has finished; it is never ended by force, which would leave packages half installed.",
            "sudo fuser -v /var/lib/dpkg/lock-frontend /var/lib/apt/lists/lock",
            fix="apt-lock",
            changes=("nothing: it waits until the lock is free",),
        ),
    )


def packages(view: HostView) -> Outcome:
    threshold = "no package is half installed"
    broken = view.facts.software.packages_broken
    if broken is None:
        return unknown(threshold, f"It is not known: {view.facts.why_unknown('software', 'package-locks')}.")
    if not broken:
        return passed("none", threshold, "The package manager is in order.")
    return wrong(
        "some are",
        threshold,
        "No package can be installed before those are finished.",
        remedy(
            f"Let dpkg finish on {view.host}.",
            "sudo dpkg --configure -a",
            "sudo apt-get -y --fix-broken install",
            fix="packages",
            changes=("packages that are half installed are configured", "packages that they need are installed"),
        ),
    )


def docker(view: HostView) -> Outcome:
    threshold = "no Docker"
    there = view.facts.software.docker
    if there is None:
        return unknown(threshold, f"It is not known: {view.facts.why_unknown('software')}.")
    if not there:
        return passed("none", threshold, "Nothing else runs containers.")
    return wrong(
        "installed",
        threshold,
        "Docker sets the policy of forwarded packets to drop, which cuts LXD's instances off.",
        remedy(
            f"Let forwarded packets pass on {view.host}, or remove Docker.",
            "sudo iptables -I DOCKER-USER -j ACCEPT",
            "Or, where nothing needs it: sudo apt-get remove docker.io docker-ce",
        ),
    )


def ufw(view: HostView) -> Outcome:
    threshold = "ufw is off, or lets the bridges pass"
    on = view.facts.software.ufw
    if on is None:
        return unknown(threshold, f"The firewall is not known: {view.facts.why_unknown('firewall', 'software')}.")
    if not on:
        return passed("off", threshold, "Nothing is filtered by ufw.")
    return wrong(
        "on",
        threshold,
        "ufw blocks DHCP, DNS and forwarded packets of LXD's bridge unless it is told otherwise.",
        remedy(
            f"Let the bridge pass on {view.host}.",
            "sudo ufw allow in on lxdbr0",
            "sudo ufw route allow in on lxdbr0",
            "sudo ufw route allow out on lxdbr0",
        ),
    )


def forwarding(view: HostView) -> Outcome:
    threshold = "forwarded packets are accepted"
    policy = view.facts.software.forward_policy
    if policy is None:
        return unknown(threshold, f"The firewall is not known: {view.facts.why_unknown('firewall', 'software')}.")
    if policy == "accept":
        return passed("accept", threshold, "Instances and pods reach the network.")
    return wrong(
        "drop",
        threshold,
        "Instances and pods reach nothing outside their server.",
        remedy(f"Accept forwarded packets on {view.host}.", "sudo iptables -P FORWARD ACCEPT"),
    )


def _snaps(view: HostView) -> bool:
    """Whether this server gets anything from the snap store."""
    cluster = view.site.platform.cluster
    if cluster == "microk8s":
        return True
    return view.facts.system.os_id in ("ubuntu", "")


def _said(view: HostView, *sources: str) -> bool:
    """Whether one of these sources could not be read."""
    return any(gap.source in sources for gap in view.facts.missing)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d{1,6}", version)[:2])


CHECKS = (
    Check("host.snapd", "snapd", "host", "host", ("software", "system", "site.platform"), _MICROCLOUD, host=snapd),
    Check("host.snap-hold", "Snaps are held", "host", "host", ("software", "site.platform"), _HOLD, host=snap_hold,
          depends=("host.snapd",)),
    Check("host.package-locks", "Package manager is free", "host", "host", ("software",), _APT, host=package_locks),
    Check("host.packages", "Packages are whole", "host", "host", ("software",), _DPKG, host=packages,
          depends=("host.package-locks",)),
    Check("host.docker", "Docker", "host", "host", ("software",), _FIREWALL, host=docker),
    Check("host.ufw", "Firewall ufw", "host", "host", ("software",), _FIREWALL, host=ufw),
    Check("host.forwarding", "Forwarded packets", "host", "host", ("software",), _FIREWALL, host=forwarding,
          depends=("host.docker", "host.ufw")),
)  # fmt: skip
