"""What is behind a Service, reached from a node as its pods reach it; and kube-proxy begun anew where it is not.

kube-proxy writes its rules when something changes, and looks through all of them once an hour. So what takes them away
(a firewall that is started again flushes everybody's) leaves a node on which nothing reaches the API, DNS or any other
Service, while the node is ready and its pods run. https://github.com/kubernetes/kubernetes, pkg/proxy/nftables
"""

from __future__ import annotations

import shlex

from homewright.cluster import client
from homewright.cluster.client import Cluster
from homewright.engine.runners.host import Host
from homewright.errors import HomewrightError
from homewright.planning.cluster import ClusterPlan
from homewright.stages.cluster import forming

CA = "/etc/kubernetes/pki/ca.crt"
PODS = "/api/v1/namespaces/kube-system/pods"
LABELS = "k8s-app=kube-proxy"
"""What kubeadm gives kube-proxy's pods."""
TRIES = 4
"""Of three control planes one may be without power, and is among those that are asked until its turn runs out."""
READY_S = 300
SETTLES_S = 20
"""How long kube-proxy has for its rules after it has started, before it is begun anew, or its node called broken."""


def address(plan: ClusterPlan) -> str:
    """Where the API is as a Service: Kubernetes itself takes the range's first address for it. Pure."""
    return str(plan.services[1])


def unreached(host: Host, plan: ClusterPlan) -> str:
    """Why a node does not reach what is behind a Service, in a sentence; empty where it does.

    Tried for real, with the API's own Service, which is behind no pod's network: every answer counts that is signed by
    the cluster's authority. Raises Unreachable, Busy.
    """
    ask = f"curl -sS -o /dev/null --noproxy '*' -m 3 --cacert {CA} {shlex.quote(f'https://{address(plan)}/livez')}"
    tries = f'for _ in $(seq {TRIES}); do said=$({ask} 2>&1) && exit; done; echo "$said"; exit 1'
    said = host.run(tries, check=False)
    if said.exit_code == 0:
        return ""
    why = (said.stdout.strip() or said.stderr.strip() or "no answer").splitlines()[-1]
    return f"{host.name} does not reach {address(plan)}, the API as a Service: {why}"


def starting(api: Cluster, name: str) -> str:
    """Why kube-proxy has not started on a node, in a sentence; empty where it has."""
    pods = api.list(PODS, labelSelector=LABELS, fieldSelector=f"spec.nodeName={name}")
    told = [one for pod in pods for one in (pod.get("status") or {}).get("containerStatuses", ())]
    return "" if any("running" in (one.get("state") or {}) for one in told) else f"kube-proxy does not run on {name}."


def begin_anew(api: Cluster, name: str) -> None:
    """Have kube-proxy start anew on a node: it writes all of its rules when it starts."""
    for pod in api.list(PODS, labelSelector=LABELS, fieldSelector=f"spec.nodeName={name}"):
        api.delete(f"{PODS}/{pod['metadata']['name']}")


def reach(host: Host) -> None:
    """See that a node reaches what is behind Services, with kube-proxy begun anew there where its time is over."""
    plan = forming.plan_of(host)
    with host.task("Services are reached") as task:
        if not unreached(host, plan):
            return
        task.changed = True
        with forming.connect(host) as api:
            client.wait(READY_S, lambda: starting(api, host.name))
            if not client.wait(SETTLES_S, lambda: unreached(host, plan)):
                return
            begin_anew(api, host.name)
        if waiting := client.wait(READY_S, lambda: unreached(host, plan)):
            raise HomewrightError(
                f"{host.name} reaches nothing that is behind a Service.",
                waiting,
                [
                    f"what kube-proxy says: kubectl -n kube-system logs -l {LABELS} --prefix",
                    "then: homewright retry",
                ],
            )
