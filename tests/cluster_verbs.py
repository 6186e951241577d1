"""Every verb on workspaces in a cluster, over a stand-in of its API: what comes before it, and what is there then."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from api_stand_in import StandIn

from homewright.site.models import Site
from homewright.workspaces.backends.kubernetes.api import Api
from homewright.workspaces.models import Key, Specification
from homewright.workspaces.on_cluster import ClusterWorkspaces
from homewright.workspaces.templates import shipped

ALICE = Key(user="alice")
SITE = Site(name="attic", zone="home.internal")


def manager(server: StandIn, api: type[Api] = Api, **options: Any) -> ClusterWorkspaces:
    made = ClusterWorkspaces(
        SITE, api(server.kubeconfig, patience_s=2.0, **options), shipped(), "root@here", lambda _: "$argon2id$x"
    )
    for backend in made._backends.values():
        backend.pause_s = 0.01
    return made


def spec(key: Key = ALICE, template: str = "code-server") -> Specification:
    return Specification(key=key, template=template, preset="standard")


def quiet(_: str) -> None:
    pass


def kinds(server: StandIn) -> dict[str, int]:
    """How many of each kind belong to workspaces."""
    counted: dict[str, int] = {}
    for (kind, _, _), one in server.objects.items():
        if "homewright.dev/workspace" in (one["metadata"].get("labels") or {}):
            counted[kind] = counted.get(kind, 0) + 1
    return counted


WHOLE = {"ConfigMap": 1, "PersistentVolumeClaim": 1, "Secret": 1, "ServiceAccount": 1, "Service": 1,
         "NetworkPolicy": 1, "Ingress": 1, "StatefulSet": 1}  # fmt: skip
RUNS, RESTS, KEPT = {**WHOLE, "Pod": 1}, WHOLE, {"PersistentVolumeClaim": 1}


def running(server: StandIn) -> None:
    manager(server).create(spec(), quiet)


def stopped(server: StandIn) -> None:
    running(server)
    manager(server).stop(ALICE)


def nothing(_: StandIn) -> None:
    pass


Verb = Callable[[ClusterWorkspaces], object]
VERBS: dict[str, tuple[Callable[[StandIn], None], Verb, dict[str, int]]] = {
    "create": (nothing, lambda there: there.create(spec(), quiet), RUNS),
    "stop": (running, lambda there: there.stop(ALICE), RESTS),
    "start": (stopped, lambda there: there.start(ALICE, quiet), RUNS),
    "restart": (running, lambda there: there.restart(ALICE, quiet), RUNS),
    "set": (running, lambda there: there.set(ALICE, "large", False), RUNS),
    "delete": (running, lambda there: there.delete(ALICE, False), KEPT),
    "delete with storage": (running, lambda there: there.delete(ALICE, True), KEPT),
}
