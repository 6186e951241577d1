"""netplan's files on a server: who defines an interface, what they say of it in all, edits that keep the rest. Pure."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

KINDS = ("ethernets", "bonds", "vlans")
"""Sections of netplan whose interfaces can be bridged."""
LAYER3 = (
    "addresses", "routes", "routing-policy", "gateway4", "gateway6", "nameservers", "dhcp4", "dhcp6", "dhcp4-overrides",
    "dhcp6-overrides", "dhcp-identifier", "ra-overrides", "accept-ra", "link-local", "ipv6-privacy",
    "ipv6-address-generation", "ipv6-address-token", "ipv6-mtu", "critical", "optional-addresses",
)  # fmt: skip
"""What belongs to whoever has the address (netplan's reference, "Properties for all device types")."""

_SECRET = re.compile(
    r"(?:^|[\s{,#\"'])(?:wifis|modems|tunnels|auth|keys?|private|shared|[\w.-]*(?:password|psk|secrets?))[\"']?\s*:"
)


@dataclass(frozen=True)
class Link:
    """One interface as the kernel and systemd-networkd have it."""

    name: str
    kind: str = ""
    """bridge, bond, vlan, veth, … as ip(8) says; empty for a real one."""
    mac: str = ""
    master: str = ""
    carrier: bool = True
    wireless: bool = False
    driver: str = ""
    addresses: tuple[str, ...] = ()
    """IPv4 with prefix."""
    network_file: str = ""
    """The file by which systemd-networkd has set it up; empty where that is not its business."""
    stp: int = 0
    forward_delay: int = 0

    def has(self, address: str) -> bool:
        """Whether this IPv4 address is on it."""
        return any(text.partition("/")[0] == address for text in self.addresses)


@dataclass
class Definition:
    """An interface in netplan's files."""

    section: str
    id: str
    merged: dict[str, Any] = field(default_factory=dict)
    """What all files say of it, put together as netplan does."""
    files: list[str] = field(default_factory=list)


def documents(files: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Every file as a mapping; empty where it has no network. Raises ValueError with the file and the reason."""
    found = {}
    for path, text in files.items():
        try:
            document = YAML(typ="safe", pure=True).load(text)
        except YAMLError as error:
            line = str(error).strip().splitlines()[-1].strip()
            raise ValueError(f"{path} is no YAML ({line})") from None
        found[path] = document if isinstance(document, dict) and isinstance(document.get("network"), dict) else {}
    return found


def definitions(files: Mapping[str, dict[str, Any]], link: Link) -> list[Definition]:
    """Where an interface is defined, in the order in which netplan reads the files."""
    found: dict[tuple[str, str], Definition] = {}
    for path in sorted(files, key=lambda path: PurePosixPath(path).name):
        network = files[path].get("network") or {}
        for section in KINDS:
            for name, definition in (network.get(section) or {}).items():
                values = definition if isinstance(definition, dict) else {}
                if matches(str(name), values, link):
                    one = found.setdefault((section, str(name)), Definition(section, str(name)))
                    one.merged = _merged(one.merged, values)
                    one.files.append(path)
    return list(found.values())


def matches(name: str, definition: Mapping[str, Any], link: Link) -> bool:
    """Whether a definition of this name is about this interface."""
    match = definition.get("match")
    if not isinstance(match, dict) or not match:
        return name == link.name
    if "macaddress" in match and str(match["macaddress"]).lower() != link.mac.lower():
        return False
    globs = match.get("driver") or ()
    if globs and not any(fnmatchcase(link.driver, str(one)) for one in ([globs] if isinstance(globs, str) else globs)):
        return False
    return "name" not in match or link.name == definition.get("set-name") or fnmatchcase(link.name, str(match["name"]))


def stripped(text: str, definition: Definition) -> str:
    """A file of somebody else's without the addresses and routes of this interface; all else, comments too, stays."""
    yaml = _round_trip()
    document = yaml.load(text)
    values = ((document.get("network") or {}).get(definition.section) or {}).get(definition.id)
    kept = {key for key in values or () if key in LAYER3}
    if not values or not kept:
        return text
    for key in kept:
        del values[key]
    stream = io.StringIO()
    yaml.dump(document, stream)
    return stream.getvalue()


def gives_addresses(document: Mapping[str, Any]) -> bool:
    """Whether `stripped` could take something out of this file, for whichever interface."""
    sections = ((document.get("network") or {}).get(section) or {} for section in KINDS)
    return any(key in LAYER3 for section in sections for values in section.values() for key in values or ())


def holds_secrets(text: str) -> bool:
    """Whether a file says, be it in a comment, what may not be written down elsewhere: Wi-Fi, 802.1X, keys."""
    return _SECRET.search(text) is not None


def only_stripped(before: str, now: str) -> bool:
    """Whether a file is what it was but for things that `stripped` takes out."""
    try:
        old, new = (YAML(typ="safe", pure=True).load(text) for text in (before, now))
    except YAMLError:
        return False
    return bool(_lowest(old) == _lowest(new))


def _lowest(document: Any) -> Any:
    network = document.get("network") if isinstance(document, dict) else None
    if not isinstance(network, dict):
        return document
    shown: dict[str, Any] = {key: value for key, value in network.items() if key not in KINDS}
    for section in KINDS:
        inner = network.get(section) or {}
        shown[section] = {
            name: {key: value for key, value in (values or {}).items() if key not in LAYER3}
            for name, values in inner.items()
        }
    return {**document, "network": shown}


def _merged(first: dict[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """netplan's way: later values win, lists are joined, mappings merged."""
    result = dict(first)
    for key, value in second.items():
        if isinstance(value, list) and isinstance(result.get(key), list):
            result[key] = [*result[key], *(one for one in value if one not in result[key])]
        elif isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = _merged(result[key], value)
        else:
            result[key] = value
    return result


def text_of(document: Mapping[str, Any]) -> str:
    """A file with this content."""
    yaml = _round_trip()
    stream = io.StringIO()
    yaml.dump(_plain(document), stream)
    return stream.getvalue()


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _round_trip() -> YAML:
    yaml = YAML(typ="rt", pure=True)
    yaml.preserve_quotes = True
    yaml.width = 4096
    yaml.indent(mapping=2, sequence=4, offset=2)
    return yaml
