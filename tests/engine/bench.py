"""A site of practice servers, and a catalogue of a test's own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from homewright.access.connection import Connection
from homewright.access.endpoint import Endpoint
from homewright.engine import lock
from homewright.engine.events import Event
from homewright.engine.journal import Reader
from homewright.engine.states import State
from homewright.site import files
from homewright.site.paths import StateFolder

from .catalogues import Tiny
from .conftest import wait_for

TICKS = """
import time

def run(host):
    for number in range({count}):
        host.say(f"tick {{number}}")
        time.sleep(0.05)
"""

SLOW = """
import time

def run(host):
    number = 0
    while host.read("/tmp/homewright-slow") is not None:
        host.say(f"tick {number}")
        number += 1
        time.sleep(0.1)
"""
"""Takes as long as a test wants it to: until the file is gone."""


def keeping(file: str) -> tuple[str, str, str]:
    """A step that makes this file on each server, its proof, and how it is taken back."""
    return (
        f'''
def run(host):
    host.write("{file}", b"made", mode=0o644)
''',
        f'''
from homewright.engine.runners.host import broken, proved

def verify(host):
    return proved("it is there") if host.read("{file}") == b"made" else broken("the file is gone")
''',
        f'''
def rollback(host):
    host.remove("{file}")
''',
    )


class Bench:
    """A site of practice servers, and a catalogue of the test's own."""

    def __init__(self, lab: Any, folder: Path) -> None:
        self.lab = lab
        self.site = files.load(lab.site_file)
        words = list(lab.state_args)
        chosen = words[words.index("--state") + 1] if "--state" in words else None
        self.state = StateFolder.of(self.site.name, chosen)
        self.reader = Reader(self.state)
        self.tiny = Tiny(folder / "catalogue")
        self.hosts = [server.name for server in self.site.servers]

    def words(self, *arguments: str) -> list[str]:
        verb, *rest = arguments
        stages = ["--stages", str(self.tiny.root)]
        only = ["--only", "90"] if verb in ("apply", "verify", "plan") else []
        return [verb, *stages, *only, *rest]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        done: subprocess.CompletedProcess[str] = self.lab.run(*self.words(*arguments))
        return done

    def command(self, *arguments: str) -> list[str]:
        """The same as words for a shell."""
        command = [sys.executable, "-c", "import sys; from homewright.cli import main; sys.exit(main())"]
        return [*command, "--site", str(self.lab.site_file), *self.lab.state_args, *self.words(*arguments)]

    def on(self, host: str, command: str) -> str:
        with Connection.open(Endpoint.of(self.site.server(host), self.state)) as connection:
            return connection.run(command, sudo=True, check=False).stdout

    def events(self, run: str) -> list[Event]:
        return self.reader.events(run, limit=100_000)

    def latest(self) -> str:
        return self.reader.run().id

    def wait_for_text(self, text: str, before: str = "") -> str:
        """The id of the run that says this, once it does."""

        def said() -> bool:
            runs = self.reader.runs(1)
            return bool(runs) and runs[0].id != before and any(e.text == text for e in self.events(runs[0].id))

        wait_for(said, f"the text {text}", 60)
        return self.latest()

    def end_of(self, run: str) -> State:
        wait_for(lambda: self.reader.run(run).state.final and lock.holder(self.state) is None, "the run's end", 90)
        return self.reader.run(run).state
