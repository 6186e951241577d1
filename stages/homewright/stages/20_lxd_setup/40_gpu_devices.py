"""The GPUs of this server go to its instances as planned; what is planned for none, none gets."""

from homewright.engine.runners.host import Host
from homewright.stages.lxd import cluster, gpus


def run(host: Host) -> None:
    wanted = gpus.wanted(host.site, host.facts[host.name], cluster.instance_plan(host.site, host.facts))
    if not any(wanted.values()):
        host.say(f"no GPU of {host.name} goes to an instance")
    with cluster.connect(host) as lxd:
        for name, devices in wanted.items():
            with host.task(f"GPUs of {name}") as task:
                task.changed = gpus.give(lxd, name, devices, host.say)
