"""Workspaces that are broken for real, one after the other: what is said of each, and whose problem it is.

A cluster takes minutes to make: HOMEWRIGHT_TEST_SITE and HOMEWRIGHT_TEST_STATE name one that is there already.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
from cluster_place import ClusterPlace

from homewright.cluster.kubeconfig import read
from homewright.workspaces.backends.kubernetes.api import Api
from homewright.workspaces.errors import InstanceNotFound
from homewright.workspaces.models import Key, Specification, Workspace
from homewright.workspaces.on_cluster import ClusterWorkspaces
from homewright.workspaces.templates import parse

pytestmark = [pytest.mark.lab, pytest.mark.long]

NAMESPACE = "homewright-broken"
SEEN_S = 150.0
TEMPLATE: dict[str, Any] = {
    "version": 1, "name": "broken", "title": "t", "summary": "s", "backend": "kubernetes", "namespace": NAMESPACE,
    "prefix": "broken", "host": "broken", "policy": "broken-isolation", "image": "busybox:1.36.1",
    "command": ["sh", "-c", "mkdir -p /tmp/w && echo ok > /tmp/w/healthz && exec httpd -f -p 8080 -h /tmp/w"],
    "default_preset": "small",
    "presets": {"small": {"title": "s", "cpu": 0.5, "memory": "64MiB", "cpu_request": 0.01, "memory_request": "16MiB"}},
    "volumes": [{"claim": "broken-{slug}", "path": "/data", "size": "1MiB"}],
    "ports": [{"name": "http", "service": 80, "container": 8080}], "web": "http", "files": {"password": "{password}"},
}  # fmt: skip


def preset(**more: Any) -> dict[str, Any]:
    return {"presets": {"small": {**TEMPLATE["presets"]["small"], **more}}}


def sh(script: str) -> dict[str, Any]:
    return {"command": ["sh", "-c", script]}


Act = Callable[[ClusterWorkspaces], object]


@dataclass(frozen=True)
class Case:
    """What is wrong, and what is expected to be said."""

    name: str
    says: str
    """A pattern of the reason."""
    whose: str
    template: dict[str, Any] = field(default_factory=dict)
    storage_class: str | None = None
    before: Act = lambda _: None


def quota(there: ClusterWorkspaces) -> None:
    there.api.apply({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "team", "namespace": NAMESPACE},
                     "spec": {"hard": {"requests.memory": "8Mi"}}})  # fmt: skip


CASES = (
    Case("image absent", "its image does not come", "cluster", {"image": "absent:1"}),
    Case("tag absent", "its image does not come", "cluster", {"image": "busybox:0.0"}),
    Case("never imported", "its node does not have it", "cluster", {"image": "localhost/nobody/made:1"}),
    Case("no program", "cannot be started", "homewright", {"command": ["/nowhere"]}),
    Case("ends at once", "keeps ending: .*exit code 3", "user", sh("exit 3")),
    Case("killed", "keeps ending", "user", sh("kill -9 $$")),
    Case("says nothing", "does not answer", "user", {**sh("sleep 1000"), "probe": {"start_timeout_s": 10}}),
    Case("wrong answer", "does not answer", "user",
         {**sh("mkdir /tmp/w && exec httpd -f -p 8080 -h /tmp/w"), "probe": {"start_timeout_s": 10}}),
    Case("init ends", "init step seed keeps ending", "user", {"init": [{"name": "seed", "command": ["false"]}]}),
    Case("too many processors", "no node has room: too few processors", "user", preset(cpu=900, cpu_request=900)),
    Case("too much memory", "no node has room: too few memory", "user",
         preset(memory="900GiB", memory_request="900GiB")),
    Case("no GPU", "no node has room: too few GPUs", "user", preset(gpus=2)),
    Case("quota", "the quota team has no room", "user", before=quota),
    Case("no such storage class", "its storage class does not exist", "cluster", storage_class="absent"),
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def cleaned(cluster_place: ClusterPlace) -> Iterator[None]:
    yield
    api = Api(lambda: read(cluster_place.kubeconfig))
    found = api.get("Namespace", None, NAMESPACE)
    if found is not None:
        api.delete(found)
    api.close()


def manager(cluster_place: ClusterPlace, case: Case) -> ClusterWorkspaces:
    template = parse(json.dumps({**TEMPLATE, **case.template}), f"{case.name}.yaml")
    settings = cluster_place.site.workspaces.model_copy(update={"storage_class": case.storage_class})
    site = cluster_place.site.model_copy(update={"workspaces": settings})
    api = Api(lambda: read(cluster_place.kubeconfig), patience_s=60.0)
    return ClusterWorkspaces(site, api, {template.name: template}, "root@here", lambda _: "$argon2id$x")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "-"))
def test_why_it_does_not_start(cluster_place: ClusterPlace, case: Case) -> None:
    there, key = manager(cluster_place, case), Key(user=f"h-{case.name.replace(' ', '-')}")
    template = there.templates["broken"]
    backend = there.backend_for(Specification(key=key, template="broken", preset="small"))
    try:
        there._prepare(template, print)
        case.before(there)
        held, _ = backend.claim(Specification(key=key, template="broken", preset="small"))
        backend.converge(held)
        limit = time.monotonic() + SEEN_S
        while not _as_expected(found := there.show(key), case) and time.monotonic() < limit:
            time.sleep(1)
        assert found.state == "error", found
        assert re.search(case.says, found.reason) and found.whose == case.whose and found.remedy, found
        [listed] = [one for one in there.list() if one.key == key]
        if listed.state == found.state:  # kubelet may have begun another try between the two looks
            assert (listed.whose, listed.remedy) == (found.whose, found.remedy)
    finally:
        with suppress(InstanceNotFound):
            there.delete(key, True)
        there.purge(key)
        gone = there.api.get("ResourceQuota", NAMESPACE, "team")
        if gone is not None:
            there.api.delete(gone)
        there.close()


def _as_expected(found: Workspace, case: Case) -> bool:
    return found.state == "error" and re.search(case.says, found.reason) is not None
