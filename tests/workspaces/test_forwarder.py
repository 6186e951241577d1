"""A port of this machine that leads into a pod: what each side may do, and when the way ends."""

from __future__ import annotations

import errno
import socket
import threading
from collections.abc import Iterator
from typing import Any, cast

import pytest
from websocket import ABNF, WebSocket

from homewright.workspaces.backends.kubernetes import streams
from homewright.workspaces.backends.kubernetes.streams import Forwarder

LIMIT_S = 30.0


class Channel:
    """A conversation whose packets are its frames."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock

    def recv_data(self) -> tuple[int, bytes]:
        data = self.sock.recv(1 << 16)
        return (ABNF.OPCODE_BINARY, data) if data else (ABNF.OPCODE_CLOSE, b"")

    def send_binary(self, data: bytes) -> None:
        self.sock.send(data)


class Way:
    """A forwarder that serves, and what stands at its other end."""

    def __init__(self) -> None:
        ours, self.pod = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.pod.settimeout(LIMIT_S)
        self.pod.send(b"\x00\x1f\x90")  # the port's number comes first
        self.forwarder = Forwarder(lambda: cast(WebSocket, Channel(ours)))
        self.server = threading.Thread(target=self.forwarder.serve, daemon=True)

    def guest(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.forwarder.port), LIMIT_S)


@pytest.fixture
def way() -> Iterator[Way]:
    made = Way()
    yield made
    made.forwarder.close()
    if made.server.ident is not None:
        made.server.join(LIMIT_S)
        assert not made.server.is_alive()
    made.pod.close()


def test_who_has_said_all_still_gets_the_answer(way: Way) -> None:
    way.server.start()
    with way.guest() as guest:
        guest.sendall(b"question")
        guest.shutdown(socket.SHUT_WR)
        assert way.pod.recv(64) == b"\x00question"
        way.pod.settimeout(0.2)
        with pytest.raises(TimeoutError):
            way.pod.recv(64)  # nobody has hung up
        way.pod.send(b"\x00answer")
        way.pod.shutdown(socket.SHUT_RDWR)
        assert guest.recv(64) == b"answer"
        assert guest.recv(64) == b""


def test_a_pod_that_says_nothing_more_is_not_held_for_ever(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "_ANSWER_S", 0.05)
    way.server.start()
    way.guest().close()
    assert way.pod.recv(64) == b""


def test_closing_ends_what_is_open(way: Way) -> None:
    way.server.start()
    with way.guest() as guest:
        guest.sendall(b"question")
        assert way.pod.recv(64) == b"\x00question"
        way.pod.send(b"\x00answer")
        assert guest.recv(64) == b"answer"
        way.forwarder.close()
        assert guest.recv(64) == b""
        assert way.pod.recv(64) == b""


@pytest.mark.parametrize("fault", [errno.EMFILE, errno.ECONNABORTED])
def test_a_connection_that_cannot_be_taken_is_not_the_last(
    way: Way, fault: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    listener, faults = way.forwarder._listener, [OSError(fault, "no more")]

    class Faulty:
        def accept(self) -> Any:
            if faults:
                raise faults.pop()
            return listener.accept()

        def __getattr__(self, name: str) -> Any:
            return getattr(listener, name)

    monkeypatch.setattr(way.forwarder, "_listener", Faulty())
    way.server.start()
    with way.guest() as guest:
        guest.sendall(b"question")
        assert way.pod.recv(64) == b"\x00question"
    assert way.forwarder.trouble == [f"[Errno {fault}] no more"]
