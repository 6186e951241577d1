"""The API over real TLS: who is believed, who we are there, what its refusals mean. Its answers are written here."""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Address
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from homewright.cluster import client, credentials, kubeconfig, looking
from homewright.cluster.client import (
    Cluster,
    ClusterAway,
    ClusterConflict,
    ClusterError,
    ClusterForbidden,
    ClusterMissing,
    wait,
)
from homewright.cluster.kubeconfig import Kubeconfig, KubeconfigError
from homewright.errors import Unreachable
from homewright.site.secrets import Secrets
from homewright.workspaces.backends.kubernetes.api import Api as WorkspacesApi


@dataclass(frozen=True)
class Identity:
    certificate: bytes
    key: bytes = field(repr=False)


def identity(name: str, issuer: Identity | None = None) -> Identity:
    """A certificate for 127.0.0.1, signed by the issuer, or an authority of its own."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    by = x509.load_pem_x509_certificate(issuer.certificate).subject if issuer else subject
    signer = serialization.load_pem_private_key(issuer.key, None) if issuer else key
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=90))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .sign(signer, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return Identity(made.public_bytes(serialization.Encoding.PEM), private)


CA, OTHER_CA = identity("cluster"), identity("another cluster")
ADMIN = identity("admin", CA)
STATUS = {403: "nodes is forbidden", 404: "not found", 409: "already exists", 401: "Unauthorized", 500: "etcd is away",
          302: "elsewhere"}  # fmt: skip


class Api(BaseHTTPRequestHandler):
    """What a cluster answers, by path; every request is written down."""

    asked: list[dict[str, Any]] = []
    answers: dict[str, Any] = {}
    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        if key := self.headers.get("Sec-WebSocket-Key"):
            proof = hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()  # RFC 6455, 4.2.2
            self.send_response(101)
            for name, value in {"Upgrade": "websocket", "Connection": "Upgrade",
                                "Sec-WebSocket-Accept": base64.b64encode(proof).decode()}.items():  # fmt: skip
                self.send_header(name, value)
            self.end_headers()
            return
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        who = self.connection.getpeercert() or {}  # type: ignore[attr-defined]  # a socket of TLS
        name = dict(pair[0] for pair in who.get("subject", ())).get("commonName", "")
        self.asked.append(
            {
                "who": name, "method": self.command, "path": self.path, "body": json.loads(body) if body else None,
                "content": self.headers.get("Content-Type"), "token": self.headers.get("Authorization"),
            }
        )  # fmt: skip
        found = self.answers.get(self.path, 404)
        status = found if isinstance(found, int) else 200
        data = json.dumps({"message": STATUS[status]} if isinstance(found, int) else found).encode()
        if isinstance(found, str):
            data = found.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        if status == 302:
            self.send_header("Location", "/version")
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PATCH = do_DELETE = _answer  # noqa: N815  # http.server's own names

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("tls")
    own = identity("api", CA)
    (folder / "own.pem").write_bytes(own.certificate + own.key)
    (folder / "ca.pem").write_bytes(CA.certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "own.pem")
    context.load_verify_locations(folder / "ca.pem")
    context.verify_mode = ssl.CERT_OPTIONAL
    server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield f"https://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def _fresh() -> None:
    Api.asked.clear()
    Api.answers.clear()


def config(address: str, ca: Identity = CA) -> Kubeconfig:
    return kubeconfig.read(kubeconfig.write("attic", address, "admin", ca.certificate, ADMIN.certificate, ADMIN.key))


def in_memory() -> int:
    """How many of our files that are on no disk are open."""
    links = (file.readlink() for file in Path("/proc/self/fd").iterdir() if file.is_symlink())
    return sum(str(link).startswith("/memfd:cluster") for link in links)


def test_we_are_known_by_our_certificate_and_nothing_is_left_on_a_disk(address: str, tmp_path: Path) -> None:
    Api.answers["/version"] = {"gitVersion": "v1.36.3"}
    with Cluster(config(address)) as api:
        assert api.get("/version") == {"gitVersion": "v1.36.3"}
        assert in_memory() == 3, "the CA, our certificate and our key"
    assert Api.asked[0]["who"] == "admin" and in_memory() == 0 and not list(tmp_path.iterdir())


def test_another_clusters_certificate_is_not_believed(address: str) -> None:
    with Cluster(config(address, OTHER_CA)) as api, pytest.raises(ClusterAway, match="another certificate"):
        api.get("/version")
    assert Api.asked == []


def test_nobody_there_is_told_with_what_to_do() -> None:
    with Cluster(config("https://127.0.0.1:1")) as api, pytest.raises(ClusterAway) as caught:
        api.get("/version")
    assert caught.value.exit_code == 5 and caught.value.do


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, ClusterForbidden),
        (403, ClusterForbidden),
        (404, ClusterMissing),
        (409, ClusterConflict),
        (500, ClusterError),
    ],
)
def test_refusals_are_told_in_the_clusters_own_words(address: str, status: int, kind: type[ClusterError]) -> None:
    Api.answers["/api/v1/nodes"] = status
    with Cluster(config(address)) as api, pytest.raises(kind) as caught:
        api.get("/api/v1/nodes")
    assert STATUS[status] in caught.value.why


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="Linux has it")
def test_a_conversation_with_a_dead_connection_ends(address: str) -> None:
    with Cluster(config(address)) as api:
        channel = api.channel("/api/v1/namespaces/n/pods/p/exec", {"command": ["sh"]}, ())
        assert channel.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 30_000
        channel.shutdown()


def test_what_is_not_there_is_none_and_is_deleted_already(address: str) -> None:
    with Cluster(config(address)) as api:
        assert api.find("/api/v1/nodes/s9") is None
        assert api.delete("/api/v1/nodes/s9") is False


def test_a_list_is_asked_for_page_by_page(address: str) -> None:
    Api.answers["/api/v1/pods?limit=500"] = {"items": [{"n": 1}, {"n": 2}], "metadata": {"continue": "a/b"}}
    Api.answers["/api/v1/pods?limit=500&continue=a%2Fb"] = {"items": [{"n": 3}], "metadata": {}}
    with Cluster(config(address)) as api:
        assert [one["n"] for one in api.list("/api/v1/pods")] == [1, 2, 3]


def test_an_api_below_a_path_is_asked_there_and_nobody_is_followed_elsewhere(address: str) -> None:
    Api.answers["/k8s/clusters/c-1/version"] = {"gitVersion": "v1.36.3"}
    Api.answers["/k8s/clusters/c-1/api/v1/nodes/s1"] = 302
    with Cluster(config(f"{address}/k8s/clusters/c-1/")) as api:
        assert api.get("/version") == {"gitVersion": "v1.36.3"}
        with pytest.raises(ClusterError, match="302"):
            api.get("/api/v1/nodes/s1")
    assert [one["path"] for one in Api.asked] == list(Api.answers)


def test_what_is_applied_says_who_manages_it(address: str) -> None:
    path = "/api/v1/namespaces/devenv"
    Api.answers[f"{path}?fieldManager=homewright&force=true"] = {"metadata": {"name": "devenv"}}
    Api.answers[f"{path}?fieldManager=homewright"] = {"metadata": {}}
    with Cluster(config(address)) as api:
        api.apply(path, {"kind": "Namespace"})
        api.merge(path, {"metadata": {"labels": {"a": None}}})
    applied, merged = Api.asked
    assert (applied["method"], applied["content"]) == ("PATCH", "application/apply-patch+yaml")
    assert (merged["content"], merged["body"]) == (
        "application/merge-patch+json",
        {"metadata": {"labels": {"a": None}}},
    )


VERSION = "client.authentication.k8s.io/v1"


def with_program(address: str, folder: Path, script: str, **more: Any) -> Kubeconfig:
    """A kubeconfig whose program is this script."""
    program = folder / "sign-in"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o700)
    document = json.loads(kubeconfig.write("attic", address, "admin", CA.certificate, ADMIN.certificate, ADMIN.key))
    document["users"][0]["user"] = {
        "exec": {"apiVersion": VERSION, "command": str(program), "interactiveMode": "Never", **more}
    }
    return kubeconfig.read(json.dumps(document))


def credential(**status: str) -> str:
    return json.dumps({"apiVersion": VERSION, "kind": "ExecCredential", "status": status})


def test_a_program_of_the_kubeconfig_signs_us_in(address: str, tmp_path: Path) -> None:
    script = f"""[ -t 0 ] && exit 1; (: >/dev/tty) 2>/dev/null && exit 2
