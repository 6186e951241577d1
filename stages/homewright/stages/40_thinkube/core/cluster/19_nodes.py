"""No node any more: no programs, settings, images or packages of the cluster."""

from collections.abc import Sequence

from homewright.engine.runners.host import Host, together
from homewright.stages.cluster import forming, look, nodes


def rollback_all(hosts: Sequence[Host]) -> None:
    owner = forming.owner(hosts[0])
    together(hosts, lambda host: _remove(host, owner))


def _remove(host: Host, owner: str) -> None:
    seen = look.look(host)
    if seen.owner and seen.owner != owner:
        raise look.Refused(f"{host.name} is a node of another site.", "It is left alone.")
    # Taken back before, or never begun: what is there by now is somebody else's.
    if not seen.owner and not host.capture:
        return
    nodes.remove(host, host.capture)
