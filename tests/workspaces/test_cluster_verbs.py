"""Every verb on workspaces in a cluster: done, cut off after each of its calls, raced, and without a right."""

from __future__ import annotations

import base64
import copy
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from api_stand_in import StandIn, stand_in
from cluster_verbs import ALICE, KEPT, RESTS, RUNS, VERBS, WHOLE, kinds, manager, quiet, running, spec, stopped

from homewright.errors import HomewrightError, UsageError
from homewright.workspaces.backends.kubernetes import namespace
from homewright.workspaces.backends.kubernetes.api import Api
from homewright.workspaces.backends.kubernetes.verbs import ClusterBackend, Held
from homewright.workspaces.backends.kubernetes.words import DIGEST
from homewright.workspaces.errors import (
    ChangedMeanwhile,
    InstanceFailed,
    InstanceNotFound,
    MissingRight,
    NotOurs,
    StorageFailed,
)
from homewright.workspaces.models import Key
from homewright.workspaces.on_cluster import ClusterWorkspaces
from homewright.workspaces.templates import PodTemplate, shipped


@pytest.fixture
def server() -> Iterator[StandIn]:
    with stand_in() as made:
        yield made


class Dead(BaseException):
    """The manager was killed: nothing of it runs on."""


def _die() -> None:
    raise Dead


