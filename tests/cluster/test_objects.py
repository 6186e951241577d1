"""What is there is compared with what we made."""

from __future__ import annotations

from typing import Any

import pytest
from cluster_of_paths import ClusterOfPaths

from homewright.cluster.objects import differs, is_of, marked, remove


@pytest.mark.parametrize(
    ("wanted", "found", "where"),
    [
        ({"spec": {"replicas": 1}}, {"spec": {"replicas": 1, "revisionHistoryLimit": 10}}, ""),
        ({"spec": {"replicas": 1}}, {"spec": {"replicas": 0}}, "spec.replicas"),
        ({"spec": {"replicas": 1}}, {"spec": {}}, "spec.replicas"),
        ({"data": {"a": "1"}}, {"data": {"a": "2"}}, "data.a"),
        ({"volumes": [{"emptyDir": {}}]}, {"volumes": [{"emptyDir": {}, "name": "x"}]}, ""),
        ({"volumes": [{"name": "a", "emptyDir": {}}]}, {"volumes": [{"name": "a"}]}, ""),
        ({"args": ["a", "b"]}, {"args": ["a"]}, "args"),
        ({"args": ["a", "b"]}, {"args": ["b", "a"]}, "args[0]"),
        ({"ports": [{"port": 80}]}, {"ports": [{"port": 80, "nodePort": 30000}]}, ""),
        ({"ports": ({"port": 80},)}, {"ports": [{"port": 81}]}, "ports[0].port"),
        ({"spec": {"a": 1}}, {"spec": None}, "spec"),
    ],
)
def test_what_the_cluster_adds_is_no_difference(wanted: Any, found: Any, where: str) -> None:
    assert differs(wanted, found) == where


@pytest.mark.parametrize(
    ("labels", "ours"),
    [
        (marked("home", "storage"), True),
        (marked("cabin", "storage"), False),
        ({"homewright.dev/site": "home"}, False),
        ({"app.kubernetes.io/managed-by": "homewright"}, False),
        (None, False),
    ],
)
def test_an_object_is_ours_by_its_site_and_its_manager(labels: dict[str, str] | None, ours: bool) -> None:
    assert is_of("home", {"metadata": {"labels": labels}}) is ours


NAMESPACE = "/api/v1/namespaces/ingress"
OURS = {"metadata": {"name": "ingress", "labels": marked("home", "contour")}}
OURS_IN_IT = {"metadata": {"name": "contour", "namespace": "ingress", "labels": marked("home", "contour")}}


def there(name: str, **more: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "ingress", **more}}


def owned(kind: str) -> list[dict[str, str]]:
    return [{"kind": kind, "name": "x"}]


@pytest.mark.parametrize(
    ("path", "found", "holder"),
    [
        (f"{NAMESPACE}/configmaps/kube-root-ca.crt", there("kube-root-ca.crt"), ""),
        (f"{NAMESPACE}/serviceaccounts/default", there("default"), ""),
        (f"{NAMESPACE}/secrets/t", there("t") | {"type": "kubernetes.io/service-account-token"}, ""),
        (f"{NAMESPACE}/pods/p", there("p", ownerReferences=owned("ReplicaSet")), ""),
        (f"{NAMESPACE}/pods/p", there("p", deletionTimestamp="2026-01-01T00:00:00Z"), ""),
        (f"{NAMESPACE}/secrets/s", there("s", labels=marked("home", "proof")), ""),
        ("/api/v1/namespaces/other/secrets/s", there("s"), ""),
        (f"{NAMESPACE}/pods/p", there("p"), "pods/p"),
        (f"{NAMESPACE}/pods/p", there("p", ownerReferences=owned("Database")), "pods/p"),
        (f"{NAMESPACE}/secrets/door", there("door"), "secrets/door"),
        (f"{NAMESPACE}/secrets/door", there("door", labels=marked("cabin", "proof")), "secrets/door"),
        (f"{NAMESPACE}/configmaps/c", there("c"), "configmaps/c"),
        (f"{NAMESPACE}/persistentvolumeclaims/c", there("c"), "persistentvolumeclaims/c"),
        (f"{NAMESPACE}/services/s", there("s"), "services/s"),
        (f"{NAMESPACE}/serviceaccounts/s", there("s"), "serviceaccounts/s"),
        ("/apis/apps/v1/namespaces/ingress/deployments/d", there("d"), "deployments/d"),
        ("/apis/apps/v1/namespaces/ingress/statefulsets/d", there("d"), "statefulsets/d"),
        ("/apis/apps/v1/namespaces/ingress/daemonsets/d", there("d"), "daemonsets/d"),
        ("/apis/batch/v1/namespaces/ingress/cronjobs/c", there("c"), "cronjobs/c"),
        ("/apis/networking.k8s.io/v1/namespaces/ingress/ingresses/i", there("i"), "ingresses/i"),
    ],
)
def test_a_namespace_stays_with_what_is_somebody_elses(path: str, found: dict[str, Any], holder: str) -> None:
    ours = {NAMESPACE: OURS, f"{NAMESPACE}/configmaps/contour": OURS_IN_IT}
    api = ClusterOfPaths({**ours, path: found})
    said: list[str] = []
    assert remove(api, "home", ours, say=said.append, seconds=0)
    assert api.deleted[0] == f"{NAMESPACE}/configmaps/contour"
    assert (NAMESPACE in api.kept) == bool(holder)
    assert said == ([f"the namespace ingress stays: {holder} in it is not ours"] if holder else [])
    assert (path in api.kept) == bool(holder or not path.startswith(NAMESPACE + "/"))
