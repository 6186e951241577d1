"""The cluster's CoreDNS asks the site's DNS server for the site's zone."""

from homewright.cluster import objects
from homewright.engine.runners.host import Host, Proof
from homewright.engine.states import Verdict
from homewright.stages.components import api, names, proving

RELOADED_S = 180
"""Where its pods cannot be made anew: CoreDNS looks at its settings every 30 s, and kubelet brings them each minute."""


def run(host: Host) -> None:
    plan = names.plan_of(host)
    with api.connect(host) as cluster:
        with host.task("Zone in CoreDNS") as task:
            changed = task.changed = names.put(cluster, plan)
        with host.task("Namespace of the proof") as task:
            task.changed = objects.apply(cluster, host.site.name, proving.namespace(host.site))
        with host.task("Names in pods") as task:

            def waiting() -> str:
                if changed and (why := names.unread(cluster)):
                    return why
                proof: Proof = names.prove(cluster, host.site, plan)
                return "" if proof.verdict == Verdict.PROVED else proof.reason

            task.changed = api.until(
                RELOADED_S,
                f"Pods do not find the names of {plan.zone}.",
                waiting,
                "look at it: kubectl -n kube-system logs -l k8s-app=kube-dns",
            )
