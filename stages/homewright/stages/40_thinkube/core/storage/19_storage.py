"""The cluster without local-path, unless somebody's data is in it; and the server without its empty folder."""

from homewright.cluster import objects
from homewright.cluster.client import ClusterError
from homewright.cluster.kubeconfig import KubeconfigError
from homewright.engine.runners.host import Host
from homewright.stages.components import api, proving, storage


def rollback(host: Host) -> None:
    if api.is_gone(host):
        host.say("the cluster is gone already")
    elif api.stays(host):
        _let_go(host)
    else:
        _take_away(host)
    with host.task("No empty folder") as task:
        # Those of the other nodes go with the nodes: this step has no hold of them.
        said = host.run(f"[ -d {storage.FOLDER} ] && rmdir {storage.FOLDER} 2>/dev/null && echo gone; true")
        task.changed = "gone" in said.stdout


def _let_go(host: Host) -> None:
    """The cluster goes on without this server: its class stays, and the proof's claim begins anew on another node."""
    host.say(api.KEPT)
    try:
        with api.connect(host) as cluster, host.task("No claim of the proof on this server") as task:
            task.changed = storage.let_go(cluster, host.site, host.say, host.name)
    except (ClusterError, KubeconfigError) as error:
        host.say(f"the proof's claim is left to the next apply: {error.what}")


def _take_away(host: Host) -> None:
    site = host.site
    with api.taking_back(host) as cluster:
        storage.require_unused(cluster, site)
        claim = {storage.CLAIM_PATH: storage.proof_claim(site)[storage.CLAIM_PATH]}
        with host.task("No claim of the proof") as task:
            task.changed = objects.remove(cluster, site.name, claim, say=host.say)
            # Its folder goes with its volume, for which local-path has to be there.
            api.until(
                objects.GONE_S,
                "The volume of the proof's claim does not go.",
                lambda: _volume_left(cluster),
                f"look at it: kubectl -n {storage.NAMESPACE} get pods,events",
            )
            task.changed |= proving.leave(cluster, site, host.say)
        with host.task("No local-path") as task:
            task.changed = objects.remove(cluster, site.name, storage.wanted(site), say=host.say)


def _volume_left(cluster: api.Cluster) -> str:
    for volume in cluster.list("/api/v1/persistentvolumes"):
        claim = volume["spec"].get("claimRef") or {}
        if volume["spec"].get("storageClassName") != storage.CLASS:
            continue  # another's, which may keep volumes
        if (claim.get("namespace"), claim.get("name")) == (proving.NAMESPACE, storage.CLAIM):
            return f"{volume['metadata']['name']} is {(volume.get('status') or {}).get('phase', 'there')}"
    return ""
