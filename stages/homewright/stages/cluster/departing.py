"""Nodes that are instances and are taken away: the cluster lets go of them first, as of a server that leaves."""

from __future__ import annotations

from collections.abc import Sequence

from homewright.cluster import client, kubeconfig
from homewright.cluster.client import ClusterError
from homewright.engine.runners.host import Host
from homewright.errors import HomewrightError
from homewright.planning.cluster import ClusterPlan
from homewright.stages.cluster import draining, etcd, forming

NODES = "/api/v1/nodes"
FORGET_S = 60


def has_cluster(host: Host) -> bool:
    """Whether the cluster is there that the site makes."""
    return host.site.platform.cluster == "kubeadm" and host.secrets.get(kubeconfig.SECRET) is not None


def let_go(host: Host, name: str, by: etcd.Asked | None = None) -> bool:
    """Have the pods of an instance go elsewhere and the cluster forget it, while it still runs; whether it was a node.

    `by` is the control plane that has etcd forget it, where it is a member. An API that does not answer holds nobody
    up: what is in the instance was named as lost. Raises HomewrightError where a pod may not go now, and where etcd
    cannot spare it: then it stays a node.
    """
    if not has_cluster(host):
        return False
    known, held = False, ""
    try:
        with forming.connect(host) as api:
            known = api.find(f"{NODES}/{name}") is not None
            if known:
                went = draining.drain(api, name)
                host.say(f"{went} pods of {name} go elsewhere")
    except (ClusterError, kubeconfig.KubeconfigError) as error:
        held = error.what
    if by is not None:
        try:
            etcd.snapshot(by)
            etcd.remove(by, name)
        except HomewrightError:
            if known:
                _stay(host, name)
            raise
    if known and not held:
        held = _forget(host, name)
    if held:
        host.say(f"the cluster is not told that {name} goes: {held}")
    return known and not held


def _forget(host: Host, name: str) -> str:
    """Why the API does not forget a node; empty where it does."""

    def forgotten() -> str:
        api.delete(f"{NODES}/{name}")
        return ""

    try:
        with forming.connect(host) as api:
            return client.wait(FORGET_S, forgotten)  # with one member of etcd less the API hangs up once
    except (ClusterError, kubeconfig.KubeconfigError) as error:
        return error.what


def _stay(host: Host, name: str) -> None:
    """An instance that was emptied and cannot go gets pods again."""
    try:
        with forming.connect(host) as api:
            draining.open_again(api, name)
    except (ClusterError, kubeconfig.KubeconfigError) as error:
        host.say(f"the cluster is not told that {name} stays: {error.what}")


def _unplanned(gone: Sequence[str], plan: ClusterPlan) -> list[str]:
    """Those that are not planned again under their old names."""
    return [name for name in gone if name not in {node.name for node in plan.nodes}]


def forget(hosts: Sequence[Host], gone: Sequence[str]) -> None:
    """Have etcd forget control planes that were instances and are gone: those that stay need a majority of it."""
    plan = forming.plan_of(hosts[0])
    if not gone or plan.address is None:
        return
    first = forming.control_plane(hosts, plan)
    gone = _unplanned(gone, plan)
    if forming.state(first) != "formed" or not first.exists(forming.MEMBER):
        return
    if lost := [name for name in gone if name in etcd.members(first)]:
        with first.task("Members of etcd") as task:
            etcd.snapshot(first)
            task.changed = sum(etcd.remove(first, name) for name in lost) > 0


def forget_nodes(hosts: Sequence[Host], gone: Sequence[str]) -> None:
    """Have the cluster forget nodes that were instances and are gone, once its API answers: it was away when they went,
    or their server was lost with them. Raises ClusterError, KubeconfigError."""
    plan = forming.plan_of(hosts[0])
    gone = _unplanned(gone, plan)
    if not gone:
        return
    first = forming.control_plane(hosts, plan)
    with first.task("Nodes that are gone") as task, forming.connect(first) as api:
        for name in gone:
            if api.find(f"{NODES}/{name}") is not None and api.delete(f"{NODES}/{name}"):
                first.say(f"{name} is gone, and the cluster has forgotten it")
                task.changed = True
