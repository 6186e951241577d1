"""The hosts of somebody's own ssh_config, as servers that a site may take over."""

from __future__ import annotations

import getpass
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import paramiko
from pydantic import ValidationError

from homewright.site.models import Server

USUAL = Path("~/.ssh/config")


@dataclass(frozen=True)
class Host:
    """One host; `reason` says why it cannot be taken over, and is empty where it can."""

    name: str
    address: str
    user: str
    port: int
    reason: str = ""


def hosts(file: Path, taken: Collection[str] = ()) -> tuple[Host, ...]:
    """The hosts of a file, by name. One that is not there, or is no ssh_config, has none.

    `taken` are the addresses of the servers that the site has already.
    """
    try:
        config = paramiko.SSHConfig.from_path(str(file.expanduser()))
        aliases = sorted(name for name in config.get_hostnames() if not set(name) & set("*?!"))
        return tuple(_host(alias, config.lookup(alias), taken) for alias in aliases)
    except (OSError, ValueError, ImportError, paramiko.SSHException):
        return ()


def _host(alias: str, settings: paramiko.SSHConfigDict, taken: Collection[str]) -> Host:
    name = re.sub(r"[^a-z0-9-]+", "-", alias.lower()).strip("-")
    port = str(settings.get("port", 22))
    user = str(settings.get("user") or getpass.getuser())
    host = Host(name, str(settings.get("hostname", alias)), user, int(port) if port.isdecimal() else 22)
    reason = _reason(host, taken) if port.isdecimal() else f"port {port} is no number"
    return Host(host.name, host.address, host.user, host.port, reason)


def _reason(host: Host, taken: Collection[str]) -> str:
    if host.address in taken:
        return "is here already"
    try:
        Server(name=host.name, address=host.address, user=host.user, port=host.port)
    except ValidationError as error:
        first = error.errors()[0]
        said = first["msg"].removeprefix("Value error, ").removeprefix("Input ")
        return f"{first['loc'][0]} {said[:1].lower()}{said[1:]}"
    return ""
