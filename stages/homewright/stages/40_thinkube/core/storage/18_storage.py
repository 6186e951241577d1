"""Seen from inside: a claim binds, and what one pod has written another reads."""

from homewright.engine.runners.host import Host, Proof, proved
from homewright.stages.components import api, storage


def verify(host: Host) -> Proof:
    if api.stays(host):
        return proved(api.KEPT, idle=True)
    return api.seen(host, lambda cluster: storage.prove(cluster, host.site))


def capture(host: Host) -> dict[str, object]:
    return {}
