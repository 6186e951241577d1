"""A pyinfra deploy whose connection to one server breaks at the worst place; how a connection breaks is played."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from homewright.engine.runners.request import HostRequest, StepRequest
from homewright.engine.states import Action
from homewright.site.models import Server, Site

pytestmark = pytest.mark.programs

LIMIT_S = 60
HOSTS = ("s1", "s2", "s3")
PLAYED = """
from homewright.engine.runners import pyinfra as runner  # first: it patches the interpreter

import sys
from pathlib import Path

from paramiko import SSHException
from pyinfra.api.exceptions import ConnectError
from pyinfra.connectors.ssh import SSHConnector
from pyinfra.connectors.util import CommandOutput


class Transport:
    def __init__(self, name):
        self.name, self.sock = name, None
    def set_keepalive(self, seconds):
        pass
    def is_active(self):
        return self.name != "s2" or not Path(sys.argv[1]).with_name("broken").exists()


class Client:
    def __init__(self, name):
        self.transport = Transport(name)
    def get_transport(self):
        return self.transport


def connect(self):
    self.client = Client(self.host.name)

def run_shell_command(self, command, *args, **kwargs):
    if not self.client.transport.is_active():
        raise SSHException("SSH session not active")
    Path(sys.argv[1]).with_name(f"{self.host.name}.log").open("a").write(f"{command}\\n")
    return True, CommandOutput([])

def put_file(self, *args, **kwargs):
    if self.host.name == "s2":
        Path(sys.argv[1]).with_name("broken").touch()
        raise ERROR("Unable to establish SFTP connection.")
    return True

SSHConnector.connect, SSHConnector.disconnect = connect, lambda self: None
SSHConnector.run_shell_command, SSHConnector.put_file = run_shell_command, put_file
if __name__ == "__main__":
    sys.exit(runner.run(runner.work))
"""
DEPLOY = """
import io
from pyinfra.operations import files, server

files.put(name="A file", src=io.StringIO("text"), dest="/tmp/file", add_deploy_dir=False)
server.shell(name="The last", commands=["the last one"])
"""


def drive(tmp_path: Path, error: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    (tmp_path / "played.py").write_text(PLAYED.replace("ERROR", error))
    (tmp_path / "10_deploy.py").write_text(DEPLOY)
    servers = tuple(Server(name=name, address=f"192.0.2.{n}", user="ann") for n, name in enumerate(HOSTS, 1))
    request = StepRequest(
        run="r1", step="00/30", action=Action.RUN, file=tmp_path / "10_deploy.py",
        hosts=tuple(HostRequest(name=one.name, address=str(one.address), port=22, user="ann") for one in servers),
        site=Site(name="attic", servers=servers).model_dump(mode="json"), key_file=tmp_path / "key",
        known_hosts=tmp_path / "known_hosts", secrets_file=tmp_path / "secrets", work=tmp_path, fence=1, controller="c",
    )  # fmt: skip
    file = tmp_path / "request.json"
    file.write_text(request.model_dump_json())
    reader, writer = os.pipe()
    words = [sys.executable, "-m", "homewright.engine.child", str(writer), str(os.getpid()), "played", str(file)]
    process = subprocess.Popen(words, pass_fds=(writer,), env={**os.environ, "PYTHONPATH": str(tmp_path)})
    os.close(writer)
    limit = threading.Timer(LIMIT_S, process.kill)
    limit.start()
    try:
        with os.fdopen(reader, encoding="utf-8") as lines:
            events = [json.loads(line) for line in lines]
        assert process.wait() == 0
    finally:
        limit.cancel()
    return {one["host"]: one["data"] for one in events if one["kind"] == "host-finished"}, events


@pytest.mark.parametrize("error", ["ConnectError", "SSHException", "AttributeError"])
def test_a_server_that_goes_away_while_a_file_is_sent_ends_no_other(tmp_path: Path, error: str) -> None:
    ends, events = drive(tmp_path, error)
    assert {host: end["state"] for host, end in ends.items()} == {
        "s1": "succeeded",
        "s2": "unreachable",
        "s3": "succeeded",
    }
    assert "The connection to s2 was lost" in ends["s2"]["reason"]
    for host in ("s1", "s3"):
        assert "the last one" in (tmp_path / f"{host}.log").read_text(), "told as done, and half of it was not"
    assert not any("Traceback" in one["text"] for one in events)
