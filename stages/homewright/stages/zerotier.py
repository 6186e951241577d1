"""ZeroTier Central's API (docs.zerotier.com/openapi/central/v1.json), and what is decided by what it says.

It is asked from where Homewright runs; the token goes into a header of these requests and nowhere else.
"""

from __future__ import annotations

import base64
import hashlib
import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from homewright.errors import HomewrightError

CENTRAL = "https://api.zerotier.com/api/v1"
ANSWER_S = 20.0
TRIES = 4
"""It answers 429 past 20 requests a second (its documentation), and 5xx now and then."""
PAUSE_S = 1.0
FINGERPRINT = "74A5E9C458E1A431F1DA57A71657198823E52A61"
"""Of the key that signs ZeroTier's packages (its installer at install.zerotier.com names the same)."""


class OverlayError(HomewrightError):
    """The overlay's account, network or members are not as they have to be."""

    code = "overlay"


class Central:
    """An account's networks. Every method raises OverlayError."""

    def __init__(self, token: str, base: str = CENTRAL) -> None:
        self._token = token
        self._base = base

    def __repr__(self) -> str:
        return f"Central({self._base!r})"

    def network(self, network: str) -> dict[str, Any]:
        """A network's `config` and the rest. Raises OverlayError where the account has no such network."""
        found = self._ask("GET", f"network/{network}")
        if found is None:
            raise OverlayError(
                f"The ZeroTier account has no network {network}.",
                "Central does not know it, or it is another account's.",
                ["look at it: my.zerotier.com", "correct the answer: homewright site set network.overlay.network_id …"],
            )
        return dict(found)

    def members(self, network: str) -> list[dict[str, Any]]:
        """All members of a network."""
        return list(self._ask("GET", f"network/{network}/member") or [])

    def set_network(self, network: str, config: Mapping[str, Any]) -> None:
        """Change these parts of a network's configuration."""
        self._ask("POST", f"network/{network}", {"config": dict(config)})

    def set_member(self, network: str, node: str, values: Mapping[str, Any]) -> None:
        """Change a member; one that has not joined yet is made."""
        self._ask("POST", f"network/{network}/member/{node}", values)

    def remove_member(self, network: str, node: str) -> None:
        """Forget a member; harmless where there is none."""
        self._ask("DELETE", f"network/{network}/member/{node}")

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """The answer's JSON; None for what is not there (404)."""
        headers = {"Authorization": f"token {self._token}", "Accept": "application/json"}
        data = None
        if body is not None:
            data, headers["Content-Type"] = json.dumps(body).encode(), "application/json"
        request = urllib.request.Request(f"{self._base}/{path}", data, headers, method=method)
        why = ""
        for attempt in range(TRIES):
            if attempt:
                time.sleep(PAUSE_S * 2 ** (attempt - 1))
            try:
                with urllib.request.urlopen(request, timeout=ANSWER_S) as answer:
                    text = answer.read()
                    return json.loads(text) if text.strip() else None
            except urllib.error.HTTPError as error:
                with error:
                    if error.code == 404:
                        return None
                    if error.code in (401, 403):
                        raise OverlayError(
                            "ZeroTier does not accept the site's token.",
                            f"Central answers {error.code} to {method} {path}.",
                            [
                                "make a new one: my.zerotier.com/account",
                                "homewright site secret set overlay/zerotier-token",
                            ],
                        ) from None
                    why = f"Central answers {error.code} to {method} {path}."
                    if error.code != 429 and error.code < 500:
                        break
            except (OSError, ValueError) as error:
                why = f"{getattr(error, 'reason', error)}."
        raise OverlayError("ZeroTier's account service cannot be used.", why, ["try again later: homewright retry"])


def routes(config: Mapping[str, Any]) -> list[IPv4Network]:
    """The networks that a ZeroTier network reaches by itself, without a router."""
    found = (one.get("target", "") for one in config.get("routes") or () if not one.get("via"))
    return [IPv4Network(target, strict=False) for target in found if ":" not in target and "/" in target]


