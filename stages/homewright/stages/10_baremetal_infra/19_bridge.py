"""The server's address back on its interface, and no br0."""

from homewright.engine.runners.host import Host
from homewright.stages import bridge
from homewright.stages.bridge_effect import settle
from homewright.stages.network_look import look


def rollback(host: Host) -> None:
    before, server, seen = host.capture, host.site.server(host.name), look(host)
    if not bridge.is_ours(seen):
        return
    planned = bridge.port_of(seen)
    bridge.refuse_used(server, seen, planned)
    changes = bridge.put_back(before.get("files", {}), seen.files, server)
    with host.task("Network files as before") as task:
        for path, text in changes.items():
            if text is None:
                task.changed |= host.remove(path)
            else:
                mode, owner = (before.get("states", {}).get(path) or "600 root:root").split()
                task.changed |= host.write(path, text.encode(), mode=int(mode, 8), owner=owner)
        if not before.get("cloud"):
            task.changed |= host.remove(bridge.CLOUD)
    with host.task("No bridge") as task:
        on = before.get("nic") or planned
        if changes or bridge.BRIDGE in seen.links:
            settle(host, on, host.address, on=on)
            task.changed = True
