"""Options that make ssh(1), and whatever runs it, as strict as our own connections.

Only the site's known_hosts is believed, only the engine's key is offered, and no file of the user or of the system
can change that (`-F none`).
"""

from __future__ import annotations

import shlex
from pathlib import Path

from homewright.access.endpoint import Endpoint

CONNECT_TIMEOUT_S = 10
ALIVE_INTERVAL_S = 15
ALIVE_COUNT = 4


def settings(endpoint: Endpoint) -> dict[str, str]:
    """The ssh_config settings that force strictness, in the form that ssh_config wants them.

    A server that stands between is reached by an ssh of its own with the same options (`ProxyJump` would give it the
    user's own settings).
    """
    way = {"ProxyCommand": proxy_command(endpoint.through)} if endpoint.through else {}
    return way | {
        "UserKnownHostsFile": _path(endpoint.known_hosts),
        "GlobalKnownHostsFile": "/dev/null",
        "KnownHostsCommand": "none",
        "StrictHostKeyChecking": "yes",
        "UpdateHostKeys": "no",
        "VerifyHostKeyDNS": "no",
        "CheckHostIP": "no",
        "IdentityFile": _path(endpoint.key_file),
        "IdentitiesOnly": "yes",
        "IdentityAgent": "none",
        "ForwardAgent": "no",
        "PreferredAuthentications": "publickey",
        "PasswordAuthentication": "no",
        "KbdInteractiveAuthentication": "no",
        "BatchMode": "yes",
        "ConnectTimeout": str(CONNECT_TIMEOUT_S),
        "ServerAliveInterval": str(ALIVE_INTERVAL_S),
        "ServerAliveCountMax": str(ALIVE_COUNT),
        "LogLevel": "ERROR",
    }


def proxy_command(through: Endpoint) -> str:
    """What ssh runs to get to a host behind this server: %h and %p are that host's."""
    words = ["ssh", *options(through), "-p", str(through.port), "-l", through.user]
    return f"{shlex.join(words).replace('%', '%%')} -W '[%h]:%p' -- {through.address}"


def options(endpoint: Endpoint) -> list[str]:
    """Arguments for ssh, scp and sftp; ssh believes the first value of an option, so put them first."""
    return ["-F", "none", *(word for item in settings(endpoint).items() for word in ("-o", "=".join(item)))]


def command(endpoint: Endpoint, *words: str) -> list[str]:
    """A whole ssh command line to this server, with `words` to run there (a shell where there are none)."""
    return [
        "ssh", *options(endpoint), "-p", str(endpoint.port), "-l", endpoint.user, "--", endpoint.address, *words
    ]  # fmt: skip


def ansible_ssh_common_args(endpoint: Endpoint) -> str:
    """The same options as one shell-quoted line, for Ansible's variable `ansible_ssh_common_args`.

    Set `ansible_host_key_checking: true` beside it (or use `ansible_ssh_args` instead): otherwise Ansible puts an
    option of its own in front of ours where the user's settings have host key checking off.
    """
    return shlex.join(options(endpoint))


def config_text(endpoint: Endpoint) -> str:
    """One `Host` block for a generated ssh_config, for tools that read nothing else (pyinfra)."""
    lines = [
        f"Host {endpoint.name} {endpoint.address}",
        f"  HostName {endpoint.address}",
        f"  Port {endpoint.port}",
        f"  User {endpoint.user}",
        *(f"  {name} {value}" for name, value in settings(endpoint).items()),
    ]
    return "\n".join(lines) + "\n"


def _path(file: Path) -> str:
    """A path as ssh_config takes it: `%` doubled, quoted where it has blanks."""
    text = str(file).replace("%", "%%")
    return f'"{text}"' if any(character.isspace() for character in text) else text
