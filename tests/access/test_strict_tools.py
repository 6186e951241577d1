"""Every tool that talks to servers is as strict as we are: with a wrong key on record, none of them says a word."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from homewright.access import known_hosts, openssh
from homewright.access.connection import Endpoint
from homewright.access.known_hosts import HostKey

from .conftest import Account

pytestmark = pytest.mark.lab


@pytest.fixture(params=["trusted", "changed", "unknown"])
def record(request: pytest.FixtureRequest, endpoint: Endpoint, account: Account) -> bool:
    """What is recorded of the server; whether a tool may get in. The user's own known_hosts always has the real key."""
    real = account.practice.host_key()
    if request.param == "changed":
        wrong = HostKey.from_blob(real.key_type, real.blob[:-1] + bytes([real.blob[-1] ^ 1]))
        known_hosts.record(endpoint.known_hosts, endpoint.address, endpoint.port, [wrong])
    elif request.param == "unknown":
        known_hosts.forget(endpoint.known_hosts, endpoint.address, endpoint.port)
    return bool(request.param == "trusted")


@pytest.fixture
def home(tmp_path: Path, account: Account) -> dict[str, str]:
    """The environment of a user whose own SSH files would let everybody in."""
    own = tmp_path / "home" / ".ssh"
    own.mkdir(parents=True)
    name = known_hosts.entry_name(account.server.address, account.server.port)
    (own / "known_hosts").write_text(f"{name} {account.practice.host_key().public}\n")
    (own / "config").write_text("Host *\n  StrictHostKeyChecking no\n")
    return {**os.environ, "HOME": str(tmp_path / "home"), "ANSIBLE_HOST_KEY_CHECKING": "False"}


def test_ssh(record: bool, endpoint: Endpoint, home: dict[str, str]) -> None:
    done = subprocess.run(openssh.command(endpoint, "echo in"), env=home, capture_output=True, text=True, timeout=30)
    assert (done.returncode == 0, "in" in done.stdout) == (record, record), done.stderr


@pytest.mark.parametrize("way", ["inventory", "runner"])
def test_ansible_over_ssh(record: bool, endpoint: Endpoint, home: dict[str, str], tmp_path: Path, way: str) -> None:
    """By the variables of the generated inventory, and by those that the runner sets."""
    line = openssh.ansible_ssh_common_args(endpoint)
    strict = (
        {"ansible_ssh_args": line}
        if way == "runner"
        else {"ansible_ssh_common_args": line, "ansible_host_key_checking": True}
    )
    inventory = tmp_path / "inventory.json"
    variables = {
        "ansible_host": endpoint.address,
        "ansible_port": endpoint.port,
        "ansible_user": endpoint.user,
    } | strict
    inventory.write_text(json.dumps({"all": {"hosts": {"s": variables}}}))
    done = subprocess.run(
        [Path(sys.executable).with_name("ansible"), "all", "-i", inventory, "-m", "raw", "-a", "echo in"],
        env=home,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode == 0) == record, done.stdout + done.stderr


PYINFRA = """
import sys
from gevent import monkey
monkey.patch_all()
from pyinfra.api import Config, Inventory, State
from pyinfra.api.connect import connect_all
address, port, user, key, known = sys.argv[1:]
data = {"ssh_user": user, "ssh_port": int(port), "ssh_key": key, "ssh_known_hosts_file": known,
        "ssh_strict_host_key_checking": "yes", "ssh_look_for_keys": False, "ssh_allow_agent": False}
state = State(Inventory(([(address, data)], {})), Config())
connect_all(state)
sys.exit(0 if len(state.active_hosts) == 1 else 1)
"""


def test_pyinfra(record: bool, endpoint: Endpoint, home: dict[str, str]) -> None:
    words = [endpoint.address, str(endpoint.port), endpoint.user, str(endpoint.key_file), str(endpoint.known_hosts)]
    done = subprocess.run([sys.executable, "-c", PYINFRA, *words], env=home, capture_output=True, text=True, timeout=60)
    assert (done.returncode == 0) == record, done.stdout + done.stderr
