"""Seen from outside: a page of the cluster over HTTPS, with a certificate that the site's authority vouches for."""

from homewright.cluster import objects
from homewright.cluster.client import Cluster
from homewright.engine.runners.host import Host, Proof, broken, proved
from homewright.stages.components import api, certificates, ingress, page, workloads


def verify(host: Host) -> Proof:
    if api.stays(host):
        return proved(api.KEPT, idle=True)
    return api.seen(host, lambda cluster: _seen(host, cluster))


def _seen(host: Host, cluster: Cluster) -> Proof:
    site, address = host.site, ingress.address(host)
    own = ingress.own_class(cluster, site)
    if own is None:
        lacking = objects.lacking(cluster, site.name, ingress.wanted(site, address))
        if why := lacking or workloads.unready(cluster, ingress.DAEMONS):
            return broken(why)
    if why := objects.lacking(cluster, site.name, page.wanted(site, own or ingress.CLASS)):
        return broken(why)
    if why := workloads.unready(cluster, page.DEPLOYMENT) or page.wrong(address, site, certificates.authority(host)):
        return broken(why)
    return proved(f"https://{page.name(site)}/ answers at {address}, and the site's authority vouches for it.")


def capture(host: Host) -> dict[str, object]:
    return {}
