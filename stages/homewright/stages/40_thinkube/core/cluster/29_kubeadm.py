"""No cluster: the workers leave it, then the control plane ends."""

from collections.abc import Sequence

from homewright.engine.runners.host import Host, together
from homewright.planning.cluster import ClusterPlanError
from homewright.stages.cluster import forming


def rollback_all(hosts: Sequence[Host]) -> None:
    try:
        plan = forming.plan_of(hosts[0])
    except ClusterPlanError:
        plan = None  # the answers that made it are gone: every node is put back all the same
    workers = forming.members(hosts, plan) if plan is not None else list(hosts)
    together(workers, lambda host: forming.leave(host, plan))
    planes = [host for host in hosts if host not in workers]
    together(planes, lambda host: forming.leave(host, plan))
    if planes or plan is None:
        forming.forget_cluster(hosts[0])
