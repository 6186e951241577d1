"""What the pyinfra files of the stages share: the site's answers, and files that a power loss leaves whole."""

from __future__ import annotations

import shlex
from collections.abc import Generator
from io import StringIO
from pathlib import PurePosixPath
from typing import Any

from pyinfra import host
from pyinfra.api import operation
from pyinfra.api.command import FileUploadCommand
from pyinfra.facts.server import Command

from homewright.site.models import Site


def site() -> Site:
    """All answers."""
    return Site.model_validate(host.data.site)


def captured() -> dict[str, Any]:
    """What this step recorded of this server before its first run; empty where there is nothing."""
    return dict(host.data.capture)


def content_of(path: str) -> str | None:
    """A file's content, read as root; None where there is no such file."""
    shown: str = host.get_fact(Command, f"[ ! -e {path} ] || {{ cat -- {path} && echo .; }}", _sudo=True) or ""
    return shown[:-1] if shown else None  # the point keeps the line ends at the end


def _state_of(path: str) -> str:
    shown: str = host.get_fact(Command, f"stat -c '%a %U:%G' -- {path} 2>/dev/null || true", _sudo=True) or ""
    return shown.strip()


@operation()
def file_with(path: str, text: str, mode: str = "644", owner: str = "root:root") -> Generator[Any, None, None]:
    """A file with this content, mode (octal, without a leading 0) and owner; replaced whole or not at all."""
    if content_of(path) == text and _state_of(path) == f"{mode} {owner}":
        host.noop(f"{path} is as it should be")
        return
    temporary = host.get_temp_filename(path)
    new = str(PurePosixPath(path).parent / f".{PurePosixPath(path).name}.homewright")
    folder = str(PurePosixPath(path).parent)
    yield FileUploadCommand(StringIO(text), new, remote_temp_filename=temporary)
    n, p, f = (shlex.quote(value) for value in (new, path, folder))
    yield f"chown {owner} {n} && chmod {mode} {n} && sync {n} && mv -fT {n} {p} && sync {f}"


@operation()
def no_file(path: str) -> Generator[str, None, None]:
    """No such file."""
    if _state_of(path):
        yield f"rm -f -- {shlex.quote(path)}"


def exists(path: str) -> bool:
    """Whether there is something, looked at as root."""
    return bool(_state_of(path))
