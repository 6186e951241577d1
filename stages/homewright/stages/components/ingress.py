"""The way in: the cluster's own default class, or Contour with Envoy on ports 80 and 443 of every node.

Each node has Envoy and a Contour beside it in one pod. They speak over the pod's own loopback, where nobody else
listens or asks: so there is no certificate between them that could end, and a node that is away takes nobody else's way
with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from homewright.cluster import objects
from homewright.cluster.client import Cluster, ClusterError, wait
from homewright.cluster.objects import is_of, marked
from homewright.engine.runners.host import Host
from homewright.errors import HomewrightError
from homewright.planning import zone
from homewright.site import mirrored, mirrors
from homewright.site.models import Site
from homewright.stages.components import certificates, contour_kinds

NAMESPACE = "ingress"
CLASS = "contour"
CONTROLLER = "projectcontour.io/ingress-controller"
DEFAULT = "ingressclass.kubernetes.io/is-default-class"
CLASSES = "/apis/networking.k8s.io/v1/ingressclasses"
DAEMONS = f"/apis/apps/v1/namespaces/{NAMESPACE}/daemonsets/envoy"
XDS = "127.0.0.1"
XDS_PORT = 8001
HTTP_PORT, HTTPS_PORT, STATS_PORT = 8080, 8443, 8002
"""Inside of the pod: it needs no right to ports below 1024."""
USER = 65534
KINDS_S = 60.0
"""How long the cluster may take to serve a kind that it was told."""
_RBAC = "rbac.authorization.k8s.io/v1"
_SETTINGS = """\
# An Ingress says itself whether it is reached without TLS.
disablePermitInsecure: false
tls: {minimum-protocol-version: "1.2"}
timeouts: {stream-idle-timeout: 1h, connection-idle-timeout: 5m}
"""
"""A terminal in a browser says nothing for a long time."""


class NoWay(HomewrightError):
    """The zone leads where nothing of the cluster is. Nothing was changed."""

    code = "no-way-in"


def foreign_default(classes: Iterable[Mapping[str, Any]], site: str) -> str | None:
    """The class that the cluster has of its own: the default one, or the only one. Pure.

    Beside ours one that is not the default changes nothing.
    """
    every = list(classes)
    theirs = [one for one in every if not is_of(site, one)]
    marked_default = [one for one in theirs if (one["metadata"].get("annotations") or {}).get(DEFAULT) == "true"]
    chosen = marked_default or (theirs if len(every) == 1 else [])
    return str(chosen[0]["metadata"]["name"]) if chosen else None


def own_class(api: Cluster, site: Site) -> str | None:
    """The cluster's own class, where it has one that is not ours."""
    return foreign_default(api.list(CLASSES), site.name)


def address(host: Host) -> str:
    """Where the zone's names lead."""
    return zone.planned(host.site, host.facts).ingress


def require_address(host: Host) -> None:
    """Raises NoWay where the zone leads to what no node has: ports of nodes are all that Contour is given."""
    if host.site.network.load_balancer is not None:
        raise NoWay(
            "The zone leads to a load balancer's address, and nothing in the cluster gives those out.",
            "Homewright brings none: Envoy takes ports 80 and 443 of the nodes.",
            ["let the zone lead to a node: homewright site unset network.load_balancer, then apply"],
        )


def apply(api: Cluster, site: Site, address: str) -> bool:
    """Make all of it be there; whether anything was not so. Raises Foreign before anything is changed, ClusterError."""
    everything = wanted(site, address)
    kinds = contour_kinds.wanted(site)
    later = {path: one for path, one in everything.items() if path not in kinds}
    # An object of a kind is only answered for once the kind is there; whose the others are is asked before that.
    objects.require_ours(api, site.name, later)
    changed = objects.apply(api, site.name, kinds)
    if waiting := wait(KINDS_S, lambda: next((why for path in kinds if (why := _unserved(api, path))), "")):
        raise ClusterError("The cluster does not take Contour's kinds of object.", waiting)
    return objects.apply(api, site.name, later) or changed