class Dying(Api):
    """Dies right after its call of this number has been answered."""

    def __init__(self, *arguments: Any, dies_after: int = 0, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.calls = 0
        self.dies_after = dies_after
        self.then: Callable[[], object] = _die

    def _request(self, *arguments: Any, **options: Any) -> Any:
        answer = super()._request(*arguments, **options)
        self.calls += 1
        if self.calls == self.dies_after:
            self.then()
        return answer


def test_a_life(server: StandIn) -> None:
    there = manager(server)
    made = there.create(spec(), quiet)
    assert not made.existed and made.workspace.state == "running"
    assert made.workspace.address == "https://code-alice.home.internal/"
    assert kinds(server) == RUNS
    again = there.create(spec(), quiet)
    assert again.existed and again.workspace.state == "running"
    password = there.password(ALICE)
    assert len(password) > 20
    assert [one.key for one in there.list()] == [ALICE] and there.list()[0].state == "running"
    assert there.stop(ALICE).state == "stopped" and kinds(server) == RESTS
    assert there.stop(ALICE).state == "stopped", "twice does no harm"
    assert there.start(ALICE, quiet).state == "running"
    before = server.all("Pod")[0]["metadata"]["uid"]
    assert there.restart(ALICE, quiet).state == "running"
    assert server.all("Pod")[0]["metadata"]["uid"] != before, "another pod"
    assert there.password(ALICE) == password, "the same after all of that"
    assert list(there.logs(ALICE, 10, False)) == ["one", "]0;ownedtwo[2J"], "no escape reaches a terminal"
    assert there.events(ALICE)[0].what == "created"
    assert there.delete(ALICE, with_storage=False) == ("workspace-alice",)
    assert kinds(server) == KEPT
    with pytest.raises(InstanceNotFound):
        there.show(ALICE)


def test_another_size_comes_with_the_next_start_and_a_title_at_once(server: StandIn) -> None:
    there = manager(server)
    there.create(spec(), quiet)
    pod = server.all("Pod")[0]["metadata"]["uid"]
    changed = there.set(ALICE, "large", False)
    assert changed.preset == "large" and changed.state == "running"
    assert "It runs as standard" in changed.notes[0]
    assert server.all("Pod")[0]["metadata"]["uid"] == pod, "nobody's session ends"
    assert there.set(ALICE, "large", True).notes == changed.notes, "twice does no harm"
    wanted = server.all("StatefulSet")[0]["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["cpu"]
    assert there.restart(ALICE, quiet).notes == ()
    container = server.all("Pod")[0]["spec"]["containers"][0]
    assert container["resources"]["limits"]["cpu"] == wanted
    with pytest.raises(UsageError, match="no preset vast"):
        there.set(ALICE, "vast", False)
    assert there.rename(ALICE, "Numerics, 2nd year").title == "Numerics, 2nd year"
    assert there.list()[0].title == "Numerics, 2nd year"
    assert [event.what for event in there.events(ALICE)][-1] == "called 'Numerics, 2nd year'"
    there.stop(ALICE)
    assert there.set(ALICE, "standard", False).state == "stopped" and kinds(server) == RESTS


def test_nobody_is_on_what_never_ran(server: StandIn) -> None:
    there = manager(server)
    there.create(spec(), quiet)
    assert there.sessions(ALICE) != ()
    for pod in server.objects.values():
        if pod["kind"] == "Pod":
            pod["status"] = {"phase": "Pending"}
    assert there.sessions(ALICE) == ()


def test_storage_is_kept_given_up_taken_back_and_removed(server: StandIn) -> None:
    there = manager(server)
    there.create(spec(), quiet)
    claim = server.all("PersistentVolumeClaim")[0]["metadata"]["uid"]
    there.delete(ALICE, with_storage=True)
    assert kinds(server) == KEPT, "nothing is removed by a deletion"
    assert there.purge(None).removed == () and kinds(server) == KEPT, "it is not due"
    with pytest.raises(StorageFailed) as refused:
        there.create(spec(), quiet)
    assert "undelete alice" in refused.value.as_text() and "purge alice" in refused.value.as_text()
    assert there.undelete(ALICE) == ("workspace-alice",)
    there.create(spec(), quiet)
    assert server.all("PersistentVolumeClaim")[0]["metadata"]["uid"] == claim, "with what was there"
    there.delete(ALICE, with_storage=True)
    assert there.purge(Key(user="bob")).removed == ()
    assert there.purge(ALICE).removed == ("codeserver-instances/workspace-alice",)
    assert kinds(server) == {}
    with pytest.raises(InstanceNotFound):
        there.undelete(ALICE)


def test_storage_that_is_due_goes_by_purge_alone(server: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    there = manager(server)
    there.create(spec(), quiet)
    there.delete(ALICE, with_storage=True)
    monkeypatch.setattr("homewright.workspaces.given_up.KEPT_S", -1.0)
    there.list()
    assert kinds(server) == KEPT
    assert there.purge(None).removed == ("codeserver-instances/workspace-alice",)


@pytest.mark.long
@pytest.mark.parametrize("name", VERBS)
def test_a_manager_killed_after_any_call_is_repaired_by_doing_it_again(server: StandIn, name: str) -> None:
    before, verb, expected = VERBS[name]
    before(server)
    start = copy.deepcopy(server.objects)
    whole = manager(server, Dying)
    verb(whole)
    assert isinstance(whole.api, Dying)
    calls = whole.api.calls
    assert 4 <= calls < 60, calls
    for dies_after in range(1, calls + 1):
        server.objects = copy.deepcopy(start)
        claims = {claim["metadata"]["uid"] for claim in server.all("PersistentVolumeClaim")}
        dying = manager(server, Dying, dies_after=dies_after)
        with pytest.raises(Dead):
            verb(dying)
        with suppress(InstanceNotFound):  # of a deletion the last call was its last
            verb(manager(server))
        assert kinds(server) == expected, f"{name}, killed after call {dies_after} of {calls}"
        kept = {claim["metadata"]["uid"] for claim in server.all("PersistentVolumeClaim")}
        assert claims <= kept, "no volume is lost"
        if name == "delete with storage":
            assert "homewright.dev/deleted-at" in server.all("PersistentVolumeClaim")[0]["metadata"]["annotations"]


def test_what_is_not_ours_is_never_taken_over(server: StandIn) -> None:
    there = manager(server)
    there._prepare(there.templates["code-server"], quiet)
    for kind, version in (
        ("ConfigMap", "v1"), ("Service", "v1"), ("Secret", "v1"), ("StatefulSet", "apps/v1"),
        ("PersistentVolumeClaim", "v1"),
    ):  # fmt: skip
        name = "workspace-alice" if kind == "PersistentVolumeClaim" else "code-server-alice"
        metadata = {"name": name, "namespace": "codeserver-instances"}
        foreign = server.put({"apiVersion": version, "kind": kind, "metadata": metadata, "spec": {"replicas": 0}})
        with pytest.raises(NotOurs) as refused:
            there.create(spec(), quiet)
        assert name in refused.value.as_text() and refused.value.do
        assert [one for one in server.all(kind) if one["metadata"]["name"] == name] == [foreign], "untouched"
        del server.objects[kind, "codeserver-instances", name]
    assert there.create(spec(), quiet).workspace.state == "running"


def test_a_namespace_of_somebody_else_s_is_left_alone(server: StandIn) -> None:
    server.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "codeserver-instances"}})
    with pytest.raises(NotOurs, match="is not Homewright's"):
        manager(server).create(spec(), quiet)
    assert kinds(server) == {}


