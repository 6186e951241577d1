"""What nodes and pods use, through the cluster's own API: metrics-server, where the cluster has nothing of the kind."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from homewright.cluster import certificates, objects, simulated
from homewright.cluster.client import Cluster, ClusterError, ClusterForbidden
from homewright.cluster.objects import is_of, marked
from homewright.engine.runners.host import Proof, broken, proved
from homewright.site import mirrored, mirrors
from homewright.site.authority import Authority
from homewright.site.models import Site
from homewright.stages.components import workloads

NAMESPACE = "metrics"
NAME = "metrics-server"
SERVED = "/apis/apiregistration.k8s.io/v1/apiservices/v1beta1.metrics.k8s.io"
DEPLOYMENT = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{NAME}"
NODES = "/apis/metrics.k8s.io/v1beta1/nodes"
SECRET = f"{NAME}-tls"
SECRET_PATH = certificates.path(NAMESPACE, SECRET)
PORT = 10250
_RBAC = "rbac.authorization.k8s.io/v1"


def names() -> tuple[str, ...]:
    """What the API calls it by."""
    return f"{NAME}.{NAMESPACE}.svc", f"{NAME}.{NAMESPACE}.svc.cluster.local"


def is_foreign(api: Cluster, site: Site) -> bool:
    """Whether the cluster has metrics that are not ours."""
    found = api.find(SERVED)
    return found is not None and not is_of(site.name, found)


def wanted(site: Site, own: Authority) -> dict[str, dict[str, Any]]:
    """Every object of it but its Secret, by path. Pure."""
    labels = marked(site.name, NAME)
    inside, rbac = f"/api/v1/namespaces/{NAMESPACE}", f"/apis/{_RBAC}"
    account = {"kind": "ServiceAccount", "name": NAME, "namespace": NAMESPACE}
    metadata = {"name": NAME, "namespace": NAMESPACE, "labels": labels}

    def binding(kind: str, role_kind: str, role: str, **place: str) -> dict[str, Any]:
        return {
            "apiVersion": _RBAC, "kind": kind, "metadata": {"labels": labels, **place}, "subjects": [account],
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": role_kind, "name": role},
        }  # fmt: skip

    reader = "extension-apiserver-authentication-reader"
    return {
        inside: {
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": NAMESPACE, "labels": {**labels, "pod-security.kubernetes.io/enforce": "restricted"}},
        },
        f"{inside}/serviceaccounts/{NAME}": {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata},
        f"{rbac}/clusterroles/homewright:{NAME}": {
            "apiVersion": _RBAC, "kind": "ClusterRole",
            "metadata": {"name": f"homewright:{NAME}", "labels": labels},
            "rules": [
                {"apiGroups": [""], "resources": ["nodes/metrics"], "verbs": ["get"]},
                {"apiGroups": [""], "resources": ["pods", "nodes"], "verbs": ["get", "list", "watch"]},
            ],
        },
        f"{rbac}/clusterrolebindings/homewright:{NAME}": binding(
            "ClusterRoleBinding", "ClusterRole", f"homewright:{NAME}", name=f"homewright:{NAME}"
        ),
        f"{rbac}/clusterrolebindings/homewright:{NAME}-delegator": binding(
            "ClusterRoleBinding", "ClusterRole", "system:auth-delegator", name=f"homewright:{NAME}-delegator"
        ),
        f"{rbac}/namespaces/kube-system/rolebindings/homewright:{NAME}": binding(
            "RoleBinding", "Role", reader, name=f"homewright:{NAME}", namespace="kube-system"
        ),
        f"{rbac}/clusterroles/homewright:metrics-reader": {
            "apiVersion": _RBAC, "kind": "ClusterRole",
            "metadata": {
                "name": "homewright:metrics-reader",
                # Whoever may look at a namespace may see what its pods use.
                "labels": {**labels, "rbac.authorization.k8s.io/aggregate-to-view": "true"},
            },
            "rules": [{"apiGroups": ["metrics.k8s.io"], "resources": ["pods", "nodes"], "verbs": ["get", "list"]}],
        },
        DEPLOYMENT: _deployment(site, labels),
        f"{inside}/services/{NAME}": {
            "apiVersion": "v1", "kind": "Service", "metadata": metadata,
            "spec": {
                "selector": {"app": NAME},
                "ports": [{"name": "https", "port": 443, "targetPort": PORT, "protocol": "TCP"}],
            },
        },
        SERVED: {
            "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
            "metadata": {"name": "v1beta1.metrics.k8s.io", "labels": labels},
            "spec": {
                "group": "metrics.k8s.io", "version": "v1beta1",
                "groupPriorityMinimum": 100, "versionPriority": 100,
                "service": {"name": NAME, "namespace": NAMESPACE, "port": 443},
                "caBundle": base64.b64encode(own.certificate_pem).decode(),
            },
        },
    }  # fmt: skip


def _deployment(site: Site, labels: Mapping[str, str]) -> dict[str, Any]:
    selected = {"app": NAME}
    container = {
        "name": NAME,
        "image": mirrors.image(site.mirror, mirrored.reference(NAME, site.cluster.version)),
        "args": [
            f"--secure-port={PORT}", "--tls-cert-file=/tls/tls.crt", "--tls-private-key-file=/tls/tls.key",
            "--kubelet-preferred-address-types=InternalIP", "--kubelet-use-node-status-port",
            # kubeadm's kubelets sign for themselves, so there is nothing to check their certificate against.
            "--kubelet-insecure-tls", "--metric-resolution=15s",
        ],
        "ports": [{"name": "https", "containerPort": PORT, "protocol": "TCP"}],
        "readinessProbe": {
            "httpGet": {"path": "/readyz", "port": "https", "scheme": "HTTPS"}, "periodSeconds": 5,
            "failureThreshold": 3,
        },
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "readOnlyRootFilesystem": True,
            "runAsNonRoot": True, "runAsUser": 65534, "seccompProfile": {"type": "RuntimeDefault"},
        },
        "volumeMounts": [{"name": "tls", "mountPath": "/tls", "readOnly": True}],
    }  # fmt: skip
    pod = {
        "serviceAccountName": NAME,
        "priorityClassName": "system-cluster-critical",
        "tolerations": [{"key": "node-role.kubernetes.io/control-plane", "operator": "Exists"}],
        "securityContext": {"fsGroup": 65534},
        "containers": [container],
        "volumes": [{"name": "tls", "secret": {"secretName": SECRET}}],
    }
    return {
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": NAME, "namespace": NAMESPACE, "labels": dict(labels)},
        "spec": {
            "replicas": 1, "selector": {"matchLabels": selected},
            "template": {"metadata": {"labels": {**labels, **selected}}, "spec": pod},
        },
    }  # fmt: skip


def issue(api: Cluster, site: Site, own: Authority) -> bool:
    """Have its certificate there and good; whether it had to be issued."""
    fresh = certificates.secret(own, NAMESPACE, SECRET, names(), marked(site.name, NAME))
    found = objects.require_ours(api, site.name, {SECRET_PATH: fresh})[SECRET_PATH]
    if found is not None and not certificates.due(found, names(), own, datetime.now(UTC)):
        return False
    api.apply(SECRET_PATH, fresh)
    return True


def _uncertified(api: Cluster, site: Site, own: Authority) -> str:
    found = api.find(SECRET_PATH)
    if found is None or not is_of(site.name, found):
        return f"The cluster has no Secret {SECRET} of this site's."
    why = certificates.due(found, names(), own, datetime.now(UTC))
    return f"The Secret {SECRET} {why}." if why else ""


def silent(api: Cluster) -> str:
    """Why the cluster does not tell what every node uses, in a sentence; empty where it does."""
    nodes = {one["metadata"]["name"] for one in simulated.real(api.list("/api/v1/nodes"))}
    try:
        told = {one["metadata"]["name"]: one.get("usage") or {} for one in api.list(NODES)}
    except ClusterForbidden:
        raise
    except ClusterError as error:
        return f"The cluster's metrics do not answer: {error.why or error.what}"
    missing = sorted(name for name in nodes if not {"cpu", "memory"} <= told.get(name, {}).keys())
    return f"Nothing is told of what {', '.join(missing)} uses." if missing else ""


def unmeasured(api: Cluster) -> list[str]:
    """The nodes whose kubelet measures no memory: metrics-server would leave them out. Raises ClusterError.

    Where we may not ask kubelets nobody is said to be one; those that are off are none.
    """
    found = []
    for node in simulated.real(api.list("/api/v1/nodes")):
        name = node["metadata"]["name"]
        try:
            text = api.text(f"/api/v1/nodes/{name}/proxy/metrics/resource")
        except ClusterError:
            continue
        if not measures(text):
            found.append(name)
    return found


def measures(text: str) -> bool:
    """Whether a kubelet that tells this knows how much memory its node uses, and any of its containers. Pure.

    metrics-server is ready only when it can tell of a pod as well; where no container runs there is nothing to judge.
    """
    containers = _bytes(text, "container_memory_working_set_bytes")
    return any(_bytes(text, "node_memory_working_set_bytes")) and (not containers or any(containers))


def _bytes(text: str, name: str) -> list[float]:
    """The figures of a metric: its name, its labels in braces if it has some, the figure, and when it was taken."""
    found = [line.removeprefix(name) for line in text.splitlines() if line.startswith((f"{name} ", f"{name}{{"))]
    told = [words for one in found if (words := one.rpartition("}")[2].split())]
    return [float(words[0]) for words in told]


def prove(api: Cluster, site: Site, own: Authority) -> Proof:
    """Whether the cluster tells what each of its nodes uses."""
    foreign = is_foreign(api, site)
    ours = "" if foreign else objects.lacking(api, site.name, wanted(site, own)) or workloads.unready(api, DEPLOYMENT)
    if why := ours or (not foreign and _uncertified(api, site, own)) or silent(api):
        return broken(why)
    return proved(f"The cluster tells what every node uses{', by something of its own' if foreign else ''}.")
