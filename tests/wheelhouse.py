"""Wheels that tests install from: fetched from the index once, kept in the user's cache, and shared by test runs."""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from homewright.site.paths import cache_home

PRACTICE_PYTHON = "3.11"
"""Of the practice servers' Debian."""


def uv() -> str:
    """The uv that the Makefile fetched, or one on the PATH."""
    fetched = sorted((cache_home() / "tools").glob("uv*/bin/uv"))
    found = os.environ.get("UV") or (str(fetched[-1]) if fetched else shutil.which("uv"))
    assert found, "make fetches uv before it runs the tests"
    return found


def for_our_wheel_there(wheel: Path, lock: Path) -> Path:
    """What our own wheel needs on a practice server."""
    machine = platform.machine()
    choice = ["--python-version", PRACTICE_PYTHON, "--only-binary", ":all:", "--platform", "any"]
    choice += [word for kind in ("2014", "_2_28") for word in ("--platform", f"manylinux{kind}_{machine}")]
    return _fetched("\n".join((lock.read_text(), machine, PRACTICE_PYTHON)), [*choice, str(wheel)])


def for_interpreter(python: str, lock: Path, wheel: Path) -> Path:
    """What this interpreter's pip installs our wheel's dependencies from, and pip itself."""
    version = subprocess.run([python, "--version"], capture_output=True, text=True, check=True).stdout
    return _fetched(f"{lock.read_text()}{version}{platform.machine()}", ["pip", str(wheel)], python=python)


def _fetched(key: str, words: Sequence[str], python: str | None = None) -> Path:
    folder = cache_home() / "tests" / f"wheels-{hashlib.sha256(key.encode()).hexdigest()[:16]}"
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(folder.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)  # several workers may want them at once
        if not folder.exists():
            made = folder.with_suffix(".new")
            shutil.rmtree(made, ignore_errors=True)
            which = ["--python", python] if python else []
            command = [uv(), "tool", "run", "--quiet", *which, "pip", "download", "--quiet"]
            done = subprocess.run(
                [*command, "--disable-pip-version-check", "--dest", str(made), *words],
                capture_output=True, text=True, timeout=300, check=False,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
            for ours in made.glob("homewright-*.whl"):
                ours.unlink()
            made.rename(folder)
    finally:
        os.close(descriptor)
    return folder
