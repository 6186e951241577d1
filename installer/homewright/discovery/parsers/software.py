"""What is installed and running that the platform needs or runs into."""

from __future__ import annotations

import re
from typing import Literal

from homewright.discovery.bundle import MISSING, RawBundle
from homewright.discovery.facts import Software

UNKNOWN_VERSION = "unknown"
"""It is there, but does not say which one it is."""

_SERVICE = re.compile(r"^[●*\s]*([\w@.\\:-]+)\.service(?:\s+loaded\s+active\s+running\b.*)?\s*$")
_CHAIN = re.compile(r"type filter hook forward priority [^;]+; policy (accept|drop);")
_TABLE = re.compile(r"^table (\w+) ")
_POLICY = re.compile(r"^-P FORWARD (ACCEPT|DROP|REJECT)\s*$", re.MULTILINE)
_PLUGINS = {"nvidia-device-p": "nvidia-device-plugin", "gpu-feature-dis": "gpu-feature-discovery"}


def services(text: str) -> tuple[str, ...]:
    """Names of running services, from the names of their control groups or systemctl's list."""
    rows = (_SERVICE.match(line) for line in text.splitlines())
    return tuple(dict.fromkeys(row.group(1) for row in rows if row))


def packages(text: str) -> dict[str, str]:
    """Versions of installed packages, without Debian's epoch and revision, from dpkg-query's `name version state`."""
    rows = (line.split() for line in text.splitlines())
    return {row[0]: _upstream(row[1]) for row in rows if len(row) == 3 and row[2].startswith(("ii", "hi"))}


def snaps(text: str) -> dict[str, str]:
    """Versions of installed snaps, from `snap list`."""
    rows = (line.split() for line in text.splitlines()[1:])
    return {row[0]: row[1] for row in rows if len(row) >= 4 and re.fullmatch(r"[a-z0-9-]+", row[0])}


def forward_policy(text: str) -> Literal["accept", "drop"]:
    """What becomes of forwarded packets that no rule names: the strictest of all tables for IPv4 decides."""
    table = ""
    policies = [policy.lower() for policy in _POLICY.findall(text)]
    for line in text.splitlines():
        if heading := _TABLE.match(line):
            table = heading.group(1)
        elif table in ("ip", "inet") and (chain := _CHAIN.search(line)):
            policies.append(chain.group(1))
    return "drop" if {"drop", "reject"} & set(policies) else "accept"


def parse(bundle: RawBundle) -> Software:
    installed = packages(bundle.said("packages"))  # it ends with 1 where one of the names is not known
    snapped = snaps(bundle.text("snap-list"))
    running = services(bundle.text("services"))
    asked = bundle.ended_well("tools")
    tools = bundle.text("tools").split()
    commands = {path.rsplit("/", 1)[-1]: path for path in tools}
    lxd, lxd_from = _lxd(installed, snapped, commands)
    return Software(
        snapd=_snapd(bundle, installed, commands),
        snap_hold=_hold(bundle),
        package_locks=_locks(bundle),
        packages_broken=bool(bundle.said("dpkg-audit").strip()) if bundle.ended_well("dpkg-audit") else None,
        docker=_docker(installed, snapped, commands, running) if asked else None,
        ufw=_ufw(bundle),
        forward_policy=_forward(bundle),
        lxd=lxd,
        lxd_from=lxd_from,
        lxd_clustered=None if lxd is None else "cluster.crt" in commands,
        microk8s=snapped.get("microk8s") or (UNKNOWN_VERSION if "microk8s" in commands else None),
        zerotier=_zerotier(bundle, installed, commands, running),
        device_plugin=_plugins(bundle),
        python=installed.get("python3") or _python(bundle.text("python")),
        netplan=("netplan" in commands or bundle.ended_well("netplan")) if asked else None,
        services=running,
    )


def _lxd(
    installed: dict[str, str], snapped: dict[str, str], commands: dict[str, str]
) -> tuple[str | None, Literal["snap", "package", ""]]:
    if "lxd" in snapped:
        return snapped["lxd"], "snap"
    if "lxd" in installed:
        return installed["lxd"], "package"
    if "lxd" in commands:
        return UNKNOWN_VERSION, "snap" if commands["lxd"].startswith("/snap/") else ""
    return None, ""


def _snapd(bundle: RawBundle, installed: dict[str, str], commands: dict[str, str]) -> str | None:
    said = re.search(r"^snapd\s+(\d\S*)", bundle.text("snap-version"), re.MULTILINE)
    if said:
        return said.group(1)
    return installed.get("snapd") or (UNKNOWN_VERSION if "snap" in commands else None)


def _hold(bundle: RawBundle) -> str | None:
    if not bundle.ended_well("snap-refresh-time"):
        return None
    held = re.search(r"^hold:\s*(.+)$", bundle.text("snap-refresh-time"), re.MULTILINE)
    return held.group(1).strip()[:100] if held else ""


def _locks(bundle: RawBundle) -> tuple[str, ...] | None:
    if not bundle.ended_well("package-locks"):
        return None
    rows = (line.split(None, 2) for line in bundle.text("package-locks").splitlines())
    return tuple(f"{row[0]} ({' '.join(row[2:]) or 'process'} {row[1]})" for row in rows if len(row) >= 2)


def _docker(
    installed: dict[str, str], snapped: dict[str, str], commands: dict[str, str], running: tuple[str, ...]
) -> bool:
    return bool(
        {"docker.io", "docker-ce"} & installed.keys()
        or {"dockerd", "docker.sock"} & commands.keys()
        or "docker" in snapped
        or "docker" in running
    )


def _ufw(bundle: RawBundle) -> bool | None:
    source = bundle.source("ufw")
    if source.exit_code == MISSING:
        return False
    enabled = re.search(r"^ENABLED=[\"']?(yes|no)", bundle.text("ufw"), re.MULTILINE)
    return enabled.group(1) == "yes" if enabled else None


def _forward(bundle: RawBundle) -> Literal["accept", "drop"] | None:
    if _ufw(bundle) and re.search(r'^DEFAULT_FORWARD_POLICY="?(DROP|REJECT)', bundle.text("ufw"), re.MULTILINE):
        return "drop"
    return forward_policy(bundle.text("firewall")) if bundle.ended_well("firewall") else None


def _zerotier(
    bundle: RawBundle, installed: dict[str, str], commands: dict[str, str], running: tuple[str, ...]
) -> str | None:
    said = re.fullmatch(r"\d[\w.]*", bundle.text("zerotier").strip())
    if said:
        return said.group()
    there = "zerotier-one" in commands or "zerotier-one" in running
    return installed.get("zerotier-one") or (UNKNOWN_VERSION if there else None)


def _plugins(bundle: RawBundle) -> tuple[str, ...] | None:
    if not bundle.ended_well("processes"):
        return None
    names = dict.fromkeys(bundle.text("processes").split())
    return tuple(_PLUGINS.get(name, name) for name in names if name in _PLUGINS or name.startswith("nfd-"))


def _python(text: str) -> str | None:
    said = re.search(r"(?:^Python |python)(\d+\.\d+\S*)", text)
    return said.group(1) if said else None


def _upstream(version: str) -> str:
    plain = version.split(":", 1)[-1]
    return plain.rsplit("-", 1)[0] if "-" in plain else plain