def test_walls_follow_the_site_and_only_ours_are_believed(server: StandIn) -> None:
    there = manager(server)
    there.create(spec(), quiet)
    name, place = there.templates["code-server"].policy, "codeserver-instances"

    def walls() -> dict[str, Any]:
        return server.objects["NetworkPolicy", place, name]

    before = walls()["metadata"]["resourceVersion"]
    there.create(spec(Key(user="bob")), quiet)
    assert walls()["metadata"]["resourceVersion"] == before, "what is right is left alone"
    there.walls = namespace.Walls(site_ranges=("203.0.113.0/24",))
    there.create(spec(Key(user="carol")), quiet)
    assert "203.0.113.0/24" in walls()["spec"]["egress"][1]["to"][0]["ipBlock"]["except"]
    with server.lock:
        del server.objects["NetworkPolicy", place, name]
    open_to_all = {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{}]}
    metadata = {"name": name, "namespace": place}
    foreign = server.put({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata,
                          "spec": open_to_all})  # fmt: skip
    with pytest.raises(NotOurs, match="somebody else's"):
        there.create(spec(Key(user="dave")), quiet)
    assert walls() == foreign and not [one for one in there.list() if one.key.user == "dave"]


SETUP = ("Namespace", "NetworkPolicy", "ServiceAccount", "Role", "RoleBinding")


@pytest.mark.parametrize("constraints", [False, True])
def test_a_namespace_whose_making_was_cut_off_is_made_whole(server: StandIn, constraints: bool) -> None:
    server.constraints = constraints

    def prepare(kind: type[Api] = Api, **options: Any) -> ClusterWorkspaces:
        there = manager(server, kind, **options)
        there._prepare(there.templates["code-server"], quiet)
        return there

    def made() -> dict[tuple[str, str], Any]:
        found = {(kind, one["metadata"]["name"]): one for kind in SETUP for one in server.all(kind)}
        return {name: {key: value for key, value in one.items() if key != "metadata"} for name, one in found.items()}

    before = copy.deepcopy(server.objects)
    whole = prepare(Dying)
    expected = made()
    assert len(expected) == 5 + constraints and isinstance(whole.api, Dying)
    for dies_after in range(1, whole.api.calls + 1):
        server.objects = copy.deepcopy(before)
        with pytest.raises(Dead):
            prepare(Dying, dies_after=dies_after)
        prepare()
        assert made() == expected, f"cut off after call {dies_after} of {whole.api.calls}"


@pytest.mark.parametrize("may", [True, False])
def test_what_openshift_wants_is_made_where_it_came_later(server: StandIn, may: bool) -> None:
    manager(server).create(spec(), quiet)
    server.constraints = True
    server.denied = set() if may else {("get", "rolebindings")}
    manager(server).create(spec(Key(user="bob")), quiet)
    names = [one["metadata"]["name"] for one in server.all("RoleBinding")]
    assert names == ["homewright-workspaces", *["homewright-workspaces-nonroot-v2"] * may]
    before = server.objects["RoleBinding", "codeserver-instances", names[-1]]["metadata"]["resourceVersion"]
    manager(server).create(spec(Key(user="carol")), quiet)
    after = server.objects["RoleBinding", "codeserver-instances", names[-1]]["metadata"]["resourceVersion"]
    assert after == before, "what is there is left alone"


def test_of_two_managers_one_is_told(server: StandIn) -> None:
    one, other = manager(server), manager(server)
    one.create(spec(), quiet)
    backend, held = one._require(ALICE)
    other.stop(ALICE)
    with pytest.raises(ChangedMeanwhile) as refused:
        backend.change(held, "started", wanted="running")
    assert "alice" in refused.value.what and refused.value.do
    assert other.show(ALICE).state == "stopped"


Begun = Callable[[ClusterWorkspaces], tuple[ClusterBackend, Held]]


def _prepared(server: StandIn) -> None:
    there = manager(server)
    there._prepare(there.templates["code-server"], quiet)


def _claimed(there: ClusterWorkspaces) -> tuple[ClusterBackend, Held]:
    backend = there.backend_for(spec())
    held, new = backend.claim(spec())
    assert new
    return backend, held


def _wanted(there: ClusterWorkspaces) -> tuple[ClusterBackend, Held]:
    backend, held = there._require(ALICE)
    return backend, backend.change(held, "started", wanted="running")


