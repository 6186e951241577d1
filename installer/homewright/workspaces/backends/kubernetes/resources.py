"""Where the API server keeps the objects of each kind."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

ISTIO = "Istio's kinds"
OPENSHIFT = "OpenShift's kinds of rules for pods"
"""Not objects: what the cluster has of a group."""


@dataclass(frozen=True)
class Resource:
    """Where the objects of a kind are."""

    version: str
    plural: str

    def path(self, namespace: str | None, name: str = "", sub: str = "") -> str:
        base = f"/api/{self.version}" if "/" not in self.version else f"/apis/{self.version}"
        place = f"{base}/namespaces/{quote(namespace)}" if namespace else base
        return "/".join(filter(None, (place, self.plural, quote(name, safe=""), sub)))


RESOURCES = {
    "Namespace": Resource("v1", "namespaces"),
    "ConfigMap": Resource("v1", "configmaps"),
    "Secret": Resource("v1", "secrets"),
    "ServiceAccount": Resource("v1", "serviceaccounts"),
    "Service": Resource("v1", "services"),
    "PersistentVolumeClaim": Resource("v1", "persistentvolumeclaims"),
    "Pod": Resource("v1", "pods"),
    "Event": Resource("v1", "events"),
    "StatefulSet": Resource("apps/v1", "statefulsets"),
    "DaemonSet": Resource("apps/v1", "daemonsets"),
    "Node": Resource("v1", "nodes"),
    "ResourceQuota": Resource("v1", "resourcequotas"),
    "StorageClass": Resource("storage.k8s.io/v1", "storageclasses"),
    "PodMetrics": Resource("metrics.k8s.io/v1beta1", "pods"),
    "Ingress": Resource("networking.k8s.io/v1", "ingresses"),
    "NetworkPolicy": Resource("networking.k8s.io/v1", "networkpolicies"),
    # v1 since Istio 1.22, which is older than any cluster that is supported here.
    "VirtualService": Resource("networking.istio.io/v1", "virtualservices"),
    "Gateway": Resource("networking.istio.io/v1", "gateways"),
    ISTIO: Resource("networking.istio.io/v1", ""),
    OPENSHIFT: Resource("security.openshift.io/v1", ""),
    "Role": Resource("rbac.authorization.k8s.io/v1", "roles"),
    "RoleBinding": Resource("rbac.authorization.k8s.io/v1", "rolebindings"),
}
