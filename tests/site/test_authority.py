"""The private CA, judged by OpenSSL's own tools. (Chromium judges it in the workspace's browser test.)"""

from __future__ import annotations

import socket
import ssl
import stat
import subprocess
import threading
from pathlib import Path

import pytest

from homewright.errors import StateError
from homewright.site.authority import Authority


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("state") / "attic" / "ca"
    Authority.of(folder)
    return folder


def verify(folder: Path, chain: bytes, *options: str) -> subprocess.CompletedProcess[str]:
    leaf = folder / "leaf.pem"
    leaf.write_bytes(chain)
    command = [
        "openssl",
        "verify",
        "-x509_strict",
        "-purpose",
        "sslserver",
        *options,
        "-CAfile",
        folder / "ca.crt",
        leaf,
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def test_it_is_made_once_and_private(folder: Path) -> None:
    again = Authority.of(folder)
    assert again.fingerprint == Authority.of(folder).fingerprint
    assert again.fingerprint.startswith("SHA256:") and len(again.fingerprint) == 7 + 32 * 3 - 1
    assert stat.S_IMODE((folder / "ca.key").stat().st_mode) == 0o600
    assert "PRIVATE" not in repr(again) and again.certificate_pem == (folder / "ca.crt").read_bytes()
    text = subprocess.run(
        ["openssl", "x509", "-noout", "-text", "-in", folder / "ca.crt"], capture_output=True, text=True, check=True
    ).stdout
    assert "CN = Homewright attic" in text
    assert "CA:TRUE, pathlen:0" in text and "Certificate Sign, CRL Sign" in text


def test_openssl_accepts_leaves_for_their_names_alone(folder: Path) -> None:
    leaf = Authority.of(folder).issue("code-ann", ["code-ann.s2.home.internal"], ["10.0.0.2"])
    assert b"PRIVATE" in leaf.key_pem and "PRIVATE" not in repr(leaf)
    for good in (["-verify_ip", "10.0.0.2"], ["-verify_hostname", "code-ann.s2.home.internal"]):
        result = verify(folder, leaf.chain_pem, *good)
        assert result.returncode == 0, result.stderr
    for bad in (["-verify_ip", "10.0.0.3"], ["-verify_hostname", "code-bob.s2.home.internal"]):
        assert verify(folder, leaf.chain_pem, *bad).returncode != 0


def test_a_leaf_signs_nothing_and_another_root_is_refused(folder: Path, tmp_path: Path) -> None:
    leaf = Authority.of(folder).issue("x", [], ["10.0.0.2"])
    text = subprocess.run(
        ["openssl", "x509", "-noout", "-text"], input=leaf.chain_pem, capture_output=True, check=True
    ).stdout.decode()
    assert "CA:FALSE" in text and "TLS Web Server Authentication" in text
    assert 396 <= (leaf.expires - Authority.of(folder).expires).days + 3650 <= 398
    stranger = Authority.of(tmp_path / "ca").issue("x", [], ["10.0.0.2"])
    assert verify(folder, stranger.chain_pem).returncode != 0


def test_a_tls_client_that_trusts_the_root_connects(folder: Path, tmp_path: Path) -> None:
    leaf = Authority.of(folder).issue("x", ["localhost"], ["127.0.0.1"])
    (tmp_path / "key").write_bytes(leaf.key_pem)
    (tmp_path / "chain").write_bytes(leaf.chain_pem)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(tmp_path / "chain", tmp_path / "key")
    client = ssl.create_default_context(cafile=str(folder / "ca.crt"))
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with server.wrap_socket(connection, server_side=True) as stream:
                stream.sendall(b"hello")

        thread = threading.Thread(target=answer)
        thread.start()
        with (
            socket.create_connection(listener.getsockname(), timeout=10) as connection,
            client.wrap_socket(connection, server_hostname="127.0.0.1") as stream,
        ):
            assert stream.recv(5) == b"hello"
        thread.join(timeout=10)


def test_a_power_loss_between_key_and_certificate_is_mended(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "ca").mkdir()
    (tmp_path / "ca" / "ca.key").write_bytes((folder / "ca.key").read_bytes())
    assert Authority.of(tmp_path / "ca").fingerprint != Authority.of(folder).fingerprint


def test_damage_is_told_without_the_key(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "ca"
    Authority.of(other)
    (other / "ca.key").write_bytes((folder / "ca.key").read_bytes())
    with pytest.raises(StateError, match="cannot be used") as caught:
        Authority.of(other)
    assert "belong together" in caught.value.why
    (other / "ca.key").write_text("-----BEGIN PRIVATE KEY-----\ncanary\n-----END PRIVATE KEY-----\n")
    with pytest.raises(StateError) as caught:
        Authority.of(other)
    assert "canary" not in caught.value.as_text()


@pytest.mark.parametrize(("names", "addresses"), [([], []), ([], ["300.1.1.1"])])
def test_a_leaf_without_a_right_name_is_refused(folder: Path, names: list[str], addresses: list[str]) -> None:
    with pytest.raises(ValueError):
        Authority.of(folder).issue("x", names, addresses)
