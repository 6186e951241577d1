"""Routes by Istio's own kinds, as its module publishes them, on a real API server: schema, discovery, roles.

What they say is held to the rules of Istio's webhook, which a program of a few lines asks. No gateway runs, so no
address is opened.
"""

from __future__ import annotations

import copy
import json
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import yaml  # ansible-core brings it
from control_plane import ControlPlane, control_plane
from go_modules import ISTIO, source

from homewright.cluster import looking
from homewright.cluster.kubeconfig import read
from homewright.lab import go
from homewright.site.models import Site, WorkspaceSettings
from homewright.workspaces import naming
from homewright.workspaces.backends.kubernetes import manifests, namespace, routes
from homewright.workspaces.backends.kubernetes.api import Api
from homewright.workspaces.backends.kubernetes.intent import workload
from homewright.workspaces.backends.kubernetes.verbs import ClusterBackend, Held
from homewright.workspaces.models import Key, Specification
from homewright.workspaces.on_cluster import ClusterWorkspaces
from homewright.workspaces.templates import PodTemplate, shipped

pytestmark = [pytest.mark.lab, pytest.mark.long]  # a machine that is new builds etcd and Kubernetes first
LIMIT_S = 60.0
PLACE = "codeserver-instances"
GATEWAY = "istio-ingress/workspaces"
HOST = "code-alice.home.internal"
SPEC = Specification(key=Key(user="alice"), template="code-server", preset="standard")


@pytest.fixture(scope="module")
def kinds() -> list[dict[str, Any]]:
    """All of Istio's CustomResourceDefinitions."""
    file = source(ISTIO, "istio.io/api") / "kubernetes" / "customresourcedefinitions.gen.yaml"
    return [one for one in yaml.load_all(file.read_text(encoding="utf-8"), yaml.CSafeLoader) if one]


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    with control_plane(tmp_path_factory.mktemp("plane"), controllers=False) as made:
        yield made


@pytest.fixture(scope="module")
def token(plane: ControlPlane) -> str:
    """Of the shipped Role's own account, and of nothing else."""
    admin = manager(plane, None)
    template = admin.templates["code-server"]
    assert isinstance(template, PodTemplate)
    admin._prepare(template, lambda _: None)
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}}
    path = f"/api/v1/namespaces/{PLACE}/serviceaccounts/{namespace.ROLE}/token"
    given: str = plane.api.create(path, review)["status"]["token"]
    return given


@pytest.fixture(scope="module")
def without(plane: ControlPlane, token: str) -> Held:
    """A workspace of before Istio came."""
    there = manager(plane, GATEWAY, token)
    assert not there.api.has_istio() and not looking.report(plane.api).istio
    held, _ = backend(there).claim(SPEC)
    backend(there).converge(held)
    assert list(found(manager(plane, None), held)) == ["Ingress"]
    return held


