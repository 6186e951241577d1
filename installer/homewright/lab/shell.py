"""Running this machine's own programs, with what went wrong in words."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from homewright.errors import LabError

_ADMIN = "/usr/local/sbin:/usr/sbin:/sbin"
"""Not on an ordinary user's PATH in Debian, and where debootstrap, nft and dnsmasq are."""


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """What a program of this machine is started with: few variables, no language but C."""
    kept = {key: os.environ[key] for key in ("HOME", "TERM", "USER") if key in os.environ}
    path = f"{os.environ.get('PATH', os.defpath)}:{_ADMIN}"
    return {**kept, "PATH": path, "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive", **(extra or {})}


def which(program: str) -> str | None:
    return shutil.which(program, path=environment()["PATH"])


def run(
    words: Sequence[str | Path],
    *,
    what: str,
    do: Sequence[str] = (),
    stdin: bytes | None = None,
    extra: Mapping[str, str] | None = None,
    timeout: float = 120.0,
) -> str:
    """Standard output of a program. Raises LabError: `what`, its last words as the reason, and `do`."""
    arguments = list(map(str, words))
    try:
        done = subprocess.run(
            arguments, input=stdin or b"", capture_output=True, env=environment(extra), timeout=timeout
        )
    except FileNotFoundError as error:
        raise LabError(what, f"{arguments[0]} is not installed.", do) from error
    except subprocess.TimeoutExpired as error:
        raise LabError(what, f"{arguments[0]} did not end within {timeout:.0f} s.", do) from error
    if done.returncode != 0:
        said = (done.stderr or done.stdout).decode(errors="replace").strip().splitlines()
        reason = " | ".join(line.strip() for line in said[-4:])[-500:] or f"{arguments[0]} ended with {done.returncode}"
        raise LabError(what, f"{reason}.", do)
    return done.stdout.decode(errors="replace")


def output(words: Sequence[str], timeout: float = 30.0) -> str:
    """Standard output of a program that only looks; empty where it is missing or fails."""
    try:
        done = subprocess.run(words, capture_output=True, env=environment(), timeout=timeout, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode(errors="replace") if done.returncode == 0 else ""
