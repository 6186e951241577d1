"""The cluster without flannel: its objects, and the two files on each node that let kubelet use it.

What it made in the kernel goes with the node's place in the cluster.
"""

from collections.abc import Sequence

from homewright.cluster import client
from homewright.cluster.client import ClusterAway
from homewright.cluster.kubeconfig import KubeconfigError
from homewright.engine.runners.host import Host, together
from homewright.planning.cluster import ClusterPlanError
from homewright.stages.cluster import documents, forming, leaving, network

FILES = (f"{documents.NETWORKS}/10-flannel.conflist", f"{documents.MORE_PLUGINS}/flannel")
GONE_S = 120


def rollback_all(hosts: Sequence[Host]) -> None:
    first = hosts[0]
    try:
        plan = forming.plan_of(first)
    except ClusterPlanError as error:
        first.say(f"flannel's objects go with the cluster: {error.what}")
        if not leaving.ends(hosts, None):
            together(hosts, lambda host: leaving.require_another(host, None))
            together(hosts, leaving.empty)
        together(hosts, _without_files)
        return
    if not {node.name for node in plan.nodes} <= {host.name for host in hosts}:
        # Nodes that stay keep their network, and pods leave this one while theirs is there.
        if not leaving.ends(hosts, plan):
            together(hosts, lambda host: leaving.require_another(host, plan))
        together(hosts, leaving.empty)
        together(hosts, _without_files)
        return
    with first.task("No flannel") as task:
        try:
            with forming.connect(first) as api:
                paths = list(network.objects(first.site, plan))
                task.changed = sum(api.delete(path) for path in reversed(paths)) > 0
                # Its pods write the files that go next.
                client.wait(GONE_S, lambda: "its pods end" if api.find(paths[0]) else "")
        except (ClusterAway, KubeconfigError) as error:
            # The next roll-back takes the nodes out of the cluster, whether it answers or not.
            first.say(f"the cluster is gone already, or does not answer: {error.what}")
    together(hosts, _without_files)


def _without_files(host: Host) -> None:
    with host.task("No files of flannel") as task:
        task.changed = sum(host.remove(file) for file in FILES) > 0
