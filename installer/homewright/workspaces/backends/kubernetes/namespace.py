"""What workspaces need of their namespace, made once: its walls, and the rights to look after what is inside. Pure.

`homewright workspace export --setup` prints these, for the administrator of a cluster that is not Homewright's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network

from homewright.workspaces.backends.kubernetes.manifests import Manifest
from homewright.workspaces.backends.kubernetes.words import MADE_FOR, MANAGER, NAMESPACE
from homewright.workspaces.template_models import PodTemplate

ROLE = "homewright-workspaces"
"""Role, binding and service account of whoever manages workspaces with no other rights."""
CONSTRAINT = "nonroot-v2"
"""The SecurityContextConstraints of OpenShift (>= 4.11) that workspaces run under."""
_NAME = "kubernetes.io/metadata.name"
"""Every namespace has this label (Kubernetes >= 1.22)."""
NOT_THE_INTERNET = (
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16",
    "224.0.0.0/4", "240.0.0.0/4",
)  # fmt: skip
"""IANA's special-purpose IPv4 ranges that people use at home or that lead to a machine's own services (RFC 6890)."""

RIGHTS: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
    ("", ("configmaps", "persistentvolumeclaims"), ("get", "list", "watch", "create", "patch", "delete")),
    ("", ("secrets", "serviceaccounts", "services"), ("get", "create", "patch", "delete")),
    ("apps", ("statefulsets",), ("get", "list", "watch", "create", "patch", "delete")),
    ("networking.k8s.io", ("networkpolicies", "ingresses"), ("get", "create", "patch", "delete")),
    ("networking.istio.io", ("virtualservices",), ("get", "create", "patch", "delete")),
    ("", ("pods",), ("get", "list", "watch", "delete")),
    ("", ("pods/log",), ("get",)),
    # Both: a conversation begins with a GET, and Kubernetes >= 1.35 wants to be asked for `create` as well.
    ("", ("pods/exec", "pods/portforward"), ("get", "create")),
    ("", ("events",), ("list", "watch")),
    ("", ("resourcequotas",), ("list",)),
    ("metrics.k8s.io", ("pods",), ("list",)),
    ("", ("namespaces",), ("get",)),  # of a Role: this very namespace
)
"""API group, resources, verbs: what every verb together needs, in the namespaces of workspaces alone."""


@dataclass(frozen=True)
class Walls:
    """What workspaces may be reached by, and what they may not reach."""

    ingress_namespaces: tuple[str, ...] = ("ingress",)
    """Where ingress controllers run."""
    site_ranges: tuple[str, ...] = ()
    """The site's own networks (IPv4, CIDR): no part of the internet."""


def objects(template: PodTemplate, walls: Walls, *, constraints: bool = False) -> tuple[Manifest, ...]:
    """Namespace, rights and walls of a template, in their order; `constraints`: the cluster has OpenShift's.

    The walls come last: where they are, all is there. Workspaces are made after them alone.
    """
    accounts = (accounts_of_pods(template.namespace),) if constraints else ()
    return (_namespace(template), *accounts, *rights(template.namespace), policy(template, walls))


def accounts_of_pods(namespace: str) -> Manifest:
    """What lets this namespace's pods run as the user that their template names, on OpenShift.

    Its default, restricted-v2, takes only users of a range that it has drawn for the namespace: a pod that names its
    own is refused. nonroot-v2 is the same but for that: no root, no capabilities, nothing of the host.
    """
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": f"{ROLE}-{CONSTRAINT}", "namespace": namespace, "labels": _ours()},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "ClusterRole",
            "name": f"system:openshift:scc:{CONSTRAINT}",
        },
        "subjects": [
            {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "Group",
                "name": f"system:serviceaccounts:{namespace}",
            }
        ],
    }


def _namespace(template: PodTemplate) -> Manifest:
    level = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "audit", "warn")}
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": template.namespace, "labels": {MADE_FOR[0]: MADE_FOR[1], NAMESPACE: "true", **level}},
    }


def policy(template: PodTemplate, walls: Walls) -> Manifest:
    """In: the ingress controller, to the web port. Out: names, the internet, and the services that are named."""
    web = next(port for port in template.ports if port.name == template.web)
    controllers = [{"namespaceSelector": {"matchLabels": {_NAME: name}}} for name in walls.ingress_namespaces]
    dns = [{"protocol": protocol, "port": 53} for protocol in ("UDP", "TCP")]
    egress: list[Manifest] = [
        {"to": [{"namespaceSelector": {"matchLabels": {_NAME: "kube-system"}}}], "ports": dns},
        {"to": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": list(forbidden(walls.site_ranges))}}]},
    ]
    egress += [
        {
            "to": [{"namespaceSelector": {"matchLabels": {_NAME: reach.namespace}}}],
            "ports": [{"protocol": "TCP", "port": port} for port in reach.ports],
        }
        for reach in template.reaches
    ]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": template.policy, "namespace": template.namespace, "labels": _ours()},
        "spec": {
            "podSelector": {},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"from": controllers, "ports": [{"protocol": "TCP", "port": web.container}]}],
            "egress": egress,
        },
    }


def forbidden(site_ranges: Sequence[str]) -> tuple[str, ...]:
    """The ranges that are no internet: the special ones, and the site's own where those do not hold them already."""
    special = [IPv4Network(text) for text in NOT_THE_INTERNET]
    found = list(NOT_THE_INTERNET)
    for text in site_ranges:
        network = IPv4Network(text)
        if not any(network.subnet_of(other) for other in special):
            found.append(str(network))
    return tuple(dict.fromkeys(found))


def rights(namespace: str) -> tuple[Manifest, ...]:
    """The least rights that every verb together needs, for a service account of that name."""
    metadata = {"name": ROLE, "namespace": namespace, "labels": _ours()}
    rules = [
        {"apiGroups": [group], "resources": list(resources), "verbs": list(verbs)} for group, resources, verbs in RIGHTS
    ]
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": ROLE}
    return (
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata},
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": metadata, "rules": rules},
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": metadata,
            "roleRef": reference,
            "subjects": [{"kind": "ServiceAccount", "name": ROLE, "namespace": namespace}],
        },
    )


def _ours() -> dict[str, str]:
    return {MADE_FOR[0]: MADE_FOR[1], "app.kubernetes.io/part-of": MANAGER}
