"""What a node-to-be has, looked at in one go; and what speaks against making it one, before anything is changed.

The judging is pure.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network

from homewright.engine.runners.host import Host
from homewright.errors import HomewrightError
from homewright.planning.cluster import API_PORT, LEAST_CPU, LEAST_MEMORY_MIB, SHARED_PORT, ClusterPlan
from homewright.stages.cluster import documents

OWNER = "/etc/homewright/cluster/owner"
"""On every node: whose it is. Written before anything else, removed last."""
FORMED = "/etc/homewright/cluster/formed"
"""On every node: that its init or join came to its end."""
ETCD = "/var/lib/etcd"
NODE_PORTS = (10250,)
PLANE_PORTS = (API_PORT, 2379, 2380, 10250, 10257, 10259)
OUR_INTERFACES = ("cni0", "flannel.1")
SKEW_S = 60.0
"""Certificates that kubeadm makes begin at once: a node whose clock is behind does not believe them yet."""


class Refused(HomewrightError):
    """A server that cannot become a node as it is. Nothing was changed."""

    code = "refused"


@dataclass(frozen=True)
class Seen:
    """One node-to-be."""

    architecture: str = ""
    cpu: int = 0
    memory_mib: int = 0
    owner: str = ""
    formed: bool = False
    config: bool = False
    """Whether there is anything of a Kubernetes node: what kubeadm writes."""
    foreign: tuple[str, ...] = ()
    """Files in the places of ours that we did not make: programs, kubelet's unit, and what is in etcd's folder."""
    others: tuple[str, ...] = ()
    """Other makers' Kubernetes, by its name."""
    swap: tuple[str, ...] = ()
    ports: Mapping[int, str] | None = None
    """Who listens, by port."""
    routes: tuple[tuple[str, str], ...] = ()
    """Destinations and their interfaces."""
    nests: bool = True
    """Whether containers of its own can be started there: a container that may have none gets no /proc for them."""
    skew_s: float = 0.0
    """How far its clock is ahead of ours."""


_LOOK = f"""
echo "architecture $(uname -m)"
echo "cpu $(nproc)"
awk '$1 == "MemTotal:" {{ print "memory", int($2 / 1024) }}' /proc/meminfo
[ ! -s {OWNER} ] || echo "owner $(cat {OWNER})"
[ ! -e {FORMED} ] || echo formed
for file in /etc/kubernetes/*.conf /etc/kubernetes/manifests/* /etc/kubernetes/pki/* /var/lib/etcd/member; do
    [ ! -e "$file" ] || echo "config $file"
done
for name in {" ".join(documents.LINKS)}; do
    file={documents.BIN}/$name
    [ -e $file ] || [ -L $file ] || continue
    case $(readlink $file) in {documents.PROGRAMS}/*) ;; *) echo "foreign $file" ;; esac
done
for folder in {documents.UNITS} /usr/lib/systemd/system; do
    for file in $folder/kubelet.service $folder/kubelet.service.d; do
        [ -e $file ] || [ -L $file ] || continue
        grep -qs '{documents.MARK}' $file || echo "foreign $file"
    done
done
for file in {ETCD}/*; do [ ! -e "$file" ] || [ "$file" = {ETCD}/member ] || echo "foreign $file"; done
[ ! -d /var/snap/microk8s ] || echo "other MicroK8s"
[ ! -e /etc/rancher/k3s ] && [ ! -e /usr/local/bin/k3s ] || echo "other k3s"
[ ! -e /etc/rancher/rke2 ] || echo "other RKE2"
[ ! -e /var/lib/k0s ] || echo "other k0s"
awk 'NR > 1 {{ print "swap", $1 }}' /proc/swaps
unshare --mount --pid --fork --mount-proc true 2>/dev/null || echo lone
ss -Hlntp | awk '{{
    n = split($4, a, ":"); who = $6; sub(/^users:\\(\\("/, "", who); sub(/".*/, "", who); print "port", a[n], who
}}'
ip -4 -o route show table main | awk '{{
    to = $1; by = ""
    if (to ~ /^[a-z]/ && to != "default") {{ by = $1; to = $2 }}  # blackhole, unreachable, multicast and their like
    for (i = 1; i < NF; i++) if ($i == "dev") by = $(i + 1)
    if (by != "") print "route", to, by
}}'
echo "clock $(date +%s.%N)"
"""


