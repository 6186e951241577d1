"""What is there is compared with what we made."""

from __future__ import annotations

from typing import Any

import pytest

from homewright.cluster.objects import differs, is_of, marked


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
