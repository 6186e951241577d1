"""Without the driver, where it was not there before."""

from homewright.engine.runners.host import Host
from homewright.stages import gpu_drivers_effect as drivers


def rollback(host: Host) -> None:
    drivers.remove(host)
