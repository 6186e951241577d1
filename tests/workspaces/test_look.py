"""What is read from a node's kernel."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from homewright.site.authority import Authority
from homewright.workspaces.nodeside.look import Sockets, address, health, owner_of

TABLE = """  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 290013C6:2134 00000000:0000 0A 00000000:00000000 00:00000000 00000000   998        0 4242 1 0 100 0 0 10 0
   1: 290013C6:2134 010013C6:A1B2 01 00000000:00000000 00:00000000 00000000   998        0 4243 1 0 20 4 30 10 -1
   2: 290013C6:2134 010013C6:A1B3 01 00000000:00000000 00:00000000 00000000   998        0 4244 1 0 20 4 30 10 -1
   3: 0100007F:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 17 1 0 100 0 0 10 0
"""


def test_listeners_and_guests_are_told_apart() -> None:
    sockets = Sockets([TABLE, "  sl header only\n"])
    assert sockets.listening == {8500: (998, "4242"), 22: (0, "17")}
    assert sockets.established == {8500: Counter({"198.19.0.1": 2})}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("0100007F", "127.0.0.1"),
        ("0000000000000000FFFF00000100007F", "127.0.0.1"),
        ("00000000000000000000000001000000", "::1"),
        ("B80D0120000000000000000001000000", "2001:db8::1"),
    ],
)
def test_addresses_are_written_in_the_machine_s_words(text: str, shown: str) -> None:
    assert address(text) == shown


def test_the_process_behind_a_port_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        _, inode = Sockets.now().listening[port]
        assert f"(process {os.getpid()})" in owner_of(inode)


@pytest.fixture
def silent_server() -> int:
    """Something that takes connections and closes them: no TLS, no code-server."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        connection.close()
        listener.close()

    threading.Thread(target=serve, daemon=True).start()
    return int(listener.getsockname()[1])


def test_what_is_no_code_server_is_not_healthy(tmp_path: Path, silent_server: int) -> None:
    certificate = Authority.of(tmp_path / "ca", "test").certificate_pem.decode()
    seen = health("127.0.0.1", silent_server, certificate, "/healthz")
    assert seen["ok"] is False
    assert seen["problem"]


def hostile_server(folder: Path, answer: bytes, pause_s: float = 0.0) -> tuple[int, str]:
    """What somebody inside a workspace may put in its editor's place: its certificate, and an answer of its own."""
    authority = Authority.of(folder / "ca", "test")
    leaf = authority.issue("hostile", (), ("127.0.0.1",))
    (folder / "tls.crt").write_bytes(leaf.chain_pem)
    (folder / "tls.key").write_bytes(leaf.key_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        with contextlib.suppress(OSError), listener, context.wrap_socket(connection, server_side=True) as secure:
            secure.recv(4096)
            for at in range(len(answer)) if pause_s else ():
                secure.sendall(answer[at : at + 1])
                threading.Event().wait(pause_s)
            if not pause_s:
                secure.sendall(answer)

    threading.Thread(target=serve, daemon=True).start()
    return int(listener.getsockname()[1]), authority.certificate_pem.decode()


@pytest.mark.parametrize(
    ("body", "ok", "heartbeat"),
    [
        ('{"lastHeartbeat": 1700000000000}', True, 1_700_000_000),
        ('{"lastHeartbeat": 0}', True, None),
        ('{"lastHeartbeat": "soon"}', True, None),
        ('{"lastHeartbeat": Infinity}', True, None),
        ('{"lastHeartbeat": 1' + "0" * 400 + "}", True, None),
        ("[" * 4000, False, None),
        ("[]", False, None),
    ],
)
def test_no_answer_of_a_workspace_spoils_the_look_at_its_node(
    tmp_path: Path, body: str, ok: bool, heartbeat: float | None
) -> None:
    answer = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
    seen = health("127.0.0.1", *hostile_server(tmp_path, answer), "/healthz")
    assert (seen["ok"], seen.get("heartbeat")) == (ok, heartbeat)


def test_an_answer_that_comes_in_drops_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("homewright.workspaces.nodeside.look.HEALTH_TIMEOUT_S", 0.5)
    port, authority = hostile_server(tmp_path, b"HTTP/1.1 200 OK\r\n" + b"X-More: 1\r\n" * 400, pause_s=0.05)
    began = time.monotonic()
    seen = health("127.0.0.1", port, authority, "/healthz")
    assert not seen["ok"] and seen["problem"]
    assert time.monotonic() - began < 15
