"""Workspaces that are broken for real, one after the other: what is said of each, whose problem it is, what to do, and
whether that was said before it was made.

A cluster takes minutes to make: HOMEWRIGHT_TEST_SITE and HOMEWRIGHT_TEST_STATE name one that is there already.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace

import pytest
from broken_workspaces import CASES, NAMESPACE, TEMPLATE, Case, Scene, quota
from cluster_place import ClusterPlace

from homewright.cluster.client import Cluster
from homewright.cluster.kubeconfig import read
from homewright.site.models import MirrorSettings
from homewright.workspaces.backends.kubernetes.api import Api
from homewright.workspaces.errors import InstanceNotFound, NotOurs, StorageFailed
from homewright.workspaces.models import Key, Specification, Workspace
from homewright.workspaces.on_cluster import ClusterWorkspaces
from homewright.workspaces.templates import parse

pytestmark = [pytest.mark.lab, pytest.mark.long]

SEEN_S = 180.0


@pytest.fixture(scope="module")
def cluster(cluster_place: ClusterPlace) -> Iterator[Cluster]:
    with Cluster(cluster_place.read()) as made:
        yield made
        made.delete(f"/api/v1/namespaces/{NAMESPACE}")


def manager(place: ClusterPlace, case: Case) -> ClusterWorkspaces:
    template = parse(json.dumps({**TEMPLATE, **case.template}), f"{case.name}.yaml")
    settings = place.site.workspaces.model_copy(update={"storage_class": case.storage_class})
    site = place.site.model_copy(update={"workspaces": settings})
    if not case.mirrored:
        site = site.model_copy(update={"mirror": MirrorSettings()})
    api = Api(lambda: read(place.kubeconfig), patience_s=60.0)
    return ClusterWorkspaces(site, api, {template.name: template}, "root@here", lambda _: "$argon2id$x")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "-"))
def test_why_it_does_not_start(cluster_place: ClusterPlace, cluster: Cluster, case: Case) -> None:
    key = Key(user=f"h-{case.name.lower().replace(' ', '-')}")
    spec = Specification(key=key, template="broken", preset="small")
    there = manager(cluster_place, case)
    with ExitStack() as undo:
        undo.callback(there.close)
        undo.callback(clean, there, key)
        there._prepare(there.templates["broken"], print)
        scene = Scene(cluster_place, cluster, there, key, undo)
        if changes := case.before(scene):
            scene.there = there = manager(cluster_place, replace(case, template=changes))
            undo.callback(there.close)
        ahead = there.foresee(spec).problems
        backend = there.backend_for(spec)
        held, _ = backend.claim(spec)
        backend.converge(held)
        case.after(scene)
        found = awaited(there, key, case)
        assert found.state == "error", found
        assert re.search(case.says, found.reason) and found.whose == case.whose, found
        assert case.do in found.remedy, found
        if case.foreseen:
            assert ahead and (ahead[0].reason, ahead[0].whose, ahead[0].remedy) == (
                found.reason, found.whose, found.remedy,
            )  # fmt: skip
        else:
            assert ahead == (), "nothing is foreseen that is not so"
        [listed] = [one for one in there.list() if one.key == key]
        if listed.state == found.state:  # kubelet may have begun another try between the two looks
            assert (listed.whose, listed.remedy) == (found.whose, found.remedy)


def awaited(there: ClusterWorkspaces, key: Key, case: Case) -> Workspace:
    """As it is once it is told as expected, or when the time is up."""
    limit = time.monotonic() + SEEN_S
    while True:
        found = there.show(key)
        told = found.state == "error" and re.search(case.says, found.reason) is not None
        if told or time.monotonic() >= limit:
            return found
        time.sleep(1)


def clean(there: ClusterWorkspaces, key: Key) -> None:
    with suppress(InstanceNotFound):
        there.delete(key, True)
    there.purge(key)


@pytest.fixture
def scene(cluster_place: ClusterPlace, cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[Scene]:
    """For what is refused at once: nothing is made of it."""
    there = manager(cluster_place, CASES[0])
    with ExitStack() as undo:
        undo.callback(there.close)
        there._prepare(there.templates["broken"], print)
        yield Scene(cluster_place, cluster, there, Key(user=request.param), undo)


def spec_of(scene: Scene) -> Specification:
    return Specification(key=scene.key, template="broken", preset="small")


@pytest.mark.parametrize("scene", ["h-no-disk"], indirect=True)
def test_a_quota_of_storage_refuses_in_the_words_that_were_foreseen(scene: Scene) -> None:
    quota(requests_storage="512Ki")(scene)
    scene.undo.callback(clean, scene.there, scene.key)
    [ahead] = scene.there.foresee(spec_of(scene)).problems
    assert "the quota team has no room: it needs requests.storage=1Mi" in ahead.reason
    with pytest.raises(StorageFailed) as refused:
        scene.there.create(spec_of(scene), print)
    assert refused.value.why == f"{ahead.reason[:1].upper()}{ahead.reason[1:]}."
    assert list(refused.value.do) == [ahead.remedy]


@pytest.mark.parametrize("scene", ["h-somebody"], indirect=True)
def test_a_foreign_object_of_its_name_is_refused_before_and_after(scene: Scene) -> None:
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": scene.name},
        "spec": {"ports": [{"port": 1}]},
    }
    scene.have(f"/api/v1/namespaces/{NAMESPACE}/services", service)
    scene.undo.callback(clean, scene.there, scene.key)
    with pytest.raises(NotOurs, match=scene.name) as ahead:
        scene.there.foresee(spec_of(scene))
    with pytest.raises(NotOurs, match=scene.name) as after:
        scene.there.create(spec_of(scene), print)
    assert ahead.value.as_text() == after.value.as_text()


@pytest.mark.parametrize("scene", ["h-given-up"], indirect=True)
def test_storage_that_was_given_up_is_nobodys_until_somebody_says_so(scene: Scene) -> None:
    backend = scene.there.backend_for(spec_of(scene))
    held, _ = backend.claim(spec_of(scene))
    backend.converge(held)
    scene.there.delete(scene.key, True)
    scene.undo.callback(clean, scene.there, scene.key)
    with pytest.raises(StorageFailed, match="was given up") as ahead:
        scene.there.foresee(spec_of(scene))
    with pytest.raises(StorageFailed, match="was given up") as after:
        scene.there.create(spec_of(scene), print)
    assert ahead.value.as_text() == after.value.as_text()
