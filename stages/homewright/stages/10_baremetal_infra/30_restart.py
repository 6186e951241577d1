"""Servers on which a change waits for it restart: the engine does that, one after another."""

from homewright.engine.runners.host import Host
from homewright.stages import restart


def run(host: Host) -> None:
    with host.task("Whether it has to restart") as task:
        why = restart.waiting(host)
        known = restart.noted(host)
        # A record of a restart that has happened since stays: it is what the proof compares with.
        if why or known is None or known["boot"] == restart.boot(host):
            restart.note(host, why)
        if why:
            host.say(f"{host.name} restarts: {why}.")
        task.changed = bool(why)
