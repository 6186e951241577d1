"""What is followed of a cluster: every change, and every way in which a watch can end, break off or say nothing."""

from __future__ import annotations

import gc
import time
import warnings
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from api_stand_in import StandIn, stand_in

from homewright.errors import Unreachable
from homewright.site.models import Site
from homewright.workspaces.backends.kubernetes.api import Api
from homewright.workspaces.backends.kubernetes.observed import Seen
from homewright.workspaces.backends.kubernetes.usage import Usage
from homewright.workspaces.followed import NOT_YET, Followed
from homewright.workspaces.live import THE_CLUSTER, Live
from homewright.workspaces.manager import Listing
from homewright.workspaces.models import Key, Specification, Workspace, WorkspaceState
from homewright.workspaces.on_cluster import ClusterWorkspaces
from homewright.workspaces.templates import shipped

LIMIT_S = 120.0


@pytest.fixture(autouse=True)
def nothing_is_left_for_others() -> Iterator[None]:
    """A watch that is hung up on while it connects leaves its socket to the collector of garbage, which would find it
    in the middle of anybody's test."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture
def server() -> Iterator[StandIn]:
    with stand_in() as made:
        yield made


@pytest.fixture
def there(server: StandIn) -> Iterator[ClusterWorkspaces]:
    api = Api(server.kubeconfig, patience_s=0.2)
    made = ClusterWorkspaces(Site(name="attic"), api, shipped(), "root@here", lambda _: "$argon2id$x")
    for backend in made._backends.values():
        backend.pause_s = 0.01
    yield made
    made.close()


@pytest.fixture
def followed(there: ClusterWorkspaces) -> Iterator[Followed]:
    made = Followed(there, lambda: None, round_s=1, grace_s=0.5)
    made.start()
    yield made
    made.close()


def until(done: Callable[[], object]) -> None:
    limit = time.monotonic() + LIMIT_S
    while not done():
        assert time.monotonic() < limit, "waited in vain"
        time.sleep(0.01)


def make(there: ClusterWorkspaces, user: str = "alice") -> None:
    spec = Specification(key=Key(user=user), template="code-server", preset="standard")
    there.create(spec, lambda _: None)


def states(followed: Followed) -> dict[str, str]:
    return {str(one.key): str(one.state) for one in followed.workspaces()}


def count(server: StandIn, verb: str, resource: str) -> int:
    return sum(1 for call in list(server.calls) if call == (verb, resource))


def test_every_change_arrives_without_another_list(
    server: StandIn, there: ClusterWorkspaces, followed: Followed
) -> None:
    until(lambda: followed.heard_at)
    lists = count(server, "list", "configmaps")
    make(there)
    until(lambda: states(followed) == {"alice": "running"})
    there.stop(Key(user="alice"))
    until(lambda: states(followed) == {"alice": "stopped"})
    there.delete(Key(user="alice"), with_storage=False)
    until(lambda: states(followed) == {})
    assert count(server, "list", "configmaps") == lists
    assert followed.problem == "" and followed.notes == ()


def test_what_is_seen_is_what_a_list_says(there: ClusterWorkspaces, followed: Followed) -> None:
    for user in ("alice", "bob@corp.com", "Jörg"):
        make(there, user)
    there.stop(Key(user="bob@corp.com"))
    until(lambda: sorted(states(followed).values()) == ["running", "running", "stopped"])
    assert followed.workspaces() == there.list()
    assert followed.workspaces() is followed.workspaces(), "nothing is computed anew where nothing has changed"


def test_a_round_ends_and_the_next_goes_on_from_its_bookmark(
    server: StandIn, there: ClusterWorkspaces, followed: Followed
) -> None:
    until(lambda: count(server, "watch", "pods") >= 6)  # two namespaces, three rounds each
    assert count(server, "list", "pods") == 2
    make(there)
    until(lambda: states(followed) == {"alice": "running"})
    heard = followed.heard_at
    until(lambda: (followed.heard_at or 0) > (heard or 0) + 0.5)
    assert count(server, "list", "pods") == 2 + count_own(server), "no list but those of the verb"


def count_own(server: StandIn) -> int:
    """Lists of pods that `create` made: it looks at one workspace's own."""
    return count(server, "list", "pods") - 2


