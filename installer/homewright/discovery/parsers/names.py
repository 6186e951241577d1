"""How names are resolved on a host."""

from __future__ import annotations

import ipaddress
import re

from homewright.discovery.bundle import RawBundle
from homewright.discovery.facts import Names

PUBLIC_NAME = "www.debian.org"
"""That the probe asks for."""
_NOT_FOUND = "2"
"""getent's exit code for a name that is not known; the same where resolvers answer nothing, or an error."""


def resolv_conf(text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """DNS servers and search domains of a resolv.conf."""
    servers: list[str] = []
    search: tuple[str, ...] = ()
    for line in text.splitlines():
        words = line.split("#")[0].split()
        if words[:1] == ["nameserver"] and len(words) == 2 and _is_address(words[1]):
            servers.append(words[1])
        elif words[:1] in (["search"], ["domain"]):
            search = tuple(word for word in words[1:] if word != ".")
    return tuple(dict.fromkeys(servers)), search


def hosts(text: str) -> dict[str, tuple[str, ...]]:
    """Names by address, of /etc/hosts."""
    found: dict[str, tuple[str, ...]] = {}
    for line in text.splitlines():
        address, *names = line.split("#")[0].split() or [""]
        if names and _is_address(address):
            found[address] = tuple(dict.fromkeys((*found.get(address, ()), *names)))
    return found


def answers(text: str) -> list[tuple[str, str, str, tuple[str, ...]]]:
    """Kind, name, exit code and addresses, of the probe's lines kind|name|code|addresses."""
    found = []
    for line in text.splitlines():
        fields = line.split("|")
        if len(fields) == 4 and fields[2].isdigit():
            kind = "internet" if fields[1] == PUBLIC_NAME else fields[0]
            found.append((kind, fields[1], fields[2], tuple(filter(_is_address, re.split(r"[ ,]", fields[3])))))
    return found


def parse(bundle: RawBundle) -> Names:
    servers, search = resolv_conf(bundle.text("resolv-conf"))
    if any(server.startswith("127.0.0.") for server in servers):
        behind, behind_search = resolv_conf(bundle.text("resolv-conf-uplink"))
        servers, search = behind or servers, search or behind_search
    said = answers(bundle.said("getent"))
    internet = [entry for entry in said if entry[0] == "internet"]
    wildcard = _found([entry for entry in said if entry[0] == "wildcard"])
    if wildcard is False and internet and _found(internet) is False:
        wildcard = None  # a public name was not found either: it may be that nobody answered
    anything = {address for kind, _, _, addresses in said if kind == "wildcard" for address in addresses}
    return Names(
        resolvers=servers,
        search=search,
        hosts=hosts(bundle.text("hosts")),
        resolves=_resolved(said),
        wildcard=wildcard,
        internet=_found([entry for entry in internet if not anything & set(entry[3])]),
    )


def _resolved(said: list[tuple[str, str, str, tuple[str, ...]]]) -> dict[str, tuple[str, ...]]:
    """Addresses by name; /etc/hosts may have several lines for one."""
    found: dict[str, tuple[str, ...]] = {}
    for kind, name, code, addresses in said:
        if kind == "name" and (code == _NOT_FOUND or (code == "0" and addresses)):
            found[name] = tuple(dict.fromkeys((*found.get(name, ()), *addresses)))
    return found


def _found(said: list[tuple[str, str, str, tuple[str, ...]]]) -> bool | None:
    if any(addresses for _, _, _, addresses in said):
        return True
    return False if said and all(code == _NOT_FOUND for _, _, code, _ in said) else None


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    return True
