"""Practice servers: real machines of their own (LXD containers with systemd and sshd) on this machine.

What other rooms call is here; each function imports what it needs when it is called.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from homewright.lab.models import Fault, LabStatus, Nodes
    from homewright.lab.simulated_nodes import Change

SITE_NAME = "practice"
"""The site that `up` writes."""


def up(
    servers: int | None = None,
    *,
    cluster: bool = False,
    nodes: Nodes | None = None,
    earlier: bool = False,
    say: Callable[[str], None],
    agree: Callable[[str], bool] = lambda question: False,
) -> LabStatus:
    """Make the practice servers, or whatever of them is missing, and their site; a second time nothing is changed.

    `servers` is how many (3 where there is no lab yet). With `cluster` they also get what a cluster on them is made of:
    a mirror of its images and files, built first where that was not done yet, and a site that asks for it, whose nodes
    are the servers themselves, or LXD instances on them (`nodes`); with `earlier` one that begins with the Kubernetes
    of the minor version before.
    `agree` is asked before Debian packages are installed. Raises LabError where this machine cannot run them, and Busy
    while another `lab` command works.
    """
    from homewright.lab.commands import up as act

    return act(servers, with_cluster=cluster, nodes=nodes, earlier=earlier, say=say, agree=agree)


def down(*, say: Callable[[str], None]) -> bool:
    """Remove the practice servers, their site and everything that was made for them, but for the cached image.

    Whether there was anything. Raises LabError, and Busy while a run goes on in the practice site.
    """
    from homewright.lab.commands import down as act

    return act(say=say)


def prepare(*, say: Callable[[str], None], agree: Callable[[str], bool] = lambda question: False) -> None:
    """Have everything ready that takes minutes: Debian packages, the image, the code-server archive.

    Raises LabError.
    """
    from homewright.lab.commands import prepare as act

    act(say=say, agree=agree)


def builds(names: Sequence[str] = (), *, say: Callable[[str], None]) -> dict[str, Path]:
    """Have the practice cluster's programs built, or these of the builds alone; where each program is.

    Raises UsageError for a name that no build has, LabError where one fails.
    """
    from homewright.lab.cluster import build as act

    return act(names, say=say)


def status() -> LabStatus:
    """How the practice servers are, without root. Raises StateError where the lab's file cannot be read."""
    from homewright.lab.commands import status as act

    return act()


def nodes(count: int, *, say: Callable[[str], None]) -> Change:
    """Have so many simulated nodes in the practice cluster, all ready; a second time nothing is changed.

    What plays them is built first where that was not done yet, about two minutes. Raises UsageError for a number that
    cannot be, LabError where there is no cluster or they do not become ready, ClusterError, and Busy.
    """
    from homewright.lab.simulated_nodes import change as act

    return act(count, say=say)


def power_off(name: str, *, say: Callable[[str], None]) -> bool:
    """Cut a server's power; whether it was on. Raises LabError."""
    from homewright.lab.commands import power as act

    return act(name, on=False, say=say)


def power_on(name: str, *, say: Callable[[str], None]) -> bool:
    """Give a server its power back and wait until it answers; whether it was off. Raises LabError."""
    from homewright.lab.commands import power as act

    return act(name, on=True, say=say)


def unplug(name: str, *, say: Callable[[str], None]) -> bool:
    """Pull a server's network cable; whether it was in. Raises LabError."""
    from homewright.lab.commands import cable as act

    return act(name, plugged=False, say=say)


def plug(name: str, *, say: Callable[[str], None]) -> bool:
    """Put a server's network cable back; whether it was out. Raises LabError."""
    from homewright.lab.commands import cable as act

    return act(name, plugged=True, say=say)


def break_server(name: str, fault: Fault, *, say: Callable[[str], None]) -> bool:
    """Break a server in one way, for real, and write that down; whether it was not broken so already.

    Raises LabError where there is no such server, it has no power, or another fault is in the way.
    """
    from homewright.lab.commands import break_server as act

    return act(name, fault, say=say)


def mend_server(name: str, fault: Fault | None = None, *, say: Callable[[str], None]) -> tuple[Fault, ...]:
    """Undo one fault of a server, or all of them; which were undone. Raises LabError."""
    from homewright.lab.commands import mend_server as act

    return act(name, fault, say=say)


def password(site_name: str, host: str) -> str | None:
    """The password of a practice server's user; None for any other site or server."""
    from homewright.lab.record import load

    lab = load()
    if lab is None or site_name != SITE_NAME or host not in {server.name for server in lab.servers}:
        return None
    return lab.password


def bundle() -> Path:
    """Where the code-server archive of the practice site is, or will be."""
    from homewright.lab.code_server import bundle_path

    return bundle_path()
