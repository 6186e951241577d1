"""From here the account really reaches every server, by name and by address, from no other address, without sudo."""

from homewright.engine.runners.host import Host, Proof, broken, cannot_tell, proved
from homewright.site import hosts_file
from homewright.stages import peer_keys as keys
from homewright.stages.peer_keys_tried import try_all

AWAY = ("timed out", "No route to host", "Connection refused", "Network is unreachable", "Connection closed by")


def verify(host: Host) -> Proof:
    if not keys.account_is_ours(host):
        return broken(f"{host.name} has no account {keys.ACCOUNT} of ours.")
    for path, state in (
        (keys.FOLDER, f"700 {keys.OWNER}"),
        (keys.KEY, f"600 {keys.OWNER}"),
        (keys.AUTHORIZED, f"600 {keys.OWNER}"),
    ):
        if host.stat(path) != state:
            return broken(f"{path} on {host.name} is {host.stat(path) or 'missing'}, not {state}.")
    if keys.may_use_sudo(host):
        return broken(f"{keys.ACCOUNT} may use sudo on {host.name}.")
    unguarded = keys.unguarded((host.read(keys.AUTHORIZED) or b"").decode(), host.site)
    if unguarded:
        return broken(f"A key on {host.name} is not limited to its server's address: {unguarded}.")
    tried = try_all(host)
    if tried.sudo:
        return broken(f"{keys.ACCOUNT} may use sudo on {host.name}.")
    away: list[str] = []
    targets = [
        (target, one.name)
        for one in host.site.servers
        for target in (*hosts_file.names_of(host.site, one.name), one.address)
    ]
    for target, said in tried.reached.items():
        name = dict(targets)[target]
        if said == f"{keys.ACCOUNT}@{name}":
            continue
        if any(sign in said for sign in AWAY) and "Permission denied" not in said:
            away.append(f"{target} ({said})")
        else:
            return broken(f"From {host.name} to {target}: {said or 'no answer'}.")
    # The same key from another address than its own: through the loopback, where the server is 127.0.0.1.
    if "Permission denied" not in tried.from_elsewhere:
        return broken(f"{host.name} lets its key in from another address too: {tried.from_elsewhere}.")
    if away:
        return cannot_tell(f"{host.name} cannot reach {', '.join(away)}.")
    return proved(
        f"{host.name} reaches {len(targets)} names and addresses with its own key, and only from its address."
    )


def capture(host: Host) -> dict[str, object]:
    return {"account": keys.account_exists(host)}
