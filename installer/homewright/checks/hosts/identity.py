"""Who a server is and what time it thinks it is: names, addresses, machine ids, clocks."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from homewright.checks.check import Check, Outcome, passed, remedy, unknown, warning, wrong
from homewright.checks.ground import HostView, SiteView
from homewright.checks.models import Remedy
from homewright.discovery.facts import HostFacts

_MICROK8S = "https://microk8s.io/docs/troubleshooting"
_KUBEADM = "https://kubernetes.io/docs/setup/production-environment/tools/kubeadm/install-kubeadm/"
_MACHINE_ID = "https://www.freedesktop.org/software/systemd/man/latest/machine-id.html"
_TIME = "https://www.freedesktop.org/software/systemd/man/latest/timedatectl.html"
_ETCD_TIME = "https://etcd.io/docs/v3.5/faq/"

_HOSTNAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*")
_OWN_BRIDGES = re.compile(
    r"(docker|virbr|lxdbr|lxdfan|lxdov|lxcbr|cni|nodelocaldns|flannel|cali|vxlan|veth|tap|mpqemubr|kube-)"
)
"""Interfaces that every server may have with the same address: nobody outside sees it."""


def hostname(view: HostView) -> Outcome:
    threshold = f"{view.host}, in lowercase letters, digits and hyphens"
    name = view.facts.system.hostname
    if not name:
        return unknown(threshold, f"The host name is not known: {view.facts.why_unknown('kernel', 'names')}.")
    rename = remedy(
        f"Give it the name that it has in the site: {view.host}.",
        f"sudo hostnamectl set-hostname {view.host}",
        fix="hostname",
        changes=(f"the host name becomes {view.host}", "its own line in /etc/hosts follows"),
    )
    if not _HOSTNAME.fullmatch(name):
        reason = "MicroK8s does not start with capitals or underscores in the host name."
        return wrong(name, threshold, reason, rename)
    if name.partition(".")[0] != view.host:
        reason = f"The site calls it {view.host}, and that is the name that the others resolve."
        return warning(name, threshold, reason, rename)
    return passed(name, threshold, "Kubernetes takes it as a node's name, and the others know it.")


def unique_hostname(view: SiteView) -> Outcome:
    def rename(twins: list[str]) -> Remedy:
        names = "; ".join(f"on {host}: sudo hostnamectl set-hostname {host}" for host in twins[1:])
        return remedy("Give all but one of them another name.", names)

    return _unique(view, "host name", lambda facts: [facts.system.hostname], rename, "Nodes are told apart by it.")


def unique_address(view: SiteView) -> Outcome:
    def change(twins: list[str]) -> Remedy:
        return remedy(
            f"Give all but one of {', '.join(twins)} another address, on the server itself or in the router.",
            "ip -br address",
            "homewright check",
        )

    return _unique(view, "address", _addresses, change, "Two servers with one address take each other's packets.")


def unique_machine_id(view: SiteView) -> Outcome:
    def renew(twins: list[str]) -> Remedy:
        return remedy(
            f"They were copied from one another: make new ids on {', '.join(twins[1:])}, then reboot them.",
            "sudo rm -f /etc/machine-id /var/lib/dbus/machine-id",
            "sudo systemd-machine-id-setup",
            "sudo reboot",
        )

    reason = "Leases, journals and the cluster tell servers apart by it."
    return _unique(view, "machine id", lambda facts: [facts.system.machine_id], renew, reason)


def clock_skew(view: HostView) -> Outcome:
    wanted = view.limits.number("skew_s")
    threshold = f"{wanted:g} s from the median at most"
    offset, median = view.facts.clock.offset_s, view.ground.clock
    if offset is None or median is None:
        return unknown(threshold, f"Its clock is not known: {view.facts.why_unknown('clock')}.")
    blur = view.facts.clock.uncertainty_s or 0.0
    skew = offset - median
    if blur > wanted:
        return unknown(threshold, f"{view.host} answers too slowly to tell: its clock is known to {blur:.0f} s only.")
    if abs(skew) <= wanted:
        return passed(f"{skew:+.1f} s", threshold, "Certificates and tokens are valid at once.")
    return wrong(
        _apart(skew),
        threshold,
        "Certificates and tokens of the other servers are not valid yet, or no longer, on it.",
        remedy(
            f"Set the clock of {view.host}.",
            f'sudo timedatectl set-ntp false && sudo date -u -s "$(ssh {_peer(view)} date -u +@%s)"',
            "sudo timedatectl set-ntp true",
            fix="clock",
            changes=(f"the clock of {view.host} is set {_apart(-skew)}", "its time service is started again"),
        ),
    )


def time_sync(view: HostView) -> Outcome:
    threshold = "synchronised by NTP" if view.limits.flag("synchronised") else "a time service runs"
    clock = view.facts.clock
    if clock.synchronised is None and not clock.service:
        return unknown(threshold, f"It is not known: {view.facts.why_unknown('clock')}.")
    running = clock.service or "no time service"
    if clock.synchronised or (clock.service and not view.limits.flag("synchronised")):
        word = "synchronised" if clock.synchronised else "running"
        return passed(f"{word} ({running})", threshold, "Its clock stays right.")
    service = clock.service or "systemd-timesyncd"
    install = () if clock.service else ("sudo apt-get install -y systemd-timesyncd",)
    return wrong(
        f"not synchronised ({running})",
        threshold,
        "Its clock will drift away from the others'.",
        remedy(
            f"Let {view.host} ask a time server.",
            *install,
            "sudo timedatectl set-ntp true",
            f"sudo systemctl restart {service}",
            fix="time-sync",
            changes=(
                *((f"the package {service} is installed",) if install else ()),
                f"{service} is enabled and started",
            ),
        ),
    )


def _unique(
    view: SiteView,
    what: str,
    of: Callable[[HostFacts], Iterable[str]],
    mend: Callable[[list[str]], Remedy],
    reason: str,
) -> Outcome:
    """No two servers have the same of something."""
    threshold = f"every {what} once"
    holders: dict[str, list[str]] = {}
    silent = [name for name in view.ground.hosts if name not in view.ground.known]
    for name, facts in view.ground.known.items():
        values = [value for value in of(facts) if value]
        silent += [] if values else [name]
        for value in values:
            holders.setdefault(value, []).append(name)
    twice = {value: hosts for value, hosts in holders.items() if len(hosts) > 1}
    if twice:
        value, hosts = next(iter(twice.items()))
        return wrong(f"{value} on {', '.join(hosts)}", threshold, reason, mend(hosts))
    if silent and len(view.ground.hosts) > 1:
        return unknown(threshold, f"The {what} is not known of: {', '.join(silent)}.")
    return passed("all differ", threshold, reason)


def _addresses(facts: HostFacts) -> list[str]:
    return [
        address.split("/")[0]
        for nic in facts.nics
        if nic.kind != "loopback" and not _OWN_BRIDGES.match(nic.name)
        for address in nic.addresses
        if ":" not in address
    ]


def _apart(seconds: float) -> str:
    """A difference of time, in the unit that suits it."""
    size, word = abs(seconds), "ahead" if seconds > 0 else "behind"
    for limit, unit, name in ((120, 1, "s"), (7200, 60, "min"), (172800, 3600, "h")):
        if size < limit:
            return f"{size / unit:.0f} {name} {word}"
    return f"{size / 86400:.0f} days {word}"


def _peer(view: HostView) -> str:
    """How another server of the site is reached from this one."""
    others = [server for server in view.site.servers if server.name != view.host]
    return f"{others[0].user}@{others[0].address}" if others else "localhost"


CHECKS = (
    Check("host.hostname", "Host name", "host", "host", ("system",), _MICROK8S, host=hostname),
    Check("site.hostnames", "Host names differ", "host", "site", ("system",), _KUBEADM, site=unique_hostname,
          depends=("host.hostname",)),
    Check("site.addresses", "Addresses differ", "host", "site", ("nics",), _KUBEADM, site=unique_address),
    Check("site.machine-ids", "Machine ids differ", "host", "site", ("system",), _MACHINE_ID, site=unique_machine_id),
    Check("host.clock-skew", "Clock", "host", "host", ("clock",), _ETCD_TIME, host=clock_skew,
          depends=("host.time-sync",)),
    Check("host.time-sync", "Time service", "host", "host", ("clock",), _TIME, host=time_sync),
)  # fmt: skip
