"""The site as an Ansible inventory, so that every playbook also runs by hand: no lock-in, no secrets. Pure.

It is YAML without an extension to its name, which `ansible-playbook -i <(homewright site inventory)` reads. The groups
are part of the contract with playbooks, other people's included.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from homewright.site.models import Server, Site

SAME = {"microk8s_control_plane": "kubernetes_control_plane"}
"""Groups that also go by another name."""


def document(
    site: Site, groups: Mapping[str, Sequence[str]], ssh_arguments: Mapping[str, str], key_file: str
) -> dict[str, Any]:
    """The inventory. `groups` are names of servers by group; `ssh_arguments` force strict host keys, by server."""
    members = dict(groups) | {other: groups[group] for other, group in SAME.items() if group in groups}
    return {
        "all": {
            "hosts": {server.name: _variables(server, ssh_arguments[server.name], key_file) for server in site.servers},
            "vars": {
                "ansible_python_interpreter": "/usr/bin/python3",
                "site": site.model_dump(mode="json"),
            },
            "children": {group: {"hosts": {name: {} for name in names}} for group, names in members.items()},
        }
    }


def _variables(server: Server, ssh_arguments: str, key_file: str) -> dict[str, Any]:
    return {
        "ansible_host": server.address,
        "ansible_port": server.port,
        "ansible_user": server.user,
        "ansible_ssh_private_key_file": key_file,
        "ansible_ssh_common_args": ssh_arguments,
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
