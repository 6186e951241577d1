"""One manager over servers and cluster."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from api_stand_in import StandIn, stand_in

from homewright.cluster.kubeconfig import SECRET, KubeconfigError
from homewright.errors import HomewrightError, Unreachable, UsageError
from homewright.site.models import Site
from homewright.site.paths import StateFolder
from homewright.site.secrets import Secrets
from homewright.workspaces.backends.kubernetes.api import LOOK_S, Api
from homewright.workspaces.errors import InstanceNotFound, MissingRight, NeedsAcceptance, NotOurs
from homewright.workspaces.manager import Listing, Manager
from homewright.workspaces.models import Key, Specification, Workspace, WorkspaceState
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
        assert any("no zone" in one for one in preview.warnings)
        for wrong in (spec(node="s1"), spec(preset="vast")):
            with pytest.raises(UsageError):
                manager.preview(wrong)
        made = manager.create(spec(), lambda _: None)
        assert made.workspace.address == ""
        local, command = manager.forward(made.workspace)
        assert local.startswith("http://localhost:") and command[:3] == ("homewright", "workspace", "open")
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


@pytest.mark.parametrize(
    ("daemons", "must", "said"),
    [
        (("kube-flannel-ds", "kube-proxy"), True, "can reach one another"),
        (("calico-node", "kube-flannel-ds"), False, ""),
        (("kube-proxy",), False, "cannot be told"),
        (None, False, "cannot be told"),
    ],
    ids=["flannel", "canal", "unknown", "no right"],
)
def test_a_cluster_that_keeps_nobody_apart_must_be_accepted(
    cluster: StandIn, state: StateFolder, daemons: tuple[str, ...] | None, must: bool, said: str
) -> None:
    for name in daemons or ():
        cluster.put({"kind": "DaemonSet", "metadata": {"name": name, "namespace": "kube-system"}})
    if daemons is None:
        cluster.denied.add(("list", "daemonsets"))
    with OneManager(Site(name="attic"), state) as manager:
        preview = manager.preview(spec())
        assert bool(preview.must_accept) is must
        assert (said in " ".join((*preview.warnings, preview.must_accept))) and bool(said) == (
            "one another" in " ".join((*preview.warnings, preview.must_accept))
        )
        if must:
            with pytest.raises(NeedsAcceptance) as refused:
                manager.create(spec(), lambda _: None, accept_shared_node=True)
            assert "--accept-open-network" in refused.value.as_text()
            assert cluster.all("Namespace") == [], "nothing was done"
        made = manager.create(spec(), lambda _: None, accept_open_network=must)
        assert said in " ".join(made.warnings) and bool(said) == bool(made.warnings)
        assert manager.create(spec(), lambda _: None).existed, "what is there needs no word"
        assert not manager.preview(spec()).must_accept


def test_servers_and_cluster_are_listed_side_by_side(
    cluster: StandIn, state: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = threading.Event()
    answer = cluster.answer
    monkeypatch.setattr(cluster, "answer", lambda *asked: (began.set(), answer(*asked))[1])

    def on_servers(_: Manager) -> Listing:
        assert began.wait(30), "the cluster is asked while the servers have not answered yet"
        return Listing((), {}, 1.0)

    monkeypatch.setattr(Manager, "list", on_servers)
    with OneManager(Site(name="attic"), state) as manager:
        assert manager.list().unreachable == {}


def test_looking_is_given_up_soon_and_changing_is_not(
    cluster: StandIn, state: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    patience: list[float | None] = []
    request = Api._request

    def noting(*arguments: Any, **options: Any) -> Any:
        patience.append(options.get("patience_s"))
        return request(*arguments, **options)

    monkeypatch.setattr(Api, "_request", noting)
    with OneManager(Site(name="attic"), state) as manager:
        manager.list()
        assert set(patience) == {LOOK_S}
        for verb, expected in ((manager.show, LOOK_S), (manager.password, LOOK_S), (manager.stop, None)):
            patience.clear()
            with pytest.raises(InstanceNotFound):
                verb(Key(user="alice"))
            assert set(patience) == {expected}, verb


def test_a_server_that_takes_a_question_and_says_nothing_is_given_up_as_soon() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute, ThreadPoolExecutor() as pool:
        away = StandIn()
        away.url = f"http://127.0.0.1:{mute.getsockname()[1]}"
        asked = pool.submit(Api(away.kubeconfig).get, "ConfigMap", "x", "y", 0.2)
        with pytest.raises(Unreachable, match="does not answer"):
            asked.result(timeout=20)


ALICE = Key(user="alice")
ON_SERVER = Workspace(
    key=Key(user="alice", node="s1"), slug="alice", template="node", preset="small", state=WorkspaceState.RUNNING
)  # fmt: skip


@pytest.fixture
def on_server(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A server has alice's workspace too; what the verbs on servers were asked for."""
    asked: list[str] = []

    def noting(name: str, answer: object) -> Callable[..., object]:
        return lambda *_: (asked.append(name), answer)[1]

    for name in ("show", "start", "stop"):
        monkeypatch.setattr(Manager, name, noting(name, ON_SERVER))
    monkeypatch.setattr(Manager, "delete", noting("delete", "/srv/alice"))
    monkeypatch.setattr(Manager, "password", noting("password", "a password"))
    return asked


