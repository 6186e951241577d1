"""How a lab is, out of what was looked at. Pure."""

from __future__ import annotations

from homewright.lab.models import Record, ServerStatus, State


def judge(
    lab: Record, servers: tuple[ServerStatus, ...], alive: bool, mirrored: bool = True, played: bool = True
) -> tuple[State, str | None]:
    """The lab's state out of its servers', and whether its daemon, its mirror and what plays its simulated nodes are
    alive; why it is not `up`."""
    if lab.phase != "up":
        cut = "up" if lab.phase == "going up" else "down"
        return (
            "incomplete",
            f"`homewright lab {cut}` is at work, or was cut off: run `homewright lab up` or `lab down`.",
        )
    if lab.daemon is not None and not alive:
        return (
            "broken",
            "The private LXD daemon is gone; `homewright lab up` starts it again, with the servers as they were.",
        )
    off = [server.name for server in servers if server.power == "off"]
    out = [server.name for server in servers if server.power == "on" and server.cable == "unplugged"]
    silent = [
        server.name
        for server in servers
        if server.power == "on" and server.cable == "plugged" and server.ssh == "silent"
    ]
    reasons = [] if mirrored else ["their mirror is gone, which `homewright lab up` starts again"]
    reasons += [] if played else ["nobody plays their simulated nodes, which `homewright lab up` mends"]
    reasons += [
        f"{', '.join(names)} {what}"
        for names, what in ((off, "without power"), (out, "unplugged"), (silent, "not answering yet"))
        if names
    ]
    return ("broken", f"{'; '.join(reasons)}.") if reasons else ("up", None)