@pytest.fixture(scope="module")
def istio(plane: ControlPlane, without: Held, kinds: list[dict[str, Any]]) -> ControlPlane:
    """The same cluster with Istio's kinds in it."""
    place = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    for one in kinds:
        plane.api.create(place, one)
    limit = time.monotonic() + LIMIT_S
    while not all(_is_served(one) for one in plane.api.list(place)):
        assert time.monotonic() < limit
        time.sleep(0.2)
    name = GATEWAY.split("/")[0]
    plane.api.create("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    return plane


def _is_served(kind: dict[str, Any]) -> bool:
    said = {one["type"]: one["status"] for one in (kind.get("status") or {}).get("conditions") or ()}
    assert said.get("NamesAccepted") != "False" and said.get("NonStructuralSchema") != "True", kind["status"]
    return said.get("Established") == "True"


def manager(
    plane: ControlPlane, gateway: str | None, token: str = "", zone: str = "home.internal"
) -> ClusterWorkspaces:
    settings = WorkspaceSettings(istio_gateway=gateway)
    document = plane.document
    if token:
        document["users"][0]["user"]["token"] = token
    site = Site(name="attic", zone=zone, workspaces=settings)
    api = Api(lambda: read(json.dumps(document)))
    return ClusterWorkspaces(site, api, shipped(), "root@here", lambda _: "$argon2id$x")


def backend(there: ClusterWorkspaces) -> ClusterBackend:
    return there.backend_for(SPEC)


def found(there: ClusterWorkspaces, held: Held) -> dict[str, Any]:
    """Its routes that are there, by kind."""
    name = f"code-server-{held.intent.slug}"
    got = {one: there.api.get(one, PLACE, name) for one in routes.KINDS}
    return {one: manifest for one, manifest in got.items() if manifest is not None}


def strictly(plane: ControlPlane, manifest: dict[str, Any]) -> tuple[int, str]:
    """What the API server answers to an apply for which everything that it does not know is an error."""
    metadata, plural = manifest["metadata"], f"{manifest['kind'].lower()}s"
    path = f"/apis/{manifest['apiVersion']}/namespaces/{metadata['namespace']}/{plural}/{metadata['name']}"
    query = {"fieldManager": "test", "fieldValidation": "Strict", "dryRun": "All", "force": "true"}
    answer = plane.api.send("PATCH", path, query, manifest, content="application/apply-patch+yaml")
    return answer.status, f"{answer.data.decode()} {answer.headers.get('Warning', '')}"


def judged(*objects: dict[str, Any]) -> list[str]:
    """What Istio's rules have against each of these, warnings too; empty for nothing."""
    go.ensure((ISTIO,), say=print)
    said = "\n".join(json.dumps(one) for one in objects)
    done = subprocess.run([go.program(ISTIO, "judge")], input=said, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    verdicts = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(verdicts) == len(objects)
    return [one["wrong"] or one["warning"] for one in verdicts]


def our_route(plane: ControlPlane, held: Held) -> dict[str, Any]:
    """The VirtualService as it is exported, and as it is applied."""
    there = manager(plane, GATEWAY)
    [route] = [one for one in there.export(held.intent.key) if one["kind"] == "VirtualService"]
    return copy.deepcopy(route)


def gateway(*servers: dict[str, Any]) -> dict[str, Any]:
    place, name = GATEWAY.split("/")
    return {"apiVersion": "networking.istio.io/v1", "kind": "Gateway", "metadata": {"name": name, "namespace": place},
            "spec": {"selector": {"istio": "ingress"}, "servers": list(servers)}}  # fmt: skip


def listener(*hosts: str, protocol: str = "HTTPS", **tls: Any) -> dict[str, Any]:
    port = {"number": 443 if protocol != "HTTP" else 80, "name": protocol.lower(), "protocol": protocol}
    made: dict[str, Any] = {"port": port, "hosts": list(hosts)}
    return {**made, "tls": tls} if tls else made


USERS = ("alice", "a.b", "a_b", "a@b", "x" * 200, "Ünïcode", "..x", "7")
WILDCARD = {"mode": "SIMPLE", "credentialName": "wildcard"}


def test_istio_knows_every_field_that_we_write(istio: ControlPlane, without: Held) -> None:
    route = our_route(istio, without)
    status, said = strictly(istio, route)
    assert status in (200, 201), said
    assert "unknown field" not in said and "deprecated" not in said
    assert json.loads(said.rpartition("}")[0] + "}")["spec"] == route["spec"], "nothing was dropped or added"


def test_strict_is_strict(istio: ControlPlane, without: Held) -> None:
    route = our_route(istio, without)
    route["spec"]["http"][0]["rewriting"] = {}
    status, said = strictly(istio, route)
    assert status >= 400 and "rewriting" in said
    route = our_route(istio, without)
    route["spec"]["http"][0]["route"][0]["destination"]["port"]["number"] = "80"
    status, said = strictly(istio, route)
    assert status >= 400 and "port.number" in said


@pytest.mark.parametrize("zone", ["home.internal", "a.b.c.example.org", "home.lan"])
def test_istio_s_rules_take_our_routes(istio: ControlPlane, zone: str) -> None:
    there = manager(istio, GATEWAY, zone=zone)
    specs = [Specification(key=Key(user=user, name=name), template=template, preset="standard")
             for user in USERS for name in ("default", "second") for template in ("code-server", "devenv")]  # fmt: skip
    made = []
    for spec in specs:
        template = there.templates[spec.template]
        slug = naming.slug(spec.key.user, spec.key.name)
        host, service = manifests.host_name(template, slug, zone), workload(template, slug)
        made.append({"kind": "VirtualService", "metadata": {"name": service, "namespace": template.namespace},
                     "spec": routes.virtual_service(host, service, 80, GATEWAY)})  # fmt: skip
    assert judged(*made) == [""] * len(made)


def test_istio_s_rules_are_rules(istio: ControlPlane, without: Held) -> None:
    wrong = {
        "unknown field": lambda spec: spec["http"][0].update(rewriting={}),
        "gateway name": lambda spec: spec.update(gateways=["istio-ingress/of.everybody"]),
        "domain name": lambda spec: spec["http"][0]["route"][0]["destination"].update(host=""),
        "not used": lambda spec: spec["http"].append(spec["http"][0]),
    }
    for words, spoil in wrong.items():
        route = our_route(istio, without)
        assert judged(route) == [""]
        spoil(route["spec"])
        assert words in judged(route)[0].lower(), words
    [said] = judged({**gateway(listener("*", **WILDCARD)), "metadata": {"name": "of.everybody", "namespace": "x"}})
    assert "gateway name" in said


def test_the_modes_of_a_gateway_s_tls(kinds: list[dict[str, Any]]) -> None:
    [one] = [kind for kind in kinds if kind["metadata"]["name"] == "gateways.networking.istio.io"]
    [version] = [each for each in one["spec"]["versions"] if each["name"] == "v1"]
    spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    modes = set(spec["servers"]["items"]["properties"]["tls"]["properties"]["mode"]["enum"])
    assert modes - routes._ENDS_TLS == {"PASSTHROUGH", "AUTO_PASSTHROUGH"} and modes >= routes._ENDS_TLS


def test_it_is_seen_that_istio_is_there(istio: ControlPlane, token: str) -> None:
    assert manager(istio, GATEWAY, token).api.has_istio(), "the shipped Role may ask"
    assert looking.report(istio.api).istio


def test_gateways_are_looked_at_as_istio_takes_them(istio: ControlPlane, token: str) -> None:
    admin = manager(istio, GATEWAY)
    assert "There is no Istio gateway" in admin.way_in(SPEC)
    assert "cannot be told" in manager(istio, GATEWAY, token).way_in(SPEC), "the Role may not look at gateways"
    for servers, words in (
        ((listener("*.home.internal", **WILDCARD),), ""),
        ((listener(f"{PLACE}/*.home.internal", **WILDCARD),), ""),
        ((listener("*/*", mode="SIMPLE", credentialNames=["rsa", "ecdsa"]),), ""),
        ((listener("*.home.internal", protocol="https", **WILDCARD),), ""),
        ((listener("*", protocol="HTTP"), listener(HOST, mode="MUTUAL", credentialName="x")), ""),
        ((listener("./*.home.internal", **WILDCARD),), "does not answer for"),
        ((listener("*.example.org", **WILDCARD),), "does not answer for"),
        ((listener("*.home.internal", mode="PASSTHROUGH"),), "not by HTTPS"),
        ((listener("*.home.internal", protocol="HTTP", httpsRedirect=True),), "not by HTTPS"),
    ):
        made = gateway(*servers)
        status, said = strictly(istio, made)
        assert status in (200, 201) and judged(made) == [""], said
        place, name = GATEWAY.split("/")
        istio.api.apply(f"/apis/networking.istio.io/v1/namespaces/{place}/gateways/{name}", made)
        told = admin.way_in(SPEC)
        assert words in told and bool(told) is bool(words), (servers, told)


def test_routes_by_istio_s_kinds(istio: ControlPlane, without: Held, token: str) -> None:
    admin, there, held = manager(istio, None), manager(istio, GATEWAY, token), without
    backend(there).converge(held)
    [route] = found(admin, held).values()
    assert route["kind"] == "VirtualService" and route["metadata"]["ownerReferences"][0]["uid"] == held.uid
    assert route["spec"] == routes.virtual_service(HOST, "code-server-alice", 80, GATEWAY), "nothing was dropped"
    assert routes.words(backend(there).route(held)) == f"VirtualService by gateway {GATEWAY}"
    backend(there).converge(held)
    assert found(admin, held)["VirtualService"]["metadata"]["resourceVersion"] == route["metadata"]["resourceVersion"]

    # what the site says now is all that it says
    other = manager(istio, "istio-ingress/others", token, "attic.internal")
    backend(other).converge(held)
    wanted = routes.virtual_service("code-alice.attic.internal", "code-server-alice", 80, "istio-ingress/others")
    assert found(admin, held)["VirtualService"]["spec"] == wanted
    # and what somebody else wrote into it meanwhile stays no longer
    path = f"/apis/networking.istio.io/v1/namespaces/{PLACE}/virtualservices/code-server-alice"
    istio.api.merge(path, {"spec": {"gateways": ["mesh"], "hosts": ["elsewhere.example.org"]}})
    backend(there).converge(held)
    assert found(admin, held)["VirtualService"]["spec"] == route["spec"]

    backend(manager(istio, None, token)).converge(held)
    assert list(found(admin, held)) == ["Ingress"], "the site names no gateway any more"
    backend(there).converge(held)
    held = backend(there).find(SPEC.key) or held
    backend(there).remove(replace(held, intent=held.intent.model_copy(update={"deleting": "keep"})))
    assert found(admin, held) == {} and backend(admin).find(SPEC.key) is None
