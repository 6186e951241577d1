"""What is made of what a cluster tells: its lacks, our rights, and nothing invented where it says nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from homewright.cli.cluster import told
from homewright.cluster.report import DEFAULT_CLASS, NEEDED, ClusterDocument, Found, allowed, judge, missing_rights
from homewright.cluster.simulated import MARK

NOW = datetime(2026, 11, 21, tzinfo=UTC)
EVERYTHING = ({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]},)


def named(name: str, **more: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, **more}}


def node(name: str, ready: str = "True") -> dict[str, Any]:
    status = {"conditions": [{"type": "Ready", "status": ready}], "nodeInfo": {"kubeletVersion": "v1.36.3"}}
    return named(name, labels={"node-role.kubernetes.io/control-plane": ""}) | {"status": status}


def simulated(name: str, ready: str = "True") -> dict[str, Any]:
    return node(name, ready) | {"metadata": {"name": name, "labels": {MARK: "true"}}}


WHOLE = Found(
    version="v1.36.3",
    nodes=(node("s1"),),
    storage=(named("fast", annotations={DEFAULT_CLASS: "true"}), named("slow")),
    ingress=(named("contour"),),
    daemons=("kube-proxy", "calico-node"),
    rules=EVERYTHING,
)


def report(found: Found, until: datetime | None = NOW + timedelta(days=300), **more: Any) -> ClusterDocument:
    options: dict[str, Any] = {"program": "", "unverified": False} | more
    return judge(found, context="home", server="https://192.0.2.1:6443", user="ann", until=until, now=NOW, **options)


def test_a_cluster_that_has_everything_lacks_nothing() -> None:
    found = report(WHOLE)
    assert found.lacks == () and found.forbidden == () and found.enforces_policies is True
    assert (found.default_storage, found.storage_classes, found.ingress_classes) == (
        "fast",
        ("fast", "slow"),
        ("contour",),
    )
    assert [(one.name, one.ready, one.control_plane) for one in found.nodes] == [("s1", True, True)]
    text = "\n".join(told(found))
    assert "s1: ready, control plane, v1.36.3" in text and "until 2027-09-17" in text and "Nothing is missing." in text


def test_simulated_nodes_are_told_as_such() -> None:
    found = report(replace(WHOLE, nodes=(*WHOLE.nodes, simulated("x1"), simulated("x2"))))
    assert [(one.name, one.simulated) for one in found.nodes] == [("s1", False), ("x1", True), ("x2", True)]
    text = "\n".join(told(found))
    assert "simulated, nothing runs there: x1 to x2, 2 of 2 ready" in text and "x1: ready" not in text
    assert found.lacks == ()


@pytest.mark.parametrize(
    ("change", "said", "grave"),
    [
        ({"version": "v1.33.1"}, "It is Kubernetes v1.33.1", True),
        ({"version": "v1.37.0"}, "It is Kubernetes v1.37.0", False),
        ({"nodes": ()}, "It has no node", True),
        ({"nodes": (node("s1"), node("s2", "Unknown"))}, "Not every node is ready: s2", False),
        ({"nodes": (node("s1", "False"),)}, "Not every node is ready: s1", True),
        ({"nodes": (node("s1", "False"), simulated("x"))}, "Not every node is ready: s1", True),
        ({"nodes": (simulated("x"),)}, "It has only simulated nodes", True),
        ({"nodes": (node("s1"), simulated("x", "Unknown"))}, "1 simulated node is not ready", False),
        ({"storage": ()}, "no storage class", True),
        ({"storage": (named("slow"),)}, "No storage class is the default", False),
        ({"ingress": ()}, "no ingress class", False),
        ({"daemons": ("kube-flannel-ds",)}, "not kept apart", False),
        ({"rules": ()}, "We may not do all", True),
        ({"rules": (), "incomplete": True}, "does not tell all", False),
        ({"hidden": {"nodes": "forbidden"}, "nodes": ()}, "nodes cannot be looked at", False),
    ],
)  # fmt: skip
def test_each_lack_is_told_with_its_weight(change: dict[str, Any], said: str, grave: bool) -> None:
    found = report(replace(WHOLE, **change))
    assert [(said in lack.what, lack.grave) for lack in found.lacks] == [(True, grave)], found.lacks
    assert f"{'!' if grave else '-'} {found.lacks[0].what}" in "\n".join(told(found))


@pytest.mark.parametrize(
    ("more", "until", "said"),
    [
        ({}, NOW - timedelta(days=1), "has expired"),
        ({}, NOW + timedelta(days=29), "expires soon"),
        ({"unverified": True}, None, "checks no certificate"),
    ],
)
def test_how_we_sign_in_is_judged_too(more: dict[str, Any], until: datetime | None, said: str) -> None:
    assert said in report(WHOLE, until, **more).lacks[0].what


@pytest.mark.parametrize(("groups", "said"), [
    ((), "Nothing leads in from outside."),
    (("networking.istio.io",), "workspaces.istio_gateway"),
])  # fmt: skip
def test_istio_leads_in_without_an_ingress_class(groups: tuple[str, ...], said: str) -> None:
    found = report(replace(WHOLE, ingress=(), groups=groups))
    assert [said in lack.why for lack in found.lacks] == [True] and found.istio is bool(groups)


def test_who_signs_us_in_is_told() -> None:
    ways = [report(WHOLE, None, program="aws"), report(WHOLE, None), report(WHOLE)]
    assert [found.signed_in_by for found in ways] == ["program", "token", "certificate"]


@pytest.mark.parametrize(
    ("rule", "verb", "group", "resource", "may"),
    [
        ({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}, "get", "", "pods", True),
        ({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}, "get", "", "pods/log", False),
        ({"verbs": ["get"], "apiGroups": [""], "resources": ["pods/*"]}, "get", "", "pods/log", True),
        ({"verbs": ["get"], "apiGroups": [""], "resources": ["*/log"]}, "get", "", "pods/log", True),
        ({"verbs": ["get"], "apiGroups": ["apps"], "resources": ["*"]}, "get", "", "pods", False),
        ({"verbs": ["list"], "apiGroups": ["*"], "resources": ["*"]}, "get", "", "pods", False),
        ({"verbs": ["*"], "apiGroups": ["*"], "resources": ["pods"], "resourceNames": ["a"]}, "get", "", "pods", False),
    ],
)  # fmt: skip
def test_a_rule_allows_what_it_says(rule: dict[str, Any], verb: str, group: str, resource: str, may: bool) -> None:
    assert allowed([rule], verb, group, resource) is may


def test_everything_that_is_needed_is_asked_for() -> None:
    assert list(missing_rights(EVERYTHING)) == []
    missing = list(missing_rights([]))
    assert len(missing) == sum(len(verbs) for _, _, verbs, _ in NEEDED) and "create deployments.apps" in missing
