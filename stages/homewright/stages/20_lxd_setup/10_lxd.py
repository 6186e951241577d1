"""LXD on every server, and all of them one cluster that the engine reaches over HTTPS."""

from collections.abc import Sequence

from homewright.engine.runners.host import CommandFailed, Host, together
from homewright.stages.lxd import cluster, packages


def run_all(hosts: Sequence[Host]) -> None:
    stood = cluster.stand(hosts)
    cluster.refuse(hosts, stood)
    cluster.refuse_unlike(hosts, stood)
    # One that joins is heard of as it does; one that comes up again with the next heartbeat.
    silent = {name for name, one in stood.items() if one.found.package and not one.found.answers}
    together(hosts, lambda host: _install(host, stood[host.name]))
    stood = cluster.stand(hosts)
    if cluster.mend(hosts, stood):
        stood = cluster.stand(hosts)
    cluster.form(hosts, stood)
    together([host for host in hosts if host.name in silent and host.error is None], cluster.online)


def _install(host: Host, stood: cluster.Standing) -> None:
    with host.task("LXD") as task:
        if stood.state == "absent":
            packages.install(host, stood.found)
            task.changed = True
        # Before its first start: it would look for more ids than there are, and not come up.
        if not host.capture.get("package") and packages.narrow(host, stood.found):
            packages.start(host, again=True)
            task.changed = True
            if stood.state == "absent":
                return
        if stood.state not in ("absent", "foreign") and not packages.starts_by_itself(host):
            packages.start(host)
            task.changed = True
        if stood.state == "absent" or not stood.found.answers:
            try:
                packages.start(host)
            except CommandFailed as error:
                if stood.state == "absent":
                    raise
                host.say(f"LXD does not come up: {error.why or error.what}")
