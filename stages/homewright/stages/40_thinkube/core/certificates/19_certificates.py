"""The cluster without the platform's certificate; those of others stay, and the authority stays where it is."""

from homewright.cluster import objects
from homewright.engine.runners.host import Host
from homewright.stages.components import api, certificates


def rollback(host: Host) -> None:
    if api.stays(host):
        host.say(api.KEPT)
        return
    if api.is_gone(host):
        host.say("the cluster is gone already")
        return
    own = certificates.authority(host)
    with host.task("No certificate of the platform") as task, api.connect(host) as cluster:
        task.changed = objects.remove(cluster, host.site.name, certificates.wanted(host.site, own))
