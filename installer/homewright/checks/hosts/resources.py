"""Processors, memory and disks: of each server, and of the site."""

from __future__ import annotations

from shlex import quote

from homewright.checks.check import Check, Outcome, passed, remedy, unknown, warning, wrong
from homewright.checks.ground import HostView, SiteView
from homewright.discovery.facts import FileSystem, HostFacts

GB = 1000**3
MIB = 1024**2
SLACK = 0.9
"""Firmware and kernel keep up to a tenth of a memory module for themselves: MemTotal of a 16 GB server is less."""

REGISTRY = "40/core/harbor"
"""The steps that make the registry."""

_KUBEADM = "https://kubernetes.io/docs/setup/production-environment/tools/kubeadm/install-kubeadm/"
_ETCD = "https://etcd.io/docs/v3.5/faq/"
_HARBOR = "https://goharbor.io/docs/latest/install-config/installation-prereqs/"
_LXD_VM = "https://documentation.ubuntu.com/lxd/latest/explanation/instances/"


def cpu(view: HostView) -> Outcome:
    minimum, recommended = view.limits.number("control_plane"), view.limits.number("recommended")
    leads = view.host in view.ground.control_plane
    threshold = (f"{minimum:g} for a control plane, " if leads else "") + f"{recommended:g} recommended"
    threads = view.facts.cpu.threads
    if threads is None:
        return unknown(threshold, f"The processors are not known: {view.facts.why_unknown('cpu')}.")
    measured = _count(threads, "processor")
    more = remedy(
        f"Give {view.host} more processors, or let a stronger server be the first of the site.",
        "In a virtual machine: shut it down, give it more processors, start it.",
        "homewright check",
    )
    if leads and threads < minimum:
        return wrong(measured, threshold, f"The control plane of Kubernetes does not start with {measured}.", more)
    if threads < recommended:
        return warning(measured, threshold, "It will be slow as soon as several things run on it.", more)
    return passed(measured, threshold, "It has enough processors.")


def site_cpu(view: SiteView) -> Outcome:
    wanted = view.limits.number("recommended")
    return _sum(view, {name: facts.cpu.threads for name, facts in view.ground.known.items()}, wanted, "processors")


def memory(view: HostView) -> Outcome:
    minimum, recommended = view.limits.number("minimum_mib"), view.limits.number("vm_host_gb")
    threshold = f"{minimum:g} MiB; {recommended:g} GB where virtual machines run"
    total = view.facts.memory.total
    if total is None:
        return unknown(threshold, f"The memory is not known: {view.facts.why_unknown('memory')}.")
    measured = f"{total / GB:.1f} GB"
    more = remedy(
        f"Put more memory into {view.host}, or take it out of the site.",
        f"homewright site remove-server {view.host}",
    )
    if total < minimum * MIB:
        return wrong(measured, threshold, "Kubernetes refuses to start with so little memory.", more)
    virtual = view.site.platform.nodes == "instances" and view.site.instances.kind != "container"
    if virtual and total < recommended * SLACK * GB:
        return warning(measured, threshold, "Virtual machines will have little room beside the server itself.", more)
    return passed(measured, threshold, "It has enough memory.")


def site_memory(view: SiteView) -> Outcome:
    wanted = view.limits.number("recommended_gb")
    found = {name: facts.memory.total for name, facts in view.ground.known.items()}
    amounts = {name: None if total is None else total / GB for name, total in found.items()}
    return _sum(view, amounts, wanted, "GB", slack=SLACK)


def home_disk(view: HostView) -> Outcome:
    wanted = view.limits.number("free_gb")
    threshold = f"{wanted:g} GB free"
    home = view.facts.system.home or "/home"
    holding = _holds(view.facts, home)
    if holding is None:
        return unknown(threshold, f"The file systems are not known: {view.facts.why_unknown('file systems')}.")
    measured = f"{holding.free / GB:.1f} GB free in {home}"
    if holding.free >= wanted * GB:
        return passed(measured, threshold, "There is room for what is installed in the account's home.")
    return wrong(
        measured,
        threshold,
        f"{holding.mount} is too full: the host environment and downloads need room in {home}.",
        remedy(
            f"Make room on {view.host}: caches and old journals go first, then look for what is large.",
            "sudo apt-get clean",
            "sudo journalctl --vacuum-size=100M",
            f"sudo du -xh --max-depth=2 {quote(holding.mount)} | sort -rh | head -20",
            fix="disk",
            changes=("the package cache is emptied", "journals beyond 100 MB are removed"),
        ),
    )


