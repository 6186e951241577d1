"""No port of ours leads anywhere."""

from homewright.engine.runners.host import Host
from homewright.stages.cluster import leading


def rollback(host: Host) -> None:
    with host.task("No ports") as task:
        task.changed = leading.take_back(host)
