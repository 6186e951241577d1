"""Forgets the restart: it cannot be undone, and hurts nobody."""

from homewright.engine.runners.host import Host
from homewright.stages import restart


def rollback(host: Host) -> None:
    # Not as a change of the server: those are restarted.
    host.remove(restart.RECORD)