def _withdraw(server: StandIn) -> None:
    server.token = "withdrawn"


def _deny(server: StandIn) -> None:
    server.denied.add(("get", "configmaps"))


def _take(server: StandIn) -> None:
    metadata = {"name": "code-server-alice", "namespace": "codeserver-instances"}
    server.put({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})


TROUBLES = [(_withdraw, Unreachable), (_deny, MissingRight), (_take, NotOurs)]
CHANGING: dict[str, Callable[..., object]] = {
    "meant": lambda manager, key: manager.meant(key),
    "start": lambda manager, key, **more: manager.start(key, **more),
    "stop": lambda manager, key, **more: manager.stop(key, **more),
    "restart": lambda manager, key, **more: manager.restart(key, **more),
    "delete": lambda manager, key, **more: manager.delete(key, True, **more),
}


@pytest.mark.parametrize(("trouble", "kind"), TROUBLES)
def test_what_changes_something_never_takes_a_server_s_for_that_of_a_cluster_which_cannot_be_asked(
    cluster: StandIn,
    state: StateFolder,
    on_server: list[str],
    trouble: Callable[[StandIn], None],
    kind: type[Exception],
) -> None:
    trouble(cluster)
    with OneManager(Site(name="attic"), state) as manager:
        for name, verb in CHANGING.items():
            with pytest.raises(HomewrightError) as refused:
                verb(manager, ALICE)
            assert on_server == [] and isinstance(refused.value, kind), name
            assert "--node NODE" in refused.value.do[-1]
        for verb in CHANGING.values():
            verb(manager, ON_SERVER.key)
        assert on_server == ["show", "start", "stop", "stop", "start", "delete"], "it was named"
        on_server.clear()
        assert manager.show(ALICE) == ON_SERVER and manager.password(ALICE) == "a password", "it can be read"


def test_one_that_was_listed_in_the_cluster_and_is_gone_is_not_another_on_a_server(
    cluster: StandIn, state: StateFolder, on_server: list[str]
) -> None:
    with OneManager(Site(name="attic"), state) as manager:
        for name, verb in CHANGING.items():
            if name != "meant":
                with pytest.raises(InstanceNotFound):
                    verb(manager, ALICE, in_cluster=True)
        assert on_server == []


@pytest.mark.parametrize(("trouble", "kind"), TROUBLES)
def test_why_the_cluster_could_not_be_asked_is_said_where_no_server_has_it(
    cluster: StandIn, state: StateFolder, trouble: Callable[[StandIn], None], kind: type[Exception]
) -> None:
    trouble(cluster)
    with OneManager(Site(name="attic"), state) as manager, pytest.raises(kind):
        manager.show(ALICE)


def test_a_damaged_kubeconfig_leaves_what_is_on_servers(state: StateFolder, on_server: list[str]) -> None:
    Secrets(state.secrets).set(SECRET, "no: [kubeconfig")
    with OneManager(Site(name="attic"), state) as manager:
        assert manager.show(ALICE) == ON_SERVER
        with pytest.raises(KubeconfigError):
            manager.stop(ALICE)
    assert on_server == ["show"]
