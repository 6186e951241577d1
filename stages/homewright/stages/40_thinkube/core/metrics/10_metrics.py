"""metrics-server, where the cluster has no metrics of its own."""

from homewright.cluster import client, objects
from homewright.cluster.client import Cluster
from homewright.engine.runners.host import Host
from homewright.errors import HomewrightError
from homewright.stages.components import api, certificates, metrics, workloads

MEASURED_S = 60
"""How long a kubelet that has just started may take to its first measurement."""
READY_S = 300


def run(host: Host) -> None:
    site, own = host.site, certificates.authority(host)
    with api.connect(host) as cluster:
        if metrics.is_foreign(cluster, site):
            host.say("the cluster has metrics of its own")
        else:
            _require_measured(cluster)
            with host.task("metrics-server") as task:
                everything = metrics.wanted(site, own)
                objects.require_ours(cluster, site.name, everything)
                place = f"/api/v1/namespaces/{metrics.NAMESPACE}"
                # Its certificate comes before what would not start without it.
                task.changed = objects.apply(cluster, site.name, {place: everything[place]})
                task.changed |= metrics.issue(cluster, site, own)
                task.changed |= objects.apply(cluster, site.name, everything)
            with host.task("Ready") as task:
                task.changed = api.until(
                    READY_S,
                    "metrics-server does not become ready.",
                    lambda: workloads.unready(cluster, metrics.DEPLOYMENT),
                    f"look at it: kubectl -n {metrics.NAMESPACE} describe pods",
                )
        with host.task("Every node is told of") as task:
            task.changed = api.until(
                READY_S, "The cluster does not tell what its nodes use.", lambda: metrics.silent(cluster)
            )


def _require_measured(cluster: Cluster) -> None:
    """Raises HomewrightError, before anything is made, where metrics-server would never have anything to tell."""
    unmeasured: list[str] = []

    def waiting() -> str:
        unmeasured[:] = metrics.unmeasured(cluster)
        return ", ".join(unmeasured)

    if client.wait(MEASURED_S, waiting) and unmeasured:
        raise HomewrightError(
            f"The kernel of {' and '.join(unmeasured)} accounts no memory, or none of containers.",
            "kubelet says that the node, or all of its containers, use nothing; metrics-server leaves such ones out.",
            [
                "see whether it does: cat /sys/fs/cgroup/cgroup.controllers names memory where it does",
                "where the kernel has it switched off: add cgroup_enable=memory to its command line, and restart",
                "or do without: homewright site set cluster.metrics false",
            ],
        )