def look(host: Host) -> Seen:
    """What the server tells of itself. Raises CommandFailed, Unreachable."""
    begun = time.time()
    said = host.run(_LOOK).stdout
    return parse(said, (begun + time.time()) / 2)


def parse(said: str, now: float) -> Seen:
    """What the look printed; `now` is our own clock in the middle of it."""
    found: dict[str, list[list[str]]] = {}
    for line in said.splitlines():
        name, *values = line.split()
        found.setdefault(name, []).append(values)

    def one(name: str, default: str = "") -> str:
        return " ".join(found[name][0]) if name in found else default

    return Seen(
        architecture=one("architecture"),
        cpu=int(one("cpu", "0")),
        memory_mib=int(one("memory", "0")),
        owner=one("owner"),
        formed="formed" in found,
        config="config" in found,
        foreign=tuple(" ".join(values) for values in found.get("foreign", ())),
        others=tuple(" ".join(values) for values in found.get("other", ())),
        swap=tuple(values[0] for values in found.get("swap", ())),
        ports={int(values[0]): " ".join(values[1:]) for values in found.get("port", ()) if values[0].isdigit()},
        routes=tuple((values[0], values[1]) for values in found.get("route", ())),
        nests="lone" not in found,
        skew_s=round(float(one("clock", str(now))) - now, 1),
    )


ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def refusals(plan: ClusterPlan, name: str, seen: Seen, owner: str, *, swap_allowed: bool = False) -> Iterator[Refused]:
    """What speaks against making this server a node, the gravest first; nothing where it is one of ours already."""
    plane = plan.node(name).control_plane
    if seen.owner and seen.owner != owner:
        whose = seen.owner.partition("/")[0]
        yield Refused(
            f"{name} is a node of another cluster: that of the site {whose}.",
            "Homewright never takes over a cluster that it did not make for this site.",
            ["take it back there: homewright rollback 40/core/cluster", "or leave the server out of this site"],
        )
        return
    if seen.others or (seen.config and not seen.owner):
        what = " and ".join(seen.others) or "Kubernetes"
        yield Refused(
            f"{name} has {what} already, and Homewright did not make it.",
            "It is left alone: what runs in it would be lost.",
            [
                "use it as it is: homewright site set platform.cluster existing",
                "or save what is in it and take it away, then: homewright retry",
            ],
        )
        return
    # etcd is a control plane's, and once it is formed others may be beside its data.
    foreign = [path for path in seen.foreign if not path.startswith(ETCD) or (plane and not seen.owner)]
    if foreign:
        yield Refused(
            f"{name} has its own {' and '.join(foreign)}.",
            "A node's would take its place, and go when the node is taken back.",
            [f"see where it is from: dpkg -S {foreign[0]}", "move it away or remove it, then: homewright retry"],
        )
    if seen.owner:
        return
    yield from _too_small(name, seen, plane, bool(plan.node(name).entrance))
    if seen.architecture not in ARCHITECTURES:
        yield Refused(f"{name} is a {seen.architecture}.", "Kubernetes is there for x86_64 and aarch64.")
    if not seen.nests:
        yield Refused(
            f"No container can be started in {name}.",
            "It is a container itself, and its LXD lets it have none of its own (security.nesting).",
            ["have an instance of ours as planned again: homewright apply --from 20"]
            if plan.node(name).entrance
            else [f"where its LXD is: lxc config set {name} security.nesting=true; lxc restart {name}"],
        )
    if seen.swap and not swap_allowed:
        # A container is shown its server's, and can turn none of it off.
        contained = plan.contained and plan.node(name).entrance
        where = plan.node(name).server if contained else name
        yield Refused(
            f"{where} has swap: {', '.join(seen.swap)}.",
            "kubelet does not start beside swap: limits of memory would mean nothing."
            + (f" {name} is a container there, which has what its server has." if contained else ""),
            [
                f"turn it off on {where}: sudo swapoff -a",
                "and for good: comment its lines out in /etc/fstab there, then: homewright retry",
            ],
        )
    if plane and plan.address is not None:
        yield from _not_shared(name, plan, seen)
    shared = (SHARED_PORT,) if plan.address is not None else ()
    for port in (*PLANE_PORTS, *shared) if plane else NODE_PORTS:
        if seen.ports and port in seen.ports:
            yield Refused(
                f"Port {port} of {name} is in use by {seen.ports[port] or 'another program'}.",
                "Kubernetes needs it.",
                [f"look at it: sudo ss -lntp 'sport = :{port}'", "stop it, then: homewright retry"],
            )
    for answer, net in (("network.pods", plan.pods), ("network.services", plan.services)):
        if clash := overlapping(net, seen.routes):
            yield Refused(
                f"{name} has a route to {clash[0]} through {clash[1]}, which overlaps with {net}.",
                "Packets of the cluster would go there.",
                [f"choose another range: homewright site set {answer} …"],
            )
    if abs(seen.skew_s) > SKEW_S:
        yield Refused(
            f"The clock of {name} is {abs(seen.skew_s):.0f} s {'ahead of' if seen.skew_s > 0 else 'behind'} ours.",
            "Certificates that are made now would not be valid there.",
            ["set it: homewright check --fix says how"],
        )


