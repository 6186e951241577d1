"""The instances, each on its planned server, running, with its fixed address, its account and the engine's key."""

from collections.abc import Sequence

from homewright.engine.runners.host import Host
from homewright.stages.lxd import cluster, image, instances, removing
from homewright.stages.lxd.standing import owner_of


def run_all(hosts: Sequence[Host]) -> None:
    first = hosts[0]
    by_name = {host.name: host for host in hosts}
    work = [(by_name[one.node.host], one) for one in instances.all_planned(first) if one.node.host in by_name]
    gone = first.site.instances.gone
    if not work and not gone:
        return
    owner = owner_of(first.site, cluster.identity(first))
    with cluster.any_member(hosts) as lxd:
        removing.take_away(lxd, first, gone, owner)
        if not work:
            return
        instances.refuse(lxd, work, owner)
        with first.task("Image of the instances") as task:
            fingerprint, task.changed = image.ensure(lxd, first.site, owner, work[0][1].kind, first.say)
        instances.each(work, lambda host, one: instances.make(lxd, host, one, owner, fingerprint))
