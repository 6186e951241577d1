"""Sockets that listen, from ss or the kernel's own tables."""

from __future__ import annotations

import ipaddress
import re
from typing import Literal

from homewright.discovery.bundle import RawBundle
from homewright.discovery.facts import Listener

_PORTS = 65535
_ROW = re.compile(
    r"^(?P<protocol>tcp|udp)\s+(?:LISTEN|UNCONN)\s+\d+\s+\d+\s+(?P<address>\S*):(?P<port>\d{1,5})\s+\S+\s*(?P<rest>.*)$"
)
_PROCESS = re.compile(r'\("([^"]{1,64})"')
_KERNEL = re.compile(r"^(?P<protocol>tcp|udp)6? (?P<address>[0-9A-F]{8}|[0-9A-F]{32}):(?P<port>[0-9A-F]{4})$")


def ss(text: str) -> tuple[Listener, ...]:
    """From `ss -lntup`, with or without its heading."""
    found = []
    for line in text.splitlines():
        row = _ROW.match(line)
        if row and 0 < int(row["port"]) <= _PORTS:
            process = _PROCESS.search(row["rest"])
            address = row["address"].partition("%")[0].strip("[]")
            found.append(_listener(row["protocol"], address, int(row["port"]), process.group(1) if process else ""))
    return tuple(dict.fromkeys(found))


def proc_net(text: str) -> tuple[Listener, ...]:
    """From the probe's lines of /proc/net/tcp and its like: `tcp6 ADDRESS:PORT`, hexadecimal, words turned round."""
    found = []
    for line in text.splitlines():
        if (row := _KERNEL.match(line.strip())) and int(row["port"], 16):
            raw = bytes.fromhex(row["address"])
            turned = b"".join(raw[start : start + 4][::-1] for start in range(0, len(raw), 4))
            found.append(_listener(row["protocol"], str(ipaddress.ip_address(turned)), int(row["port"], 16), ""))
    return tuple(dict.fromkeys(found))


def parse(bundle: RawBundle) -> tuple[Listener, ...] | None:
    """None where nothing could tell."""
    if bundle.ended_well("ss"):
        return ss(bundle.text("ss"))
    return proc_net(bundle.text("proc-net")) if bundle.ended_well("proc-net") else None


def _listener(protocol: str, address: str, port: int, process: str) -> Listener:
    kind: Literal["tcp", "udp"] = "tcp" if protocol == "tcp" else "udp"
    return Listener(protocol=kind, address=address, port=port, process=process)
