"""No instance of this server has a GPU of it any more."""

from homewright.engine.runners.host import Host
from homewright.stages.lxd import cluster, gpus


def rollback(host: Host) -> None:
    with cluster.connect(host) as lxd:
        for node in cluster.instance_plan(host.site, host.facts).on(host.name):
            if lxd.find(f"instances/{node.name}") is not None:
                with host.task(f"No GPUs of {node.name}") as task:
                    task.changed = gpus.give(lxd, node.name, {}, host.say)
