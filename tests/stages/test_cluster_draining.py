"""Which pods of a node that leaves are asked to go, and what is told where one may not."""

from __future__ import annotations

import runpy
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from homewright.cluster.client import ClusterAway, ClusterError, ClusterMissing
from homewright.engine.states import Verdict
from homewright.errors import HomewrightError
from homewright.stages.cluster import departing, draining, forming, network, services


def pod(name: str, **metadata: Any) -> dict[str, Any]:
    phase = metadata.pop("phase", "Running")
    return {"metadata": {"name": name, "namespace": "jobs", **metadata}, "status": {"phase": phase}}


@pytest.mark.parametrize(
    ("one", "goes"),
    [
        (pod("app"), True),
        (pod("static", annotations={"kubernetes.io/config.mirror": "ab"}), False),
        (pod("flannel", ownerReferences=[{"kind": "DaemonSet"}]), False),
        (pod("set", ownerReferences=[{"kind": "StatefulSet"}]), True),
        (pod("done", phase="Succeeded"), False),
        (pod("broken", phase="Failed"), False),
    ],
)
def test_what_belongs_to_the_node_itself_stays(one: dict[str, Any], goes: bool) -> None:
    assert bool(list(draining.moving([one]))) is goes


class Api:
    """An API whose pods go when they are asked, but for those that it refuses."""

    def __init__(self, *names: str, refused: str = "", cordoned: bool | None = None, away: bool = False) -> None:
        self.cordoned, self.away = cordoned, away
        self.pods = {name: pod(name) for name in names}
        self.refused = refused
        self.annotations: dict[str, Any] = {}
        self.forgotten = False

    def delete(self, path: str) -> bool:
        assert path == "/api/v1/nodes/s3"
        self.forgotten = True
        return True

    def get(self, path: str) -> dict[str, Any]:
        assert path == "/api/v1/nodes/s3"
        spec = {} if self.cordoned is None else {"unschedulable": self.cordoned}
        return {"metadata": {"annotations": dict(self.annotations)}, "spec": spec}

    find = get

    def merge(self, path: str, change: dict[str, Any]) -> None:
        assert path == "/api/v1/nodes/s3"
        self.cordoned = change["spec"]["unschedulable"]
        self.annotations |= change["metadata"]["annotations"]
        self.annotations = {name: value for name, value in self.annotations.items() if value is not None}

    def list(self, path: str, **asked: str) -> list[dict[str, Any]]:
        if self.away:
            raise ClusterAway("The cluster's API does not answer.", "timed out")
        assert asked == {"fieldSelector": "spec.nodeName=s3"}
        return list(self.pods.values())

    def create(self, path: str, body: dict[str, Any]) -> None:
        name = body["metadata"]["name"]
        assert path == f"/api/v1/namespaces/jobs/pods/{name}/eviction" and body["kind"] == "Eviction"
        if name == self.refused:
            raise ClusterError("The cluster says 429.", "Cannot evict pod: it would violate the budget.")
        if name not in self.pods:
            raise ClusterMissing("gone", "")
        del self.pods[name]


def test_a_node_is_emptied_and_gets_no_more() -> None:
    api: Any = Api("one", "two")
    assert draining.drain(api, "s3") == 2
    assert api.pods == {} and api.cordoned is True


@pytest.mark.parametrize("before", [None, True])
def test_a_node_that_stays_after_all_gets_pods_as_before(before: bool | None) -> None:
    api: Any = Api("one", cordoned=before)
    draining.drain(api, "s3")
    draining.drain(api, "s3")  # the roll-back of its network empties it first, that of its place in the cluster again
    assert draining.open_again(api, "s3") is (before is None)
    assert (api.cordoned, api.annotations) == (before, {}), "somebody's own cordon stays"
    assert draining.open_again(api, "s3") is False


@pytest.mark.parametrize("cordoned", [None, True])
def test_a_budget_that_holds_a_pod_is_told_in_its_own_words_and_the_node_stays_as_it_was(cordoned: bool | None) -> None:
    api: Any = Api("one", "database", "other", refused="database", cordoned=cordoned)
    with pytest.raises(HomewrightError, match="s3 cannot be emptied") as caught:
        draining.drain(api, "s3", limit_s=0)
    said = caught.value.as_text()
    assert "jobs/database does not go: Cannot evict pod" in said
    assert "kubectl delete pod -n jobs database" in said
    assert list(api.pods) == ["database"]
    assert (api.cordoned, api.annotations) == (cordoned, {})


