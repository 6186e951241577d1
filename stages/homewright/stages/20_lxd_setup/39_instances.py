"""Without the instances of ours, their image, and the trust in their host keys."""

from collections.abc import Sequence

from homewright.engine.runners.host import Host, together
from homewright.stages.lxd import cluster, image, removing
from homewright.stages.lxd.standing import owner_of


def rollback_all(hosts: Sequence[Host]) -> None:
    first = hosts[0]
    owner = owner_of(first.site, cluster.identity(first))
    with cluster.any_member(hosts) as lxd:
        removing.refuse_data(lxd, hosts, owner)
        together(hosts, lambda host: removing.remove(lxd, host, owner))
        if len(hosts) == len(first.site.servers) and all(host.error is None for host in hosts):
            with first.task("No image") as task:
                task.changed = image.remove(lxd, owner)