OVERTAKEN: dict[str, tuple[Callable[[StandIn], None], Begun, bool]] = {
    "start": (stopped, _wanted, True),
    # A workload that is not there yet is made without pods, and gets one only as it was made.
    "create": (_prepared, _claimed, False),
}
"""By verb: what comes before it, what it records first, and whether all parts are there whenever it is overtaken."""


@pytest.mark.parametrize("verb", OVERTAKEN)
def test_what_is_overtaken_by_a_stop_starts_nothing(server: StandIn, verb: str) -> None:
    """The stop comes between the record and the write to the workload, after any of the calls in between."""
    before, begin, whole = OVERTAKEN[verb]
    before(server)
    start = copy.deepcopy(server.objects)
    calls = 0
    for meanwhile in range(100):
        server.objects = copy.deepcopy(start)
        slow = manager(server, Dying)
        assert isinstance(slow.api, Dying)
        backend, held = begin(slow)
        slow.api.calls, slow.api.dies_after = 0, meanwhile
        slow.api.then = lambda: manager(server).stop(ALICE)
        if meanwhile == 0:
            backend.converge(held)
            calls = slow.api.calls
            assert server.all("StatefulSet")[0]["spec"]["replicas"] == 1, "where nobody stops it"
            continue
        if meanwhile == calls:
            break
        with suppress(ChangedMeanwhile):
            backend.converge(held)
        assert server.all("StatefulSet")[0]["spec"]["replicas"] == 0, f"after call {meanwhile} of {calls}"
        assert not server.all("Pod")
        assert kinds(server) == RESTS or not whole
    assert calls > 5


def test_a_create_asks_once_for_each_part_and_writes_it_once(server: StandIn) -> None:
    """A thousand of them are a thousand times that (docs/decisions/0171). The workload is first made without pods."""
    there = manager(server)
    there._prepare(there.templates["code-server"], quiet)
    there.api.has_istio()
    server.calls.clear()
    backend = there.backend_for(spec())
    held, _ = backend.claim(spec())
    backend.converge(held)
    parts = ("persistentvolumeclaims", "secrets", "serviceaccounts", "services", "networkpolicies", "ingresses")
    assert server.calls == [
        ("list", "persistentvolumeclaims"), ("create", "configmaps"),
        *((verb, part) for part in parts for verb in ("get", "patch")),
        ("get", "statefulsets"), ("patch", "statefulsets"), ("get", "configmaps"), ("patch", "statefulsets"),
    ]  # fmt: skip


def test_a_password_that_is_there_outlives_a_template_and_is_hashed_slowly(server: StandIn) -> None:
    there = manager(server)
    there.create(spec(), quiet)
    made = copy.deepcopy(server.all("Secret")[0])
    config = base64.b64decode(made["data"]["file.config.yaml"]).decode()
    assert "m=1024,t=1" in config, "drawn here, so it cannot be guessed"
    with server.lock:
        secret = server.objects["Secret", "codeserver-instances", "code-server-alice"]
        secret["metadata"]["annotations"][DIGEST] = "of another template"
        secret["data"]["password"] = base64.b64encode(b"of a person").decode()
    there.restart(ALICE, quiet)
    assert there.password(ALICE) == "of a person"
    config = base64.b64decode(server.all("Secret")[0]["data"]["file.config.yaml"]).decode()
    assert "$argon2id$x" in config, "by what any password is hashed with"


