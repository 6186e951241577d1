"""No cluster: the workers leave it, then the control plane ends."""

from collections.abc import Sequence

from homewright.engine.runners.host import Host, together
from homewright.planning.cluster import ClusterPlanError
from homewright.stages.cluster import forming, leaving


def rollback_all(hosts: Sequence[Host]) -> None:
    try:
        plan = forming.plan_of(hosts[0])
    except ClusterPlanError:
        plan = None  # the answers that made it are gone: every node is put back all the same
    planes = (
        forming.planes(hosts, plan) if plan is not None else [host for host in hosts if host.exists(forming.SERVES)]
    )
    workers = [host for host in hosts if host not in planes]
    ends = leaving.ends(hosts, plan)
    together(workers, lambda host: leaving.leave(host, plan, ends=ends))
    if ends:
        together(planes, lambda host: leaving.leave(host, plan, ends=True))
        leaving.forget_cluster(hosts[0])
        return
    for host in planes:  # etcd loses one member at a time
        together([host], lambda one: leaving.leave(one, plan))
