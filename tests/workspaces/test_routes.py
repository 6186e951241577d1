"""What leads to a workspace from outside: by Ingress, or by a gateway of Istio's; and what is said of either."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from api_stand_in import StandIn, stand_in

from homewright.site.models import Site, WorkspaceSettings
from homewright.workspaces.backends.kubernetes import api as apis
from homewright.workspaces.backends.kubernetes import namespace, routes
from homewright.workspaces.backends.kubernetes.api import Api
from homewright.workspaces.errors import MissingRight, NotOurs
from homewright.workspaces.models import Key, Specification
from homewright.workspaces.of_site import walls
from homewright.workspaces.on_cluster import ClusterWorkspaces
from homewright.workspaces.templates import shipped

ALICE = Key(user="alice")
SPEC = Specification(key=ALICE, template="code-server", preset="standard")
GATEWAY = "istio-ingress/workspaces"
HOST = "code-alice.home.internal"
PLACE = "codeserver-instances"


@pytest.fixture
def server() -> Iterator[StandIn]:
    with stand_in() as made:
        made.istio = True
        yield made


def manager(server: StandIn, gateway: str | None = GATEWAY) -> ClusterWorkspaces:
    site = Site(name="attic", zone="home.internal", workspaces=WorkspaceSettings(istio_gateway=gateway))
    made = ClusterWorkspaces(site, Api(server.kubeconfig, patience_s=2.0), shipped(), "root@here", lambda _: "$x")
    for backend in made._backends.values():
        backend.pause_s = 0.01
    return made


def quiet(_: str) -> None:
    pass


def gateway(*servers: dict[str, Any]) -> dict[str, Any]:
    place, name = GATEWAY.split("/")
    return {"kind": "Gateway", "metadata": {"namespace": place, "name": name}, "spec": {"servers": list(servers)}}


def listener(*hosts: str, protocol: str = "HTTPS", mode: str = "SIMPLE") -> dict[str, Any]:
    tls = {"tls": {"mode": mode, "credentialName": "wildcard"}} if protocol != "HTTP" else {}
    return {"port": {"number": 443, "name": "web", "protocol": protocol}, "hosts": list(hosts), **tls}


@pytest.mark.parametrize(("named", "istio", "kind"), [
    (GATEWAY, True, "VirtualService"), (GATEWAY, False, "Ingress"), (None, True, "Ingress"), (None, False, "Ingress"),
])  # fmt: skip
def test_the_cluster_and_the_site_decide(server: StandIn, named: str | None, istio: bool, kind: str) -> None:
    server.istio = istio
    there = manager(server, named)
    made = there.create(SPEC, quiet)
    assert made.workspace.address == f"https://{HOST}/"
    [route] = [one for kind in routes.KINDS for one in server.all(kind)]
    assert (route["kind"], route["apiVersion"]) == (kind, routes.VERSIONS[kind])
    [record] = server.all("ConfigMap")
    assert route["metadata"]["ownerReferences"][0]["uid"] == record["metadata"]["uid"]
    said = (
        f"VirtualService by gateway {GATEWAY}" if kind == "VirtualService" else "Ingress of the cluster's default class"
    )
    assert there.show(ALICE).route == said
    assert [one["kind"] for one in there.export(ALICE) if one["kind"] in routes.KINDS] == [kind]
    there.delete(ALICE, with_storage=False)
    assert not [one for kind in routes.KINDS for one in server.all(kind)]


def test_a_virtual_service_leads_one_host_to_its_service(server: StandIn) -> None:
    manager(server).create(SPEC, quiet)
    [route] = server.all("VirtualService")
    assert route["metadata"]["name"] == "code-server-alice" and route["metadata"]["namespace"] == PLACE
    assert route["spec"] == {
        "hosts": [HOST], "gateways": [GATEWAY],
        "http": [{"route": [{"destination": {"host": "code-server-alice", "port": {"number": 80}}}]}],
    }  # fmt: skip
    [pod] = server.all("Pod")
    assert pod["metadata"]["labels"]["sidecar.istio.io/inject"] == "false"


def test_without_a_gateway_pods_say_nothing_of_istio(server: StandIn) -> None:
    manager(server, None).create(SPEC, quiet)
    assert "sidecar.istio.io/inject" not in server.all("Pod")[0]["metadata"]["labels"]


@pytest.mark.parametrize("istio_first", [True, False])
def test_the_other_route_goes_when_the_site_changes(server: StandIn, istio_first: bool) -> None:
    first, then = (GATEWAY, None) if istio_first else (None, GATEWAY)
    manager(server, first).create(SPEC, quiet)
    manager(server, then).restart(ALICE, quiet)
    kinds = [kind for kind in routes.KINDS if server.all(kind)]
    assert kinds == (["Ingress"] if istio_first else ["VirtualService"])


def test_a_deletion_takes_the_route_that_is_there_and_not_the_one_that_is_due(server: StandIn) -> None:
    manager(server, None).create(SPEC, quiet)
    server.calls.clear()
    manager(server).delete(ALICE, with_storage=False)
    assert ("delete", "ingresses") in server.calls, "and not only with its owner, once somebody collects what has none"
    assert not server.all("Ingress")


@pytest.mark.parametrize("kind", routes.KINDS)
def test_somebody_else_s_route_of_that_name_stays(server: StandIn, kind: str) -> None:
    theirs = {"kind": kind, "metadata": {"namespace": PLACE, "name": "code-server-alice"}, "spec": {"hosts": ["a.b"]}}
    there = manager(server)
    there._prepare(there.templates["code-server"], quiet)
    server.put(theirs)
    if kind == "VirtualService":
        with pytest.raises(NotOurs):
            there.create(SPEC, quiet)
    else:
        there.create(SPEC, quiet)
        there.delete(ALICE, with_storage=False)
    [left] = server.all(kind)
    assert left["spec"] == theirs["spec"]


def test_the_cluster_is_asked_for_istio_once_a_minute(server: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    api = Api(server.kubeconfig, patience_s=2.0)
    assert api.has_istio()
    server.istio = False
    assert api.has_istio(), "believed for a minute"
    monkeypatch.setattr(apis, "FRESH_S", -1.0)
    assert not api.has_istio()


@pytest.mark.parametrize("status", [403, 404])
def test_a_cluster_that_does_not_tell_has_none(server: StandIn, status: int) -> None:
    server.faults.append((status, 'forbidden: User "u" cannot get path "/apis/networking.istio.io/v1"', {}))
    assert not Api(server.kubeconfig, patience_s=2.0).has_istio()


def test_the_shipped_role_is_enough_by_istio_too(server: StandIn) -> None:
    there = manager(server)
    there._prepare(there.templates["code-server"], quiet)
    server.calls.clear()
    there.create(SPEC, quiet), there.show(ALICE), there.stop(ALICE), there.start(ALICE, quiet)
    there.delete(ALICE, True)
    granted = {(verb, one) for _, resources, verbs in namespace.RIGHTS for one in resources for verb in verbs}
    assert ("patch", "virtualservices") in server.calls and set(server.calls) - granted == set()


@pytest.mark.parametrize("verb", ["get", "patch"])
def test_a_missing_right_on_routes_names_itself(server: StandIn, verb: str) -> None:
    server.denied = {(verb, "virtualservices")}
    with pytest.raises(MissingRight, match=f"does not let us {verb} virtualservices"):
        manager(server).create(SPEC, quiet)


def test_a_role_of_before_istio_stops_no_workspace_that_goes_by_ingress(server: StandIn) -> None:
    server.denied = {(verb, "virtualservices") for verb in ("get", "create", "patch", "delete")}
    there = manager(server, None)
    assert there.create(SPEC, quiet).workspace.state == "running"
    there.stop(ALICE), there.start(ALICE, quiet), there.restart(ALICE, quiet)
    assert there.show(ALICE).route.startswith("Ingress")
    with server.lock:
        del server.objects["Ingress", PLACE, "code-server-alice"]
    assert there.show(ALICE).route == ""
    there.delete(ALICE, with_storage=False)
    assert not there.list()


@pytest.mark.parametrize(("found", "said"), [
    (None, "There is no Istio gateway istio-ingress/workspaces"),
    (gateway(), "does not answer for code-alice.home.internal"),
    (gateway(listener("*.home.internal")), ""),
    (gateway(listener("*")), ""),
    (gateway(listener(HOST)), ""),
    (gateway(listener("*/*.home.internal")), ""),
    (gateway(listener(f"{PLACE}/*.home.internal")), ""),
    (gateway(listener("./*.home.internal")), "does not answer for"),
    (gateway(listener("other/*.home.internal")), "does not answer for"),
    (gateway(listener("*.internal")), ""),
    (gateway(listener("home.internal")), "does not answer for"),
    (gateway(listener("*.ome.internal")), "does not answer for"),
    (gateway(listener("*.home.internal", protocol="https")), ""),
    (gateway(listener("*.home.internal", protocol="HTTP")), "not by HTTPS"),
    (gateway(listener("*.home.internal", mode="PASSTHROUGH")), "not by HTTPS"),
    (gateway(listener("*", protocol="HTTP"), listener("*.home.internal")), ""),
])  # fmt: skip
def test_a_gateway_that_leads_nowhere_is_said_before(server: StandIn, found: dict[str, Any] | None, said: str) -> None:
    if found is not None:
        server.put(found)
    told = manager(server).way_in(SPEC)
    assert said in told and bool(told) is bool(said)


def test_what_is_said_of_istio_else(server: StandIn) -> None:
    assert "names no gateway of it (workspaces.istio_gateway)" in manager(server, None).way_in(SPEC)
    server.denied = {("get", "gateways")}
    assert "cannot be told" in manager(server).way_in(SPEC)
    server.istio = False
    assert manager(server).way_in(SPEC) == ""


def test_the_gateway_s_namespace_may_reach_workspaces() -> None:
    settings = WorkspaceSettings(istio_gateway=GATEWAY)
    assert walls(Site(name="attic", workspaces=settings)).ingress_namespaces == ("ingress", "istio-ingress")
    same = WorkspaceSettings(istio_gateway="ingress/x")
    assert walls(Site(name="attic", workspaces=same)).ingress_namespaces == ("ingress",)


@pytest.mark.parametrize("text", ["workspaces", "a/b/c", "A/b", "/b", "a/", "a /b", "a/b.c"])
def test_a_gateway_is_named_with_its_namespace(text: str) -> None:
    with pytest.raises(ValueError, match="istio_gateway"):
        WorkspaceSettings(istio_gateway=text)


def test_words_of_an_ingress() -> None:
    assert routes.words({"kind": "Ingress", "spec": {"ingressClassName": "public"}}) == "Ingress of class public"
    assert routes.words(None) == ""
