"""A folder that is a server's root to the scripts of a step: they run in it, and see nothing else."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from homewright.access.connection import Completed
from homewright.access.remote import CommandFailed
from homewright.site.models import Site

PATHS = re.compile(r"(?<![\w.-])/(?=(etc|var|opt|run|proc|usr/local|usr/lib/systemd)/)")


@dataclass
class FolderServer:
    """A folder as the root of a server, and what a step does there."""

    root: Path
    site: Site = field(default_factory=lambda: Site(name="attic"))
    name: str = "s1"
    through: None = None
    changed: int = 0
    capture: dict[str, Any] = field(default_factory=dict)
    given: dict[str, str] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)
    error: Exception | None = None

    @property
    def secrets_file(self) -> Path:
        return self.root / "secrets.json"

    def at(self, path: str, text: str = "") -> Path:
        """A file there."""
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def tools(self, programs: Mapping[str, str]) -> None:
        """Programs that are found before the real ones; {root} in them is this folder."""
        for name, text in programs.items():
            file = self.at(f"/tools/{name}", text.replace("{root}", str(self.root)))
            file.chmod(0o755)

    def task(self, name: str, *, now: bool = False) -> Any:
        return nullcontext(SimpleNamespace(changed=False))

    def run(
        self, command: str | Sequence[str], *, check: bool = True, stdin: bytes | None = None, **_: Any
    ) -> Completed:
        words = ["sh", "-c", command] if isinstance(command, str) else list(command)
        words = [PATHS.sub(f"{self.root}/", word) for word in words]
        path = f"{self.root}/tools:/usr/bin:/bin"
        done = subprocess.run(words, env={"PATH": path}, input=stdin or b"", capture_output=True, timeout=60)
        said, told = (text.decode(errors="replace") for text in (done.stdout, done.stderr))
        completed = Completed(said, told, done.returncode, done.stdout)
        if check and done.returncode:
            raise CommandFailed(self.name, str(command), completed)
        return completed

    show = run

    def say(self, text: str) -> None:
        self.told.append(text)

    def read(self, path: str) -> bytes | None:
        file = self.root / path.lstrip("/")
        return file.read_bytes() if file.exists() else None

    def exists(self, path: str) -> bool:
        return (self.root / path.lstrip("/")).exists()

    def remove(self, path: str) -> bool:
        there, place = self.exists(path), self.root / path.lstrip("/")
        shutil.rmtree(place) if place.is_dir() else place.unlink(missing_ok=True)
        return there

    def write(self, path: str, data: bytes, *, mode: int = 0o644) -> bool:
        file = self.root / path.lstrip("/")
        if file.exists() and file.read_bytes() == data and file.stat().st_mode & 0o7777 == mode:
            return False
        self.at(path, data.decode()).chmod(mode)
        return True
