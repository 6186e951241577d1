"""Servers out of files that people have already: an ssh_config, or an Ansible inventory."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import ValidationError

from homewright.errors import UsageError
from homewright.site.models import Server

USUAL = Path("~/.ssh/config")
"""Where everybody's own is."""
MAX_BYTES = 1024 * 1024
"""An inventory line takes about 60 bytes: room for well over ten thousand hosts."""

_SSH_CONFIG = re.compile(r"^\s*(Host|Match|Include)[\s=]", re.IGNORECASE | re.MULTILINE)
_SECTION = re.compile(r"^\s*\[", re.MULTILINE)


@dataclass(frozen=True)
class Host:
    """One host; `reason` says why it cannot be taken over, and is empty where it can."""

    name: str
    address: str
    user: str
    port: int = 22
    reason: str = ""
    groups: tuple[str, ...] = ()
    """The groups of the inventory that it is in, the nearest first."""
    note: str = ""
    """What to know before taking it over, such as a jump host in between."""


@dataclass(frozen=True)
class Found:
    """What a file holds."""

    kind: str
    """`ssh_config` or `inventory`."""
    hosts: tuple[Host, ...] = ()
    said: tuple[str, ...] = ()
    """What was left out of account, and why: patterns, missing includes, unreadable variables."""


def find(file: Path, taken: Collection[str] = ()) -> Found:
    """The hosts of a file, by name. `taken` are the names and addresses of the servers that the site has already.

    Raises UsageError where the file cannot be read, or is neither an ssh_config nor an inventory.
    """
    from homewright.access import ansible_inventory, ssh_config

    place = file.expanduser()
    text = read_text(place)
    if place.suffix in (".yml", ".yaml", ".json"):
        found = ansible_inventory.from_yaml(text, place)
    elif _SSH_CONFIG.search(text) and not _SECTION.search(text):
        found = ssh_config.read(text, place)
    else:
        found = ansible_inventory.from_ini(text, place)
    return replace(found, hosts=distinct(found.hosts, taken))


def usual(taken: Collection[str] = ()) -> Found:
    """The hosts of ~/.ssh/config; none where there is no such file. Raises UsageError as `find` does."""
    return find(USUAL, taken) if USUAL.expanduser().exists() else Found("ssh_config")


def read_text(file: Path) -> str:
    """A file's text. Raises UsageError."""
    do = ["name an ssh_config, or an Ansible inventory in INI or YAML"]
    if file.is_dir():
        raise UsageError(f"{file} is a folder.", "", ["name one of its files"])
    try:
        with file.open("rb") as handle:
            data = handle.read(MAX_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{file} cannot be read.", f"{error.strerror or error}.", do) from error
    if len(data) > MAX_BYTES:
        raise UsageError(f"{file} is larger than {MAX_BYTES // 1024} KiB.", "", do)
    if data.startswith(b"#!"):
        raise UsageError(
            f"{file} is a program.",
            "A program that makes an inventory is not run by an import.",
            [f"ansible-inventory -i {file} --list --yaml > hosts.yaml", "then import hosts.yaml"],
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{file} is no text.", f"Byte {error.start} is no UTF-8.", do) from None


def host(
    alias: str, address: str, user: str, port: str, *, groups: tuple[str, ...] = (), note: str = "", reason: str = ""
) -> Host:
    """A host as a file has it, with why it cannot be taken over where that is so."""
    number = int(port) if port.isdecimal() and len(port) < 6 else 0
    made = Host(name_of(alias), address, user, number or 22, reason, groups, note)
    if not made.reason:
        made = replace(made, reason=_reason(made) if number else f"port {port} is no number")
    return made


def name_of(alias: str) -> str:
    """A server's name made of what a file calls it: the first label of a domain; an address after `server-`."""
    plain = re.sub(r"[^a-z0-9-]+", "-", alias.lower()).strip("-")
    if re.fullmatch(r"[0-9.]+", alias):
        return f"server-{plain}"
    first = re.sub(r"[^a-z0-9-]+", "-", alias.lower().partition(".")[0]).strip("-")
    return first if "." in alias and re.match(r"[a-z]", first) else plain


def distinct(hosts: Sequence[Host], taken: Collection[str]) -> tuple[Host, ...]:
    """The hosts with a reason for each that the site has, or that the file has, already."""
    names: dict[str, str] = {}
    addresses: dict[str, str] = {}
    judged: list[Host] = []
    for one in hosts:
        reason = one.reason
        if one.address in taken:
            reason = "is here already"
        elif one.name in taken and not reason:
            reason = f"there is a server called {one.name} already"
        elif not reason and one.address in addresses:
            reason = f"has the address of {addresses[one.address]}"
        elif not reason and one.name in names:
            reason = f"another host, {names[one.name]}, gives the name {one.name} too"
        if not reason:
            names[one.name] = addresses[one.address] = one.name
        judged.append(replace(one, reason=reason))
    return tuple(judged)


def _reason(one: Host) -> str:
    try:
        Server(name=one.name, address=one.address, user=one.user, port=one.port)
    except ValidationError as error:
        first = error.errors()[0]
        said = first["msg"].removeprefix("Value error, ").removeprefix("Input ")
        return f"{first['loc'][0]} {said[:1].lower()}{said[1:]}"
    return ""
