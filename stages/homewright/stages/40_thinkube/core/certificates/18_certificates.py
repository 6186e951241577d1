"""Every certificate of the site's in the cluster is signed by its authority, for its names, and lasts."""

from homewright.engine.runners.host import Host, Proof, proved
from homewright.stages.components import api, certificates


def verify(host: Host) -> Proof:
    if api.stays(host):
        return proved(api.KEPT, idle=True)
    own = certificates.authority(host)
    return api.seen(host, lambda cluster: certificates.prove(cluster, host.site, own))


def capture(host: Host) -> dict[str, object]:
    return {}
