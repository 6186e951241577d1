"""The site's own known_hosts file: the only place that says which host keys are trusted.

Its lines are plain known_hosts lines, so that ssh(1), Ansible and pyinfra read the same file.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from homewright.errors import StateError
from homewright.site.locks import hold
from homewright.site.paths import make_folder, write_atomically

STANDARD_PORT = 22


@dataclass(frozen=True)
class HostKey:
    """A server's public host key."""

    key_type: str
    """As sshd names it: ssh-ed25519, ecdsa-sha2-nistp256, ssh-rsa."""
    public: str
    """The whole key in one line: type, a blank, base64."""

    @classmethod
    def from_blob(cls, key_type: str, blob: bytes) -> HostKey:
        return cls(key_type, f"{key_type} {base64.b64encode(blob).decode()}")

    @classmethod
    def from_line(cls, line: str) -> HostKey | None:
        """The key in `TYPE BASE64 [COMMENT]`; None where there is none."""
        words = line.split()
        if len(words) < 2:
            return None
        try:
            blob = base64.b64decode(words[1], validate=True)
        except (binascii.Error, ValueError):
            return None
        length = int.from_bytes(blob[:4], "big")
        if blob[4 : 4 + length] != words[0].encode():
            return None
        return cls(words[0], f"{words[0]} {words[1]}")

    @property
    def blob(self) -> bytes:
        return base64.b64decode(self.public.split()[1])

    @property
    def fingerprint(self) -> str:
        """As ssh-keygen -l prints it: SHA256:…"""
        return "SHA256:" + base64.b64encode(hashlib.sha256(self.blob).digest()).decode().rstrip("=")


def entry_name(address: str, port: int) -> str:
    """How a server is named in the file: the address, or [address]:port where sshd listens elsewhere."""
    return address if port == STANDARD_PORT else f"[{address}]:{port}"


def lookup(file: Path, address: str, port: int) -> tuple[HostKey, ...]:
    """The keys that are trusted for this server; none where the file or the entry is missing.

    Raises StateError where the file cannot be read.
    """
    name = entry_name(address, port)
    return tuple(key for names, key in _entries(_read(file)) if name in names.split(","))


def record(file: Path, address: str, port: int, keys: Sequence[HostKey]) -> None:
    """Trust exactly these keys for this server, and no other: what was recorded for it before is replaced.

    Raises StateError where the file cannot be written.
    """
    name = entry_name(address, port)
    _change(file, lambda lines: [*_without(lines, name), *(f"{name} {key.public}" for key in keys)])


def forget(file: Path, address: str, port: int) -> None:
    """Trust no key of this server any more. Raises StateError where the file cannot be written."""
    name = entry_name(address, port)
    if lookup(file, address, port):
        _change(file, lambda lines: _without(lines, name))


def _read(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StateError(
            f"{file} cannot be read.", f"{error.strerror or error}.", ["give it back to its owner, mode 0600"]
        ) from error


def _entries(lines: Sequence[str]) -> Iterator[tuple[str, HostKey]]:
    for line in lines:
        names, _, rest = line.strip().partition(" ")
        key = HostKey.from_line(rest) if not names.startswith(("#", "@", "|")) else None
        if key is not None:
            yield names, key


def _without(lines: Sequence[str], name: str) -> list[str]:
    return [line for line in lines if name not in line.split(" ", 1)[0].split(",")]


def _change(file: Path, change: Callable[[list[str]], list[str]]) -> None:
    make_folder(file.parent)
    # One writer at a time: several servers are trusted side by side, also from several commands.
    with hold(file.with_name(f".{file.name}.lock")):
        lines = change(_read(file))
        write_atomically(file, "".join(f"{line}\n" for line in lines).encode())
