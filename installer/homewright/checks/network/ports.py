"""Ports that the platform needs: free, or held by what is ours."""

from __future__ import annotations

from homewright.checks.check import Check, Outcome, passed, remedy, unknown, wrong
from homewright.checks.ground import HostView
from homewright.discovery.facts import HostFacts, Listener

_PORTS = "https://microk8s.io/docs/services-and-ports"

OURS = frozenset(
    {"lxd", "kubelite", "kubelet", "containerd", "cluster-agent", "k8s-dqlite", "k8s_dqlite", "etcd", "kube-apiserver",
     "kube-controller", "kube-controller-manager", "kube-scheduler", "kube-proxy", "envoy", "traefik", "named",
     "zerotier-one", "calico-node", "flanneld"}
)  # fmt: skip
"""Processes of the platform's own: LXD, MicroK8s' and kubeadm's Kubernetes, the ingress, bind9. The kernel keeps 15
characters of a name, hence kube-controller."""

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
        if is_ours(listener, view.facts):
            own += 1
        else:
            taken.setdefault(name, listener.process or "somebody")
    if not taken:
        measured = "all free" if not own else "held by the platform itself"
        return passed(measured, threshold, "What the platform listens on is free for it.")
    named = ", ".join(f"{port} by {process}" for port, process in taken.items())
    ports = [port.partition("/")[0] for port in taken]
    filters = " or ".join(f"sport = :{port}" for port in ports)
    listening = f"sudo ss -Hlntup '{filters}'"
    return wrong(
        f"taken: {named}",
        threshold,
        "LXD, Kubernetes or the ingress cannot start where somebody else has their port.",
        remedy(
            f"See who listens there on {view.host}, then stop it, or move it to another port.",
            listening,
            f"sudo kill $({listening} | grep -o 'pid=[0-9]*' | cut -d= -f2 | sort -u)",
            fix="port",
            changes=tuple(f"what listens on {port} is stopped: {process}" for port, process in taken.items()),
        ),
    )


def is_ours(listener: Listener, facts: HostFacts) -> bool:
    """Whether a listener belongs to the platform."""
    if listener.process:
        return listener.process in OURS
    return listener.protocol == "udp" and any(service in _CLUSTER for service in facts.software.services)


CHECKS = (Check("net.ports", "Ports", "network", "host", ("listeners", "software"), _PORTS, host=free,
          phase="before-install"),)  # fmt: skip
