"""Conversations with a pod through the API: a command in it, with or without a terminal, and one of its ports.

They are WebSockets whose frames begin with the number of a channel (kubernetes.io, `v5.channel.k8s.io`, which can say
that the input has ended; a server before Kubernetes 1.30 speaks `v4` alone).
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING

from homewright.errors import Unreachable, visible
from homewright.workspaces.errors import InstanceFailed

if TYPE_CHECKING:
    from websocket import WebSocket

    from homewright.workspaces.backends.kubernetes.api import Api

STDIN, STDOUT, STDERR, ENDED, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255
_COMMANDS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
_PORTS = ("v4.channel.k8s.io",)
_PIECE = 32 << 10
"""Bytes a frame: a kubelet's buffer."""
_ANSWER_S = 10.0
"""Seconds that a pod may be silent once our side has said all: no frame can tell it so, and the rest of its answer may
still be on its way."""
_AGAIN_S = 0.2
"""Seconds before connections are taken again, after one could not be."""
_MOST = 1 << 20
"""Bytes that a command which `run` waits for may say on each of its outputs."""
LOST = 255
"""The exit code of a command whose end was not heard of, as OpenSSH has it."""


@dataclass(frozen=True)
class Place:
    """A container."""

    namespace: str
    pod: str
    container: str


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    code: int
    said: str
    complained: str


class Command:
    """A command that runs in a pod. One thread may read while another writes.

    Raises HomewrightErrors: MissingRight, Unreachable, Refused and InstanceNotFound among them.
    """

    def __init__(self, api: Api, place: Place, words: Sequence[str], *, terminal: bool, stdin: bool) -> None:
        query = {
            "container": place.container,
            "command": list(words),
            "stdin": str(stdin).lower(),
            "stdout": "true",
            "stderr": str(not terminal).lower(),  # a terminal has one output
            "tty": str(terminal).lower(),
        }
        self._socket = api.channel(place.namespace, place.pod, "exec", query, _COMMANDS)
        self._socket.settimeout(None)
        self.code: int | None = None
        """Its exit code, once it has ended."""
        self.why = ""
        """Why it could not be run, where that is so."""

    def __enter__(self) -> Command:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Hang up: a terminal's programs get SIGHUP."""
        _hang_up(self._socket)

    def limit(self, seconds: float | None) -> None:
        """How long one piece of output is waited for."""
        self._socket.settimeout(seconds)

    def write(self, data: bytes) -> None:
        """What somebody types."""
        for start in range(0, len(data), _PIECE):
            _send(self._socket, STDIN, data[start : start + _PIECE])

    def end_input(self) -> None:
        """Nothing more is typed. A server that knows no such thing hears of it when we hang up."""
        if self._socket.getsubprotocol() == _COMMANDS[0]:
            _send(self._socket, CLOSE, bytes([STDIN]))

    def resize(self, columns: int, rows: int) -> None:
        """How large the terminal is."""
        _send(self._socket, RESIZE, json.dumps({"Width": columns, "Height": rows}).encode())

    def read(self) -> tuple[int, bytes] | None:
        """The next piece of output, STDOUT's or STDERR's; None once it has ended."""
        while self.code is None:
            frame = _received(self._socket)
            if frame is None:
                self.code = LOST
                self.why = "the connection ended before the command did"
                return None
            channel, data = frame
            if channel == ENDED:
                self.code, self.why = ended(data)
                return None
            if data and channel in (STDOUT, STDERR):
                return channel, data
        return None


def ended(status: bytes) -> tuple[int, str]:
    """The exit code in the status that a command ends with, and why it could not be run. Pure."""
    try:
        document = json.loads(status)
    except ValueError:
        return LOST, visible(status.decode("utf-8", "replace"))
    if document.get("status") == "Success":
        return 0, ""
    causes = (document.get("details") or {}).get("causes") or ()
    code = next((one.get("message", "") for one in causes if one.get("reason") == "ExitCode"), "")
    if code.isdigit():
        return int(code), ""
    return LOST, visible(document.get("message") or document.get("reason") or "no reason is told")


def run(api: Api, place: Place, words: Sequence[str], stdin: bytes = b"", *, limit_s: float) -> Done:
    """Run a command to its end.

    Raises InstanceFailed where it has not ended after so long, says more than a MiB, or cannot be run: what runs in a
    workspace is its user's.
    """
    until = time.monotonic() + limit_s
    said = {STDOUT: bytearray(), STDERR: bytearray()}
    with Command(api, place, words, terminal=False, stdin=bool(stdin)) as command:
        command.limit(limit_s)
        if stdin:
            command.write(stdin)
            command.end_input()
        try:
            while (piece := command.read()) is not None:
                said[piece[0]] += piece[1]
                if len(said[piece[0]]) > _MOST:
                    raise _endless(f"It has said more than {_MOST >> 20} MiB.")
                if (left := until - time.monotonic()) <= 0:
                    raise TimeoutError
                command.limit(left)
        except TimeoutError as error:
            raise _endless(f"It has not ended after {limit_s:.0f} s.") from error
    assert command.code is not None
    if command.why:
        raise InstanceFailed(
            "A command could not be run in the workspace.",
            f"{command.why[:1].upper()}{command.why[1:]}.",
            ["see whether it runs: homewright workspace list", "then try again"],
        )
    return Done(command.code, *(said[one].decode("utf-8", "replace") for one in (STDOUT, STDERR)))


