"""Servers that are not there, or are none: said in three parts, in time."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import paramiko
import pytest

from homewright.access import engine_key, known_hosts
from homewright.access.connection import Connection, Endpoint, KeyRefused, NoFirstContact
from homewright.access.handshake import hang_up, open_strict
from homewright.access.known_hosts import HostKey
from homewright.access.sign_in import Means, sign_in
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


class Doorman(paramiko.ServerInterface):
    """An SSH server's mind: it refuses every key, or accepts it and hangs up as sshd does where PAM lets nobody in."""

    def __init__(self, transport: paramiko.Transport, says: str, hangs_up: bool, waits_for: threading.Event) -> None:
        self._transport, self._says, self._hangs_up, self._waits_for = transport, says, hangs_up, waits_for

    def get_banner(self) -> tuple[str, str]:
        return self._says, "en"

    def get_allowed_auths(self, username: str) -> str:
        return "publickey"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        self._waits_for.wait(30)
        if self._hangs_up:
            self._transport.close()
        return paramiko.common.AUTH_FAILED

    def check_auth_none(self, username: str) -> int:
        return self.check_auth_publickey(username, None)

    def check_auth_password(self, username: str, password: str) -> int:
        return self.check_auth_publickey(username, None)


@contextmanager
def doorman(says: str, hangs_up: bool, *, mute: bool = False) -> Iterator[tuple[int, paramiko.PKey]]:
    """A port with such a server, for one client, and its host key. A mute one answers no sign-in."""
    key = paramiko.ECDSAKey.generate()
    over = threading.Event()
    if not mute:
        over.set()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            client, _ = server.accept()
            transport = paramiko.Transport(client)
            transport.add_server_key(key)
            transport.start_server(event=threading.Event(), server=Doorman(transport, says, hangs_up, over))
            transport.join(30)
            client.close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1], key
        over.set()
        thread.join(30)


BOOTING = '"System is booting up. Unprivileged users are not permitted to log in yet. See pam_nologin(8)."'


@pytest.mark.parametrize(
    ("says", "hangs_up", "kind", "told"),
    [
        ("Welcome.", False, KeyRefused, "homewright trust s1"),
        (BOOTING, True, Unreachable, "booting up"),
        ("", True, Unreachable, "hung up while we signed in"),
        ("Your account has expired.", True, Unreachable, "chage -E -1 lab"),
    ],
    ids=["key refused", "booting", "hangs up", "expired"],
)
def test_a_server_that_lets_nobody_in_yet_has_not_refused_our_key(
    tmp_path: Path, says: str, hangs_up: bool, kind: type[Unreachable], told: str
) -> None:
    state = StateFolder(tmp_path / "state")
    engine_key.ensure(state.key, "homewright@test")
    with doorman(says, hangs_up) as (port, key):
        known_hosts.record(state.known_hosts, "127.0.0.1", port, [HostKey.from_blob(key.get_name(), key.asbytes())])
        server = Server(name="s1", address="127.0.0.1", port=port, user="lab")
        with pytest.raises(Unreachable) as caught:
            Connection.open(Endpoint.of(server, state))
    assert type(caught.value) is kind
    assert told in caught.value.as_text()


@pytest.mark.parametrize("way", ["key", "password"])
def test_a_server_that_answers_no_sign_in_has_refused_nobody(tmp_path: Path, way: str) -> None:
    state = StateFolder(tmp_path / "state")
    engine_key.ensure(state.key, "homewright@test")
    with doorman("", False, mute=True) as (port, key):
        known = HostKey.from_blob(key.get_name(), key.asbytes())
        known_hosts.record(state.known_hosts, "127.0.0.1", port, [known])
        server = Server(name="s1", address="127.0.0.1", port=port, user="lab")
        with pytest.raises(Unreachable, match="did not answer while we signed in") as caught:
            if way == "key":
                Connection.open(Endpoint.of(server, state), timeout=2)
            else:
                endpoint = Endpoint.of(server, state)
                transport = open_strict(endpoint, 2)
                try:
                    sign_in(transport, endpoint, Means(password="secret"))
                finally:
                    hang_up(transport)
    assert type(caught.value) is Unreachable
