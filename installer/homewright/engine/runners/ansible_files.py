"""What Ansible reads for one step: its inventory and its settings, made from the request. Pure."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from homewright.access import openssh
from homewright.engine import launch
from homewright.engine.runners.ansible_masters import control_path
from homewright.engine.runners.guard import MARK, Guard
from homewright.engine.runners.request import StepRequest, Way

TESTED = ((2, 16), (2, 19))
"""The ansible-core versions, first and last, that Mitogen was tried with; others get plain SSH."""
INHERITED = ("PATH", "HOME", "USER", "LOGNAME", "TZ", "PYTHONPATH", launch.MARK)
"""What ansible-playbook keeps of our environment; ansible-runner writes all of it into a file."""


def accelerated(ansible_version: str) -> bool:
    """Whether Mitogen's strategy fits this ansible-core."""
    numbers = tuple(int(part) for part in ansible_version.split(".")[:2])
    return TESTED[0] <= numbers <= TESTED[1]


def inventory(request: StepRequest, *, mitogen: bool, sockets: Path | None = None) -> str:
    """All servers of the site and their groups, as a YAML inventory; answers in it are data, never templates.

    Mitogen takes the guard as a part of the interpreter's command line. Plain SSH quotes that as one path, so there the
    guard is in our ssh (`ssh_script`), and sudo, which empties the environment, is told to keep the mark. `sockets` is
    the folder of the connections that plain SSH shares.
    """
    guard = Guard.of(request)
    python = {"ansible_python_interpreter": Trusted(guard.interpreter() if mitogen else "/usr/bin/python3")}
    become = {} if mitogen else {"ansible_become_flags": f"-H -S -n --preserve-env={MARK}"}
    captures = {host.name: host.capture or {} for host in request.hosts}
    servers = [Way.model_validate({"port": 22, **server}) for server in request.site.get("servers", [])]
    places: dict[str, Way] = {way.name: way for way in (*servers, *request.hosts)}
    hosts: dict[str, Any] = {}
    for name, place in places.items():
        endpoint = request.endpoint(place)
        shared = f"-o ControlPath={control_path(sockets, name) if sockets else 'none'}"
        hosts[name] = {
            "ansible_host": endpoint.address,
            "ansible_port": endpoint.port,
            "ansible_user": endpoint.user,
            "ansible_ssh_args": f"{openssh.ansible_ssh_common_args(endpoint)} -o ControlMaster=no {shared}",
            "ansible_host_key_checking": True,
            "capture": captures.get(name, {}),
        }
        if endpoint.user == "root":
            hosts[name]["ansible_become"] = False  # there may be no sudo where root signs in
    groups: dict[str, dict[str, Any]] = {"servers": {server.name: {} for server in servers}}
    for host in request.hosts:
        for group in host.groups:
            groups.setdefault(group, {})[host.name] = {}
    document = {
        "all": {
            "hosts": hosts,
            "vars": {"site": request.site, **python, **become},
            "children": {group: {"hosts": members} for group, members in groups.items()},
        }
    }
    return f"{_yaml(document)}\n"


class Trusted(str):
    """Text of our own that goes into the inventory as it is."""


def _yaml(value: Any) -> str:
    """JSON, which YAML contains, with every text that Jinja could take for a template marked as unsafe."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(str(key))}: {_yaml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_yaml(item) for item in value) + "]"
    text = json.dumps(value)
    template = isinstance(value, str) and not isinstance(value, Trusted) and "{" in value
    return f"!unsafe {text}" if template else text


def environment(
    request: StepRequest, inherited: Mapping[str, str], temporary: Path, strategy: Path | None
) -> dict[str, str]:
    """The whole environment of ansible-playbook. `strategy` is Mitogen's folder, or None for plain SSH."""
    work = request.work
    result = {name: inherited[name] for name in INHERITED if name in inherited}
    result |= {
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
        "TMPDIR": str(temporary),
        "ANSIBLE_CONFIG": str(work / "ansible.cfg"),
        "ANSIBLE_HOME": str(work / "ansible"),
        "ANSIBLE_LOCAL_TEMP": str(work / "ansible" / "tmp"),
        "ANSIBLE_COLLECTIONS_PATH": "~/.ansible/collections:/usr/share/ansible/collections",
        "ANSIBLE_REMOTE_TMP": "/tmp",  # ~/.ansible on a server would outlive the rollback
        "ANSIBLE_HOST_KEY_CHECKING": "True",  # ansible-runner turns it off where nobody says so
        "ANSIBLE_PIPELINING": "True",
        "ANSIBLE_SSH_TRANSFER_METHOD": "piped",  # files go through the same guarded command
        "ANSIBLE_SSH_EXECUTABLE": str(work / "ssh"),
        "ANSIBLE_FORKS": str(max(1, min(20, len(request.hosts)))),
        "ANSIBLE_NOCOLOR": "True",
        "ANSIBLE_DEPRECATION_WARNINGS": "False",
        "ANSIBLE_LOCALHOST_WARNING": "False",
        "ANSIBLE_INVENTORY_ENABLED": "yaml",
        "ANSIBLE_TIMEOUT": str(openssh.CONNECT_TIMEOUT_S),
        "HOMEWRIGHT_CANCEL_FILE": str(work / "cancel"),
        "PYTHONUNBUFFERED": "1",
    }
    if strategy is not None:
        result |= {"ANSIBLE_STRATEGY_PLUGINS": str(strategy), "ANSIBLE_STRATEGY": "mitogen_linear"}
        result |= {"MITOGEN_CPU_COUNT": "1"}  # one multiplexer is enough for twenty servers
        # It has one limit for what takes every other connection of ours three phases, the last a Python that answers;
        # a server that is off is still found out by ssh's own.
        result |= {"ANSIBLE_TIMEOUT": str(3 * openssh.CONNECT_TIMEOUT_S)}
    return result


def ssh_script(guard: Guard | None) -> str:
    """An ssh for Ansible that ends when what started it ends; it puts the guard around the remote command, if given."""
    return _SSH.format(guarding="" if guard is None else _GUARDING.format(prefix=shlex.quote(guard.prefix)))


_SSH = """#!/bin/sh
{guarding}exec setpriv --pdeathsig KILL ssh "$@"
"""
_GUARDING = r"""count=$#
index=0
for word do
    shift
    index=$((index + 1))
    if [ $index -eq $count ] && [ $count -gt 4 ]; then
        word={prefix}"'$(printf %s "$word" | sed "s/'/'\\\\''/g")'"
    fi
    set -- "$@" "$word"
done
"""
