"""The page that proves the way in: served by a pod, behind an Ingress, with a certificate that the site has signed."""

from __future__ import annotations

import http.client
import socket
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from homewright.cluster import certificates, objects
from homewright.cluster.client import Cluster
from homewright.cluster.objects import marked
from homewright.site import mirrored, mirrors
from homewright.site.authority import Authority
from homewright.site.models import Site
from homewright.stages.components import proving

NAME = "page"
SECRET = "page-tls"
SECRET_PATH = certificates.path(proving.NAMESPACE, SECRET)
DEPLOYMENT = f"/apis/apps/v1/namespaces/{proving.NAMESPACE}/deployments/{NAME}"
PORT = 8080
ASK_S = 5.0


def name(site: Site) -> str:
    """The page's host name: the zone's wildcard leads to it."""
    return f"homewright-proof.{site.zone}"


def text(site: Site) -> str:
    """What the page says."""
    return f"This is the site {site.name}, and its way in works.\n"


def namespace(site: Site) -> dict[str, dict[str, Any]]:
    """Where it is, by path. Pure."""
    return proving.namespace(site)


def wanted(site: Site, ingress_class: str) -> dict[str, dict[str, Any]]:
    """Every object of it but its Secret, by path. Pure."""
    labels = marked(site.name, "proof")
    metadata = {"name": NAME, "namespace": proving.NAMESPACE, "labels": labels}
    selected = {"homewright.dev/proof": NAME}
    inside = f"/api/v1/namespaces/{proving.NAMESPACE}"
    container = {
        "name": "httpd",
        "image": mirrors.image(site.mirror, mirrored.reference("busybox", site.cluster.version)),
        "command": ["httpd", "-f", "-p", str(PORT), "-h", "/page"],
        "ports": [{"containerPort": PORT, "protocol": "TCP"}],
        "readinessProbe": {"tcpSocket": {"port": PORT}, "periodSeconds": 2},
        "securityContext": dict(proving.RESTRICTED),
        "resources": {"requests": {"cpu": "10m", "memory": "8Mi"}},
        "volumeMounts": [{"name": "page", "mountPath": "/page"}],
    }
    pod = {
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 1,
        "tolerations": [{"key": "node-role.kubernetes.io/control-plane", "operator": "Exists"}],
        "containers": [container],
        "volumes": [{"name": "page", "configMap": {"name": NAME}}],
    }
    backend = {"service": {"name": NAME, "port": {"number": 80}}}
    rule = {"host": name(site), "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}
    return {
        **namespace(site),
        f"{inside}/configmaps/{NAME}": {
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"index.html": text(site)},
        },
        DEPLOYMENT: {
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata,
            "spec": {
                "replicas": 1, "selector": {"matchLabels": selected},
                "template": {"metadata": {"labels": {**labels, **selected}}, "spec": pod},
            },
        },
        f"{inside}/services/{NAME}": {
            "apiVersion": "v1", "kind": "Service", "metadata": metadata,
            "spec": {"selector": selected, "ports": [{"port": 80, "targetPort": PORT, "protocol": "TCP"}]},
        },
        f"/apis/networking.k8s.io/v1/namespaces/{proving.NAMESPACE}/ingresses/{NAME}": {
            "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": metadata,
            "spec": {
                "ingressClassName": ingress_class, "rules": [rule],
                "tls": [{"hosts": [name(site)], "secretName": SECRET}],
            },
        },
    }  # fmt: skip


def issue(api: Cluster, site: Site, own: Authority) -> bool:
    """Have the page's certificate there and good; whether it had to be issued."""
    fresh = certificates.secret(own, proving.NAMESPACE, SECRET, (name(site),), marked(site.name, "proof"))
    found = objects.require_ours(api, site.name, {SECRET_PATH: fresh})[SECRET_PATH]
    if found is not None and not certificates.due(found, (name(site),), own, datetime.now(UTC)):
        return False
    api.apply(SECRET_PATH, fresh)
    return True


@dataclass(frozen=True)
class Answer:
    """What came of asking for the page: its status and text, or why there is none."""

    status: int
    said: str
    why: str = ""


def ask(address: str, site: Site, own: Authority, port: int = 443) -> Answer:
    """Ask for the page as a browser that trusts the site's authority alone does. Never raises for what answers."""
    trusting = ssl.create_default_context(cadata=own.certificate_pem.decode())
    try:
        with (
            socket.create_connection((address, port), timeout=ASK_S) as plain,
            trusting.wrap_socket(plain, server_hostname=name(site)) as secure,
        ):
            connection = http.client.HTTPConnection(name(site))
            connection.sock = secure
            connection.request("GET", "/", headers={"Connection": "close"})
            answer = connection.getresponse()
            return Answer(answer.status, answer.read(4096).decode(errors="replace"))
    except ssl.SSLCertVerificationError as error:
        return Answer(
            0, "", f"shows a certificate that the site's authority does not vouch for: {error.verify_message}"
        )
    except (OSError, http.client.HTTPException) as error:
        return Answer(0, "", f"does not answer: {error}")


def wrong(address: str, site: Site, own: Authority) -> str:
    """Why the page cannot be had over HTTPS at this address, in a sentence; empty where it can."""
    answer = ask(address, site, own)
    where = f"https://{name(site)}/ at {address}"
    if answer.why:
        return f"{where} {answer.why}."
    if answer.status != 200 or answer.said != text(site):
        return f"{where} answers {answer.status} and not with its page."
    return ""
