"""Seen from here, over HTTPS: LXD on this server trusts us, is an online member of our cluster, and has its pool."""

from homewright.engine.runners.host import Host, Proof, broken, cannot_tell, proved
from homewright.lxd.client import Lxd, LxdAway, LxdError
from homewright.planning.pools import POOL
from homewright.stages.lxd import cluster, packages
from homewright.stages.lxd.standing import OWNER, look, owner_of

ACTIVE = (
    "systemctl is-active lxd.service snap.lxd.daemon.service 2>/dev/null | grep -E '^(active|activating)$' | head -1"
)


def verify(host: Host) -> Proof:
    if not host.exists("/var/lib/lxd/cluster.crt") and not host.exists("/var/snap/lxd/common/lxd/cluster.crt"):
        return broken(f"{host.name} is a member of no LXD cluster.")
    if not packages.starts_by_itself(host):
        return broken(f"LXD on {host.name} would not come up after a restart.")
    if file := packages.too_many_ids(host):
        return broken(f"{file} gives LXD more user ids than {host.name} has, so that it would start no container.")
    try:
        with cluster.connected(host) as lxd:
            return _member(host, lxd)
    except LxdAway as error:
        if "another certificate" in error.why:
            return broken(f"{error.what} {error.why}")
        running = host.run(ACTIVE, check=False).stdout.strip()
        if not running:
            return broken(f"LXD does not run on {host.name}.")
        return cannot_tell(f"LXD on {host.name} runs and does not answer: {error.why}")
    except LxdError as error:
        if any(sign in error.why for sign in ("leader", "database is locked", "context deadline", "not available")):
            return cannot_tell(f"{error.what} {error.why}")
        return broken(f"{error.what} {error.why}")


def _member(host: Host, lxd: Lxd) -> Proof:
    server = lxd.get("")
    called = server["environment"]["server_name"]
    if called != host.name:
        return broken(f"{host.name} is called {called} in the cluster.")
    members = {member["server_name"]: member for member in lxd.get("cluster/members", recursion=1)}
    if host.name not in members:
        return broken(f"{host.name} is no member of the cluster; its members are {', '.join(sorted(members))}.")
    if others := cluster.elsewhere(host, members):
        return broken(f"{', '.join(others)} of this site is in another cluster than {host.name}.")
    mine = members[host.name]
    if not mine["url"].startswith(f"https://{host.address}:"):
        return broken(f"The cluster knows {host.name} at {mine['url']}, not at {host.address}.")
    if mine["status"] not in ("Online", "Evacuated"):
        return cannot_tell(f"The cluster says that {host.name} is {mine['status']}: {mine['message']}.")
    pool = lxd.find(f"storage-pools/{POOL}", target=host.name)  # as it is there: the cluster calls each one Created
    if pool is None:
        return broken(f"The cluster has no storage pool {POOL}.")
    owner = pool["config"].get(OWNER, "")
    if owner != owner_of(host.site, cluster.identity(host)):
        return broken(f"LXD on {host.name} is not marked as this site's but as {owner or 'nobody'}'s.")
    if pool["status"] != "Created":
        return broken(f"The storage pool {POOL} is {pool['status']} on {host.name}.")
    if host.name not in (pool.get("locations") or [host.name]):
        return broken(f"{host.name} has no storage pool {POOL}; {', '.join(pool['locations'])} have one.")
    lxd.get(f"storage-pools/{POOL}/resources", target=host.name)
    more = len(members) - 1
    return proved(
        f"{host.name} is {mine['status']}, with {more} other{'s' if more != 1 else ''}; {pool['driver']} holds."
    )


def capture(host: Host) -> dict[str, object]:
    return {"package": look(host).package, **packages.before(host)}
