"""What is foreseen of a workspace is what is seen of it afterwards, on a real scheduler and with real quotas."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from control_plane import ControlPlane, control_plane

from homewright.errors import HomewrightError
from homewright.site.models import Site
from homewright.workspaces.backends.kubernetes.api import Api
from homewright.workspaces.errors import NotOurs
from homewright.workspaces.live import Live
from homewright.workspaces.models import Key, Specification, WorkspaceState
from homewright.workspaces.on_cluster import ClusterWorkspaces
from homewright.workspaces.templates import PodTemplate, shipped

pytestmark = [pytest.mark.lab, pytest.mark.long]  # a machine that is new builds etcd and Kubernetes first
LIMIT_S = 60.0
SPACE = "codeserver-instances"
CLASS = {
    "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "provisioner": "example.org/none",
    "metadata": {"name": "none", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
    "volumeBindingMode": "WaitForFirstConsumer",
}  # fmt: skip


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    with control_plane(tmp_path_factory.mktemp("plane")) as made:
        yield made


def there_of(plane: ControlPlane, **workspaces: Any) -> ClusterWorkspaces:
    """A manager that never sleeps between two looks for long."""
    site = Site.model_validate({"name": "attic", "workspaces": workspaces})
    templates = {
        name: one.model_copy(update={"presets": {**one.presets, "gpu": _gpu(one)}})
        for name, one in shipped().items()
        if isinstance(one, PodTemplate)
    }
    made = ClusterWorkspaces(site, Api(plane.kubeconfig), templates, "root@here", lambda _: "$argon2id$x")
    made._lookout = type(made._lookout)(made.api)
    return made


def _gpu(template: PodTemplate) -> Any:
    return template.presets[template.default_preset].model_copy(update={"gpus": 2})


def quota(name: str, **hard: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": name},
        "spec": {"hard": {key.replace("__", "/").replace("_", "."): value for key, value in hard.items()}},
    }  # fmt: skip


CASES: dict[str, tuple[list[tuple[str, dict[str, Any]]], list[dict[str, Any]], str, dict[str, Any], str]] = {
    # nodes, quotas and the like, preset, the site's workspaces settings, and the words that have to be there
    "no node": ([], [], "standard", {}, "has no node"),
    "too small a node": ([("n1", {"cpu": "100m"})], [], "standard", {}, "too few processors"),
    "too little memory": ([("n1", {"memory": "64Mi"}), ("n2", {"memory": "64Mi"})], [], "standard", {}, "memory on 2"),
    "no GPU": ([("n1", {}), ("n2", {})], [], "gpu", {}, "too few GPUs on 2 of 2"),
    "small and tainted": (
        [("n1", {"cpu": "100m"}), ("n2", {"taints": [{"key": "mine", "value": "yes", "effect": "NoSchedule"}]})],
        [], "standard", {}, "others have a taint",
    ),
    "every node tainted": (
        [("n1", {"taints": [{"key": "mine", "effect": "NoSchedule"}]})], [], "standard", {}, "kept free by a taint",
    ),
    "cordoned": ([("n1", {"unschedulable": True})], [], "standard", {}, "cordoned"),
    "quota of memory": ([("n1", {})], [quota("class", limits_memory="1Gi")], "standard", {}, "the quota class has no"),
    "quota of pods": ([("n1", {})], [quota("class", pods="0")], "standard", {}, "the quota class has no"),
    "no such storage class": ([("n1", {})], [], "standard", {"storage_class": "fast"}, '"fast" not found'),
}  # fmt: skip


@pytest.fixture
def ground(plane: ControlPlane) -> Iterator[Callable[..., None]]:
    api, made = plane.api, []

    def lay(nodes: list[tuple[str, dict[str, Any]]], others: list[dict[str, Any]], default: bool = True) -> None:
        for name, more in nodes:
            plane.node(name, **more)
            made.append(f"/api/v1/nodes/{name}")
        if default:
            api.create("/apis/storage.k8s.io/v1/storageclasses", CLASS)
            made.append("/apis/storage.k8s.io/v1/storageclasses/none")
        for one in others:
            api.create(f"/api/v1/namespaces/{SPACE}/resourcequotas", one)
            made.append(f"/api/v1/namespaces/{SPACE}/resourcequotas/{one['metadata']['name']}")

    yield lay
    for path in reversed(made):
        api.delete(path)


def settled(there: ClusterWorkspaces, key: Key, done: Callable[[Any], bool]) -> Any:
    limit = time.monotonic() + LIMIT_S
    while True:
        one = there.existing(key)
        if one is not None and done(one):
            return one
        assert time.monotonic() < limit, one
        time.sleep(0.3)


@pytest.mark.parametrize("case", CASES)
def test_what_is_foreseen_is_seen(plane: ControlPlane, ground: Callable[..., None], case: str) -> None:
    nodes, others, preset, settings, words = CASES[case]
    there = there_of(plane, **settings)
    spec = Specification(key=Key(user=case.replace(" ", "-")), template="code-server", preset=preset)
    backend = there.backend_for(spec)
    there._prepare(backend.template, lambda _: None)
    ground(nodes, others)
    if others:  # the quota's own controller has to have counted once
        until_counted(plane, others[0]["metadata"]["name"])
    ahead = there.foresee(spec)
    assert ahead.problems and words in ahead.problems[0].reason, ahead
    held, _ = backend.claim(spec)
    backend.converge(held)
    try:
        one = settled(there, spec.key, lambda one: one.state is WorkspaceState.ERROR)
        assert one.reason == ahead.problems[0].reason
        assert (one.whose, one.remedy) == (ahead.problems[0].whose, ahead.problems[0].remedy)
    finally:
        there.delete(spec.key, with_storage=True)
        there.purge(spec.key)
        there.close()


def until_counted(plane: ControlPlane, name: str) -> None:
    limit = time.monotonic() + LIMIT_S
    while "used" not in (plane.api.get(f"/api/v1/namespaces/{SPACE}/resourcequotas/{name}").get("status") or {}):
        assert time.monotonic() < limit
        time.sleep(0.2)


def test_what_has_room_is_foreseen_to_start(plane: ControlPlane, ground: Callable[..., None]) -> None:
    there = there_of(plane)
    spec = Specification(key=Key(user="fits"), template="code-server", preset="standard")
    there._prepare(there.backend_for(spec).template, lambda _: None)
    ground([("n1", {"cpu": "100m"}), ("n2", {})], [])
    ahead = there.foresee(spec)
    assert ahead.problems == () and ahead.unknown == ()
    assert "1 of 2 nodes has room" in ahead.good and "its storage comes from the class none" in ahead.good
    there.close()


def test_a_foreign_object_of_its_name_is_foreseen(plane: ControlPlane, ground: Callable[..., None]) -> None:
    there = there_of(plane)
    spec = Specification(key=Key(user="mallory"), template="code-server", preset="standard")
    there._prepare(there.backend_for(spec).template, lambda _: None)
    path = f"/api/v1/namespaces/{SPACE}/services"
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "code-server-mallory"},
               "spec": {"ports": [{"port": 80}]}}  # fmt: skip
    plane.api.create(path, service)
    try:
        with pytest.raises(NotOurs, match="code-server-mallory"):
            there.foresee(spec)
    finally:
        plane.api.delete(f"{path}/code-server-mallory")
        there.close()


def test_a_watch_outlives_its_server(plane: ControlPlane, ground: Callable[..., None]) -> None:
    """An API server that is killed and comes again: what changed after it is on the listing, within a second."""
    there = there_of(plane)
    spec = Specification(key=Key(user="watched"), template="code-server", preset="standard")
    backend = there.backend_for(spec)
    there._prepare(backend.template, lambda _: None)
    live = Live(None, there, lambda: None).start()

    def until(done: Callable[[], Any]) -> float:
        began = time.monotonic()
        while not done():
            assert time.monotonic() < began + LIMIT_S, live.listing()
            time.sleep(0.02)
        return time.monotonic() - began

    try:
        until(lambda: not live.listing().looking)
        held, _ = backend.claim(spec)
        until(lambda: live.listing().workspaces)
        plane.stop("apiserver")
        until(lambda: live.listing().unreachable)
        assert len(live.listing().workspaces) == 1, "what was known stays"
        plane.start("apiserver")
        plane.wait()
        until(lambda: not live.listing().unreachable)
        held = backend.find(spec.key) or held
        backend.change(held, "renamed", title="after it")
        until(lambda: live.listing().workspaces[0].title == "after it")
    finally:
        live.close()
        try:
            there.delete(spec.key, with_storage=False)
        except HomewrightError:
            there.delete(spec.key, with_storage=False)
        there.close()
