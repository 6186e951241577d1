"""CoreDNS without the site's zone: its settings as they were."""

from homewright.engine.runners.host import Host
from homewright.stages.components import api, names, proving


def rollback(host: Host) -> None:
    if api.stays(host):
        host.say(api.KEPT)
        return
    if api.is_gone(host):
        host.say("the cluster is gone already")
        return
    with host.task("No zone in CoreDNS") as task, api.taking_back(host) as cluster:
        task.changed = names.take(cluster)
        task.changed |= proving.leave(cluster, host.site, host.say)