def registry_disk(view: SiteView) -> Outcome:
    minimum, recommended = view.limits.number("minimum_gb"), view.limits.number("recommended_gb")
    threshold = f"{minimum:g} GB free on one server, {recommended:g} GB recommended"
    free = {name: _room(facts) for name, facts in view.ground.known.items()}
    known = {name: room for name, room in free.items() if room is not None}
    best = max(known, key=lambda name: known[name], default=None)
    if best is None or (known[best] < minimum * GB and len(known) < len(view.ground.hosts)):
        return unknown(threshold, f"The free room is not known of: {_missing(view, known)}.")
    measured = f"{known[best] / GB:.0f} GB free on {best}"
    if any(step.startswith(REGISTRY) for step in view.ground.done):
        return passed(measured, threshold, "The registry is there already, and has taken its room.")
    more = remedy(
        "Free or add a disk on one server: the registry of the platform keeps its images there.",
        "df -h",
        "homewright check",
    )
    if known[best] < minimum * GB:
        return wrong(measured, threshold, "No server has the room that the registry (Harbor) needs.", more)
    if known[best] < recommended * GB:
        return warning(measured, threshold, "The registry fits, but its images will fill that server.", more)
    return passed(measured, threshold, "There is room for the registry.")


def site_disk(view: SiteView) -> Outcome:
    wanted = view.limits.number("recommended_gb")
    found = {
        name: sum(d.size for d in facts.disks) if facts.disks else None for name, facts in view.ground.known.items()
    }
    amounts = {name: None if total is None else total / GB for name, total in found.items()}
    return _sum(view, amounts, wanted, "GB")


def disk_latency(view: HostView) -> Outcome:
    wanted = view.limits.number("fdatasync_p99_ms")
    threshold = f"{wanted:g} ms at most (99th percentile)"
    took = view.ground.measurements.disk_ms.get(view.host)
    if took is None:
        return unknown(threshold, f"Not known: {view.ground.measurements.why_not(view.host, 'disk_ms')}.")
    measured = f"{took:.1f} ms"
    if took <= wanted:
        return passed(measured, threshold, "The disk writes fast enough for the cluster's database.")
    return warning(
        measured,
        threshold,
        "The cluster's database waits for the disk at every change, and may lose its leader under load.",
        remedy(
            f"Let {view.host} have an SSD for its system, or let another server be the first of the site.",
            "lsblk -d -o NAME,ROTA,MODEL",
            "homewright check",
        ),
    )


def _sum(view: SiteView, amounts: dict[str, float] | dict[str, int | None] | dict[str, float | None],
         wanted: float, unit: str, slack: float = 1.0) -> Outcome:  # fmt: skip
    """Whether the site as a whole has what the full platform needs."""
    threshold = f"{wanted:g} {unit} for the full platform"
    known = {name: amount for name, amount in amounts.items() if amount is not None}
    total = sum(known.values())
    measured = f"{total:.0f} {unit}"
    if total >= wanted * slack:
        return passed(measured, threshold, "The full platform fits.")
    if len(known) < len(view.ground.hosts):
        return unknown(threshold, f"It is {measured} without those that are not known: {_missing(view, known)}.")
    return warning(
        measured,
        threshold,
        "The core fits in less, but not with all optional services and workspaces.",
        remedy(
            "Leave out optional services, or add a server.",
            "homewright site show platform.optional",
            "homewright site unset platform.optional",
        ),
    )


def _missing(view: SiteView, known: dict[str, float] | dict[str, int]) -> str:
    return ", ".join(name for name in view.ground.hosts if name not in known) or "any server"


def _holds(facts: HostFacts, folder: str) -> FileSystem | None:
    """The file system that a folder is on: the one with the longest mount point above it."""
    above = [one for one in facts.file_systems if f"{folder}/".startswith(one.mount.rstrip("/") + "/")]
    return max(above, key=lambda one: len(one.mount), default=None)


def _room(facts: HostFacts) -> int | None:
    """Free bytes of the roomiest file system on a disk."""
    real = [one.free for one in facts.file_systems if one.kind not in ("tmpfs", "devtmpfs", "squashfs", "efivarfs")]
    return max(real, default=None)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


CHECKS = (
    Check("host.cpu", "Processors", "host", "host", ("cpu",), _KUBEADM, host=cpu),
    Check("site.cpu", "Processors of all servers", "host", "site", ("cpu",), _KUBEADM, site=site_cpu),
    Check("host.memory", "Memory", "host", "host", ("memory", "site.instances"), _LXD_VM, host=memory),
    Check("site.memory", "Memory of all servers", "host", "site", ("memory",), _KUBEADM, site=site_memory),
    Check("host.disk", "Room in the home", "host", "host", ("file_systems", "system"), _KUBEADM, host=home_disk),
    Check("site.registry-disk", "Room for the registry", "host", "site", ("file_systems",), _HARBOR,
          site=registry_disk, phase="before-install", depends=("host.disk",)),
    Check("site.disk", "Disks of all servers", "host", "site", ("disks",), _KUBEADM, site=site_disk),
    Check("host.disk-latency", "Speed of writing", "host", "host", ("measured.disk_ms",), _ETCD, host=disk_latency),
)  # fmt: skip
