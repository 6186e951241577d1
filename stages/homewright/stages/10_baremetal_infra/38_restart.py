"""Nothing waits for a restart any more, and where something did the server is in another boot than before."""

from homewright.engine.runners.host import Host, Proof, broken, proved
from homewright.stages import restart


def verify(host: Host) -> Proof:
    known = restart.noted(host)
    if known is None:
        return broken(f"It was not looked yet whether {host.name} has to restart.")
    why = restart.waiting(host)
    if why:
        return broken(f"{host.name} has not restarted, although something waits for it: {why}.")
    now = restart.boot(host)
    if known["why"] and now == known["boot"]:
        return broken(f"{host.name} is still in the boot of before, {now[:8]}: {known['why']}.")
    if known["why"]:
        return proved(f"{host.name} has restarted, from boot {known['boot'][:8]} to {now[:8]}: {known['why']}.")
    return proved(f"Nothing on {host.name} waits for a restart.")
