"""Without the profile, and without the way to instances."""

from collections.abc import Sequence

from homewright.engine.runners.host import Host, together
from homewright.stages import packages
from homewright.stages.lxd import cluster, way
from homewright.stages.lxd.standing import OWNER, owner_of


def rollback_all(hosts: Sequence[Host]) -> None:
    together(hosts, _way)
    live = [host for host in hosts if host.error is None]
    # The others' instances go on having the profile.
    if live and len(live) == len(live[0].site.servers):
        _profile(live)


def _way(host: Host) -> None:
    with host.task("No way to instances") as task:
        if host.exists(way.UNIT_FILE):
            host.run(f"systemctl disable -q --now {way.UNIT}")
        for path in (way.UNIT_FILE, way.NETWORKD, way.SCRIPT):
            task.changed = host.remove(path) or task.changed
        if task.changed:
            host.run("systemctl daemon-reload")
        if not host.capture.get("folder", True):
            host.run(f"rmdir --ignore-fail-on-non-empty {way.NETWORKD.rpartition('/')[0]} 2>/dev/null; true")
        if "packages" in host.capture:
            task.changed = packages.remove(host, [way.PACKAGE], host.capture["packages"]) or task.changed
        if host.capture.get("forward") == "0":
            host.run(["sysctl", "-q", "-w", "net.ipv4.ip_forward=0"])


def _profile(hosts: Sequence[Host]) -> None:
    with hosts[0].task("No profile") as task, cluster.any_member(hosts) as lxd:
        found = lxd.find(f"profiles/{way.PROFILE}")
        if found is not None and found["config"].get(OWNER) == owner_of(hosts[0].site, cluster.identity(hosts[0])):
            task.changed = lxd.delete(f"profiles/{way.PROFILE}")
