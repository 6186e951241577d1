"""Seen from here: the node is ready, flannel runs on it, it reaches Services, and a pod is given to it."""

from homewright.cluster.client import Cluster, ClusterAway, ClusterError, wait
from homewright.cluster.kubeconfig import KubeconfigError
from homewright.engine.runners.host import Host, Proof, broken, cannot_tell, proved
from homewright.site import mirrored, mirrors
from homewright.stages.cluster import forming, network, services

SCHEDULED_S = 10.0


def verify(host: Host) -> Proof:
    try:
        with forming.connected(host) as api:
            return _seen(host, api)
    except KubeconfigError as error:
        return broken(f"{error.what} {error.why}")
    except (ClusterAway, ClusterError) as error:
        return cannot_tell(f"{error.what} {error.why}")


def _seen(host: Host, api: Cluster) -> Proof:
    plan = forming.plan_of(host)
    for path, wanted in network.objects(host.site, plan).items():
        found = api.find(path)
        if found is None:
            return broken(f"The cluster has no {wanted['kind']} {wanted['metadata']['name']} of its network.")
    if why := network.unready(api, host.name):
        return cannot_tell(why) if "has not reported" in why else broken(why)
    # After a quick restart a node is still called ready, and kube-proxy has no rules yet.
    if why := wait(services.SETTLES_S, lambda: services.unreached(host, plan)):
        return broken(why)
    if api.get(f"/api/v1/nodes/{host.name}")["spec"].get("unschedulable"):
        # The proof's own pod would be given to it: it tolerates everything.
        return broken(f"No pod is given to {host.name}: it is cordoned.")
    if not _takes_pods(host, api):
        return broken(f"No pod is given to {host.name}.")
    return proved(f"{host.name} is ready, reaches Services, and takes pods.")


def _takes_pods(host: Host, api: Cluster) -> bool:
    """Give the node a pod and take it away again; the scheduler's word is enough, so it need not start."""
    name = f"homewright-proof-{host.name}"
    place = f"/api/v1/namespaces/{network.NAMESPACE}/pods"
    api.delete(f"{place}/{name}")
    image = mirrors.image(host.site.mirror, mirrored.reference("pause", host.site.cluster.version))
    spec = {
        "nodeSelector": {"kubernetes.io/hostname": host.name},
        "tolerations": [{"operator": "Exists"}],
        "terminationGracePeriodSeconds": 0,
        "automountServiceAccountToken": False,
        "containers": [{"name": "proof", "image": image}],
    }
    wait(SCHEDULED_S, lambda: "its predecessor is there" if api.find(f"{place}/{name}") else "")
    api.create(place, {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})
    try:
        return not wait(SCHEDULED_S, lambda: "" if api.get(f"{place}/{name}")["spec"].get("nodeName") else "not yet")
    finally:
        api.delete(f"{place}/{name}")


def capture(host: Host) -> dict[str, object]:
    return {}
