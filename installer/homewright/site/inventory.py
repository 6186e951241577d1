"""The site as an Ansible inventory, so that every playbook also runs by hand: no lock-in, no secrets. Pure.

It is YAML without an extension to its name, which `ansible-playbook -i <(homewright site inventory)` reads. The groups
are part of the contract with playbooks, other people's included.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from homewright.site.models import Site

SAME = {"microk8s_control_plane": "kubernetes_control_plane"}
"""Groups that also go by another name."""


@dataclass(frozen=True)
class Reached:
    """How ssh gets to one host: a server, or an instance on one."""

    name: str
    address: str
    port: int
    user: str
    ssh_arguments: str
    """What forces strict host keys, and leads through the server where it is an instance."""


def document(
    site: Site, groups: Mapping[str, Sequence[str]], hosts: Sequence[Reached], key_file: str
) -> dict[str, Any]:
    """The inventory. `groups` are names of hosts by group."""
    members = dict(groups) | {other: groups[group] for other, group in SAME.items() if group in groups}
    return {
        "all": {
            "hosts": {host.name: _variables(host, key_file) for host in hosts},
            "vars": {
                "ansible_python_interpreter": "/usr/bin/python3",
                "site": site.model_dump(mode="json"),
            },
            "children": {group: {"hosts": {name: {} for name in names}} for group, names in members.items()},
        }
    }


def _variables(host: Reached, key_file: str) -> dict[str, Any]:
    return {
        "ansible_host": host.address,
        "ansible_port": host.port,
        "ansible_user": host.user,
        "ansible_ssh_private_key_file": key_file,
        "ansible_ssh_common_args": host.ssh_arguments,
        "ansible_host_key_checking": True,
    }


def text(inventory: Mapping[str, Any]) -> str:
    """The inventory as YAML. An answer that Jinja could take for a template is marked as data (`!unsafe`)."""
    return "\n".join(_lines(inventory, "")) + "\n"


def _lines(value: Mapping[str, Any], pad: str) -> list[str]:
    lines: list[str] = []
    for key, item in value.items():
        if isinstance(item, Mapping) and item:
            lines += [f"{pad}{_text(key)}:", *_lines(item, pad + "  ")]
        else:
            lines.append(f"{pad}{_text(key)}: {_inline(item)}")
    return lines


def _inline(value: Any) -> str:
    """One line of JSON, which YAML contains."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(str(key))}: {_inline(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_inline(item) for item in value) + "]"
    return f"!unsafe {json.dumps(value)}" if isinstance(value, str) and "{" in value else json.dumps(value)


def _text(key: str) -> str:
    return key if key.isidentifier() and key.isascii() else json.dumps(key)
