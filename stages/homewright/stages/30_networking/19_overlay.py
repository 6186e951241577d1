"""No server in the overlay, and no member of ours left in the account."""

from collections.abc import Sequence

from homewright.engine.runners.host import Host, together
from homewright.stages import overlay_effect as overlay


def rollback_all(hosts: Sequence[Host]) -> None:
    nodes = together([host for host in hosts if overlay.networks_of(host)], overlay.leave)
    gone = [
        (network, nodes[host.name]) for host in hosts if nodes.get(host.name) for network in overlay.networks_of(host)
    ]
    if gone:
        account = overlay.central(hosts[0])
        for network, node in gone:
            account.remove_member(network, node)
