"""NVIDIA's driver in an instance that was given a GPU."""

from homewright.engine.runners.host import Host
from homewright.stages import gpu_drivers_effect as drivers


def run(host: Host) -> None:
    seen = drivers.look(host)
    if seen.container:
        return  # it has its server's driver, and 38 says where that is missing
    drivers.install(host, seen)
