"""One manager over servers and cluster."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from api_stand_in import StandIn, stand_in

from homewright.cluster.kubeconfig import SECRET
from homewright.errors import Unreachable, UsageError
from homewright.site.models import Site
from homewright.site.paths import StateFolder
from homewright.site.secrets import Secrets
from homewright.workspaces.errors import InstanceNotFound
from homewright.workspaces.models import Key, Specification
from homewright.workspaces.one_manager import THE_CLUSTER, OneManager


@pytest.fixture
def state(tmp_path: Path) -> StateFolder:
    return StateFolder(tmp_path / "state", tmp_path / "site.yaml").create()


@pytest.fixture
def cluster(state: StateFolder) -> Iterator[StandIn]:
    with stand_in() as server:
        Secrets(state.secrets).set(SECRET, json.dumps(dict(server.kubeconfig().document)))
        yield server


def spec(node: str | None = None, preset: str = "standard") -> Specification:
    return Specification(key=Key(user="alice", node=node), template="code-server", preset=preset)


def test_templates_of_the_cluster_are_offered_where_there_is_one(state: StateFolder) -> None:
    with OneManager(Site(name="attic"), state) as manager:
        assert list(manager.templates()) == ["node"] and manager.places == 0
        assert list(manager.known_templates) == ["code-server", "devenv", "node"]
        with pytest.raises(UsageError, match="has no cluster"):
            manager.preview(spec())
    with stand_in() as server:
        Secrets(state.secrets).set(SECRET, json.dumps(dict(server.kubeconfig().document)))
        with OneManager(Site(name="attic"), state) as manager:
            assert list(manager.templates()) == ["code-server", "devenv", "node"] and manager.places == 1


def test_what_making_one_would_mean_is_said_before(cluster: StandIn, state: StateFolder) -> None:
    with OneManager(Site(name="attic"), state) as manager:
        preview = manager.preview(spec())
        assert preview.node == THE_CLUSTER and preview.existing is None and not preview.must_accept
        assert "no zone" in preview.warnings[0]
        for wrong in (spec(node="s1"), spec(preset="vast")):
            with pytest.raises(UsageError):
                manager.preview(wrong)
        made = manager.create(spec(), lambda _: None)
        assert made.workspace.address == ""
        local, command = manager.forward(made.workspace)
        assert local.startswith("http://localhost:") and command[:3] == ("kubectl", "-n", "codeserver-instances")
        existing = manager.preview(spec()).existing
        assert existing is not None and existing.state == "running"
        assert [one.connections for one in manager.sessions(Key(user="alice"))] == [0], (
            "nobody can tell, so it is asked"
        )


def test_a_cluster_that_is_away_is_the_reason_where_nothing_else_has_the_workspace(
    cluster: StandIn, state: StateFolder
) -> None:
    with OneManager(Site(name="attic"), state) as manager:
        with pytest.raises(InstanceNotFound):
            manager.show(Key(user="alice"))
        cluster.token = "withdrawn"
        with pytest.raises(Unreachable, match="does not accept who we are"):
            manager.show(Key(user="alice"))
        assert list(manager.list().unreachable) == [THE_CLUSTER]
