"""Without LXD, or with the unused one that was there before."""

from collections.abc import Sequence

from homewright.engine.runners.host import Host, together
from homewright.stages.lxd import cluster, packages
from homewright.stages.lxd.standing import Foreign, data_in, owner_of


def rollback_all(hosts: Sequence[Host]) -> None:
    stood = cluster.stand(hosts)
    cluster.refuse(hosts, stood)
    # Where others stay, LXD itself refuses to let a member go that still has something.
    if not cluster.staying(hosts, stood) and (left := data_in(one.found for one in stood.values())):
        raise Foreign(
            f"The cluster still has {left}.",
            "Homewright's own were taken back before this; with LXD all others would be lost.",
            [
                "save what is needed, then: sudo lxc delete NAME, or: sudo lxc storage volume delete POOL NAME",
                "then: homewright rollback 20",
            ],
        )
    cluster.leave(hosts, stood)
    together(hosts, lambda host: _remove(host, stood[host.name]))


def _remove(host: Host, stood: cluster.Standing) -> None:
    # Taken back before, or never begun: what is there by now is somebody else's, unless it says whose it is.
    if not host.capture and stood.state != "ours" and stood.found.owner != owner_of(host.site, cluster.identity(host)):
        return
    with host.task("No LXD") as task:
        task.changed = packages.remove(host, stood.found, host.capture)
        if not host.capture.get("package"):
            task.changed = packages.put_back(host, host.capture) or task.changed
