"""Commands inside an instance by pylxd's own client, against an LXD that takes its time."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pylxd
import pytest
import requests

from homewright.lxd import recorded

ANSWER_S = 0.5
LOGS = "/1.0/instances/n1/logs"
RUNNING = {"status_code": 103, "metadata": {}, "err": ""}
ENDED = {
    "status_code": 200,
    "err": "",
    "metadata": {"return": 3, "output": {"1": f"{LOGS}/exec_1.stdout", "2": f"{LOGS}/exec_1.stderr"}},
}


class Slow(socketserver.ThreadingUnixStreamServer):
    """An LXD in which a command runs until it was asked so many times; who waits for its end alone waits for ever."""

    daemon_threads = True
    asked = 0
    ends_at = 3
    over: threading.Event


class Daemon(BaseHTTPRequestHandler):
    """What it answers."""

    server: Slow

    def do_GET(self) -> None:
        path, query = urlsplit(self.path).path, parse_qs(urlsplit(self.path).query)
        if path.endswith("/wait"):
            if "timeout" not in query:
                self.server.over.wait(10)
            self.server.asked += 1
            self.tell(ENDED if self.server.asked >= self.server.ends_at else RUNNING)
        elif path.startswith(LOGS):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(path.rpartition(".")[2].encode())
        else:
            self.tell({"api_extensions": [], "auth": "trusted", "environment": {}})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.tell({}, operation="/1.0/operations/abc")

    def do_DELETE(self) -> None:
        self.tell({})

    def tell(self, metadata: object, **more: str) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"type": "sync", "status_code": 200, "metadata": metadata, **more}).encode())

    def address_string(self) -> str:
        return "here"

    def log_message(self, *_: object) -> None:
        """No line for each question."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Slow]:
    with Slow(str(tmp_path / "lxd"), Daemon) as server:
        server.over = threading.Event()
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.over.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def client(server: Slow, tmp_path: Path) -> Iterator[pylxd.Client]:
    client = pylxd.Client(endpoint=str(tmp_path / "lxd"), timeout=ANSWER_S)
    yield client
    client.api.session.close()


def test_a_command_may_take_longer_than_an_answer(client: pylxd.Client, server: Slow) -> None:
    said = recorded.execute(client.api, "n1", ["apt-get", "update"])
    assert (said, server.asked) == (recorded.Said(3, "stdout", "stderr"), 3)


def test_a_command_that_does_not_end_is_told(client: pylxd.Client, server: Slow) -> None:
    server.ends_at = 1_000_000
    with pytest.raises(requests.exceptions.Timeout, match=r"has not ended after 0\.1 s"):
        recorded.execute(client.api, "n1", ["sleep", "infinity"], limit_s=0.1)
