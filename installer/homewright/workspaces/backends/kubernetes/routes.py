"""What leads to a workspace from outside: an Ingress, or by a gateway of Istio's a VirtualService. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

INGRESS = "Ingress"
VIRTUAL_SERVICE = "VirtualService"
KINDS = (INGRESS, VIRTUAL_SERVICE)
VERSIONS = {INGRESS: "networking.k8s.io/v1", VIRTUAL_SERVICE: "networking.istio.io/v1"}
NO_SIDECAR = "sidecar.istio.io/inject"
"""The label by which a pod says whether Istio puts a container of its own into it."""
_ENDS_TLS = {"SIMPLE", "MUTUAL", "OPTIONAL_MUTUAL", "ISTIO_MUTUAL"}
"""Modes of a gateway's server that decrypt, so that it can tell hosts and paths apart."""


def way(gateway: str | None, has_istio: bool) -> str:
    """Which kind of object leads to workspaces: Istio's where the cluster has it and the site names a gateway of it.

    A VirtualService without a gateway would be for the mesh alone, and nobody could open the address.
    """
    return VIRTUAL_SERVICE if gateway is not None and has_istio else INGRESS


def ingress(host: str, service: str, port: str, certificate: str, ingress_class: str | None) -> dict[str, Any]:
    """The spec of an Ingress to a port, by its name, of a service."""
    backend = {"service": {"name": service, "port": {"name": port}}}
    spec: dict[str, Any] = {
        "rules": [{"host": host, "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}],
        "tls": [{"hosts": [host], "secretName": certificate}],
    }
    if ingress_class is not None:
        spec["ingressClassName"] = ingress_class
    return spec


def ingress_marks(issuer: str | None) -> dict[str, str]:
    """An Ingress's annotations."""
    marks = {
        # An editor is one long WebSocket: Contour wants to be told, nginx ends one after a minute without a word.
        "projectcontour.io/websocket-routes": "/",
        "nginx.ingress.kubernetes.io/proxy-read-timeout": "3600",
        "nginx.ingress.kubernetes.io/proxy-send-timeout": "3600",
    }
    if issuer is not None:
        marks["cert-manager.io/cluster-issuer"] = issuer
    return marks


def virtual_service(host: str, service: str, port: int, gateway: str) -> dict[str, Any]:
    """The spec of a VirtualService to a port of a service of its own namespace.

    The service's name alone: Istio adds the namespace and the cluster's own domain, which is not always cluster.local.
    No timeout is set: Istio ends no WebSocket by itself then.
    """
    destination = {"host": service, "port": {"number": port}}
    return {"hosts": [host], "gateways": [gateway], "http": [{"route": [{"destination": destination}]}]}


def words(route: Mapping[str, Any] | None) -> str:
    """What leads to a workspace, in words; empty where nothing does."""
    if route is None:
        return ""
    spec = route.get("spec") or {}
    if route["kind"] == VIRTUAL_SERVICE:
        return f"{VIRTUAL_SERVICE} by gateway {', '.join(spec.get('gateways') or ())}"
    named = spec.get("ingressClassName")
    return f"{INGRESS} of class {named}" if named else f"{INGRESS} of the cluster's default class"


def lack(name: str, gateway: Mapping[str, Any] | None, namespace: str, host: str) -> str:
    """Why a gateway leads nowhere for a host of this namespace, as a sentence; empty where it will do."""
    if gateway is None:
        return f"There is no Istio gateway {name} (workspaces.istio_gateway): its address will not open."
    servers = (gateway.get("spec") or {}).get("servers") or ()
    own = name.partition("/")[0]
    fitting = [
        one for one in servers if any(_answers(pattern, own, namespace, host) for pattern in one.get("hosts") or ())
    ]
    if not fitting:
        return f"Istio's gateway {name} does not answer for {host}: its address will not open."
    if not any(
        str((one.get("port") or {}).get("protocol")).upper() == "HTTPS"
        and (one.get("tls") or {}).get("mode") in _ENDS_TLS
        for one in fitting
    ):
        return f"Istio's gateway {name} answers for {host}, and not by HTTPS: its address will not open."
    return ""


def _answers(pattern: str, own: str, namespace: str, host: str) -> bool:
    """Whether one of the hosts of a gateway in namespace `own`, NAMESPACE/NAME or NAME, is for this one."""
    place, slash, name = pattern.rpartition("/")
    if slash and place != "*" and namespace != (own if place == "." else place):
        return False
    return name in ("*", host) or (name.startswith("*.") and host.endswith(name[1:]))
