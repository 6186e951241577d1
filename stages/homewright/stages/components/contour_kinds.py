"""The kinds of object that Contour asks the cluster for: it does not begin without them. Pure.

Homewright uses none but the delegation of a certificate, so the cluster is told their names and keeps their fields as
they come; Contour itself judges what is in them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from homewright.cluster.client import Cluster, ClusterMissing
from homewright.cluster.objects import marked
from homewright.site.models import Site

GROUP = "projectcontour.io"
PATH = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


@dataclass(frozen=True)
class Kind:
    """One of them."""

    kind: str
    plural: str
    version: str


KINDS = (
    Kind("HTTPProxy", "httpproxies", "v1"),
    Kind("TLSCertificateDelegation", "tlscertificatedelegations", "v1"),
    Kind("ExtensionService", "extensionservices", "v1alpha1"),
    Kind("ContourConfiguration", "contourconfigurations", "v1alpha1"),
)
"""As Contour 1.33 has them in apis/projectcontour."""


def wanted(site: Site) -> dict[str, dict[str, Any]]:
    """Their definitions by path."""
    return {f"{PATH}/{kind.plural}.{GROUP}": _definition(site, kind) for kind in KINDS}


def is_used(api: Cluster, path: str) -> bool:
    """Whether the cluster has an object of the kind that is defined there."""
    kind = next(kind for kind in KINDS if path.endswith(f"/{kind.plural}.{GROUP}"))
    try:
        return any(True for _ in api.list(f"/apis/{GROUP}/{kind.version}/{kind.plural}"))
    except ClusterMissing:
        return False


def _definition(site: Site, kind: Kind) -> dict[str, Any]:
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {
        "name": kind.version, "served": True, "storage": True,
        "schema": {"openAPIV3Schema": schema}, "subresources": {"status": {}},
    }  # fmt: skip
    names = {
        "kind": kind.kind, "plural": kind.plural, "singular": kind.kind.lower(), "listKind": f"{kind.kind}List",
    }  # fmt: skip
    return {
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{GROUP}", "labels": marked(site.name, "contour")},
        "spec": {"group": GROUP, "scope": "Namespaced", "names": names, "versions": [version]},
    }  # fmt: skip
