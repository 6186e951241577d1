"""Certificates in a cluster: TLS Secrets that the site's own authority has signed, and when they are due. Pure."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from homewright.site.authority import Authority

NAMES = "homewright.dev/names"
"""The annotation on a Secret that says for which names it is to be valid; what has it is renewed."""
RENEW_DAYS = 30
"""A certificate that ends sooner is due."""


def path(namespace: str, name: str) -> str:
    """The path of a Secret in the API."""
    return f"/api/v1/namespaces/{namespace}/secrets/{name}"


def secret(
    authority: Authority, namespace: str, name: str, names: Sequence[str], labels: Mapping[str, str]
) -> dict[str, Any]:
    """A Secret with a new key and a certificate for these DNS names; the first is its common name."""
    leaf = authority.issue(names[0], names, ())
    metadata = {
        "name": name, "namespace": namespace, "labels": dict(labels), "annotations": {NAMES: ",".join(names)},
    }  # fmt: skip
    data = {"tls.crt": leaf.chain_pem, "tls.key": leaf.key_pem, "ca.crt": authority.certificate_pem}
    return {
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": metadata,
        "data": {name: base64.b64encode(value).decode() for name, value in data.items()},
    }  # fmt: skip


def wanted_names(found: Mapping[str, Any]) -> tuple[str, ...]:
    """The names that a Secret is to be valid for; none where it is not one that we renew."""
    text = (found["metadata"].get("annotations") or {}).get(NAMES, "")
    return tuple(name for name in text.split(",") if name)


def due(found: Mapping[str, Any], names: Sequence[str], authority: Authority, now: datetime) -> str:
    """Why a Secret's certificate has to be issued anew, in a sentence without its subject; empty where it is good."""
    data = found.get("data") or {}
    try:
        chain = x509.load_pem_x509_certificates(base64.b64decode(data["tls.crt"], validate=True))
        key = load_pem_private_key(base64.b64decode(data["tls.key"], validate=True), password=None)
    except (KeyError, ValueError, TypeError, binascii.Error):
        return "has no certificate with its key"
    leaf, root = chain[0], x509.load_pem_x509_certificate(authority.certificate_pem)
    public = key.public_key()
    if not isinstance(public, ec.EllipticCurvePublicKey) or public != leaf.public_key():
        return "has a key that is not its certificate's"
    try:
        leaf.verify_directly_issued_by(root)
    except Exception:  # cryptography tells a wrong issuer, algorithm and signature by three types
        return "has a certificate that the site's authority has not signed"
    if root not in chain:
        return "does not carry the site's authority"
    valid = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName)
    if set(valid) != set(names):
        return f"is for {', '.join(valid)}, not for {', '.join(names)}"
    ends = leaf.not_valid_after_utc
    if ends <= now:
        return f"has ended on {ends:%Y-%m-%d}"
    # A leaf never outlives its authority: then a new one would be no better.
    if ends - now < timedelta(days=RENEW_DAYS) and ends < authority.expires:
        return f"ends on {ends:%Y-%m-%d}"
    return ""


def ends(found: Mapping[str, Any]) -> datetime:
    """When a Secret's certificate ends (UTC). Raises ValueError where it has none."""
    try:
        return x509.load_pem_x509_certificate(base64.b64decode(found["data"]["tls.crt"])).not_valid_after_utc
    except (KeyError, TypeError) as error:
        raise ValueError("no certificate") from error
