"""Ports of each server lead to the instance on it. Refused before anything is changed on any of them."""

from collections.abc import Sequence

from homewright.engine.runners.host import Host, together
from homewright.stages.cluster import forming, leading


def run_all(hosts: Sequence[Host]) -> None:
    plan = forming.plan_of(hosts[0])
    seen = together(hosts, leading.look)
    for host in hosts:
        if host.name in seen:
            found = leading.refusals(host.name, host.address, plan.leads(host.name), seen[host.name])
            host.error = next(found, None)
    if any(host.error for host in hosts):
        for host in hosts:
            host.say("nothing was changed, because not every server's ports are free")
        raise next(host.error for host in hosts if host.error)
    together(hosts, _make)


def _make(host: Host) -> None:
    with host.task("Ports") as task:
        task.changed = leading.make(host, forming.plan_of(host))
