"""Seen from outside: the cluster's API tells what each of its nodes uses."""

from homewright.engine.runners.host import Host, Proof, proved
from homewright.stages.components import api, certificates, metrics


def verify(host: Host) -> Proof:
    if api.stays(host):
        return proved(api.KEPT, idle=True)
    own = certificates.authority(host)
    return api.seen(host, lambda cluster: metrics.prove(cluster, host.site, own))


def capture(host: Host) -> dict[str, object]:
    return {}
