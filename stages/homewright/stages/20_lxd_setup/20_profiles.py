"""The profile that all instances have, and the way between them and every server, also after a restart."""

from collections.abc import Sequence

from homewright.engine.runners.host import Host, together
from homewright.errors import HomewrightError
from homewright.planning.networks import propose
from homewright.stages import packages
from homewright.stages.lxd import cluster, way
from homewright.stages.lxd.standing import OWNER, owner_of, refused


def run_all(hosts: Sequence[Host]) -> None:
    together(hosts, _bridged)
    open_to = [host for host in hosts if host.error is None]
    if open_to:
        _profile(open_to)
        together(open_to, _way)


def _bridged(host: Host) -> None:
    """Raises HomewrightError where the server has no bridge with its own address."""
    found = host.run(f"ip -4 -o address show dev {way.BRIDGE} 2>/dev/null; true", sudo=False).stdout
    if f" {host.address}/" not in found:
        raise HomewrightError(
            f"{host.name} has no bridge {way.BRIDGE} with its address {host.address}.",
            "The instances hang on it, so that they are in the same network as the servers.",
            ["10/10 makes it: homewright apply --from 10"],
        )


def _profile(hosts: Sequence[Host]) -> None:
    first = hosts[0]
    owner = owner_of(first.site, cluster.identity(first))
    wanted = way.profile(owner)
    with first.task("Profile of the instances") as task, cluster.any_member(hosts) as lxd:
        found = lxd.find(f"profiles/{way.PROFILE}")
        if found is not None and found["config"].get(OWNER) != owner:
            raise refused(f"LXD has a profile {way.PROFILE} that is not ours.")
        if found is None:
            lxd.post("profiles", {"name": way.PROFILE, **wanted})
            task.changed = True
        elif {key: found[key] for key in wanted} != wanted:
            lxd.put(f"profiles/{way.PROFILE}", wanted)
            task.changed = True


def _way(host: Host) -> None:
    net = propose(host.site, host.facts).network("lxd")
    if net is None:
        raise HomewrightError(
            "There is no range for the instances.", "", ["name one: homewright site set network.lxd 10.100.0.0/24"]
        )
    with host.task("Way to the instances") as task:
        changed = packages.install(host, [way.PACKAGE])
        changed = host.write(way.SCRIPT, way.script_text(net, host.address).encode(), mode=0o755) or changed
        changed = host.write(way.UNIT_FILE, way.UNIT_TEXT.encode()) or changed
        host.run(["mkdir", "-p", way.NETWORKD.rpartition("/")[0]])
        changed = host.write(way.NETWORKD, way.NETWORKD_TEXT.encode()) or changed
        unit = f"systemctl is-enabled -q {way.UNIT} && systemctl is-active -q {way.UNIT}"
        is_open = host.run(f"{way.SCRIPT} check && {unit}", check=False).exit_code == 0
        if changed or not is_open:
            host.run(f"systemctl daemon-reload && systemctl enable -q {way.UNIT} && systemctl restart {way.UNIT}")
        task.changed = changed or not is_open
