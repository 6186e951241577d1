"""Nodes that are instances and are taken away: the cluster lets go of them first, as of a server that leaves."""

from __future__ import annotations

from collections.abc import Sequence

from homewright.cluster import kubeconfig
from homewright.cluster.client import ClusterError
from homewright.engine.runners.host import Host
from homewright.stages.cluster import draining, etcd, forming


def let_go(host: Host, name: str) -> bool:
    """Have the pods of an instance go elsewhere and the cluster forget it, while it still runs; whether it was a node.

    A cluster that does not answer holds nobody up: what is in the instance was named as lost. Raises HomewrightError
    where a pod may not go now.
    """
    if host.site.platform.cluster != "kubeadm" or host.secrets.get(kubeconfig.SECRET) is None:
        return False
    try:
        with forming.connect(host) as api:
            if api.find(f"/api/v1/nodes/{name}") is None:
                return False
            went = draining.drain(api, name)
            host.say(f"{went} pods of {name} go elsewhere")
            return api.delete(f"/api/v1/nodes/{name}")
    except (ClusterError, kubeconfig.KubeconfigError) as error:
        host.say(f"the cluster is not told that {name} goes: {error.what}")
        return False


def forget(hosts: Sequence[Host], gone: Sequence[str]) -> None:
    """Have etcd forget control planes that were instances and are gone: those that stay need a majority of it."""
    plan = forming.plan_of(hosts[0])
    if not gone or plan.address is None:
        return
    first = forming.control_plane(hosts, plan)
    if forming.state(first) != "formed" or not first.exists(forming.MEMBER):
        return
    if lost := [name for name in gone if name in etcd.members(first)]:
        with first.task("Members of etcd") as task:
            etcd.snapshot(first)
            task.changed = sum(etcd.remove(first, name) for name in lost) > 0