def test_a_version_that_is_forgotten_is_listed_anew_and_what_went_meanwhile_is_gone(
    server: StandIn, there: ClusterWorkspaces, followed: Followed
) -> None:
    make(there)
    make(there, "bob")
    until(lambda: states(followed) == {"alice": "running", "bob": "running"})
    with server.lock:  # nobody hears of this: it is gone without an event, and no version of before is known
        for key in [key for key in server.objects if "bob" in key[2]]:
            del server.objects[key]
        server._log.clear()
        server._logged = dict(server.objects)
        server.forgotten = 10**6
        server._versions = iter(range(10**6 + 1, 10**9))
    until(lambda: states(followed) == {"alice": "running"})
    until(lambda: followed.problem == "")


def test_a_watch_that_says_nothing_is_given_up_and_its_age_is_known(
    server: StandIn, there: ClusterWorkspaces, followed: Followed
) -> None:
    until(lambda: followed.heard_at)
    server.silent = True
    make(there)
    lists = count(server, "list", "configmaps")
    until(lambda: count(server, "list", "configmaps") > lists)
    until(lambda: states(followed) == {"alice": "running"})


@pytest.mark.parametrize("code", [429, 500, 503])
def test_a_busy_server_is_asked_again_when_it_says(server: StandIn, there: ClusterWorkspaces, code: int) -> None:
    server.faults = [(code, "too many requests, please try again later", {"Retry-After": "1"})] * 24
    followed = Followed(there, lambda: None, round_s=1, grace_s=0.5)
    followed.start()
    try:
        until(lambda: followed.heard_at)
        make(there)
        until(lambda: states(followed) == {"alice": "running"})
        assert followed.problem == ""
    finally:
        followed.close()


def test_an_api_that_is_away_is_said_and_what_was_known_stays(
    server: StandIn, there: ClusterWorkspaces, followed: Followed
) -> None:
    make(there)
    until(lambda: states(followed) == {"alice": "running"})
    until(lambda: followed.heard_at)
    heard = followed.heard_at
    server.token = "another"  # nobody of ours is let in, on any call
    until(lambda: followed.problem)
    assert "does not accept" in followed.problem
    assert states(followed) == {"alice": "running"}
    until(lambda: time.time() - (followed.heard_at or 0) > 1.5)
    assert heard
    with server.lock:
        server.objects = {key: one for key, one in server.objects.items() if key[0] == "Namespace"}
        server._write_log()
    server.token = "first"
    until(lambda: states(followed) == {})
    until(lambda: followed.problem == "")


