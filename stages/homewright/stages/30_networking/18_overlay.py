"""The server is in the overlay with its fixed address, and the other servers answer there."""

from homewright.engine.runners.host import Host, Proof, broken, cannot_tell, proved
from homewright.stages import overlay_effect as overlay
from homewright.stages import zerotier


def verify(host: Host) -> Proof:
    try:
        network, wanted = overlay.network_of(host), overlay.addresses(host)
    except zerotier.OverlayError as error:
        return broken(error.what)
    if not overlay.node(host):
        return broken(f"ZeroTier does not run on {host.name}.")
    state, addresses = overlay.status(host, network)
    if not state:
        return broken(f"{host.name} has not joined the ZeroTier network {network}.")
    if state == "REQUESTING_CONFIGURATION":
        return cannot_tell(f"{host.name} waits for ZeroTier's network {network} to answer.")
    if state != "OK":
        return broken(f"{host.name} is in the ZeroTier network {network} as {state}.")
    if not zerotier.has(addresses, wanted[host.name]):
        return broken(
            f"{host.name} has {', '.join(addresses) or 'no address'} in the overlay, not {wanted[host.name]}."
        )
    others = {name: address for name, address in wanted.items() if name != host.name}
    for name, address in others.items():
        if host.run(["ping", "-n", "-c", "3", "-W", "3", address], sudo=False, check=False).exit_code != 0:
            return cannot_tell(f"{name} does not answer {host.name} at {address} in the overlay.")
    return proved(f"{host.name} is {wanted[host.name]} in the overlay, and {len(others)} others answer there.")


def capture(host: Host) -> dict[str, object]:
    return overlay.capture(host)
