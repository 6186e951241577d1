"""Servers that are not there, or are none: said in three parts, in time."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from homewright.access import engine_key
from homewright.access.connection import Connection, Endpoint, NoFirstContact
from homewright.access.trust import first_contact, scan
from homewright.errors import HomewrightError, StateError, Unreachable
from homewright.site.models import Server
from homewright.site.paths import StateFolder


@contextmanager
def listener(says: bytes | None) -> Iterator[int]:
    """A port where something answers that is no SSH server: it says this and hangs up, or (None) says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        held: list[socket.socket] = []

        def serve() -> None:
            while True:
                try:
                    client, _ = server.accept()
                except OSError:
                    return
                if says is None:
                    held.append(client)
                    continue
                client.sendall(says)
                client.close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        for client in held:
            client.close()
        thread.join(5)


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def check_error(error: HomewrightError) -> None:
    assert error.exit_code == 5
    assert error.what
    assert error.why
    assert error.do
    assert "Traceback" not in error.as_text()


def test_a_closed_port_is_said_at_once() -> None:
    started = time.monotonic()
    with pytest.raises(Unreachable) as caught:
        scan("127.0.0.1", closed_port(), timeout=60)
    assert time.monotonic() - started < 30
    assert "refuses connections" in caught.value.what
    check_error(caught.value)


@pytest.mark.parametrize(
    "says", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"", b"\xff" * 5000], ids=["http", "hangs up", "noise"]
)
def test_what_is_no_ssh_server_is_said_to_be_none(says: bytes) -> None:
    with listener(says) as port, pytest.raises(Unreachable) as caught:
        scan("127.0.0.1", port, timeout=5)
    check_error(caught.value)


def test_a_server_that_says_nothing_is_given_up() -> None:
    started = time.monotonic()
    with listener(None) as port, pytest.raises(Unreachable) as caught:
        scan("127.0.0.1", port, timeout=1)
    assert time.monotonic() - started < 30
    check_error(caught.value)


def test_without_a_key_of_its_own_a_connection_says_what_to_do(tmp_path: Path) -> None:
    endpoint = Endpoint("s1", "127.0.0.1", closed_port(), "lab", tmp_path / "id_ed25519", tmp_path / "known_hosts")
    with pytest.raises(NoFirstContact) as caught:
        Connection.open(endpoint)
    check_error(caught.value)
    assert "homewright trust" in caught.value.as_text()


def test_first_contact_with_a_server_that_is_down_asks_for_no_password(tmp_path: Path) -> None:
    state = StateFolder(tmp_path / "state")
    server = Server(name="s1", address="127.0.0.1", port=closed_port(), user="lab", host_key="SHA256:" + "A" * 43)
    with pytest.raises(Unreachable) as caught:
        first_contact(server, state, "secret")
    assert type(caught.value) is Unreachable
    assert "secret" not in caught.value.as_text()


def test_a_key_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    (tmp_path / "id_ed25519").write_text("no key")
    endpoint = Endpoint("s1", "127.0.0.1", closed_port(), "lab", tmp_path / "id_ed25519", tmp_path / "known_hosts")
    with pytest.raises(StateError):
        Connection.open(endpoint)


def test_a_connection_to_a_server_that_is_down_is_unreachable(tmp_path: Path) -> None:
    state = StateFolder(tmp_path / "state")
    engine_key.ensure(state.key, "homewright@test")
    server = Server(name="s1", address="127.0.0.1", port=closed_port(), user="lab")
    with pytest.raises(Unreachable):
        Connection.open(Endpoint.of(server, state), timeout=2)
    assert not state.known_hosts.exists()
