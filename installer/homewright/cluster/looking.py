"""Looking at a cluster: everything that the report needs, asked of its API. Changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from homewright.cluster.client import Cluster, ClusterForbidden
from homewright.cluster.report import ClusterDocument, Found, judge, name

NAMESPACE = "default"
"""The one that our rights are asked for: what is allowed in every namespace is allowed in this one."""


def report(api: Cluster) -> ClusterDocument:
    """What the cluster is, what we may do there, and what it lacks. Raises ClusterError."""
    config = api.config
    return judge(
        look(api),
        context=config.context,
        server=config.server,
        user=config.user,
        program=config.program,
        unverified=config.unverified,
        until=config.expires,
        now=datetime.now(UTC),
    )


def look(api: Cluster) -> Found:
    """What it tells. Raises ClusterAway where it does not answer, ClusterForbidden where it does not know us."""
    hidden: dict[str, str] = {}

    def items(what: str, path: str) -> list[dict[str, Any]]:
        return _tried(hidden, what, lambda: list(api.list(path)))

    version = str(api.get("/version").get("gitVersion", ""))
    # A review is an answer and no object: nothing is kept of it.
    review = api.create(
        "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews",
        {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectRulesReview",
            "spec": {"namespace": NAMESPACE},
        },
    )
    status = review.get("status") or {}
    return Found(
        version=version,
        nodes=items("nodes", "/api/v1/nodes"),
        storage=items("storage classes", "/apis/storage.k8s.io/v1/storageclasses"),
        ingress=items("ingress classes", "/apis/networking.k8s.io/v1/ingressclasses"),
        services=items("services", "/api/v1/services"),
        groups=tuple(str(one.get("name")) for one in api.get("/apis").get("groups") or ()),
        daemons=tuple(name(one) for one in items("its network", "/apis/apps/v1/daemonsets")),
        rules=tuple(status.get("resourceRules") or ()),
        incomplete=bool(status.get("incomplete")),
        hidden=hidden,
    )


def _tried(hidden: dict[str, str], what: str, ask: Callable[[], list[dict[str, Any]]]) -> list[dict[str, Any]]:
    try:
        return ask()
    except ClusterForbidden as error:
        hidden[what] = error.why
        return []
