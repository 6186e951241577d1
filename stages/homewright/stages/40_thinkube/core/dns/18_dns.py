"""Seen from inside: a pod finds every server of the site's zone, the platform, and the cluster's own names."""

from homewright.engine.runners.host import Host, Proof, broken, proved
from homewright.stages.components import api, names


def verify(host: Host) -> Proof:
    if api.stays(host):
        return proved(api.KEPT, idle=True)
    plan = names.plan_of(host)
    try:
        return api.seen(host, lambda cluster: names.prove(cluster, host.site, plan))
    except names.NotOurs as error:
        return broken(f"{error.what} {error.why}")


def capture(host: Host) -> dict[str, object]:
    return {}
