"""The site's certificates in the cluster: the platform's own, and the renewal of every other that it has signed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from homewright.cluster import certificates, objects
from homewright.cluster.client import Cluster
from homewright.cluster.objects import MANAGED_BY, marked
from homewright.engine.runners.host import Host, Proof, broken, proved
from homewright.errors import HomewrightError
from homewright.site.authority import Authority
from homewright.site.models import Site
from homewright.site.paths import StateFolder

NAMESPACE = "certificates"
PLATFORM = "platform-tls"
PATH = certificates.path(NAMESPACE, PLATFORM)
AUTHORITY_PATH = f"/api/v1/namespaces/{NAMESPACE}/configmaps/site-authority"


def authority(host: Host) -> Authority:
    """The site's own. Raises StateError where it cannot be used."""
    return Authority.of(StateFolder(host.secrets_file.parent).authority, host.site.name)


def names(site: Site) -> tuple[str, ...]:
    """What the platform's certificate is for: the zone, and every name right below it. Raises HomewrightError."""
    if site.zone is None:
        raise HomewrightError("The site has no zone.", "There is no name to sign.", ["homewright site set zone …"])
    return site.zone, f"*.{site.zone}"


def wanted(site: Site, own: Authority) -> dict[str, dict[str, Any]]:
    """Every object but the Secrets, by its path. Pure."""
    labels = marked(site.name, "certificates")
    namespace = {"name": NAMESPACE, "labels": {**labels, "pod-security.kubernetes.io/enforce": "restricted"}}
    return {
        f"/api/v1/namespaces/{NAMESPACE}": {"apiVersion": "v1", "kind": "Namespace", "metadata": namespace},
        AUTHORITY_PATH: {
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "site-authority", "namespace": NAMESPACE, "labels": labels},
            "data": {"ca.crt": own.certificate_pem.decode()},
        },
    }  # fmt: skip


def signed(api: Cluster) -> Iterator[dict[str, Any]]:
    """Every Secret of the cluster whose certificate is the site's to renew, other than the platform's own."""
    selected = ",".join(f"{name}={value}" for name, value in MANAGED_BY.items())
    for found in api.list("/api/v1/secrets", labelSelector=selected, fieldSelector="type=kubernetes.io/tls"):
        metadata = found["metadata"]
        if certificates.wanted_names(found) and (metadata["namespace"], metadata["name"]) != (NAMESPACE, PLATFORM):
            yield found


def issue(api: Cluster, site: Site, own: Authority) -> bool:
    """Have the platform's certificate there and good; whether it had to be issued. Raises Foreign, ClusterError."""
    fresh = certificates.secret(own, NAMESPACE, PLATFORM, names(site), marked(site.name, "certificates"))
    found = objects.require_ours(api, site.name, {PATH: fresh})[PATH]
    if found is not None and not certificates.due(found, names(site), own, datetime.now(UTC)):
        return False
    api.apply(PATH, fresh)
    return True


def renew(api: Cluster, own: Authority) -> list[str]:
    """Issue anew what ends soon or is not good; what that was, as NAMESPACE/NAME. Raises ClusterError."""
    renewed = []
    for found in signed(api):
        wanted_names = certificates.wanted_names(found)
        if certificates.due(found, wanted_names, own, datetime.now(UTC)):
            metadata = found["metadata"]
            fresh = certificates.secret(own, metadata["namespace"], metadata["name"], wanted_names, {})
            # Only its content: whose it is, and what it is for, stays as whoever made it has said.
            api.merge(certificates.path(metadata["namespace"], metadata["name"]), {"data": fresh["data"]})
            renewed.append(f"{metadata['namespace']}/{metadata['name']}")
    return renewed


def prove(api: Cluster, site: Site, own: Authority) -> Proof:
    """Whether every certificate of the site's is there, signed, and lasts."""
    if why := objects.lacking(api, site.name, wanted(site, own)):
        return broken(why)
    found = api.find(PATH)
    if found is None or not objects.is_of(site.name, found):
        return broken(f"The cluster has no Secret {PLATFORM} of this site's.")
    now = datetime.now(UTC)
    if why := certificates.due(found, names(site), own, now):
        return broken(f"The Secret {PLATFORM} {why}.")
    others = list(signed(api))
    for one in others:
        if why := certificates.due(one, certificates.wanted_names(one), own, now):
            return broken(f"The Secret {_place(one)} {why}: homewright apply renews it.")
    last = min(map(certificates.ends, (found, *others)))
    counted = f"{1 + len(others)} certificates are" if others else "The certificate of the platform is"
    return proved(f"{counted} signed by the site's authority, and good until {last:%Y-%m-%d}.")


def _place(found: Mapping[str, Any]) -> str:
    return f"{found['metadata']['namespace']}/{found['metadata']['name']}"
