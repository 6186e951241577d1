"""The cluster without our way in and its page; one of its own stays."""

from homewright.cluster import objects
from homewright.engine.runners.host import Host
from homewright.stages.components import api, ingress, page, proving


def rollback(host: Host) -> None:
    if api.stays(host):
        host.say(api.KEPT)
        return
    if api.is_gone(host):
        host.say("the cluster is gone already")
        return
    site = host.site
    with api.taking_back(host) as cluster:
        with host.task("No page") as task:
            mine = {path: one for path, one in page.wanted(site, ingress.CLASS).items() if path != proving.PATH}
            task.changed = objects.remove(cluster, site.name, mine | {page.SECRET_PATH: {}}, say=host.say)
            task.changed |= proving.leave(cluster, site, host.say)
        with host.task("No way in") as task:
            task.changed = ingress.remove(cluster, site, ingress.address(host), host.say)
