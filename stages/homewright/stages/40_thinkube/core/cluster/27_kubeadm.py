"""After an init or a join that was cut off: what did not come to its end is put back to a prepared node.

Then 20_kubeadm.py does it again. A node whose init or join came to its end stays as it is, whatever was cut off later.
"""

from collections.abc import Sequence

from homewright.engine.runners.host import Host, together
from homewright.planning.cluster import ClusterPlan, ClusterPlanError
from homewright.stages.cluster import etcd, forming, resetting


def recover_all(hosts: Sequence[Host]) -> None:
    try:
        plan = forming.plan_of(hosts[0])
    except ClusterPlanError:
        plan = None
    planes = forming.planes(hosts, plan) if plan is not None else []
    together([host for host in hosts if host not in planes], lambda host: _mend(host, plan))
    for host in planes:  # etcd loses one member at a time
        together([host], lambda one: _mend(one, plan))


def _mend(host: Host, plan: ClusterPlan | None) -> None:
    with host.task("What was cut off") as task:
        if forming.state(host) == "half":
            others = forming.other_planes(host, plan) if plan is not None and host.exists(forming.MEMBER) else []
            if others:
                # Before it is reset: where etcd cannot spare it, nothing is lost.
                etcd.snapshot(others[0])
                etcd.remove(others[0], host.name)
            resetting.reset(host)
            task.changed = True
