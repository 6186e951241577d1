"""Every node ready for kubeadm: packages, kernel settings, programs, containerd. Refused before anything is changed."""

from collections.abc import Sequence

from homewright.engine.runners.host import Host, together
from homewright.stages import packages
from homewright.stages.cluster import forming, look, nodes


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
    together(hosts, lambda host: _install(host, seen[host.name].architecture, owner))


def _install(host: Host, architecture: str, owner: str) -> None:
    if host.run("command -v curl", check=False).exit_code != 0:
        packages.install(host, ("curl", "ca-certificates"))
    nodes.install(host, nodes.checksums(host, architecture), owner)
