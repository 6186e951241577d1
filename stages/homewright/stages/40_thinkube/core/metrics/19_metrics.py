"""The cluster without our metrics-server; one of its own stays."""

from homewright.cluster import objects
from homewright.engine.runners.host import Host
from homewright.stages.components import api, certificates, metrics


def rollback(host: Host) -> None:
    if api.stays(host):
        host.say(api.KEPT)
        return
    if api.is_gone(host):
        host.say("the cluster is gone already")
        return
    own = certificates.authority(host)
    with host.task("No metrics-server") as task, api.taking_back(host) as cluster:
        # The Secret has its key: it goes also where the namespace stays.
        everything = {**metrics.wanted(host.site, own), metrics.SECRET_PATH: {}}
        task.changed = objects.remove(cluster, host.site.name, everything, say=host.say)
