"""Every tool that talks to servers is as strict as we are: with a wrong key on record, or none, nothing gets in."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from homewright.access import known_hosts, openssh
from homewright.access.connection import Connection, Endpoint
from homewright.access.known_hosts import HostKey
from homewright.errors import HostKeyError

from .conftest import Account

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def endpoints(
    shared_endpoint: Endpoint, shared_account: Account, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Endpoint]:
    """The same server three times: its key is on record, another one is, none is."""
    real = shared_account.practice.host_key()
    wrong = HostKey.from_blob(real.key_type, real.blob[:-1] + bytes([real.blob[-1] ^ 1]))
    found = {}
    for name, keys in (("trusted", [real]), ("changed", [wrong]), ("unknown", [])):
        file = tmp_path_factory.mktemp(name) / "known hosts"
        known_hosts.record(file, shared_endpoint.address, shared_endpoint.port, keys)
        found[name] = dataclasses.replace(shared_endpoint, name=name, known_hosts=file)
    return found


@pytest.fixture
def home(tmp_path: Path, shared_account: Account) -> dict[str, str]:
    """The environment of a user whose own SSH files and settings would let every server pass."""
    own = tmp_path / "home" / ".ssh"
    own.mkdir(parents=True)
    name = known_hosts.entry_name(shared_account.server.address, shared_account.server.port)
    (own / "known_hosts").write_text(f"{name} {shared_account.practice.host_key().public}\n")
    (own / "config").write_text("Host *\n  StrictHostKeyChecking no\n")
    return {**os.environ, "HOME": str(tmp_path / "home"), "ANSIBLE_HOST_KEY_CHECKING": "False"}


def test_our_own_connections(endpoints: dict[str, Endpoint]) -> None:
    Connection.open(endpoints["trusted"]).close()
    for name in ("changed", "unknown"):
        with pytest.raises(HostKeyError):
            Connection.open(endpoints[name])


def test_ssh(endpoints: dict[str, Endpoint], home: dict[str, str]) -> None:
    got_in = {}
    for name, endpoint in endpoints.items():
        command = openssh.command(endpoint, "echo in")
        got_in[name] = subprocess.run(command, env=home, capture_output=True, text=True, timeout=30).stdout
    assert got_in == {"trusted": "in\n", "changed": "", "unknown": ""}


def test_ansible(endpoints: dict[str, Endpoint], home: dict[str, str], tmp_path: Path) -> None:
    """By the variables of the generated inventory, and by those that the runner sets."""
    hosts = {}
    for name, endpoint in endpoints.items():
        line = openssh.ansible_ssh_common_args(endpoint)
        place = {
            "ansible_host": endpoint.address,
            "ansible_port": endpoint.port,
            "ansible_user": endpoint.user,
            "ansible_control_path": "none",
        }
        hosts[f"{name}-runner"] = place | {"ansible_ssh_args": f"{line} -o ControlMaster=no -o ControlPath=none"}
        hosts[f"{name}-inventory"] = place | {"ansible_ssh_common_args": line, "ansible_host_key_checking": True}
    inventory = tmp_path / "inventory.json"
    inventory.write_text(json.dumps({"all": {"hosts": hosts}}))
    done = subprocess.run(
        [Path(sys.executable).with_name("ansible"), "all", "-i", inventory, "-m", "raw", "-a", "echo in", "-o"],
        env=home | {"ANSIBLE_SSH_ARGS": "-o ControlMaster=no", "ANSIBLE_FORKS": "6"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    lines = done.stdout.splitlines()
    got_in = {host: any(line.startswith(f"{host} | CHANGED") for line in lines) for host in hosts}
    assert got_in == {host: host.startswith("trusted") for host in hosts}, done.stdout + done.stderr


PYINFRA = """
import json, sys
from gevent import monkey
monkey.patch_all()
from pyinfra.api import Config, Inventory, State
from pyinfra.api.connect import connect_all
hosts = json.loads(sys.argv[1])
state = State(Inventory((list(hosts.items()), {})), Config(FAIL_PERCENT=100))
connect_all(state)
print(json.dumps(sorted(host.name for host in state.active_hosts)))
"""


def test_pyinfra(endpoints: dict[str, Endpoint], home: dict[str, str]) -> None:
    """By the data that the runner gives it: its own default would take any new key."""
    hosts = {
        name: {
            "ssh_hostname": endpoint.address, "ssh_port": endpoint.port, "ssh_user": endpoint.user,
            "ssh_key": str(endpoint.key_file), "ssh_known_hosts_file": str(endpoint.known_hosts),
            "ssh_strict_host_key_checking": "yes", "ssh_look_for_keys": False, "ssh_allow_agent": False,
        }
        for name, endpoint in endpoints.items()
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", PYINFRA, json.dumps(hosts)], env=home, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.splitlines()[-1:] == ['["trusted"]'], done.stdout + done.stderr


def test_the_users_own_agent_is_never_asked(
    endpoints: dict[str, Endpoint], shared_account: Account, tmp_path: Path, home: dict[str, str]
) -> None:
    """An agent that holds the right key opens nothing where the engine's own key is another one."""
    endpoint = endpoints["trusted"]
    stranger = tmp_path / "id_ed25519"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", stranger], check=True)
    socket = tmp_path / "agent"
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", socket], stdout=subprocess.DEVNULL)
    try:
        environment = home | {"SSH_AUTH_SOCK": str(socket)}
        key = shutil.copy(endpoint.key_file, tmp_path / "the right key")
        while subprocess.run(["ssh-add", "-q", key], env=environment, stderr=subprocess.DEVNULL).returncode:
            assert agent.poll() is None
        command = openssh.command(dataclasses.replace(endpoint, key_file=stranger), "echo in")
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30)
        assert (done.returncode, done.stdout) == (255, "")
    finally:
        agent.terminate()
        agent.wait(10)
