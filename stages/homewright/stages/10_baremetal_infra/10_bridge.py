"""The bridge br0: the server's address moves to it, and its instances share the cable with it."""

from homewright.engine.runners.host import Host
from homewright.stages import bridge
from homewright.stages.bridge_effect import refuse_conflicts, settle, write
from homewright.stages.network_look import look


def run(host: Host) -> None:
    server = host.site.server(host.name)
    seen = look(host)
    wanted = bridge.wanted(host.site, server, seen, host.capture)
    changes = {path: text for path, text in wanted.files.items() if seen.files.get(path) != text}
    wrong = bridge.astray(seen, wanted) or ("it is not marked as ours" if seen.mark != wanted.nic else "")
    if wrong:
        refuse_conflicts(host, seen, wanted)
    with host.task("Network files") as task:
        task.changed = write(host, wanted.files)
    with host.task("Bridge") as task:
        for _ in range(2):  # what the files say first, then what was changed in the kernel past them
            if not wrong and not any(path != bridge.CLOUD for path in changes):
                break
            settle(host, wanted.nic, wanted.address, on=bridge.BRIDGE)
            task.changed = True
            changes, wrong = {}, bridge.astray(look(host), wanted)
