"""br0 has the server's address and its route, the gateway answers there, and this connection came in by it."""

from homewright.engine.runners.host import Host, Proof, broken, proved
from homewright.stages import bridge
from homewright.stages.network_look import look, who_has


def verify(host: Host) -> Proof:
    seen = look(host)
    if not seen.files.get(bridge.FILE, "").startswith(bridge.HEADER):
        return broken(f"{host.name} has no bridge of ours: {bridge.FILE} is missing or somebody else's.")
    try:
        wanted = bridge.wanted(host.site, host.site.server(host.name), seen, host.capture)
    except bridge.Refused as refused:
        return broken(refused.what)
    for path, text in wanted.files.items():
        found = seen.files.get(path) if path != bridge.CLOUD else (host.read(path) or b"").decode("utf-8", "replace")
        if found != text:
            return broken(f"{path} on {host.name} is not what the site says.")
    if host.stat(bridge.FILE) != "600 root:root":
        return broken(f"{bridge.FILE} on {host.name} is {host.stat(bridge.FILE)}, not 600 root:root.")
    wrong = bridge.astray(seen, wanted)
    if wrong:
        return broken(f"On {host.name} {wrong}.")
    if seen.mark != wanted.nic:
        return broken(f"{bridge.MARK} on {host.name} does not say that br0 is ours.")
    if wanted.gateway and not who_has(host, bridge.BRIDGE, [wanted.gateway]):
        return broken(f"Nobody answers at the gateway {wanted.gateway} on br0 of {host.name}.")
    others = who_has(host, bridge.BRIDGE, [host.address], tries=1, wait=0.3)
    if others and others[host.address].lower() not in bridge.own_addresses(seen):
        return broken(f"Another machine ({others[host.address]}) has {host.address} too.")
    # A connection of this proof's own, made after the change: where it came in, whoever administers comes in.
    came = host.run("echo $SSH_CONNECTION", sudo=False).stdout.split()
    if len(came) == 4:
        way = host.run(["ip", "-o", "route", "get", came[0], "from", came[2]], check=False).stdout
        if came[2] == host.address and f"dev {bridge.BRIDGE} " not in way:
            return broken(f"{host.name} answers {came[0]} by another way than br0: {way.strip()}")
    return proved(f"{wanted.address} is on br0 with {wanted.nic}, and a new connection came in by it.")


def capture(host: Host) -> dict[str, object]:
    seen = look(host)
    # What would be refused is refused before anything of it is written down.
    bridge.wanted(host.site, host.site.server(host.name), seen)
    files = bridge.recorded(seen)
    return {
        "files": files,
        "states": {path: host.stat(path) for path in files},
        "cloud": host.exists(bridge.CLOUD),
        "nic": (nic := next((link.name for link in seen.links.values() if link.has(host.address)), "")),
        "gateway": seen.gateway if nic and seen.gateway_link == nic else "",
    }