def refuse(
    network: str, config: Mapping[str, Any], members: Iterable[Mapping[str, Any]], wanted: Mapping[str, str],
    net: IPv4Network, own: Iterable[str],
) -> None:  # fmt: skip
    """Raises OverlayError where the network is not one that these servers can have these addresses in. `own` are their
    node ids."""
    there = routes(config)
    if there and not any(net.subnet_of(route) for route in there):
        used = ", ".join(map(str, there))
        raise OverlayError(
            f"The ZeroTier network {network} uses {used}, and the site plans {net}.",
            "An address outside of a network's own range reaches nobody.",
            [f"take the network's: homewright site set network.overlay.range {there[0]}"],
        )
    names = {address: name for name, address in wanted.items()}
    for member in members:
        if str(member.get("nodeId", "")) in own:
            continue
        taken = set((member.get("config") or {}).get("ipAssignments") or ()) & set(names)
        if taken:
            address = sorted(taken)[0]
            whose = member.get("name") or member.get("nodeId")
            other = "or take another range: homewright site set network.overlay.range …"
            raise OverlayError(
                f"{address}, which {names[address]} is to have in the overlay, is {whose}'s.",
                "An address is taken from nobody.",
                ["give it another there: my.zerotier.com", other],
            )


def refuse_moved(
    network: str, members: Iterable[Mapping[str, Any]], own: Mapping[str, str], wanted: Mapping[str, str]
) -> None:
    """Raises OverlayError where a server that was in the network before us has another address there.

    `own` are the node ids of these servers, by name.
    """
    names = {node: name for name, node in own.items() if node}
    for one in members:
        name = names.get(str(one.get("nodeId", "")))
        found = list((one.get("config") or {}).get("ipAssignments") or ())
        if name is not None and found and found != [wanted[name]]:
            raise OverlayError(
                f"{name} is in the ZeroTier network {network} already, with {', '.join(found)} and not {wanted[name]}.",
                "Whoever uses that address would lose it, so nothing was changed.",
                [
                    f"give it {wanted[name]} there: my.zerotier.com",
                    "or delete its member there: then its address is nobody's",
                    "or take another network: homewright site set network.overlay.network_id …",
                ],
            )


def member(name: str, site: str, address: str) -> dict[str, Any]:
    """What a server is in the network: let in, and with this address alone."""
    config = {"authorized": True, "ipAssignments": [address], "noAutoAssignIps": True}
    return {"name": name, "description": f"Homewright, site {site}", "config": config}


def is_as(values: Mapping[str, Any], found: Mapping[str, Any] | None) -> bool:
    """Whether a member is what it should be already."""
    if found is None:
        return False
    config, wanted = found.get("config") or {}, values["config"]
    return found.get("name") == values["name"] and all(config.get(key) == value for key, value in wanted.items())


def dns(config: Mapping[str, Any], zone: str | None, server: str) -> dict[str, Any] | None:
    """What members ask for names of the zone (split DNS); None where that is so, or somebody has set something else."""
    found = config.get("dns") or {}
    if zone is None or (found.get("domain") and found["domain"] != zone):
        return None
    wanted = {"domain": zone, "servers": [server]}
    return None if {key: found.get(key) for key in wanted} == wanted else {"dns": wanted}


def joined(text: str, network: str) -> tuple[str, list[str]]:
    """Status in a network, and the addresses there, of `zerotier-cli -j listnetworks`; empty where it is not joined."""
    try:
        found = json.loads(text or "[]")
    except ValueError:
        return "", []
    one = next((one for one in found if one.get("id", one.get("nwid")) == network), None)
    return ("", []) if one is None else (str(one.get("status", "")), list(one.get("assignedAddresses") or ()))


def has(addresses: Sequence[str], address: str) -> bool:
    """Whether this one is among addresses with a prefix."""
    return any(IPv4Address(one.partition("/")[0]) == IPv4Address(address) for one in addresses if ":" not in one)


def fingerprint(armored: bytes) -> str:
    """Of the first key in an armored file (RFC 4880, 12.2, of version 4); empty where there is none."""
    lines = armored.decode("ascii", "replace").splitlines()
    try:
        begin, end = (lines.index(f"-----{word} PGP PUBLIC KEY BLOCK-----") for word in ("BEGIN", "END"))
        inner = lines[begin + 1 : end]
        text = inner[inner.index("") + 1 :]
        data = base64.b64decode("".join(line for line in text if not line.startswith("=")))
        tag, first = data[0], data[1]
    except (ValueError, IndexError):
        return ""
    if tag & 0xC0 == 0xC0:  # the newer form of a packet's head
        size, at = (first, 2) if first < 192 else (((first - 192) << 8) + data[2] + 192, 3)
        kind = tag & 0x3F
    else:
        width = {0: 1, 1: 2, 2: 4}.get(tag & 3, 0)
        size, at, kind = int.from_bytes(data[1 : 1 + width], "big"), 1 + width, tag >> 2 & 15
    body = data[at : at + size]
    if kind != 6 or body[:1] != b"\4":
        return ""
    return hashlib.sha1(b"\x99" + len(body).to_bytes(2, "big") + body).hexdigest().upper()
