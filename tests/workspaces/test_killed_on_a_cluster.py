"""The manager killed at every call that it makes of a real API server: doing the verb again converges.

A cluster takes minutes to make: HOMEWRIGHT_TEST_SITE and HOMEWRIGHT_TEST_STATE name one that is there already.
HOMEWRIGHT_TEST_TABLE names a file for the table of all calls.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from cluster_place import ClusterPlace
from counting_proxy import WRITES, Call, Ground, Proxy, act, forks, proxy

from homewright.workspaces.backends.kubernetes.words import DELETED_AT
from homewright.workspaces.errors import InstanceNotFound
from homewright.workspaces.models import Key
from homewright.workspaces.on_cluster import ClusterWorkspaces

pytestmark = [pytest.mark.lab, pytest.mark.long]

TEMPLATE = """\
version: 1
name: tiny
title: A page
summary: what answers /healthz and asks for nothing
backend: kubernetes
namespace: homewright-campaign
prefix: tiny
host: tiny
policy: tiny-isolation
image: busybox:1.36.1
command: [sh, -c, "mkdir -p /tmp/w && echo ok > /tmp/w/healthz && exec httpd -f -p 8080 -h /tmp/w"]
default_preset: small
presets:
  small: {title: small, cpu: 0.5, memory: 64MiB, cpu_request: 0.01, memory_request: 16MiB}
  large: {title: large, cpu: 0.5, memory: 128MiB, cpu_request: 0.02, memory_request: 32MiB}
volumes: [{claim: "tiny-{slug}", path: /data, size: 1MiB}]
ports: [{name: http, service: 80, container: 8080}]
web: http
files: {password: "{password}"}
"""
NAMESPACE = "homewright-campaign"
KINDS = ("ConfigMap", "StatefulSet", "Pod", "PersistentVolumeClaim", "Secret", "ServiceAccount", "Service",
         "NetworkPolicy", "Ingress")  # fmt: skip
RESTS = {kind: 1 for kind in KINDS if kind != "Pod"}
RUNS, KEPT = {**RESTS, "Pod": 1}, {"PersistentVolumeClaim": 1}
VERBS: dict[str, tuple[str, dict[str, int]]] = {
    "create": ("nothing", RUNS), "stop": ("running", RESTS), "start": ("stopped", RUNS), "restart": ("running", RUNS),
    "set": ("running", RUNS), "delete": ("running", KEPT), "delete with storage": ("running", KEPT),
}  # fmt: skip


@pytest.fixture(scope="module")
def ground(cluster_place: ClusterPlace) -> Ground:
    return Ground(cluster_place.site, TEMPLATE, cluster_place.kubeconfig)


@pytest.fixture(scope="module")
def there(ground: Ground) -> Iterator[ClusterWorkspaces]:
    made = ground.manager()
    yield made
    made.close()


@pytest.fixture(scope="module")
def counting(cluster_place: ClusterPlace) -> Iterator[Proxy]:
    with proxy(cluster_place.read()) as made:
        yield made


def counted(there: ClusterWorkspaces, user: str) -> dict[str, int]:
    """How many of each kind belong to this user's workspace, and are not on their way out."""
    found = {}
    for kind in KINDS:
        items = there.api.list(kind, NAMESPACE, f"homewright.dev/workspace={user}").items
        if items:
            found[kind] = len(items)
    return found


def settled(there: ClusterWorkspaces, user: str, expected: dict[str, int]) -> dict[str, int]:
    """What there is once what goes by itself has gone: garbage of owners, pods that end."""
    limit = time.monotonic() + 120
    while (found := counted(there, user)) != expected and time.monotonic() < limit:
        time.sleep(0.5)
    return found


def claims(there: ClusterWorkspaces, user: str) -> dict[str, str | None]:
    """The claims' uids, and when each was given up."""
    found = there.api.list("PersistentVolumeClaim", NAMESPACE, f"homewright.dev/workspace={user}").items
    return {one["metadata"]["uid"]: (one["metadata"].get("annotations") or {}).get(DELETED_AT) for one in found}


def make(ground: Ground, there: ClusterWorkspaces, user: str, before: str) -> None:
    key = Key(user=user)
    if before == "nothing":
        with suppress(InstanceNotFound):
            there.delete(key, True)
        there.purge(key)
        assert settled(there, user, {}) == {}
        return
    with suppress(InstanceNotFound):
        there.undelete(key)
    act(ground, "create", user)
    there.set(key, "small", False)
    act(ground, "stop" if before == "stopped" else "start", user)
    expected = RESTS if before == "stopped" else RUNS
    assert settled(there, user, expected) == expected


def words(call: Call) -> str:
    """A call as the table has it."""
    plural = call.path.partition(f"/namespaces/{NAMESPACE}/")[2] or call.path.rpartition("/api")[2]
    return f"{call.method} {plural.split('/')[0]}"


@pytest.mark.parametrize("verb", VERBS)
def test_a_manager_killed_at_any_call_is_repaired_by_doing_it_again(
    verb: str, ground: Ground, there: ClusterWorkspaces, counting: Proxy
) -> None:
    before, expected = VERBS[verb]
    user = f"h-{verb.replace(' ', '-')}"
    through = Ground(ground.site, ground.template, counting.kubeconfig())
    make(ground, there, user, before)
    counting.calls, counting.doom, counting.victim = [], None, None
    act(through, verb, user)
    calls = tuple(counting.calls)
    assert sum(call.method in WRITES for call in calls) >= 2, calls
    reached = 0
    for number, doom in enumerate(calls, 1):
        make(ground, there, user, before)
        kept = claims(there, user)
        counting.calls, counting.victim = [], None
        child = forks().Process(target=act, args=(through, verb, user))
        counting.doom = doom
        child.start()
        counting.victim = child.pid
        child.join(300)
        counting.doom = None
        killed = child.exitcode == -9
        reached += killed
        with suppress(InstanceNotFound):  # of a deletion the last call was its last
            act(ground, verb, user)
        found = settled(there, user, expected)
        after = claims(there, user)
        _note(verb, number, doom, killed, found == expected and kept.keys() <= after.keys())
        assert found == expected, f"{verb}, killed at call {number} of {len(calls)}: {doom}"
        assert kept.keys() <= after.keys(), "no volume is lost"
        if verb == "delete with storage":
            assert all(after.values()), "it is given up"
    # What is waited for may come at once: then its second look is not reached.
    assert reached >= len(calls) * 0.8, f"{reached} of {len(calls)}"
    make(ground, there, user, "nothing")


def _note(verb: str, number: int, call: Call, killed: bool, good: bool) -> None:
    """A line of the table, where somebody wants it."""
    if file := os.environ.get("HOMEWRIGHT_TEST_TABLE"):
        with Path(file).open("a") as handle:
            end = "killed" if killed else "not reached"
            handle.write(f"{verb}\t{number}\t{words(call)}\t{end}\t{'converged' if good else 'NOT'}\n")
