"""A kubeconfig is read, its context chosen, and what cannot be used is told."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from ruamel.yaml import YAML

from homewright.cluster import kubeconfig
from homewright.cluster.kubeconfig import KubeconfigError

ENDS = datetime(2031, 5, 6, 7, 8, 9, tzinfo=UTC)


def certificate() -> tuple[bytes, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "somebody")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(ENDS - timedelta(days=365))
        .not_valid_after(ENDS)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return made.public_bytes(serialization.Encoding.PEM), private


def document(**changes: Any) -> dict[str, Any]:
    pem, key = certificate()
    made = {
        "contexts": [
            {"name": "home", "context": {"cluster": "c1", "user": "u1"}},
            {"name": "work", "context": {"cluster": "c2", "user": "u2"}},
        ],
        "current-context": "home",
        "clusters": [
            {"name": "c1", "cluster": {"server": "https://192.0.2.1:6443", "certificate-authority-data": b64(pem)}},
            {"name": "c2", "cluster": {"server": "https://192.0.2.2", "insecure-skip-tls-verify": True}},
        ],
        "users": [
            {"name": "u1", "user": {"client-certificate-data": b64(pem), "client-key-data": b64(key)}},
            {"name": "u2", "user": {"exec": {"command": "aws", "args": ["eks", "get-token"]}}},
        ],
    }
    return made | changes


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def text(value: dict[str, Any]) -> str:
    import io

    stream = io.StringIO()
    YAML(typ="safe", pure=True).dump(value, stream)
    return stream.getvalue()


def test_the_current_context_is_taken_unless_another_is_named() -> None:
    written = text(document())
    home, work = kubeconfig.read(written), kubeconfig.read(written, "work")
    assert (home.context, home.server, home.user, home.program) == ("home", "https://192.0.2.1:6443", "u1", "")
    assert home.expires == ENDS and not home.unverified and home.ca_pem.startswith(b"-----BEGIN CERTIFICATE")
    assert (work.server, work.program, work.unverified, work.expires) == ("https://192.0.2.2", "aws", True, None)
    assert work.document["current-context"] == "work"


def test_what_is_written_is_read_again() -> None:
    pem, key = certificate()
    again = kubeconfig.read(kubeconfig.write("attic", "https://192.0.2.1:6443", "admin", pem, pem, key))
    assert (again.context, again.user, again.ca_pem, again.key_pem) == ("attic", "admin", pem, key)


def test_whoever_comes_in_another_way_has_the_rest_of_it_as_it_was() -> None:
    written = text(document())
    led = kubeconfig.read(kubeconfig.led(written, "https://198.51.100.1:6443", "kubernetes"))
    before = kubeconfig.read(written)
    assert (led.server, led.server_name) == ("https://198.51.100.1:6443", "kubernetes")
    assert (led.ca_pem, led.key_pem, led.user) == (before.ca_pem, before.key_pem, before.user)
    assert kubeconfig.read(kubeconfig.led(written, "https://198.51.100.1", "x"), "work").server == "https://192.0.2.2"


@pytest.mark.parametrize(
    ("changes", "context", "said"),
    [
        ({}, "garden", "no context garden"),
        ({"current-context": ""}, None, "which context"),
        ({"contexts": None}, None, "no contexts"),
        ({"contexts": [{"name": "home", "context": {"cluster": "c9", "user": "u1"}}]}, None, "no cluster"),
        ({"clusters": [{"name": "c1", "cluster": {"server": "https://a", "certificate-authority": "/ca"}}]}, None,
         "points to a file: certificate-authority"),
        ({"users": [{"name": "u1", "user": {"client-key-data": "%%"}}]}, None, "no certificate or key"),
        ({"clusters": [{"name": "c1", "cluster": {"server": "https://a", "certificate-authority-data": b64(b"x")}}]},
         None, "no certificate or key"),
    ],
    ids=["another", "none current", "no list", "no cluster", "a file", "no key", "no certificate"],
)  # fmt: skip
def test_what_cannot_be_used_is_told(changes: dict[str, Any], context: str | None, said: str) -> None:
    with pytest.raises(KubeconfigError) as caught:
        kubeconfig.read(text(document(**changes)), context)
    assert said in caught.value.as_text() and caught.value.do


def test_no_yaml_is_told_and_a_key_is_in_no_message() -> None:
    with pytest.raises(KubeconfigError, match="cannot be used"):
        kubeconfig.read("{")
    shown = repr(kubeconfig.read(text(document())))
    assert "PRIVATE KEY" not in shown and "client-key-data" not in shown
