"""Simulated nodes as objects of a cluster's API: made, waited for and taken away. kwok plays them meanwhile."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Any

from homewright.cluster import simulated
from homewright.cluster.client import Cluster, ClusterConflict, ClusterError, wait
from homewright.errors import LabError, UsageError
from homewright.lab import kwok

NODES = "/api/v1/nodes"
READY_S = 120.0
"""How long nodes may take to be ready: a second or two, and longer where many wait for a busy machine."""
NODE_PREFIX = 24
"""kubeadm's controller gives every node a network of this size out of the pods' range."""
KEPT = 16
"""Of those networks, so many are left for real nodes."""
AT_ONCE = 8

Say = Callable[[str], None]


@dataclass(frozen=True)
class Placed:
    """What was done, by the nodes' names."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()


def require_room(api: Cluster, count: int) -> None:
    """Raises UsageError where the pods' range has too few networks for so many nodes, and ClusterError."""
    found = api.find("/api/v1/namespaces/kube-system/configmaps/kubeadm-config") if count else None
    told = re.search(r"podSubnet: *[\"']?([0-9./]+)", ((found or {}).get("data") or {}).get("ClusterConfiguration", ""))
    if told is None:
        return
    network = IPv4Network(told[1])
    most = max(0, (1 << max(0, NODE_PREFIX - network.prefixlen)) - KEPT)
    if count > most:
        raise UsageError(
            f"There is no room for {count} simulated nodes.",
            f"Each takes a /{NODE_PREFIX} of the pods' range {network}; {KEPT} of these are kept for real nodes.",
            [f"ask for fewer: homewright lab nodes {most}"],
        )


def put(api: Cluster, count: int, address: str, say: Say) -> Placed:
    """Make the first `count` simulated nodes be there and ready, and no others. kwok runs, where there are to be any.

    Raises LabError for nodes that do not become ready, and ClusterError.
    """
    wanted = [kwok.name(number) for number in range(1, count + 1)]
    there = {one["metadata"]["name"] for one in api.list(NODES, labelSelector=simulated.SELECTOR)}
    surplus = sorted(there - {*wanted})
    if surplus:
        say(f"removing {told(surplus)}")
        remove(api, surplus, say)
    missing = [number for number in range(1, count + 1) if kwok.name(number) not in there]
    if missing:
        added = [kwok.name(number) for number in missing]
        say(f"adding {told(added)}")
        version = str(api.get("/version")["gitVersion"])

        def add(number: int) -> None:
            try:
                api.create(NODES, kwok.node(number, version, address))
            except ClusterConflict:  # a killed command's, made since the list
                api.get(f"{NODES}/{kwok.name(number)}")

        _each(add, missing)
    if held := wait(READY_S, lambda: waiting(api.list(NODES, labelSelector=simulated.SELECTOR), wanted)):
        raise LabError(
            "Not all simulated nodes are ready.",
            held,
            ["see whether kwok runs: homewright lab status", f"then again: homewright lab nodes {count}"],
        )
    return Placed(tuple(kwok.name(number) for number in missing), tuple(surplus))


def waiting(found: Iterable[Mapping[str, Any]], wanted: Collection[str]) -> str:
    """Which of these nodes are not ready, in a sentence; empty where all are. Pure."""
    ready = {one["metadata"]["name"] for one in found if is_ready(one)}
    late = sorted({*wanted} - ready)
    return f"{len(late)} of {len(wanted)} are not, such as {late[0]}." if late else ""


def ready(api: Cluster, limit_s: float) -> int:
    """How many simulated nodes the cluster calls ready. Raises ClusterError."""
    page = api.get(NODES, timeout=limit_s, labelSelector=simulated.SELECTOR)
    return sum(is_ready(one) for one in page.get("items") or ())


def is_ready(node: Mapping[str, Any]) -> bool:
    """Whether a node says so. Pure."""
    conditions = (node.get("status") or {}).get("conditions") or ()
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def told(names: Collection[str]) -> str:
    """Names of nodes, in their order, in a few words. Pure."""
    ordered = sorted(names)
    return ordered[0] if len(ordered) == 1 else f"{ordered[0]} to {ordered[-1]} ({len(ordered)} nodes)"


def remove(api: Cluster, names: Collection[str], say: Say) -> None:
    """Take these nodes out of the cluster, with the pods that were said to run there. Raises ClusterError."""
    # None of them gets a pod that another one loses.
    _each(lambda name: api.merge(f"{NODES}/{name}", {"spec": {"unschedulable": True}}), names)

    def one(name: str) -> None:
        # First the node: a daemon set would have another pod there at once.
        api.delete(f"{NODES}/{name}")
        on_it = {"fieldSelector": f"spec.nodeName={name}"}
        for space in sorted({pod["metadata"]["namespace"] for pod in api.list("/api/v1/pods", **on_it)}):
            # Nothing has to end first: nothing runs.
            answer = api.send("DELETE", f"/api/v1/namespaces/{space}/pods", {**on_it, "gracePeriodSeconds": "0"})
            if answer.status >= 300:
                raise ClusterError(f"Pods on {name} could not be removed.", bytes(answer.data).decode()[:300])

    _each(one, names)
    lost = volumes(api.list("/api/v1/persistentvolumes"), names)
    if lost:
        say(
            f"{lost} volume{'s were' if lost > 1 else ' was'} said to be there: what has its data on them starts "
            "nowhere else, and is to be deleted with its storage"
        )


def volumes(found: Iterable[Mapping[str, Any]], nodes: Collection[str]) -> int:
    """How many volumes can be used on these nodes alone. Pure."""
    gone = 0
    for one in found:
        required = (one["spec"].get("nodeAffinity") or {}).get("required") or {}
        values = [
            value
            for term in required.get("nodeSelectorTerms") or ()
            for each in term.get("matchExpressions") or ()
            if each.get("key") == "kubernetes.io/hostname"
            for value in each.get("values") or ()
        ]
        gone += bool(values) and {*values} <= {*nodes}
    return gone


def _each(act: Callable[[Any], object], items: Iterable[Any]) -> None:
    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        list(pool.map(act, items))
