"""No server in the overlay, and no member of ours left in the account."""

from collections.abc import Sequence

from homewright.engine.runners.host import Host, together
from homewright.stages import overlay_effect as overlay


def rollback_all(hosts: Sequence[Host]) -> None:
    network = overlay.network_of(hosts[0])
    mine = [host for host in hosts if network not in host.capture.get("networks", ())]
    nodes = together(mine, lambda host: overlay.leave(host, network))
    if any(nodes.values()):
        account = overlay.central(hosts[0])
        for node in filter(None, nodes.values()):
            account.remove_member(network, node)
