"""Which Kubernetes every node has: what stands on it, looked at in one go, and what it is to get. The judging is pure.

A node keeps in a file what it was prepared with. Programs of a node that is in a cluster are replaced by the upgrade
alone (40/core/cluster/40): a kubelet that is newer than its API, after a restart that nobody had in mind, is what other
steps must never make.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from homewright.engine.runners.host import Host, together
from homewright.errors import Unreachable
from homewright.planning import upgrades
from homewright.planning.cluster import ClusterPlan
from homewright.stages.cluster import documents
from homewright.stages.cluster.look import FORMED, Refused

VERSION = "/etc/homewright/cluster/version"
"""On every node: the Kubernetes that it was prepared with, or upgraded to."""
PROGRAMS = ("kubeadm", "kubelet", "kubectl")
PARTS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
"""Of a control plane, with a version of Kubernetes' own in their images' names."""
_MANIFESTS = "/etc/kubernetes/manifests"
_LOOK = f"""
[ -e {FORMED} ] || exit 0
echo formed
[ ! -s {VERSION} ] || echo "kept $(cat {VERSION})"
for part in {" ".join(PARTS)}; do
    [ ! -e {_MANIFESTS}/$part.yaml ] ||
        echo "part $part $(sed -n 's/^ *image: .*:v\\([0-9.]*\\)$/\\1/p' {_MANIFESTS}/$part.yaml | head -n 1)"
done
pid=$(systemctl show -p MainPID --value kubelet.service)
[ "$pid" = 0 ] || echo "runs $(readlink /proc/$pid/exe)"
echo "linked $(readlink -f {documents.BIN}/kubelet)"
"""
_ASK = f"""
echo "kubeadm $({documents.BIN}/kubeadm version -o short 2>/dev/null)"
echo "kubelet $({documents.BIN}/kubelet --version 2>/dev/null | awk '{{ print $2 }}')"
echo "kubectl $({documents.BIN}/kubectl version --client 2>/dev/null | awk '/^Client/ {{ print $3 }}')"
"""


@dataclass(frozen=True)
class Standing:
    """What one node has. Versions are without their v; empty where there is none, or no word of it."""

    name: str
    formed: bool = False
    kept: str = ""
    """As the node's own file says."""
    programs: Mapping[str, str] = field(default_factory=dict)
    parts: Mapping[str, str] = field(default_factory=dict)
    """Of a control plane, by what kubelet is told to run; a worker has none."""
    is_stale: bool = False
    """Whether a kubelet runs that is another one than the one that is linked."""

    @property
    def version(self) -> str:
        """What it has: as it keeps it, else as its programs say, kubelet first."""
        told = (self.kept, *(self.programs.get(name, "") for name in ("kubelet", "kubeadm", "kubectl")))
        return next((one for one in told if one), "")

    @property
    def known(self) -> frozenset[str]:
        """Every version that runs there, or would after a restart."""
        mine = (*self.parts.values(), self.programs.get("kubelet", ""))
        return frozenset(one for one in mine if one)


def parse(name: str, said: str) -> Standing:
    """What the look printed."""
    told: dict[str, str] = {}
    parts: dict[str, str] = {}
    for line in said.splitlines():
        word, *rest = line.split() or [""]
        if word == "part":
            parts[rest[0]] = _plain(rest[1] if len(rest) > 1 else "")
        else:
            told[word] = " ".join(rest)
    return Standing(
        name=name,
        formed="formed" in told,
        kept=_plain(told.get("kept", "")),
        programs={one: _plain(told.get(one, "")) for one in PROGRAMS},
        parts=parts,
        is_stale=bool(told.get("runs")) and told.get("runs") != told.get("linked"),
    )


def _plain(text: str) -> str:
    return text.lstrip("v") if upgrades.is_version(text) else ""


def look(host: Host, *, programs: bool = True) -> Standing:
    """What the node tells of itself; its programs are asked one by one, which takes a second where all is busy.

    Raises CommandFailed, Unreachable.
    """
    return parse(host.name, host.run(_LOOK + _ASK if programs else _LOOK).stdout)


def standing(hosts: Sequence[Host], plan: ClusterPlan) -> dict[str, Standing]:
    """Those of the planned nodes that are in the cluster, by name: of these hosts, and of their peers that can be
    reached. Raises what looking at one of these hosts does."""
    names = {node.name for node in plan.nodes} - {host.name for host in hosts}
    found = together(hosts, look)
    for host in hosts:
        if host.error is not None:
            raise host.error
    for peer in hosts[0].peers:
        if peer.name in names:
            with contextlib.suppress(Unreachable):
                found[peer.name] = look(peer)
    return {name: one for name, one in found.items() if one.formed}


def cluster(nodes: Iterable[Standing]) -> str:
    """What a node that joins has to be: the newest of the control planes' APIs; empty where there is no cluster."""
    found = [one.parts.get(PARTS[0], "") for one in nodes]
    return max((one for one in found if one), key=upgrades.parsed, default="")


def refuse(nodes: Collection[Standing], wanted: str) -> None:
    """Raises Refused where the cluster does not go to this version. Nothing was changed."""
    there = {version for one in nodes for version in one.known}
    if there and (told := upgrades.refusal(there, wanted)) is not None:
        what, why, do = told
        raise Refused(what, f"{why} Nothing was changed.", list(do))


def wanted(node: Standing, running: str, planned: str) -> tuple[str, tuple[str, ...]]:
    """What a server is prepared with: the version, and the programs to see to.

    One that is in no cluster gets what the cluster runs, or what is planned where there is none. One that is keeps what
    it has: a program that an upgrade has replaced already is left alone, and one that gives no word is put back.
    """
    if not node.formed:
        return running or planned, PROGRAMS
    version = node.version or running or planned
    if version == planned:
        return version, PROGRAMS
    return version, tuple(name for name in PROGRAMS if node.programs.get(name) not in (version, planned))


def due(node: Standing, planned: str) -> str:
    """What of a node is not at this version yet, in a few words; empty where all is."""
    behind = [f"{name} {version or 'without a word'}" for name, version in node.parts.items() if version != planned]
    behind += [
        f"{name} {node.programs.get(name) or 'without a word'}"
        for name in PROGRAMS
        if node.programs.get(name) != planned
    ]
    if node.is_stale:
        behind.append("a kubelet that was not started anew")
    return ", ".join(behind)
