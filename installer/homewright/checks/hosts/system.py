"""The operating system, its kernel and the limits that it sets."""

from __future__ import annotations

import re

from homewright.checks.check import Check, Outcome, passed, remedy, unknown, warning, wrong
from homewright.checks.ground import HostView

_LXD = "https://documentation.ubuntu.com/lxd/latest/requirements/"
_MICROK8S = "https://microk8s.io/docs/troubleshooting"
_CONTAINERS = "https://kubernetes.io/docs/setup/production-environment/container-runtimes/"
_CGROUPS = "https://kubernetes.io/docs/concepts/architecture/cgroups/"
_AIO = "https://docs.kernel.org/admin-guide/sysctl/fs.html#aio-nr-aio-max-nr"
_INOTIFY = "https://documentation.ubuntu.com/lxd/latest/reference/server_settings/"
_SUDO = "https://www.sudo.ws/docs/man/sudoers.man/"
_SYSTEMD = "https://www.freedesktop.org/software/systemd/man/latest/systemd.html"
_RELEASES = "https://ubuntu.com/about/release-cycle"
_DEBIAN_RELEASES = "https://www.debian.org/releases/"
_SWAP = "https://kubernetes.io/docs/setup/production-environment/tools/kubeadm/install-kubeadm/#swap-configuration"


def system(view: HostView) -> Outcome:
    supported, possible = view.limits.words("supported"), view.limits.words("without_snaps")
    threshold = ", ".join(_named(name) for name in supported)
    if possible:
        threshold += "; by kubeadm also " + ", ".join(_named(name) for name in possible)
    found = view.facts.system
    if not found.os_id:
        return unknown(threshold, f"The operating system is not known: {view.facts.why_unknown('os')}.")
    measured = found.os_name or f"{found.os_id} {found.os_version}".strip()
    release = f"{found.os_id} {found.os_version.split('.')[0] if found.os_id == 'debian' else found.os_version}"
    if release in supported:
        return passed(measured, threshold, "It is supported.")
    upgrade = remedy(
        f"Install Ubuntu 24.04 or 26.04 on {view.host}, or leave it out of the site.",
        f"homewright site remove-server {view.host}",
    )
    if release in possible:
        return warning(measured, threshold, "It has no snaps of its own, so Kubernetes comes by kubeadm here.", upgrade)
    return wrong(measured, threshold, "Nobody has tried the platform on it.", upgrade)


def systemd(view: HostView) -> Outcome:
    threshold = "systemd is the first process"
    found = view.facts.system
    if found.systemd:
        return passed("systemd", threshold, "It runs the services.")
    if not view.probed:
        return unknown(threshold, f"It is not known what starts the services: {view.facts.why_unknown('os')}.")
    return wrong(
        "another one",
        threshold,
        "LXD, Kubernetes and the workspaces are services of systemd.",
        remedy(
            f"Boot {view.host} with systemd, or leave it out of the site.",
            "ps -p 1 -o comm=",
            f"homewright site remove-server {view.host}",
        ),
    )


def sudo(view: HostView) -> Outcome:
    threshold = "sudo works without asking"
    works, account = view.facts.system.sudo, view.facts.system.account or view.server.user
    if works is None:
        return unknown(threshold, f"It was not tried: {view.facts.why_unknown('sudo')}.")
    if works:
        return passed("it works" if account != "root" else "the account is root", threshold, f"{account} may do all.")
    return wrong(
        "sudo ended with an error",
        threshold,
        f"{account} cannot become root on {view.host} without typing a password.",
        remedy(
            "Let first contact set sudo up again; it asks for the password once.",
            f"homewright trust {view.host}",
        ),
    )


def kernel(view: HostView) -> Outcome:
    distribution = view.facts.system.os_id not in ("ubuntu", "")  # no snaps there: LXD is the distribution's own
    wanted = view.limits.text("without_snaps" if distribution else "minimum")
    threshold = f"{wanted} or newer"
    found = view.facts.system.kernel
    version = _version(found)
    if version is None:
        return unknown(threshold, f"The kernel is not known: {view.facts.why_unknown('kernel')}.")
    if version >= (_version(wanted) or (0, 0)):
        return passed(found, threshold, "It is new enough for LXD.")
    return wrong(
        found,
        threshold,
        "LXD does not support kernels as old as this one.",
        remedy(
            f"Upgrade {view.host} and boot the new kernel.",
            "sudo apt-get update",
            "sudo apt-get full-upgrade",
            "sudo reboot",
        ),
    )


def memory_cgroup(view: HostView) -> Outcome:
    threshold = "the memory controller is on"
    on = view.facts.kernel.memory_cgroup
    if on is None:
        return unknown(threshold, f"The control groups are not known: {view.facts.why_unknown('limits', 'modules')}.")
    if on:
        return passed("on", threshold, "Limits of memory can be enforced.")
    return wrong(
        "off",
        threshold,
        "Kubernetes does not start where memory cannot be limited.",
        remedy(
            f"Turn it on at the kernel's command line of {view.host}, then reboot.",
            "Add cgroup_enable=memory to GRUB_CMDLINE_LINUX in /etc/default/grub "
            "(on a Raspberry Pi: to /boot/firmware/cmdline.txt)",
            "sudo update-grub",
            "sudo reboot",
        ),
    )