def _unserved(api: Cluster, path: str) -> str:
    conditions = (api.get(path).get("status") or {}).get("conditions") or ()
    if any(one["type"] == "Established" and one["status"] == "True" for one in conditions):
        return ""
    return f"{path.rpartition('/')[2]} is not served yet"


def remove(api: Cluster, site: Site, address: str, say: Callable[[str], None]) -> bool:
    """Take all of it away but what others need: a kind with objects of others in it stays. Raises ClusterError."""
    everything, kinds = wanted(site, address), contour_kinds.wanted(site)
    others = {path: one for path, one in everything.items() if path not in kinds}
    changed = objects.remove(api, site.name, others, say=say)
    unused = {path: one for path, one in kinds.items() if not contour_kinds.is_used(api, path)}
    return objects.remove(api, site.name, unused, say=say) or changed


def wanted(site: Site, address: str) -> dict[str, dict[str, Any]]:
    """Every object of it by its path, in the order in which they are made; `address` is where the zone leads. Pure."""
    labels = marked(site.name, "contour")
    inside, rbac = f"/api/v1/namespaces/{NAMESPACE}", f"/apis/{_RBAC}"
    account = {"kind": "ServiceAccount", "name": "contour", "namespace": NAMESPACE}
    role = {"name": "contour", "labels": labels}
    own = {**role, "namespace": NAMESPACE}

    def binding(kind: str, metadata: Mapping[str, Any]) -> dict[str, Any]:
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": "contour"}
        return {
            "apiVersion": _RBAC, "kind": f"{kind}Binding", "metadata": dict(metadata),
            "roleRef": reference, "subjects": [account],
        }  # fmt: skip

    return {
        **contour_kinds.wanted(site),
        inside: {
            "apiVersion": "v1", "kind": "Namespace",
            # Ports of the node are nothing that a lesser level allows.
            "metadata": {"name": NAMESPACE, "labels": {**labels, "pod-security.kubernetes.io/enforce": "privileged"}},
        },
        f"{inside}/serviceaccounts/contour": {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": own},
        f"{rbac}/clusterroles/contour": {
            "apiVersion": _RBAC, "kind": "ClusterRole", "metadata": role, "rules": _rules(),
        },
        f"{rbac}/clusterrolebindings/contour": binding("ClusterRole", role),
        f"{rbac}/namespaces/{NAMESPACE}/roles/contour": {
            "apiVersion": _RBAC, "kind": "Role", "metadata": own,
            "rules": [
                {"apiGroups": [""], "resources": ["events"], "verbs": ["create", "get", "update"]},
                {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create", "get", "update"]},
            ],
        },
        f"{rbac}/namespaces/{NAMESPACE}/rolebindings/contour": binding("Role", own),
        f"{inside}/configmaps/contour": {
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": own, "data": {"contour.yaml": _SETTINGS},
        },
        DAEMONS: _daemons(site, address, labels),
        f"{CLASSES}/{CLASS}": {
            "apiVersion": "networking.k8s.io/v1", "kind": "IngressClass",
            "metadata": {"name": CLASS, "labels": labels, "annotations": {DEFAULT: "true"}},
            "spec": {"controller": CONTROLLER},
        },
        f"/apis/projectcontour.io/v1/namespaces/{certificates.NAMESPACE}/tlscertificatedelegations/platform": {
            "apiVersion": "projectcontour.io/v1", "kind": "TLSCertificateDelegation",
            "metadata": {"name": "platform", "namespace": certificates.NAMESPACE, "labels": labels},
            # An Ingress of any namespace may name the platform's certificate; its key stays where it is.
            "spec": {"delegations": [{"secretName": certificates.PLATFORM, "targetNamespaces": ["*"]}]},
        },
    }  # fmt: skip


def _rules() -> list[dict[str, Any]]:
    reading = ["get", "list", "watch"]
    kinds = [kind.plural for kind in contour_kinds.KINDS]
    state = [f"{kind.plural}/status" for kind in contour_kinds.KINDS]
    return [
        {"apiGroups": [""], "resources": ["configmaps", "namespaces", "secrets", "services"], "verbs": reading},
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": reading},
        {"apiGroups": ["networking.k8s.io"], "resources": ["ingresses"], "verbs": reading},
        {
            "apiGroups": ["networking.k8s.io"], "resources": ["ingresses/status"],
            "verbs": ["create", "get", "update"],
        },
        {"apiGroups": [contour_kinds.GROUP], "resources": kinds, "verbs": reading},
        {"apiGroups": [contour_kinds.GROUP], "resources": state, "verbs": ["create", "get", "update"]},
    ]  # fmt: skip


def _daemons(site: Site, address: str, labels: Mapping[str, str]) -> dict[str, Any]:
    contour, envoy = (
        mirrors.image(site.mirror, mirrored.reference(name, site.cluster.version)) for name in ("contour", "envoy")
    )
    selected = {"app": "envoy"}
    alone = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "readOnlyRootFilesystem": True}
    namespace = {"name": "CONTOUR_NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}}
    # Who leads among the Contours, and who asks for its settings, is told by the pod's name.
    named = {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}
    config = {"name": "config", "mountPath": "/config"}
    admin = {"name": "admin", "mountPath": "/admin"}
    settings = {"name": "settings", "mountPath": "/settings", "readOnly": True}
    xds = [f"--xds-address={XDS}", f"--xds-port={XDS_PORT}"]
    pod = {
        "serviceAccountName": "contour",
        "priorityClassName": "system-cluster-critical",
        "tolerations": [{"key": "node-role.kubernetes.io/control-plane", "operator": "Exists"}],
        "terminationGracePeriodSeconds": 30,
        "securityContext": {
            "runAsNonRoot": True, "runAsUser": USER, "runAsGroup": USER, "seccompProfile": {"type": "RuntimeDefault"},
        },
        "initContainers": [
            {
                "name": "bootstrap", "image": contour, "command": ["/bin/contour"],
                "args": ["bootstrap", "/config/envoy.json", *xds, "--resources-dir=/config/resources"],
                "env": [namespace], "securityContext": alone, "volumeMounts": [config],
            }
        ],
        "containers": [
            {
                "name": "contour", "image": contour, "command": ["/bin/contour"],
                "args": [
                    "serve", "--incluster", "--insecure", *xds, "--config-path=/settings/contour.yaml",
                    f"--ingress-class-name={CLASS}", f"--ingress-status-address={address}",
                    f"--envoy-service-http-port={HTTP_PORT}", f"--envoy-service-https-port={HTTPS_PORT}",
                    f"--stats-port={STATS_PORT}",
                ],
                "env": [namespace, named],
                "resources": {"requests": {"cpu": "20m", "memory": "48Mi"}},
                "securityContext": alone, "volumeMounts": [settings],
            },
            {
                "name": "envoy", "image": envoy, "command": ["envoy"],
                "args": [
                    "-c", "/config/envoy.json", "--service-cluster", "$(CONTOUR_NAMESPACE)",
                    "--service-node", "$(POD_NAME)", "--log-level", "warn", "--disable-hot-restart",
                ],
                "env": [namespace, named],
                "ports": [
                    {"name": "http", "containerPort": HTTP_PORT, "hostPort": 80, "protocol": "TCP"},
                    {"name": "https", "containerPort": HTTPS_PORT, "hostPort": 443, "protocol": "TCP"},
                ],
                # It answers here once it has its listeners: before that nothing is sent to it.
                "readinessProbe": {"httpGet": {"path": "/ready", "port": STATS_PORT}, "periodSeconds": 4},
                "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}},
                "securityContext": alone, "volumeMounts": [config, admin],
            },
        ],
        "volumes": [
            {"name": "config", "emptyDir": {}},
            {"name": "admin", "emptyDir": {}},
            {"name": "settings", "configMap": {"name": "contour"}},
        ],
    }  # fmt: skip
    return {
        "apiVersion": "apps/v1", "kind": "DaemonSet",
        "metadata": {"name": "envoy", "namespace": NAMESPACE, "labels": dict(labels)},
        "spec": {
            "selector": {"matchLabels": selected},
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}},
            "template": {"metadata": {"labels": {**labels, **selected}}, "spec": pod},
        },
    }  # fmt: skip
