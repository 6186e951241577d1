"""Without LXD, or with the unused one that was there before."""

from collections.abc import Sequence

from homewright.engine.runners.host import Host, together
from homewright.stages.lxd import cluster, packages


def rollback_all(hosts: Sequence[Host]) -> None:
    stood = cluster.stand(hosts)
    cluster.refuse(hosts, stood)
    cluster.leave(hosts, stood)
    together(hosts, lambda host: _remove(host, stood[host.name]))


def _remove(host: Host, stood: cluster.Standing) -> None:
    with host.task("No LXD") as task:
        task.changed = packages.remove(host, stood.found, host.capture)
        if not host.capture.get("package"):
            task.changed = packages.put_back(host, host.capture) or task.changed