class _Connected:
    """The site's API, as `forming.connect` gives it."""

    def __init__(self, api: Any) -> None:
        self.api = api

    def __enter__(self) -> Any:
        return self.api

    def __exit__(self, *_: object) -> None:
        pass


def _leaves(monkeypatch: pytest.MonkeyPatch, api: Any, *, cluster: str = "kubeadm", kept: str | None = "x") -> Any:
    monkeypatch.setattr(forming, "connect", lambda host: _Connected(api))
    said: list[str] = []
    site = SimpleNamespace(platform=SimpleNamespace(cluster=cluster))
    host: Any = SimpleNamespace(site=site, secrets=SimpleNamespace(get=lambda name: kept), say=said.append)
    return departing.let_go(host, "s3"), said


def test_an_instance_that_is_taken_away_is_emptied_and_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    api = Api("one", "two")
    assert _leaves(monkeypatch, api) == (True, ["2 pods of s3 go elsewhere"])
    assert api.pods == {} and api.forgotten
    for more in ({"cluster": "microk8s"}, {"kept": None}):
        api = Api("one")
        assert _leaves(monkeypatch, api, **more) == (False, [])
        assert api.cordoned is None and not api.forgotten


def test_a_cluster_that_is_away_holds_no_instance_and_a_budget_does(monkeypatch: pytest.MonkeyPatch) -> None:
    class Away(Api):
        def get(self, path: str) -> dict[str, Any]:
            raise ClusterAway("The cluster's API does not answer.", "timed out")

        find = get

    assert _leaves(monkeypatch, Away("one")) == (
        False, ["the cluster is not told that s3 goes: The cluster's API does not answer."],
    )  # fmt: skip
    held = Api("database", refused="database")
    monkeypatch.setattr(draining.drain, "__kwdefaults__", {"limit_s": 0.0})
    with pytest.raises(HomewrightError, match="s3 cannot be emptied"):
        _leaves(monkeypatch, held)
    assert not held.forgotten


def test_no_pod_is_named_where_the_api_went_away() -> None:
    api: Any = Api("one", away=True)
    with pytest.raises(HomewrightError, match="s3 cannot be emptied") as caught:
        draining.drain(api, "s3", limit_s=0)
    said = caught.value.as_text()
    assert "does not answer" in said and "kubectl delete" not in said


PROOF = Path(forming.__file__).parents[1] / "40_thinkube/core/cluster/38_network.py"


@pytest.mark.parametrize(("cordoned", "verdict"), [(None, Verdict.PROVED), (True, Verdict.BROKEN)])
def test_a_cordoned_node_takes_no_pods(
    monkeypatch: pytest.MonkeyPatch, cordoned: bool | None, verdict: Verdict
) -> None:
    monkeypatch.setattr(forming, "plan_of", lambda host: None)
    monkeypatch.setattr(network, "objects", lambda site, plan: {})
    monkeypatch.setattr(network, "unready", lambda api, name: "")
    monkeypatch.setattr(services, "unreached", lambda host, plan: "")
    seen = runpy.run_path(str(PROOF))["_seen"]
    monkeypatch.setitem(seen.__globals__, "_takes_pods", lambda host, api: True)
    proof = seen(SimpleNamespace(name="s3", site=None), Api(cordoned=cordoned))
    assert proof.verdict is verdict
    assert ("is cordoned" in proof.reason) is bool(cordoned)


@pytest.mark.parametrize("address", [None, "10.0.0.9"])
def test_the_cluster_forgets_nodes_that_went_while_it_was_away(
    monkeypatch: pytest.MonkeyPatch, address: str | None
) -> None:
    there = {"/api/v1/nodes/n1", "/api/v1/nodes/n2", "/api/v1/nodes/n3"}
    api = SimpleNamespace(
        find=lambda path: {} if path in there else None, delete=lambda path: there.remove(path) or True
    )
    plan = SimpleNamespace(address=address, first=SimpleNamespace(name="n1"), nodes=[SimpleNamespace(name="n1")])
    monkeypatch.setattr(forming, "connect", lambda host: _Connected(api))
    monkeypatch.setattr(forming, "plan_of", lambda host: plan)
    tasks: list[Any] = []

    def task(name: str) -> Any:
        tasks.append(SimpleNamespace(changed=False))
        return nullcontext(tasks[-1])

    host: Any = SimpleNamespace(name="n1", peers=(), say=lambda text: None, task=task)
    departing.forget_nodes([host], ["n3", "n4", "n1"])
    assert there == {"/api/v1/nodes/n1", "/api/v1/nodes/n2"}, "one that is planned again stays, and so do others"
    departing.forget_nodes([host], ["n3"])
    assert [one.changed for one in tasks] == [True, False]
