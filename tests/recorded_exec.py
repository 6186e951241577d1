"""Commands in a practice server whose output LXD keeps until it has been read.

`lxc exec` of Debian's LXD 5.0.2 has lost all of it twice at load averages of 15, the command having ended well
(canonical/lxd#11890; mended in 5.14): what a test reads so is empty.
"""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
from typing import Any

WAIT_S = 300
NOT_DONE = 255
"""The exit status for a command that was not carried out, as of ssh(1)."""


class _OverSocket(http.client.HTTPConnection):
    def __init__(self, path: str, wait_s: float) -> None:
        super().__init__("lxd", timeout=wait_s + 10)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def execute(path: str, server: str, command: list[str], wait_s: int = WAIT_S) -> subprocess.CompletedProcess[str]:
    """Run a command there as root, without standard input, in the LXD behind the socket at `path`.

    Raises CalledProcessError, as where `lxc exec` is checked: for what LXD does not do, so on a server that is down,
    and for a command that has not ended after `wait_s` seconds.
    """
    try:
        return _execute(path, server, command, wait_s)
    except (OSError, http.client.HTTPException) as error:
        raise subprocess.CalledProcessError(NOT_DONE, command, stderr=f"{error}") from error


def _execute(path: str, server: str, command: list[str], wait_s: int) -> subprocess.CompletedProcess[str]:

    def asked(method: str, place: str, body: object = None) -> bytes:
        connection = _OverSocket(path, wait_s)
        try:
            connection.request(method, place, json.dumps(body) if body else None)
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        if answer.status >= 400:
            raise OSError(f"LXD answered {answer.status} to {method} {place}: {text[:300].decode(errors='replace')}")
        return text

    request = {"command": command, "wait-for-websocket": False, "record-output": True, "interactive": False}
    operation = json.loads(asked("POST", f"/1.0/instances/{server}/exec", request))["operation"]
    ended: dict[str, Any] = json.loads(asked("GET", f"{operation}/wait?timeout={wait_s}"))["metadata"]
    told = ended["metadata"] or {}
    if "return" not in told:
        raise OSError(f"the command on {server} has not ended: {ended['status']} {ended['err']}")
    kept = {number: asked("GET", file).decode(errors="replace") for number, file in told.get("output", {}).items()}
    return subprocess.CompletedProcess(command, int(told["return"]), kept.get("1", ""), kept.get("2", ""))


def main() -> int:
    """For tests of a user who is not root: SOCKET SERVER SECONDS COMMAND…; ends as the command does."""
    path, server, wait_s, *command = sys.argv[1:]
    try:
        done = execute(path, server, command, int(wait_s))
    except subprocess.CalledProcessError as error:
        sys.stderr.write(error.stderr)
        return error.returncode
    sys.stdout.write(done.stdout)
    sys.stderr.write(done.stderr)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
