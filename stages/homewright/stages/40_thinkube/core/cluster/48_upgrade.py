"""Seen on the node and through the API: all of Kubernetes is the planned version, and no upgrade is half done."""

from homewright.cluster.client import ClusterAway, ClusterError
from homewright.cluster.kubeconfig import KubeconfigError
from homewright.engine.runners.host import Host, Proof, broken, cannot_tell, proved
from homewright.stages.cluster import forming, upgrading, versions

AGAIN = "homewright apply goes on with it."


def verify(host: Host) -> Proof:
    plan = forming.plan_of(host)
    has = versions.look(host, programs=False)
    planned = host.site.cluster.version
    if not has.formed:
        return broken(f"{host.name} is in no cluster.")
    for name, version in has.parts.items():
        if version != planned:
            return broken(f"{name} on {host.name} is {version or 'of no version'}, not {planned}: {AGAIN}")
    if has.kept != planned:
        return broken(f"{host.name} keeps {has.kept or 'no version'} as its Kubernetes, not {planned}: {AGAIN}")
    if has.is_stale:
        return broken(f"The kubelet that runs on {host.name} is not the one that is installed: {AGAIN}")
    try:
        with forming.connected(host) as api:
            why = upgrading.unlike(api, host.name, plan.version)
            if not why and host.name == plan.first.name:
                why = upgrading.objects_behind(api, plan.version)
    except KubeconfigError as error:
        return broken(f"{error.what} {error.why}")
    except (ClusterAway, ClusterError) as error:
        return cannot_tell(f"{error.what} {error.why}")
    return broken(f"{why} {AGAIN}") if why else proved(f"All of Kubernetes on {host.name} is {plan.version}.")


def capture(host: Host) -> dict[str, object]:
    return {}
