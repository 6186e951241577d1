"""There is no way back to an older Kubernetes: the cluster stays as it is, only the node's note of its version goes.

etcd as it was before the upgrade is among the saved states. Those are of the older version's API: they are put back by
hand, with the older programs, where nothing else is left.
"""

from homewright.engine.runners.host import Host
from homewright.stages.cluster import forming, versions


def rollback(host: Host) -> None:
    with host.task("No note of its Kubernetes") as task:
        has = versions.look(host, programs=False)
        if has.formed:
            # Raises Refused for somebody else's.
            forming.state(host)
            host.say(f"Kubernetes on {host.name} stays {has.kept or 'what it is'}: it knows no way back")
            task.changed = host.remove(versions.VERSION)
