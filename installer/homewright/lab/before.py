"""What this machine was like before its first lab, so that the last lab that goes puts it back. The caller is root.

Labs side by side share the kernel's settings and LXD's firewall table: what the second one finds is the first one's
doing. So this is kept once for the machine, not once a lab.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from homewright.errors import LabError
from homewright.lab import places
from homewright.lab.shell import output
from homewright.site.paths import write_atomically

FILE = Path("/run/homewright-lab.json")

SETTINGS = Path("/proc/sys")

RUN_LXC = Path("/run/lxc")
"""Every private daemon covers it with a file system of its own."""

FORWARD = "net/ipv4/ip_forward"
"""LXD turns it on for a bridge with NAT."""

LEAST = {"fs/inotify/max_user_instances": 1024, "fs/inotify/max_user_watches": 1_048_576}
"""The kernel counts the inotify instances of all containers together. With its default of 128, systemd fails to start
its services from about the tenth container on: seen as servers without a network."""


@dataclass(frozen=True)
class Before:
    """What has to be put back."""

    boot: str
    """A reboot has put everything back by itself."""
    settings: dict[str, str]
    """The kernel's settings, by their path under /proc/sys."""
    nft_tables: tuple[str, ...]
    """The firewall's tables: family and name."""
    made_run_lxc: bool


def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def read_setting(name: str) -> str:
    """A kernel setting by its path under /proc/sys."""
    return (SETTINGS / name).read_text(encoding="ascii").strip()


def write_setting(name: str, value: str) -> None:
    """Change a kernel setting. Raises LabError where root may not, as in some containers."""
    try:
        (SETTINGS / name).write_text(value, encoding="ascii")
    except OSError as error:
        raise LabError(
            "A kernel setting that the practice servers need cannot be changed.",
            f"{name.replace('/', '.')} = {value}: {error.strerror}; this machine is perhaps a container itself.",
            [f"have it set outside: sysctl {name.replace('/', '.')}={value}", "or practise on another machine"],
        ) from error


def nft_tables() -> list[tuple[str, str]]:
    """Family and name of the firewall's tables."""
    words = (line.split() for line in output(["nft", "list", "tables"]).splitlines())
    return [(line[1], line[2]) for line in words if len(line) == 3]


def load() -> Before | None:
    """What was noted since this machine was started; None where no lab has changed anything."""
    try:
        document = json.loads(FILE.read_bytes())
        noted = Before(**{**document, "nft_tables": tuple(document["nft_tables"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return noted if noted.boot == boot_id() else None


def note() -> None:
    """Write down how things are, unless an earlier lab has: durable before anything is changed."""
    if load() is None:
        tables = tuple(f"{family} {name}" for family, name in nft_tables())
        settings = {name: read_setting(name) for name in (FORWARD, *LEAST)}
        noted = Before(boot_id(), settings, tables, not RUN_LXC.exists())
        write_atomically(FILE, json.dumps(asdict(noted)).encode())


def changed_back(before: Mapping[str, str], now: Mapping[str, str]) -> dict[str, str]:
    """Which settings get which value again: those that are as a lab makes them, and were not so before."""
    return {
        name: value for name, value in before.items() if value != now[name] and now[name] == str(LEAST.get(name, 1))
    }


def put_back() -> None:
    """Put everything back as it was before the first lab, unless another lab is there still."""
    with places.choosing():
        noted = load()
        if noted is None:
            FILE.unlink(missing_ok=True)
            return
        if any(name.startswith("hwlab") for name in places.interfaces()):
            return
        now = {name: read_setting(name) for name in noted.settings}
        for name, value in changed_back(noted.settings, now).items():
            write_setting(name, value)
        if noted.made_run_lxc:
            with contextlib.suppress(OSError):
                RUN_LXC.rmdir()
        FILE.unlink(missing_ok=True)