def test_where_watching_is_not_allowed_it_is_looked_at_again_and_again(
    server: StandIn, there: ClusterWorkspaces, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("homewright.workspaces.backends.kubernetes.watch.POLL_S", 0.1)
    server.denied = {("watch", "pods")}
    followed = Followed(there, lambda: None, round_s=1, grace_s=0.5)
    followed.start()
    try:
        until(lambda: followed.notes)
        assert "list and not watch" in followed.notes[0]
        make(there)
        until(lambda: states(followed) == {"alice": "running"})
        assert followed.problem == ""
    finally:
        followed.close()


def test_a_watch_that_is_allowed_again_is_used_again(
    server: StandIn, there: ClusterWorkspaces, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("homewright.workspaces.backends.kubernetes.watch.POLL_S", 0.05)
    monkeypatch.setattr("homewright.workspaces.backends.kubernetes.watch._NOT_ALLOWED_PAUSE_S", 0.3)
    server.denied = {("watch", "pods")}
    followed = Followed(there, lambda: None, round_s=1, grace_s=0.5)
    followed.start()
    try:
        until(lambda: followed.heard_at and followed.notes)
        tried = count(server, "watch", "pods")
        until(lambda: count(server, "watch", "pods") >= tried + 4)  # two namespaces, each again and again
        assert followed.notes and followed.problem == ""
        server.denied = set()
        until(lambda: not followed.notes)
        make(there)
        until(lambda: states(followed) == {"alice": "running"})
        assert followed.notes == () and followed.problem == ""
    finally:
        followed.close()


def test_what_may_not_even_be_listed_names_the_right(server: StandIn, there: ClusterWorkspaces) -> None:
    server.denied = {("list", "pods")}
    make(there_with(server))
    server.denied = {("list", "statefulsets")}
    followed = Followed(there, lambda: None, round_s=1, grace_s=0.5)
    followed.start()
    try:
        until(lambda: followed.problem)
        assert "list statefulsets" in followed.problem
        until(lambda: states(followed) == {"alice": "running"})  # a pod that runs needs no other proof
    finally:
        followed.close()


def there_with(server: StandIn) -> ClusterWorkspaces:
    """Another manager, with every right."""
    server.denied = set()
    return ClusterWorkspaces(
        Site(name="attic"), Api(server.kubeconfig, patience_s=2.0), shipped(), "root@there", lambda _: "$argon2id$x"
    )


def test_before_everything_is_listed_no_reason_is_told(server: StandIn, there: ClusterWorkspaces) -> None:
    make(there)
    there.stop(Key(user="alice"))
    server.denied = {("list", "pods")}
    followed = Followed(there, lambda: None, round_s=1, grace_s=0.5)
    followed.start()
    try:
        until(followed.workspaces)
        one = followed.workspaces()[0]
        assert (one.state, one.reason) == (WorkspaceState.UNKNOWN, NOT_YET)
    finally:
        followed.close()


def test_usage_is_shown_where_it_is_measured_and_else_it_is_said(
    server: StandIn, there: ClusterWorkspaces, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("homewright.workspaces.followed.EVERY_S", 0.05)
    followed = Followed(there, lambda: None, round_s=1, grace_s=0.5)
    followed.start()
    try:
        make(there)
        until(lambda: followed.without_usage)
        assert "does not measure" in followed.without_usage
        until(lambda: states(followed) == {"alice": "running"})
        assert followed.workspaces()[0].cpu is None
        containers = [{"name": "workspace", "usage": {"cpu": "250m", "memory": "128Mi"}},
                      {"name": "other", "usage": {"cpu": "1500000n", "memory": "1024"}}]  # fmt: skip
        server.metrics = [
            {"metadata": {"name": "code-server-alice-0", "namespace": "codeserver-instances"}, "containers": containers}
        ]
        until(lambda: followed.workspaces()[0].cpu)
        one = followed.workspaces()[0]
        assert (one.cpu, one.memory) == (0.2515, (128 << 20) + 1024)
        assert followed.without_usage == ""
    finally:
        followed.close()


def test_what_nobody_foresaw_takes_the_figures_back_and_they_return(
    there: ClusterWorkspaces, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("homewright.workspaces.followed.EVERY_S", 0.01)
    place, figures = ("codeserver-instances", "code-server-alice-0"), Usage(0.5, 1 << 20)
    answers: list[Any] = [{place: figures}]

    def measured() -> Any:
        if isinstance(answers[0], Exception):
            raise answers[0]
        return answers[0]

    monkeypatch.setattr(there, "usage_of_pods", measured)
    followed = Followed(there, lambda: None, round_s=1, grace_s=0.5)
    followed.start()
    try:
        make(there)
        until(lambda: followed.workspaces() and followed.workspaces()[0].cpu == 0.5)
        answers[0] = KeyError("cpu")
        until(lambda: followed.workspaces()[0].cpu is None)
        assert followed.without_usage == "What is used cannot be read. KeyError: 'cpu'"
        answers[0] = {place: figures}
        until(lambda: followed.workspaces()[0].cpu == 0.5 and not followed.without_usage)
    finally:
        followed.close()


def test_servers_whose_answer_nobody_foresaw_are_looked_at_again() -> None:
    errors: list[Exception] = [UnicodeDecodeError("utf-8", b"\xff", 0, 1, "no text")]
    changes: list[int] = []

    def look() -> Listing:
        if errors:
            raise errors[0]
        return Listing((on_server("alice"),), {}, time.time())

    live = Live(look, None, lambda: changes.append(1), every_s=0.01).start()
    try:
        until(lambda: len(changes) > 1)
        with pytest.raises(Unreachable, match="What the servers say cannot be read") as caught:
            live.listing()
        assert "UnicodeDecodeError" in caught.value.why
        errors.clear()
        before = len(changes)
        until(lambda: len(changes) > before + 1)
        assert len(live.listing().workspaces) == 1
    finally:
        live.close()


def on_server(user: str) -> Workspace:
    return Workspace(
        key=Key(user=user, node="s1"), slug=user, template="node", preset="small", state=WorkspaceState.RUNNING,
        node="s1",
    )  # fmt: skip


def test_servers_and_cluster_are_one_listing(server: StandIn, there: ClusterWorkspaces) -> None:
    make(there, "bob")
    looks: list[int] = []

    def look() -> Listing:
        looks.append(1)
        return Listing((on_server("alice"), on_server("carol")), {"s2": "no route to host"}, time.time())

    changes: list[int] = []
    live = Live(look, there, lambda: changes.append(1), every_s=0.05)
    assert live.listing().looking == "the servers and the cluster"
    live.start()
    try:
        until(lambda: len(live.listing().workspaces) == 3)
        found = live.listing()
        assert [one.key.user for one in found.workspaces] == ["alice", "bob", "carol"]
        assert found.unreachable == {"s2": "no route to host"}
        until(lambda: not live.listing().looking)
        server.token = "another"
        until(lambda: THE_CLUSTER in live.listing().unreachable)
        assert len(live.listing().workspaces) == 3, "what was known stays"
        before = len(looks)
        until(lambda: len(looks) > before)
        assert changes
    finally:
        live.close()


def test_a_site_without_servers_has_the_age_of_its_cluster(there: ClusterWorkspaces) -> None:
    live = Live(None, there, lambda: None).start()
    try:
        until(lambda: not live.listing().looking)
        found: Any = live.listing()
        assert found.oldest() == found.heard_at and found.unreachable == {}
    finally:
        live.close()


def test_states_that_change_by_time_alone_are_computed_in_turns(
    server: StandIn, there: ClusterWorkspaces, followed: Followed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thousands that start at once would take a second of every second, and every key would wait for it."""
    server.pods_work = False
    backend = there._backends["code-server"]
    there._prepare(backend.template, lambda _: None)
    users = [f"u{number}" for number in range(5)]
    for user in users:
        held, _ = backend.claim(Specification(key=Key(user=user), template="code-server", preset="standard"))
        backend.converge(held)
    until(lambda: [*states(followed).values()] == ["pending"] * 5)
    monkeypatch.setattr("homewright.workspaces.followed._AT_ONCE", 2)
    computed: list[str] = []
    real = there.workspace_of

    def workspace_of(seen: Seen, *more: Any) -> Workspace:
        computed.append(seen.intent.user)
        return real(seen, *more)

    monkeypatch.setattr(there, "workspace_of", workspace_of)
    monkeypatch.setattr(followed._index, "take_changed", set)  # what the cluster still tells is not the time's
    later = time.time() + 60.0
    clock = SimpleNamespace(time=lambda: later)
    monkeypatch.setattr("homewright.workspaces.followed.time", clock)  # its own alone: other threads have the module's
    for turn in (2, 2, 1, 0):
        computed.clear()
        followed.workspaces()
        assert len(computed) == turn
        users = [user for user in users if user not in computed]
    assert not users, "each once"
    later -= 3600.0  # a clock that was set back keeps none waiting
    followed.workspaces()
    assert len(computed) == 2
