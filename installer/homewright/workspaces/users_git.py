"""A user's repositories, as their git servers tell of them: what stands before a workspace that is to clone one."""

from __future__ import annotations

import shlex
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from homewright.errors import UsageError
from homewright.workspaces import git_servers, repositories
from homewright.workspaces.git_servers import Checked, SignIn
from homewright.workspaces.models import Repository, RepositoryCheck, ServerTold

if TYPE_CHECKING:
    from homewright.workspaces.on_cluster import ClusterWorkspaces

FRESH_S = 20.0
"""How long an answer serves: somebody who types asks at every pause."""
_KEPT = 200


class UsersGit:
    """Asks git servers, by the credentials that the cluster keeps. May be used from several threads."""

    def __init__(self, cluster: ClusterWorkspaces) -> None:
        self._cluster = cluster
        self._lock = threading.Lock()
        self._known: dict[tuple[str, Repository, SignIn | None], tuple[float, Checked]] = {}

    def check(self, user: str, repository: Repository) -> RepositoryCheck:
        """Whether this user can clone it, as far as this machine sees."""
        sign_in = self._cluster.sign_in(user, repository.url)
        key, now = (user, repository, sign_in), time.monotonic()
        with self._lock:
            at, found = self._known.get(key, (0.0, None))
        if found is None or now - at > FRESH_S:
            found = git_servers.check(repository, user, sign_in)
            with self._lock:
                if len(self._known) >= _KEPT:
                    self._known.clear()
                self._known[key] = (time.monotonic(), found)
        return RepositoryCheck(repository=repository, state=found.state, words=found.words, remedy=found.do)

    def told(self, user: str, server: str | None = None) -> tuple[ServerTold, ...]:
        """What each server, or one, says of this user, with the repositories that they have there.

        Raises UsageError where no credentials are kept for it.
        """
        servers: tuple[str, ...]
        if server is None:
            servers = self._cluster.credentials(user)
        else:
            parts = repositories.server(server)
            servers = (f"{parts.scheme}://{parts.netloc.lower()}{parts.path.rstrip('/')}",)
        with ThreadPoolExecutor(max_workers=4) as pool:
            return tuple(pool.map(lambda one: self._told(user, one), servers))

    def _told(self, user: str, server: str) -> ServerTold:
        sign_in = self._cluster.sign_in(user, server)
        if sign_in is None:
            raise UsageError(
                f"No credentials of {user} are kept for {server}.",
                "A server tells somebody's repositories to nobody else.",
                [
                    "give the user's own: homewright workspace credentials "
                    f"{shlex.quote(user)} --server {shlex.quote(server)}"
                ],
            )
        said = git_servers.told(server, sign_in)
        return ServerTold(
            server=server, kind=said.kind, accepted=said.accepted, words=said.words, login=said.login,
            repositories=said.repositories,
        )  # fmt: skip