def _not_shared(name: str, plan: ClusterPlan, seen: Seen) -> Iterator[Refused]:
    address = plan.address
    near = (IPv4Network(to, strict=False) for to, _ in seen.routes if to != "default")
    if address is not None and not any(address in net for net in near):
        yield Refused(
            f"{name} has no network that {address} is in.",
            "The control planes share an address of the network that they are in.",
            [f"choose a free one of {plan.network}: homewright site set cluster.address …"],
        )


def answering(host: Host, plan: ClusterPlan) -> Refused | None:
    """Why the shared address cannot be had: somebody in the network answers at it."""
    asked = f"ping -c 1 -W 1 {plan.address} >/dev/null 2>&1; ip -4 neigh show {plan.address}"
    said = host.run(asked, check=False).stdout.split()
    if "lladdr" not in said:
        return None
    return Refused(
        f"Somebody has {plan.address} already: {said[said.index('lladdr') + 1]}.",
        "The address of the cluster's API must be nobody's.",
        [f"choose a free one of {plan.network}: homewright site set cluster.address …"],
    )


def _too_small(name: str, seen: Seen, plane: bool, instance: bool) -> Iterator[Refused]:
    def more(part: str) -> str:
        return f"give it more: homewright site set instances.nodes.{name}.{part} 2, then: homewright apply"

    if seen.cpu < LEAST_CPU:
        yield Refused(
            f"{name} has {seen.cpu} processor{'s' if seen.cpu != 1 else ''}.",
            f"A node of the cluster needs at least {LEAST_CPU}.",
            [more("cpu") if instance else "give it more, or leave it out of the site"],
        )
    if plane and seen.memory_mib < LEAST_MEMORY_MIB:
        yield Refused(
            f"{name} has {seen.memory_mib} MiB of memory.",
            f"A control plane needs at least {LEAST_MEMORY_MIB} MiB.",
            [more("memory") if instance else "give it more, or let another server be the first of the site"],
        )


def overlapping(net: IPv4Network, routes: Sequence[tuple[str, str]]) -> tuple[str, str] | None:
    """The route that overlaps with a range of the cluster's; its own networks, and the way out, are none."""
    for destination, interface in routes:
        if destination == "default" or interface in OUR_INTERFACES:
            continue
        if IPv4Network(destination, strict=False).overlaps(net):
            return destination, interface
    return None


def swap_allowed(host: Host) -> bool:
    """Whether the site's answers let kubelet start beside swap."""
    return documents.kubelet(host.site).get("failSwapOn") is False
