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
    with host.task("No certificate of the platform") as task, api.taking_back(host) as cluster:
        # The Secret has the platform's key: it goes also where the namespace stays.
        everything = {**certificates.wanted(host.site, own), certificates.PATH: {}}
        task.changed = objects.remove(cluster, host.site.name, everything, say=host.say)