echo "$1 $OWN $KUBERNETES_EXEC_INFO" >{tmp_path}/said
echo '{credential(token="t0k")}'"""
    Api.answers["/version"] = {"gitVersion": "v1.36.3"}
    config = with_program(address, tmp_path, script, args=["get-token"], env=[{"name": "OWN", "value": "attic"}])
    with Cluster(config) as api:
        api.get("/version")
    assert (Api.asked[0]["token"], Api.asked[0]["who"]) == ("Bearer t0k", "")
    words = (tmp_path / "said").read_text().split(" ", 2)
    assert words[:2] == ["get-token", "attic"]
    assert json.loads(words[2]) == {"apiVersion": VERSION, "kind": "ExecCredential", "spec": {"interactive": False}}


def test_a_program_gives_a_certificate_that_no_disk_sees(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    answer = tmp_path / "answer"
    answer.write_text(credential(clientCertificateData=ADMIN.certificate.decode(), clientKeyData=ADMIN.key.decode()))
    Api.answers["/version"] = {"gitVersion": "v1.36.3"}
    with Cluster(with_program(address, tmp_path, f"cat {answer}")) as api:
        api.get("/version")
        assert in_memory() == 3 and not list(scratch.iterdir())
    assert Api.asked[0]["who"] == "admin"


@pytest.mark.parametrize(
    ("script", "more", "said"),
    [
        ("echo 'log in first' >&2; exit 3", {}, "It ended with 3: log in first"),
        ("printf 'a\\033]0;x\\007b' >&2; exit 1", {}, "It ended with 1: a"),
        ("sleep 600 & sleep 600", {}, "It was ended after 0 s"),
        ("echo t0k", {}, "no ExecCredential"),
        ("echo '{}'", {}, "no ExecCredential"),
        (f"echo '{credential()}'", {}, "neither a token nor"),
        (f"echo '{credential(token='t')}'", {"apiVersion": "client.authentication.k8s.io/v1beta1"}, "answers in"),
        ("", {"command": "/nowhere/x", "installHint": "Install x."}, "No such file or directory. Install x."),
        ("", {"interactiveMode": "Always"}, "at a terminal"),
    ],
)
def test_a_program_that_fails_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, more: dict[str, str], said: str
) -> None:
    if "sleep" in script:
        monkeypatch.setattr(credentials, "PROGRAM_S", 0.3)
    with pytest.raises(KubeconfigError, match="does not sign us in") as caught:
        Cluster(with_program("https://127.0.0.1:1", tmp_path, script, **more))
    assert said in caught.value.why and "\x1b" not in caught.value.as_text() and "t0k" not in caught.value.as_text()
    assert in_memory() == 0


def test_workspaces_hear_why_a_program_does_not_sign_them_in(tmp_path: Path) -> None:
    config = with_program("https://127.0.0.1:1", tmp_path, "echo 'log in first' >&2; exit 3")
    with pytest.raises(Unreachable, match="does not sign us in") as caught:
        WorkspacesApi(lambda: config, patience_s=0).get("Pod", "devenv", "one")
    assert "log in first" in caught.value.why


def test_a_look_changes_nothing_and_hides_nothing_that_is_forbidden(address: str) -> None:
    reviews = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
    rules = [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]
    Api.answers |= {
        "/version": {"gitVersion": "v1.35.1"},
        f"{reviews}?fieldManager=homewright": {"status": {"resourceRules": rules, "incomplete": False}},
        "/api/v1/nodes?limit=500": 403,
        "/apis/storage.k8s.io/v1/storageclasses?limit=500": {"items": [{"metadata": {"name": "fast"}}]},
        "/apis/networking.k8s.io/v1/ingressclasses?limit=500": {"items": []},
        "/apis/apps/v1/daemonsets?limit=500": {"items": [{"metadata": {"name": "cilium"}}]},
        "/api/v1/services?limit=500": {"items": []},
        "/apis": {"groups": [{"name": "networking.istio.io"}]},
    }
    with Cluster(config(address)) as api:
        found = looking.report(api)
    assert found.istio and not found.constraints and found.sort == "other"
    assert {(one["method"], one["path"].partition("?")[0]) for one in Api.asked if one["method"] != "GET"} == {
        ("POST", reviews)
    }
    assert found.kubernetes == "v1.35.1" and found.enforces_policies is True and found.until is not None
    assert "list pods" in found.forbidden and "get pods" not in found.forbidden
    assert any(lack.what == "nodes cannot be looked at." and lack.why == STATUS[403] for lack in found.lacks)


def test_the_sites_own_kubeconfig_is_a_secret(tmp_path: Path) -> None:
    kept = Secrets(tmp_path / "secrets.json")
    with pytest.raises(KubeconfigError, match="has no kubeconfig") as caught:
        client.of_site(kept)
    assert "homewright apply" in caught.value.as_text(), "stage 40/core/cluster makes one"
    text = kubeconfig.write("attic", "https://192.0.2.1:6443", "admin", CA.certificate, ADMIN.certificate, ADMIN.key)
    kept.set(kubeconfig.SECRET, text)
    assert client.of_site(kept).server == "https://192.0.2.1:6443"


def test_waiting_ends_with_the_last_reason() -> None:
    reasons = iter(["not yet", ""])
    assert wait(30, lambda: next(reasons)) == ""

    def away() -> str:
        raise ClusterAway("It is away.", "Nobody answers.")

    assert wait(0, away) == "It is away. Nobody answers."


def test_what_comes_soon_is_seen_soon_and_what_does_not_is_asked_for_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    clock = SimpleNamespace(monotonic=lambda: sum(pauses), sleep=pauses.append)
    monkeypatch.setattr(client, "time", clock)
    assert wait(10, lambda: "not yet") == "not yet"
    assert pauses[0] <= 0.05 and sum(pauses[:3]) < 0.5
    assert pauses == sorted(pauses) and pauses[-1] == 0.5 and sum(pauses) <= 10.5
