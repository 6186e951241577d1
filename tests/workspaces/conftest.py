"""A manager over the practice servers, and root's eyes on them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cluster_place import ClusterPlace, place

from homewright.access.connection import Connection, Endpoint
from homewright.site import files
from homewright.site.paths import StateFolder
from homewright.workspaces.manager import Manager

Root = Callable[[str], str]


@pytest.fixture(scope="module")
def cluster_place() -> Iterator[ClusterPlace]:
    """A site with a real cluster."""
    with place() as found:
        yield found


@pytest.fixture(scope="module")
def manager(trusted_lab: Any) -> Iterator[Manager]:
    site = files.load(Path(trusted_lab.site_file))
    state = StateFolder(Path(trusted_lab.state_args[trusted_lab.state_args.index("--state") + 1]))
    with Manager(site, state) as manager:
        yield manager
        for workspace in manager.list().workspaces:
            manager.delete(workspace.key, with_storage=True)


@pytest.fixture(scope="module")
def node(manager: Manager) -> str:
    """The node that these tests work on."""
    return manager.nodes()[0]


@pytest.fixture
def root(manager: Manager, node: str) -> Iterator[Root]:
    """Runs a command of sh on the node, as root, and gives what it prints."""
    with Connection.open(Endpoint.of(manager.site.server(node), manager.state)) as connection:
        yield lambda command: connection.run(command, sudo=True).stdout
