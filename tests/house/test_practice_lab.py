"""What tests learn of practice servers that are down, over HTTP as LXD answers it."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingUnixStreamServer
from typing import Any

import practice_lab
import pytest
from practice_lab import Lab

OUTPUT = b"up 5 minutes\n"


class Answers(BaseHTTPRequestHandler):
    """What LXD answers of four servers: one is up, one is down, on one nothing ends, and of one it dies itself."""

    asked: list[str]

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        server = self.path.split("/")[3]
        self.asked.append(self.path)
        if server == "cut":
            self.wfile.write(b"no such protocol\r\n\r\n")
        elif server == "down":
            self._answer(400, {"type": "error", "error": "Instance is not running", "error_code": 400})
        else:
            self._answer(202, {"type": "async", "operation": f"/1.0/operations/{server}"})

    def do_GET(self) -> None:
        self.asked.append(self.path)
        if self.path == "/output":
            self._send(200, OUTPUT)
            return
        ends = {"return": 0, "output": {"1": "/output"}} if "/up/" in self.path else None
        status = "Success" if ends else "Running"
        self._answer(200, {"type": "sync", "metadata": {"status": status, "err": "", "metadata": ends}})

    def _answer(self, status: int, document: Any) -> None:
        self._send(status, json.dumps(document).encode())

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nobody reads of it."""


@pytest.fixture(params=["root", "user"])
def lab(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    """A lab on record, whose LXD is answered for; as root asks it, and by the process that a user asks it with."""
    monkeypatch.setattr(practice_lab, "as_root", list)
    monkeypatch.setattr(os, "geteuid", lambda: 0 if request.param == "root" else 1000)
    monkeypatch.setattr(Answers, "asked", [], raising=False)
    with tempfile.TemporaryDirectory() as short:  # a socket's address takes 108 bytes
        made = Lab(Path(short))
        daemon = made.lab_folder / "daemon"
        daemon.mkdir(parents=True)
        daemon.joinpath("daemon.json").write_text(json.dumps({"pid": os.getpid(), "lxd_dir": short}))
        servers = [{"name": name} for name in ("down", "slow", "cut", "up")]
        made.lab_folder.joinpath("lab.json").write_text(json.dumps({"servers": servers}))
        with ThreadingUnixStreamServer(f"{short}/unix.socket", Answers) as server:
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
            yield made
            server.shutdown()


@pytest.mark.parametrize(
    ("server", "why"), [("down", "Instance is not running"), ("slow", "has not ended"), ("cut", "no such protocol")]
)
def test_what_is_not_carried_out_fails_as_a_command_does(lab: Lab, server: str, why: str) -> None:
    with pytest.raises(subprocess.CalledProcessError) as raised:
        lab.on(server, "uptime")
    assert raised.value.returncode == 255
    assert why in raised.value.stderr


def test_no_lxd_at_all_fails_as_a_command_does(lab: Lab) -> None:
    Path(lab.folder / "unix.socket").unlink()
    with pytest.raises(subprocess.CalledProcessError):
        lab.on("up", "uptime")


def test_a_server_that_is_down_keeps_nobody_from_telling_of_the_others(lab: Lab) -> None:
    told = lab.told()
    assert [line for line in told.splitlines() if line.startswith("-- ")] == [
        "-- down", "-- slow", "-- cut", "-- up",
    ]  # fmt: skip
    assert "Instance is not running" in told
    assert told.endswith(f"-- up\n{OUTPUT.decode()}")
    waits = [path for path in Answers.asked if "/wait" in path]
    assert waits and all(path.endswith(f"timeout={practice_lab.TOLD_S}") for path in waits)


def test_a_lab_without_a_record_is_told_of_too(tmp_path: Path) -> None:
    assert Lab(tmp_path).told().startswith("-- nothing can be told: ")