def _endless(why: str) -> InstanceFailed:
    return InstanceFailed(
        "A command in the workspace does not end.",
        why,
        ["look at what runs in it: homewright workspace shell", "then try again"],
    )


class Forwarder:
    """A port of this machine that leads to a pod's, through the API. Each connection is a conversation of its own."""

    def __init__(self, open_port: Callable[[], WebSocket], local: int = 0) -> None:
        """Listens on the loopback alone, by default at any free port. Raises OSError where that is taken."""
        self._open = open_port
        self._listener = socket.create_server(("127.0.0.1", local))
        self.port: int = self._listener.getsockname()[1]
        self.trouble: list[str] = []
        """What went wrong with single connections, the newest last."""
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._guests: set[socket.socket] = set()
        """Connections that are open."""

    def __enter__(self) -> Forwarder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Listen no more, and end the connections that are open."""
        with self._lock:
            self._closed.set()
            for guest in self._guests:
                _end(guest)
        with_shutdown(self._listener)

    def serve(self) -> None:
        """Serve until it is closed."""
        while True:
            try:
                guest, _ = self._listener.accept()
            except OSError as error:
                if self._closed.is_set():
                    return
                # It went away before it was taken, or this process has no descriptors left for it: the next one may do.
                if self.trouble[-1:] != [str(error)]:
                    self.trouble.append(str(error))
                self._closed.wait(_AGAIN_S)
                continue
            threading.Thread(target=self._lead, args=(guest,), daemon=True).start()

    def _lead(self, guest: socket.socket) -> None:
        with self._lock:
            if self._closed.is_set():
                with_shutdown(guest)
                return
            self._guests.add(guest)
        try:
            self._converse(guest)
        finally:
            with self._lock:
                self._guests.discard(guest)
            with_shutdown(guest)

    def _converse(self, guest: socket.socket) -> None:
        try:
            pod = self._open()
        except Exception as error:
            self.trouble.append(visible(str(error)))
            return
        over, heard = threading.Event(), threading.Event()
        threading.Thread(target=self._feed, args=(guest, pod, over, heard), daemon=True).start()
        greeted: set[int] = set()
        try:
            while (frame := _received(pod)) is not None:
                heard.set()
                channel, data = frame
                if channel not in greeted:
                    greeted.add(channel)  # the first frame of each channel is the port's number
                elif channel == 0:
                    guest.sendall(data)
                elif data:
                    self.trouble.append(visible(data.decode("utf-8", "replace")))
                    return
        except OSError:
            pass  # one side is gone: so is the conversation
        finally:
            over.set()
            _hang_up(pod)

    def _feed(self, guest: socket.socket, pod: WebSocket, over: threading.Event, heard: threading.Event) -> None:
        """What our side says, to the pod; then its answer has time until the pod ends it, or says nothing more."""
        try:
            while data := guest.recv(_PIECE):
                _send(pod, 0, data)
            heard.set()
            while heard.is_set() and not self._closed.is_set():
                heard.clear()
                if over.wait(_ANSWER_S):
                    break
        except (OSError, Unreachable):
            pass  # one side is gone
        _hang_up(pod)


def port_opener(api: Api, place: Place, port: int) -> Callable[[], WebSocket]:
    """What begins a conversation with a port of a pod."""

    def opened() -> WebSocket:
        made = api.channel(place.namespace, place.pod, "portforward", {"ports": str(port)}, _PORTS)
        made.settimeout(None)
        return made

    return opened


def with_shutdown(one: socket.socket) -> None:
    """Close a socket that another thread may be waiting at."""
    _end(one)
    one.close()


def _end(one: socket.socket) -> None:
    """Let nothing more through, whoever waits at it."""
    with contextlib.suppress(OSError):  # it was not connected, or is not any more
        one.shutdown(socket.SHUT_RDWR)


def _send(channel: WebSocket, number: int, data: bytes) -> None:
    from websocket import WebSocketException

    try:
        channel.send_binary(bytes([number]) + data)
    except (WebSocketException, OSError) as error:
        raise Unreachable("The connection to the workspace ended.", f"{visible(str(error))}.", ["try again"]) from error


def _received(channel: WebSocket) -> tuple[int, bytes] | None:
    """The next frame: its channel, and what it carries. None where the other side has hung up; TimeoutError."""
    from websocket import ABNF, WebSocketConnectionClosedException, WebSocketException, WebSocketTimeoutException

    while True:
        try:
            kind, data = channel.recv_data()
        except WebSocketTimeoutException as error:
            raise TimeoutError from error
        except (WebSocketConnectionClosedException, ConnectionError):
            return None
        except (WebSocketException, OSError):
            return None
        if kind == ABNF.OPCODE_CLOSE:
            return None
        raw = data.encode() if isinstance(data, str) else data
        if raw:
            return raw[0], raw[1:]


def _hang_up(channel: WebSocket) -> None:
    from websocket import WebSocketException

    try:
        if channel.sock is not None:
            with_shutdown(channel.sock)  # not its own `close`, which waits for the other side to answer
    except (WebSocketException, OSError):
        pass  # it was closed already
