"""Nodes leave the cluster: emptied first, let go of by etcd and by the API, and then put back to prepared servers."""

from __future__ import annotations

from collections.abc import Sequence

from homewright.cluster import client, kubeconfig
from homewright.cluster.client import ClusterError
from homewright.engine.runners.host import Host
from homewright.errors import HomewrightError, Unreachable
from homewright.planning.cluster import ClusterPlan
from homewright.site.secrets import Secrets
from homewright.stages.cluster import draining, etcd, forming, resetting
from homewright.stages.cluster.look import FORMED, OWNER, Refused

FORGET_S = 60


def require_another(host: Host, plan: ClusterPlan | None) -> list[Host]:
    """The control planes that a control plane leaves behind; none for a worker. Raises Refused for the last one."""
    if forming.state(host) == "absent" or not host.exists(forming.SERVES):
        return []
    others = forming.other_planes(host, plan)
    if not others:
        raise Refused(
            f"{host.name} is the cluster's only control plane that can be reached.",
            "All that is in the cluster would go with it.",
            ["take the whole cluster back: homewright rollback 40/core/cluster"],
        )
    return others


def leave(host: Host, plan: ClusterPlan | None, *, ends: bool = False) -> None:
    """Take this node out of the cluster: the cluster forgets it, and nothing of the cluster is left on it.

    With `ends` the whole cluster does, so that nobody is left to forget it.
    """
    with host.task("Out of the cluster") as task:
        found = forming.state(host)
        if not ends and found != "absent":
            others = require_another(host, plan)
            empty(host)
            if others:
                try:
                    etcd.snapshot(others[0])
                    etcd.remove(others[0], host.name)
                except HomewrightError:
                    _stay(host)
                    raise
            _forget(host)
        if found != "absent":
            resetting.reset(host)
            task.changed = True
        elif (host.read(OWNER) or b"").decode().strip() == forming.owner(host):
            # A reset that was cut off: its first files are gone, others may be there.
            resetting.finish(host)
        else:
            return  # never one of ours, or one no more: what is there is somebody else's
        host.remove(FORMED)
        resetting.hollow(host)
        # Every Secret of the cluster is in them. A cluster that goes on has its own on the control planes that stay.
        host.remove(etcd.SNAPSHOTS)


def empty(host: Host) -> None:
    """Have the pods of a node that leaves go elsewhere; a cluster that does not answer holds nobody up."""
    try:
        with forming.connect(host) as api:
            if api.find(f"/api/v1/nodes/{host.name}") is not None:
                went = draining.drain(api, host.name)
                host.say(f"{went} pods of {host.name} go elsewhere")
    except (ClusterError, kubeconfig.KubeconfigError) as error:
        host.say(f"pods of {host.name} are not asked to go: {error.what}")


def _stay(host: Host) -> None:
    """A node that was emptied and cannot leave gets pods again."""
    try:
        with forming.connect(host) as api:
            draining.open_again(api, host.name)
    except (ClusterError, kubeconfig.KubeconfigError) as error:
        host.say(f"the cluster is not told that {host.name} stays: {error.what}")


def _forget(host: Host) -> None:
    def forgotten() -> str:
        api.delete(f"/api/v1/nodes/{host.name}")
        return ""

    try:
        with forming.connect(host) as api:
            # With one member of etcd less the API hangs up once.
            held = client.wait(FORGET_S, forgotten)
    except kubeconfig.KubeconfigError as error:
        held = error.what
    if held:
        host.say(f"the cluster is not told that {host.name} leaves: {held}")


def forget_cluster(host: Host) -> None:
    """The site has no cluster any more: so it needs no kubeconfig."""
    Secrets(host.secrets_file).delete(kubeconfig.SECRET)


def ends(hosts: Sequence[Host], plan: ClusterPlan | None) -> bool:
    """Whether the whole cluster ends when these hosts leave it.

    Without a plan it goes on where another server is a node, or cannot be looked at.
    """
    if plan is not None:
        return len(forming.planes(hosts, plan)) == len(plan.planes)
    return not any(_may_stay(peer) for peer in hosts[0].peers if peer.name not in {host.name for host in hosts})


def _may_stay(host: Host) -> bool:
    try:
        return forming.state(host) != "absent"
    except Refused:
        return False  # it is in somebody else's
    except Unreachable:
        return True
