"""Seen from here the cluster has the profile as it should be; the way to the instances is open and stays so."""

from homewright.engine.runners.host import Host, Proof, broken, cannot_tell, proved
from homewright.lxd.client import LxdAway
from homewright.planning.networks import propose
from homewright.stages import packages
from homewright.stages.lxd import cluster, way
from homewright.stages.lxd.standing import owner_of


def verify(host: Host) -> Proof:
    net = propose(host.site, host.facts).network("lxd")
    if net is None:
        return broken("The site has no range for its instances.")
    for path, text, mode in (
        (way.SCRIPT, way.script_text(net, host.address), "755"),
        (way.UNIT_FILE, way.UNIT_TEXT, "644"),
        (way.NETWORKD, way.NETWORKD_TEXT, "644"),
    ):
        if (host.read(path) or b"").decode("utf-8", "replace") != text or host.stat(path) != f"{mode} root:root":
            return broken(f"{path} on {host.name} is not as it should be.")
    said = host.run(f"systemctl is-enabled {way.UNIT} 2>&1", check=False).stdout.strip()
    if said != "enabled":
        return broken(f"{way.UNIT} on {host.name} is {said or 'missing'}: the way would not be open after a restart.")
    checked = host.run(f"{way.SCRIPT} check", check=False)
    if checked.exit_code != 0:
        return broken(f"On {host.name}, {checked.stdout.strip() or checked.stderr.strip()}.")
    try:
        with cluster.connected(host) as lxd:
            found = lxd.find(f"profiles/{way.PROFILE}")
    except LxdAway as error:
        return cannot_tell(f"{error.what} {error.why}")
    wanted = way.profile(owner_of(host.site, cluster.identity(host)))
    if found is None:
        return broken(f"LXD has no profile {way.PROFILE}.")
    if wrong := [key for key in wanted if found[key] != wanted[key]]:
        return broken(f"The {' and '.join(wrong)} of the profile {way.PROFILE} are not as they should be.")
    return proved(f"The instances' range {net} is reached through {way.BRIDGE}, and the profile is right.")


def capture(host: Host) -> dict[str, object]:
    folder = way.NETWORKD.rpartition("/")[0]
    return {
        "forward": host.run(["sysctl", "-n", "net.ipv4.ip_forward"]).stdout.strip(),
        "folder": host.exists(folder),
        "packages": packages.installed(host),
    }