def br_netfilter(view: HostView) -> Outcome:
    threshold = "the module br_netfilter is there"
    there = view.facts.kernel.br_netfilter
    if there is None:
        return unknown(threshold, f"The kernel's modules are not known: {view.facts.why_unknown('modules')}.")
    if there:
        return passed("there", threshold, "Packets between pods pass the rules of services.")
    return wrong(
        "missing",
        threshold,
        "Without it, pods on one bridge do not reach services.",
        remedy(
            f"Load it on {view.host}, now and at every boot.",
            "sudo modprobe br_netfilter",
            "echo br_netfilter | sudo tee /etc/modules-load.d/homewright.conf",
            fix="br-netfilter",
            changes=("the kernel module br_netfilter is loaded", "/etc/modules-load.d/homewright.conf is written"),
        ),
    )


def inotify(view: HostView) -> Outcome:
    instances, watches = view.limits.number("instances"), view.limits.number("watches")
    threshold = f"{instances:.0f} instances, {watches:.0f} watches"
    found = view.facts.kernel
    if found.inotify_instances is None or found.inotify_watches is None:
        return unknown(threshold, f"The limits are not known: {view.facts.why_unknown('limits')}.")
    measured = f"{found.inotify_instances} instances, {found.inotify_watches} watches"
    if found.inotify_instances >= instances and found.inotify_watches >= watches:
        return passed(measured, threshold, "Many containers can watch their files.")
    return wrong(
        measured,
        threshold,
        "With many containers, programs fail with “too many open files”.",
        remedy(
            f"Raise the limits on {view.host}.",
            f"sudo sysctl -w fs.inotify.max_user_instances={max(instances, found.inotify_instances):.0f} "
            f"fs.inotify.max_user_watches={max(watches, found.inotify_watches):.0f}",
            fix="inotify",
            changes=(
                "fs.inotify.max_user_instances and fs.inotify.max_user_watches are raised, now and at every boot",
                "/etc/sysctl.d/90-homewright-inotify.conf is written",
            ),
        ),
    )


def aio(view: HostView) -> Outcome:
    threshold = "fs.aio-nr below fs.aio-max-nr"
    used, most = view.facts.kernel.aio_nr, view.facts.kernel.aio_max_nr
    if used is None or most is None:
        return unknown(threshold, f"The limits are not known: {view.facts.why_unknown('limits')}.")
    measured = f"{used} of {most}"
    if used < most:
        return passed(measured, threshold, "There is room for more databases.")
    raised = view.limits.number("raise_to")
    return wrong(
        measured,
        threshold,
        "No further database can start: all requests for asynchronous input and output are given away.",
        remedy(
            f"Raise the limit on {view.host}.",
            f"sudo sysctl -w fs.aio-max-nr={max(raised, 2 * most):.0f}",
            fix="aio",
            changes=(
                "fs.aio-max-nr is raised, now and at every boot",
                "/etc/sysctl.d/90-homewright-aio.conf is written",
            ),
        ),
    )


def swap(view: HostView) -> Outcome:
    threshold = "no swap"
    swaps, total = view.facts.kernel.swaps, view.facts.memory.swap
    if swaps or total:
        measured = ", ".join(swaps) or f"{(total or 0) / 1000**3:.1f} GB"
        return wrong(
            measured,
            threshold,
            "What Kubernetes promises about memory does not hold where a part of it is on a disk.",
            remedy(
                f"Turn swap off on {view.host}, or accept it: MicroK8s runs with swap, kubeadm does not.",
                "sudo swapoff -a",
                "sudo sed -i.before-homewright '/\\sswap\\s/s/^/#/' /etc/fstab",
            ),
        )
    if total is None:
        return unknown(threshold, f"It is not known whether it swaps: {view.facts.why_unknown('memory')}.")
    return passed("none", threshold, "Nothing is swapped.")


def _named(release: str) -> str:
    name, _, version = release.partition(" ")
    return f"{name.capitalize()} {version}"


def _version(text: str) -> tuple[int, int] | None:
    """The first two numbers of a kernel's release: 6.8.0-45-generic is 6.8."""
    found = re.match(r"(\d{1,4})\.(\d{1,4})", text)
    return (int(found[1]), int(found[2])) if found else None


CHECKS = (
    Check(
        "host.os", "Operating system", "host", "host", ("system",), _RELEASES, host=system, debian_link=_DEBIAN_RELEASES
    ),
    Check("host.systemd", "systemd", "host", "host", ("system",), _SYSTEMD, host=systemd),
    Check("host.sudo", "sudo", "host", "host", ("system",), _SUDO, host=sudo),
    Check("host.kernel", "Kernel", "host", "host", ("system",), _LXD, host=kernel),
    Check("host.memory-cgroup", "Limits of memory", "host", "host", ("kernel",), _CGROUPS, host=memory_cgroup),
    Check("host.br-netfilter", "Bridge filter", "host", "host", ("kernel",), _CONTAINERS, host=br_netfilter),
    Check("host.inotify", "Limits of inotify", "host", "host", ("kernel",), _INOTIFY, host=inotify),
    Check("host.aio", "Limits of aio", "host", "host", ("kernel",), _AIO, host=aio),
    Check("host.swap", "Swap", "host", "host", ("kernel", "memory"), _SWAP, host=swap),
)
