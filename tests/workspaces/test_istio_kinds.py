"""Routes by Istio's kinds on a real API server: discovery, schema, roles. No gateway runs, so no address is opened."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from control_plane import ControlPlane, control_plane

from homewright.cluster.kubeconfig import read
from homewright.site.models import Site, WorkspaceSettings
from homewright.workspaces.backends.kubernetes import api as apis
from homewright.workspaces.backends.kubernetes import namespace, routes
from homewright.workspaces.backends.kubernetes.api import Api
from homewright.workspaces.backends.kubernetes.verbs import ClusterBackend, Held
from homewright.workspaces.models import Key, Specification
from homewright.workspaces.on_cluster import ClusterWorkspaces
from homewright.workspaces.templates import PodTemplate, shipped

pytestmark = [pytest.mark.lab, pytest.mark.long]  # a machine that is new builds etcd and Kubernetes first
LIMIT_S = 60.0
PLACE = "codeserver-instances"
GATEWAY = "istio-ingress/workspaces"
SPEC = Specification(key=Key(user="alice"), template="code-server", preset="standard")
TEXTS = {"type": "array", "items": {"type": "string"}}


def kind(name: str, plural: str, spec: dict[str, Any]) -> dict[str, Any]:
    """A CustomResourceDefinition with the fields that we use, and no others: what is not in it is dropped."""
    schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": spec}}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.networking.istio.io"},
        "spec": {
            "group": "networking.istio.io", "scope": "Namespaced", "names": {"kind": name, "plural": plural},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}],
        },
    }  # fmt: skip


def fields(**properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


DESTINATION = fields(host={"type": "string"}, port=fields(number={"type": "integer"}))
ROUTES = {"type": "array", "items": fields(destination=DESTINATION)}
HTTP = {"type": "array", "items": fields(route=ROUTES)}
SERVERS = {
    "type": "array",
    "items": fields(
        port=fields(number={"type": "integer"}, name={"type": "string"}, protocol={"type": "string"}),
        hosts=TEXTS, tls=fields(mode={"type": "string"}, credentialName={"type": "string"}),
    ),
}  # fmt: skip
KINDS = (
    kind("VirtualService", "virtualservices", {"hosts": TEXTS, "gateways": TEXTS, "http": HTTP}),
    kind("Gateway", "gateways", {"servers": SERVERS}),
)


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    with control_plane(tmp_path_factory.mktemp("plane"), controllers=False) as made:
        yield made


def manager(plane: ControlPlane, gateway: str | None, token: str = "") -> ClusterWorkspaces:
    settings = WorkspaceSettings(istio_gateway=gateway)
    document = plane.document
    if token:
        document["users"][0]["user"]["token"] = token
    site = Site(name="attic", zone="home.internal", workspaces=settings)
    api = Api(lambda: read(json.dumps(document)))
    return ClusterWorkspaces(site, api, shipped(), "root@here", lambda _: "$argon2id$x")


def backend(there: ClusterWorkspaces) -> ClusterBackend:
    return there.backend_for(SPEC)


def found(there: ClusterWorkspaces, held: Held) -> dict[str, Any]:
    """Its routes that are there, by kind."""
    name = f"code-server-{held.intent.slug}"
    got = {one: there.api.get(one, PLACE, name) for one in routes.KINDS}
    return {one: manifest for one, manifest in got.items() if manifest is not None}


def test_routes_by_istio_s_kinds(plane: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apis, "FRESH_S", -1.0)
    admin = manager(plane, GATEWAY)
    template = admin.templates["code-server"]
    assert isinstance(template, PodTemplate)
    admin._prepare(template, lambda _: None)
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 600}}
    path = f"/api/v1/namespaces/{PLACE}/serviceaccounts/{namespace.ROLE}/token"
    token = plane.api.create(path, review)["status"]["token"]
    # From here on with the rights of the shipped Role alone.
    there = manager(plane, GATEWAY, token)
    assert not there.api.has_istio()
    held, _ = backend(there).claim(SPEC)
    backend(there).converge(held)
    assert list(found(admin, held)) == ["Ingress"]

    for one in KINDS:
        plane.api.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", one)
    limit = time.monotonic() + LIMIT_S
    while not there.api.has_istio():
        assert time.monotonic() < limit
        time.sleep(0.2)
    assert "cannot be told" in there.way_in(SPEC), "the Role may not look at gateways"
    assert "There is no Istio gateway" in admin.way_in(SPEC)
    place, name = GATEWAY.split("/")
    plane.api.create("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": place}})
    listener = {"port": {"number": 443, "name": "web", "protocol": "HTTPS"}, "hosts": ["*.home.internal"],
                "tls": {"mode": "SIMPLE", "credentialName": "wildcard"}}  # fmt: skip
    plane.api.create(
        f"/apis/networking.istio.io/v1/namespaces/{place}/gateways",
        {"apiVersion": "networking.istio.io/v1", "kind": "Gateway", "metadata": {"name": name},
         "spec": {"servers": [listener]}},
    )  # fmt: skip
    assert admin.way_in(SPEC) == ""

    backend(there).converge(held)
    [route] = found(admin, held).values()
    assert route["kind"] == "VirtualService" and route["metadata"]["ownerReferences"][0]["uid"] == held.uid
    host = "code-alice.home.internal"
    assert route["spec"] == routes.virtual_service(host, "code-server-alice", 80, GATEWAY), "nothing was dropped"
    assert routes.words(backend(there).route(held)) == f"VirtualService by gateway {GATEWAY}"
    backend(there).converge(held)
    assert found(admin, held)["VirtualService"]["metadata"]["resourceVersion"] == route["metadata"]["resourceVersion"]

    without = manager(plane, None, token)
    backend(without).converge(held)
    assert list(found(admin, held)) == ["Ingress"], "the site names no gateway any more"
    backend(there).converge(held)
    held = backend(there).find(SPEC.key) or held
    backend(there).remove(replace(held, intent=held.intent.model_copy(update={"deleting": "keep"})))
    assert found(admin, held) == {} and backend(admin).find(SPEC.key) is None
