"""Every node ready for kubeadm: packages, kernel settings, programs, containerd. Refused before anything is changed.

What a node of the cluster has of Kubernetes stays as it is: 40_upgrade.py replaces it. A server that is to join gets
what the cluster runs until then.
"""

from collections.abc import Sequence

from homewright.engine.runners.host import Host, together
from homewright.site import mirrored
from homewright.stages import packages
from homewright.stages.cluster import forming, look, nodes, versions


def run_all(hosts: Sequence[Host]) -> None:
    plan, owner = forming.plan_of(hosts[0]), forming.owner(hosts[0])
    seen = together(hosts, look.look)
    for host in hosts:
        if host.name in seen:
            allowed = look.swap_allowed(host)
            host.error = next(look.refusals(plan, host.name, seen[host.name], owner, swap_allowed=allowed), None)
    if plan.address is not None and not any(one.owner for one in seen.values()) and hosts[0].error is None:
        hosts[0].error = look.answering(hosts[0], plan)
    if any(host.error for host in hosts):
        for host in hosts:
            host.say("nothing was changed, because not every node can be one")
        raise next(host.error for host in hosts if host.error)
    there = versions.standing(hosts, plan)
    versions.refuse(there.values(), hosts[0].site.cluster.version)
    running = versions.cluster(there.values())
    for host in hosts:
        if running and running != host.site.cluster.version:
            host.say(f"the cluster runs Kubernetes {running}; a step of its own upgrades it once all nodes are in it")
    absent = versions.Standing("")
    together(
        hosts, lambda host: _install(host, seen[host.name].architecture, owner, there.get(host.name, absent), running)
    )


def _install(host: Host, architecture: str, owner: str, has: versions.Standing, running: str) -> None:
    if host.run("command -v curl", check=False).exit_code != 0:
        packages.install(host, ("curl", "ca-certificates"))
    version, names = versions.wanted(has, running, host.site.cluster.version)
    programs = {"containerd": mirrored.CONTAINERD} | dict.fromkeys(names, version)
    nodes.install(host, nodes.checksums(host, architecture, programs), version, owner)
