"""All workspaces of a site as they are now: servers looked at every few seconds, the cluster watched."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from homewright.errors import HomewrightError, Unreachable
from homewright.workspaces.followed import Followed
from homewright.workspaces.manager import Listing
from homewright.workspaces.models import Workspace
from homewright.workspaces.ordering import in_order

if TYPE_CHECKING:
    from homewright.workspaces.on_cluster import ClusterWorkspaces

SERVERS_EVERY_S = 5.0
"""A server cannot be watched: it is looked at."""
THE_CLUSTER = "the cluster"
"""What a cluster that does not answer is called among the places that do not."""


class Live:
    """A listing that renews itself. Its methods may be called from several threads, and never wait long."""

    def __init__(
        self, servers: Callable[[], Listing] | None, there: ClusterWorkspaces | None, changed: Callable[[], None],
        *, every_s: float = SERVERS_EVERY_S,
    ) -> None:  # fmt: skip
        """`servers` looks at all of them, and is None where there is none. `changed` is called from other threads."""
        self._look = servers
        self._changed = changed
        self._every_s = every_s
        self._followed = Followed(there, changed) if there is not None else None
        self._servers = Listing((), {}, 0.0)
        self._problem: HomewrightError | None = None
        self._due = threading.Event()
        self._ended = False
        self._began = time.time()
        self._merged: tuple[tuple[Workspace, ...], tuple[Workspace, ...], tuple[Workspace, ...]] | None = None

    def start(self) -> Live:
        if self._look is not None:
            threading.Thread(target=self._poll, name="look at servers", daemon=True).start()
        if self._followed is not None:
            self._followed.start()
        return self

    def close(self) -> None:
        """End it without waiting."""
        self._ended = True
        self._due.set()
        if self._followed is not None:
            self._followed.close()

    def poke(self) -> None:
        """Look at the servers now; the cluster tells by itself."""
        self._due.set()

    def listing(self) -> Listing:
        """What is known now. Raises what the last look at the servers failed with."""
        if self._problem is not None:
            raise self._problem
        servers, followed = self._servers, self._followed
        looked = self._look is None or bool(servers.polled_at)
        if followed is None:
            return Listing(
                servers.workspaces, servers.unreachable, servers.polled_at, looking="" if looked else "the servers"
            )
        there, heard, problem = followed.workspaces(), followed.heard_at, followed.problem
        merged = self._merged
        if merged is None or merged[0] is not servers.workspaces or merged[1] is not there:
            every = (*servers.workspaces, *there)
            if servers.workspaces:
                every = tuple(sorted(every, key=in_order))
            self._merged = merged = (servers.workspaces, there, every)
        unreachable = {**servers.unreachable, **({THE_CLUSTER: problem} if problem else {})}
        looking = [*([] if looked else ["the servers"]), *([] if heard or problem else [THE_CLUSTER])]
        return Listing(
            merged[2], unreachable, servers.polled_at if self._look is not None else heard or self._began, heard,
            " and ".join(looking), followed.notes,
        )  # fmt: skip

    def _poll(self) -> None:
        assert self._look is not None
        while not self._ended:
            try:
                self._servers, self._problem = self._look(), None
            except HomewrightError as error:
                self._problem = error
            except Exception as error:  # whatever it is: with this thread dead, what was seen would stay "now" for ever
                told = f"{type(error).__name__}: {error}"
                self._problem = Unreachable("What the servers say cannot be read.", told)
            self._changed()
            self._due.wait(self._every_s)
            self._due.clear()
