"""The hosts of somebody's own ssh_config. Includes are followed; nothing in it is executed."""

from __future__ import annotations

import getpass
import io
import re
from collections.abc import Iterator
from pathlib import Path

import paramiko

from homewright.access.importing import USUAL, Found, Host, host, read_text
from homewright.errors import UsageError

MAX_DEPTH = 16
"""How deep includes may lie in one another; OpenSSH's own limit."""

_LINE = re.compile(r"^\s*(?P<key>[A-Za-z]+)(\s*=\s*|\s+)(?P<value>.+?)\s*$")
_MATCHES = re.compile(r"(\s*!?(all|host|originalhost|user|localuser)(\s+\S+)?)+", re.IGNORECASE)
"""What a Match line may ask for here. The rest runs a command (exec) or looks at this machine's networks."""


def read(text: str, file: Path) -> Found:
    """The hosts of this text, which is that of `file`. Raises UsageError where it cannot be understood."""
    said: list[str] = []
    lines = list(_lines(text, file, said, 0, ""))
    try:
        config = paramiko.SSHConfig.from_file(io.StringIO("\n".join(lines)))
        aliases = sorted(name for name in config.get_hostnames() if not set(name) & set("*?!"))
        hosts = tuple(_host(alias, config.lookup(alias)) for alias in aliases)
    except (ValueError, ImportError, paramiko.SSHException) as error:
        raise UsageError(
            f"{file} cannot be understood.", f"{error}.", ["ssh -G NAME shows what ssh makes of it"]
        ) from None
    patterns = [name for name in _named(lines) if set(name) & set("*?") and name not in ("*", "!*")]
    said += [f"{one} is a pattern: its settings count for the hosts that fit it" for one in dict.fromkeys(patterns)]
    return Found("ssh_config", hosts, tuple(said))


def _lines(text: str, file: Path, said: list[str], depth: int, block: str) -> Iterator[str]:
    """The file's lines with those of its includes in their place; `block` is the Host line that they are under."""
    for line in text.splitlines():
        found = _LINE.match(line)
        key = found["key"].lower() if found else ""
        value = found["value"] if found else ""
        if key in ("host", "match"):
            block = line
            if key == "match" and not _MATCHES.fullmatch(value):
                said.append(f"Match {value}: it depends on this machine, so it is left out")
                block = line = "Host !*"
        if key != "include":
            yield line
            continue
        if depth >= MAX_DEPTH:
            said.append(f"Include {value}: deeper than {MAX_DEPTH} files")
            continue
        for part in value.replace('"', "").split():
            yield from _included(part, file, said, depth, block)
        yield block or "Host *"  # what follows an include belongs to the block that it stands in


def _included(part: str, file: Path, said: list[str], depth: int, block: str) -> Iterator[str]:
    """The lines of the files that one include names; relative to ~/.ssh, as ssh has it."""
    place = Path(part).expanduser()
    base = file.parent if file.parent.name == ".ssh" else USUAL.parent.expanduser()
    pattern = str(place if place.is_absolute() else base / place).lstrip("/")
    try:
        files = sorted(one for one in Path("/").glob(pattern) if one.is_file())
    except (OSError, ValueError, NotImplementedError):
        files = []
    if not files:
        said.append(f"Include {part}: there is no such file")
    for one in files:
        try:
            text = read_text(one)
        except UsageError as error:
            said.append(f"Include {part}: {error.why or error.what}")
        else:
            yield from _lines(text, file, said, depth + 1, block)


def _named(lines: list[str]) -> Iterator[str]:
    """What the Host lines name."""
    for line in lines:
        found = _LINE.match(line)
        if found and found["key"].lower() == "host":
            yield from found["value"].replace('"', "").split()


def _host(alias: str, settings: paramiko.SSHConfigDict) -> Host:
    jump = str(settings.get("proxyjump") or "")
    command = str(settings.get("proxycommand") or "")
    note = ""
    if jump and jump.lower() != "none":
        note = f"ssh reaches it through {jump} (ProxyJump); Homewright signs in directly"
    elif command and command.lower() != "none":
        note = "ssh reaches it through a ProxyCommand; Homewright signs in directly"
    return host(
        alias,
        str(settings.get("hostname", alias)),
        str(settings.get("user") or getpass.getuser()),
        str(settings.get("port", 22)),
        note=note,
    )
