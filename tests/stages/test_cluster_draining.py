"""Which pods of a node that leaves are asked to go, and what is told where one may not."""

from __future__ import annotations

from typing import Any

import pytest

from homewright.cluster.client import ClusterError, ClusterMissing
from homewright.errors import HomewrightError
from homewright.stages.cluster import draining


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

    def __init__(self, *names: str, refused: str = "") -> None:
        self.pods = {name: pod(name) for name in names}
        self.refused = refused
        self.changed: list[dict[str, Any]] = []

    def merge(self, path: str, change: dict[str, Any]) -> None:
        assert path == "/api/v1/nodes/s3"
        self.changed.append(change)

    def list(self, path: str, **asked: str) -> list[dict[str, Any]]:
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
    assert api.pods == {} and api.changed == [{"spec": {"unschedulable": True}}]


def test_a_budget_that_holds_a_pod_is_told_in_its_own_words() -> None:
    api: Any = Api("one", "database", refused="database")
    with pytest.raises(HomewrightError, match="s3 cannot be emptied") as caught:
        draining.drain(api, "s3", limit_s=0)
    assert "jobs/database does not go: Cannot evict pod" in caught.value.as_text()
    assert list(api.pods) == ["database"]