def test_a_workload_of_before_makes_way_for_one_without_pods(server: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    running(server)
    there = manager(server)
    backend, held = there._require(ALICE)
    with server.lock:
        old = server.objects["StatefulSet", "codeserver-instances", "code-server-alice"]
        old["metadata"]["ownerReferences"][0]["uid"] = server.all("Namespace")[0]["metadata"][
            "uid"
        ]  # of another record
    written = []
    real = Api.apply

    def apply(api: Api, manifest: dict[str, Any], version: str | None = None) -> dict[str, Any]:
        written.append((manifest["kind"], manifest.get("spec", {}).get("replicas"), version is not None))
        return real(api, manifest, version)

    monkeypatch.setattr(Api, "apply", apply)
    backend.scale(held)
    assert written == [("StatefulSet", 0, False), ("StatefulSet", 1, True)]


def test_what_is_left_of_a_deleted_workspace_makes_way_for_the_next(server: StandIn) -> None:
    there = manager(server)
    there.create(spec(), quiet)
    record = server.all("ConfigMap")[0]
    with server.lock:  # its garbage has not been collected yet
        del server.objects["ConfigMap", "codeserver-instances", record["metadata"]["name"]]
    assert there.create(spec(), quiet).workspace.state == "running"
    assert kinds(server) == RUNS


def test_a_workspace_is_one_whatever_its_template(server: StandIn) -> None:
    there = manager(server)
    there.create(spec(), quiet)
    other = there.create(spec(template="devenv"), quiet)
    assert other.existed and other.workspace.template == "code-server"


def test_it_says_why_it_does_not_start(server: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("homewright.workspaces.backends.kubernetes.verbs._SURE_AFTER_S", 0.05)
    there = manager(server)
    there._prepare(there.templates["code-server"], quiet)
    server.pods_work = False
    about = {"kind": "StatefulSet", "name": "code-server-alice", "uid": "x"}
    message = "create Pod x failed error: exceeded quota: team, requested: pods=1, used: pods=9, limited: pods=9"
    server.put(
        {"kind": "Event", "metadata": {"name": "e", "namespace": "codeserver-instances"}, "involvedObject": about,
         "reason": "FailedCreate", "message": message, "type": "Warning", "count": 3}
    )  # fmt: skip
    with pytest.raises(InstanceFailed) as failed:
        there.create(spec(), quiet)
    assert "quota team has no room" in failed.value.why and "smaller preset" in failed.value.as_text()
    assert there.show(ALICE).whose == "user"
    assert there.list()[0].reason == there.show(ALICE).reason, "the list says the same"


@pytest.mark.parametrize(("verb", "resource"), [
    ("create", "configmaps"), ("get", "secrets"), ("patch", "statefulsets"), ("patch", "persistentvolumeclaims"),
    ("list", "pods"), ("patch", "ingresses"), ("get", "namespaces"),
])  # fmt: skip
def test_a_missing_right_names_itself(server: StandIn, verb: str, resource: str) -> None:
    manager(server)._prepare(manager(server).templates["code-server"], quiet)
    server.denied = {(verb, resource)}
    with pytest.raises(MissingRight) as refused:
        manager(server).create(spec(), quiet)
    assert f"does not let us {verb} {resource}" in refused.value.what
    assert "export --setup" in refused.value.as_text()


def test_the_shipped_role_has_every_right_that_is_used(server: StandIn) -> None:
    there = manager(server)
    there._prepare(there.templates["code-server"], quiet)  # an administrator's
    there.walls = namespace.Walls(site_ranges=("203.0.113.0/24",))
    server.calls.clear()
    there.create(spec(), quiet)
    there.list()
    list(there.logs(ALICE, 1, False))
    there.events(ALICE), there.password(ALICE), there.export(ALICE)
    there.stop(ALICE), there.start(ALICE, quiet), there.restart(ALICE, quiet)
    there.delete(ALICE, True), there.undelete(ALICE)
    there.create(spec(), quiet), there.delete(ALICE, True), there.purge(ALICE)
    granted = {(verb, one) for _, resources, verbs in namespace.RIGHTS for one in resources for verb in verbs}
    assert set(server.calls) - granted == set()


@pytest.mark.parametrize("user", ["a.b", "a_b", "a@b", "u" * 200, "日本", "..\u2044x"])
def test_hard_names_live_side_by_side(server: StandIn, user: str) -> None:
    there = manager(server)
    there.create(spec(Key(user="a-b")), quiet)
    made = there.create(spec(Key(user=user)), quiet)
    assert made.workspace.key.user == user and not made.existed
    assert len({claim["metadata"]["name"] for claim in server.all("PersistentVolumeClaim")}) == 2
    there.delete(Key(user=user), with_storage=False)
    assert [one.key.user for one in there.list()] == ["a-b"]


def test_a_stopped_workspace_has_no_log_and_no_server_is_chosen(server: StandIn) -> None:
    stopped(server)
    with pytest.raises(UsageError, match="no log now"):
        list(manager(server).logs(ALICE, 5, False))
    with pytest.raises(HomewrightError, match="choose no server"):
        manager(server).create(spec(Key(user="bob", node="s1")), quiet)


def test_setup_and_export_are_what_a_tool_can_apply(server: StandIn) -> None:
    running(server)
    there = manager(server)
    made = [one["kind"] for one in there.setup()]
    assert made.count("Namespace") == sum(isinstance(one, PodTemplate) for one in shipped().values())
    exported = there.export(ALICE)
    assert {one["kind"] for one in exported} == set(WHOLE) - {"Secret"}
    assert there.password(ALICE) not in repr(exported)
