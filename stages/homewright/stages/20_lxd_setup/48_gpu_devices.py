"""Seen from here: every instance of this server has the GPUs that it should have, and a machine sees them inside."""

from homewright.engine.runners.host import Host, Proof, broken, cannot_tell, proved
from homewright.lxd.client import LxdAway
from homewright.stages.lxd import cluster, gpus

COUNT = "cat /sys/bus/pci/devices/*/class 2>/dev/null | grep -c '^0x03'; true"


def verify(host: Host) -> Proof:
    wanted = gpus.wanted(host.site, host.facts[host.name], cluster.instance_plan(host.site, host.facts))
    try:
        with cluster.connected(host) as lxd:
            for name, devices in wanted.items():
                found = lxd.find(f"instances/{name}")
                if found is None:
                    return broken(f"There is no instance {name}.")
                if gpus.ours(found["devices"]) != devices:
                    return broken(f"The GPUs of {name} are not as planned.")
                if devices and found["type"] == "virtual-machine":
                    if found["status"] != "Running":
                        return broken(f"{name} is {found['status']}.")
                    seen = lxd.run(name, ["sh", "-c", COUNT]).stdout.strip()
                    cards = sum(device["type"] == "gpu" for device in devices.values())
                    if int(seen or 0) < cards:
                        return broken(f"{name} sees {seen or 0} display controllers, not {cards}.")
    except LxdAway as error:
        return cannot_tell(f"{error.what} {error.why}")
    count = sum(len(devices) for devices in wanted.values())
    if not count:
        return proved("No GPU goes to an instance.", idle=True)
    return proved(f"{count} devices are where they should be.")
