"""Ports that the platform needs: free, or held by what is ours."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType

from homewright.checks.check import Check, Outcome, passed, remedy, unknown, wrong
from homewright.checks.ground import HostView
from homewright.discovery.facts import HostFacts, Listener
from homewright.planning.cluster import API_PORT, WEB_PORTS

_PORTS = "https://microk8s.io/docs/services-and-ports"

_CLUSTER_STEP = "40/core/cluster"
_LED_STEP = "40/core/cluster/00"
_LED = (*WEB_PORTS, API_PORT)
_LEADS = ("systemd", "systemd-socket-")
"""Who listens where a server's ports lead to the instance on it: systemd, and its proxy once somebody has connected."""

_STEPS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "20/": ("lxd",),
        _CLUSTER_STEP: (
            "kubelite", "kubelet", "containerd", "cluster-agent", "k8s-dqlite", "k8s_dqlite", "etcd", "kube-apiserver",
            "kube-controller", "kube-controller-manager", "kube-scheduler", "kube-proxy", "calico-node", "flanneld",
        ),
        "40/core/ingress": ("envoy", "traefik"),
        "30/20": ("named",),
        "30/10": ("zerotier-one",),
    }
)  # fmt: skip
"""The platform's own processes by the step that installs them: LXD, MicroK8s' and kubeadm's Kubernetes, the ingress,
bind9, the overlay. The kernel keeps 15 characters of a name, hence kube-controller."""

OURS = frozenset(name for names in _STEPS.values() for name in names)

KEPT = frozenset(
    {"ssh", "sshd", "sshd-session", "sshd-auth", "dbus", "dbus-daemon", "dbus-broker", "systemd", "init", "init.scope",
     "systemd-journald", "systemd-journal", "systemd-logind", "systemd-networkd", "systemd-network",
     "systemd-resolved", "systemd-resolve", "NetworkManager"}
)  # fmt: skip
"""What is never stopped, by its service or its process (15 characters): without it nobody gets in any more."""

_SOMEBODY = "somebody"

_CLUSTER = ("snap.microk8s.daemon-kubelite", "kubelet")
"""Services whose listeners the kernel itself holds for the pods' network: 4789/udp has no process."""


def free(view: HostView) -> Outcome:
    wanted = view.limits.words("ports")
    threshold = f"free: {', '.join(wanted)}"
    if view.facts.listeners is None:
        return unknown(threshold, f"What listens is not known: {view.facts.why_unknown('listeners')}.")
    taken: dict[str, str] = {}
    own = 0
    for listener in view.facts.listeners:
        name = f"{listener.port}/{listener.protocol}"
        if name not in wanted:
            continue
        if is_ours(listener, view.facts, view.ground.done):
            own += 1
        else:
            taken.setdefault(name, listener.process or _SOMEBODY)
    if not taken:
        measured = "all free" if not own else "held by the platform itself"
        return passed(measured, threshold, "What the platform listens on is free for it.")
    named = ", ".join(f"{port} by {process}" for port, process in taken.items())
    # who has no name, or one that is kept, is left to a person
    stopped = {port: process for port, process in taken.items() if process not in KEPT | OURS | {_SOMEBODY}}
    return wrong(
        f"taken: {named}",
        threshold,
        "LXD, Kubernetes or the ingress cannot start where somebody else has their port.",
        remedy(
            f"See who listens there on {view.host}, then stop it, or move it to another port.",
            _listening(taken),
            *(
                [f"sudo kill $({_listening(stopped)} | grep -o 'pid=[0-9]*' | cut -d= -f2 | grep -vx 1 | sort -u)"]
                if stopped
                else []
            ),
            fix="port" if stopped else None,
            changes=tuple(
                f"what listens on {port} is stopped: {process}, with its service" for port, process in stopped.items()
            ),
        ),
    )


def _listening(ports: Iterable[str]) -> str:
    filters = " or ".join(f"sport = :{port.partition('/')[0]}" for port in ports)
    return f"sudo ss -Hlntup '{filters}'"


def is_ours(listener: Listener, facts: HostFacts, done: Collection[str]) -> bool:
    """Whether a listener belongs to the platform: before the step that installs it, it is a stranger's."""
    if listener.process in _LEADS and listener.port in _LED and listener.protocol == "tcp":
        steps = [_LED_STEP]
    elif listener.process:
        steps = [step for step, names in _STEPS.items() if listener.process in names]
    else:
        held = listener.protocol == "udp" and any(service in _CLUSTER for service in facts.software.services)
        steps = [_CLUSTER_STEP] if held else []
    return any(one.startswith(step) for step in steps for one in done)


CHECKS = (Check("net.ports", "Ports", "network", "host", ("listeners", "software"), _PORTS, host=free,
          phase="before-install"),)  # fmt: skip
