"""local-path where the cluster has no default class of its own, and the claim that proves it."""

from homewright.cluster import objects
from homewright.engine.runners.host import Host
from homewright.stages.components import api, proving, storage, workloads

READY_S = 300


def run(host: Host) -> None:
    site = host.site
    with api.connect(host) as cluster:
        own = storage.own_class(cluster, site)
        if own is not None:
            host.say(f"the cluster's own class {own} is used")
        else:
            with host.task("local-path") as task:
                task.changed = objects.apply(cluster, site.name, storage.wanted(site))
            with host.task("Ready") as task:
                task.changed = api.until(
                    READY_S,
                    "local-path does not become ready.",
                    lambda: workloads.unready(cluster, storage.DEPLOYMENT),
                    f"look at it: kubectl -n {storage.NAMESPACE} describe pods",
                )
        with host.task("Claim of the proof") as task:
            task.changed = storage.let_go(cluster, site, host.say)
            task.changed |= objects.apply(cluster, site.name, storage.proof_claim(site))
            proving.tidy(cluster)
