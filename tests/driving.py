"""Step runners driven on practice servers as the engine drives them: a request, a child process, events back."""

from __future__ import annotations

import asyncio
import functools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from homewright.access.connection import Connection, Endpoint
from homewright.engine.events import Event, Kind
from homewright.engine.forks import Forks
from homewright.engine.launch import MARK
from homewright.engine.runner_process import environment_of
from homewright.engine.runners.guard import FENCE_FILE
from homewright.engine.runners.request import EVENTS_DESCRIPTOR
from homewright.site.files import load
from homewright.site.models import Site
from homewright.site.paths import StateFolder

CONTROLLER = "the-tests"


@dataclass
class Outcome:
    """What a runner said."""

    events: list[Event] = field(default_factory=list)
    exit_code: int = 0
    seconds: float = 0.0

    def of(self, kind: Kind, host: str | None = None) -> list[Event]:
        return [event for event in self.events if event.kind == kind and host in (None, event.host)]

    @property
    def states(self) -> dict[str, str]:
        return {event.host: event.data["state"] for event in self.of(Kind.HOST_FINISHED)}

    @property
    def changed(self) -> dict[str, int]:
        return {event.host: event.data["changed"] for event in self.of(Kind.HOST_FINISHED)}

    @property
    def reasons(self) -> dict[str, str]:
        return {event.host: event.data["reason"] for event in self.of(Kind.HOST_FINISHED)}

    @property
    def verdicts(self) -> dict[str, tuple[str, str]]:
        return {event.host: (event.data["verdict"], event.text) for event in self.of(Kind.VERIFY)}

    @property
    def captures(self) -> dict[str, dict[str, Any]]:
        return {event.host: event.data["captured"] for event in self.of(Kind.CAPTURE)}

    def lines(self, host: str | None = None) -> list[str]:
        return [event.text for event in self.of(Kind.LINE, host)]


@dataclass
class Practice:
    """Practice servers that have been trusted, and a fence on them that the tests hold."""

    site: Site
    state: StateFolder
    work: Path
    fence: int = 0

    @classmethod
    def of(cls, site_file: Path, state: Path, work: Path) -> Practice:
        return cls(load(site_file), StateFolder(state), work)

    @property
    def names(self) -> list[str]:
        return [server.name for server in self.site.servers]

    def on(self, name: str, command: str, *, check: bool = True, stdin: bytes | None = None) -> str:
        """Standard output of a command that root runs there, past any guard."""
        with Connection.open(Endpoint.of(self.site.server(name), self.state)) as connection:
            return connection.run(command, sudo=True, check=check, timeout=120, stdin=stdin).stdout

    def hold(self, fence: int | None = None) -> None:
        """Take every server for the tests, with a number above all earlier ones."""
        for name in self.names:
            text = self.on(name, f"mkdir -p /var/lib/homewright; cat {FENCE_FILE} 2>/dev/null || echo '{{}}'")
            self.fence = max(self.fence, json.loads(text).get("fence", 0) + 1)
        if fence is not None:
            self.fence = fence
        self._write(released=False)

    def give_back(self) -> None:
        self._write(released=True)

    def _write(self, *, released: bool) -> None:
        record = {"controller": CONTROLLER, "fence": self.fence, "run": "tests", "released": released, "since": 0}
        for name in self.names:
            self.on(name, f"cat >{FENCE_FILE}; chmod 644 {FENCE_FILE}", stdin=json.dumps(record).encode())

    def request(
        self,
        file: Path,
        action: str = "run",
        *,
        hosts: Sequence[str] | None = None,
        captures: Mapping[str, Any] | None = None,
        site: Mapping[str, Any] | None = None,
        places: Mapping[str, Mapping[str, Any]] | None = None,
        **more: Any,
    ) -> Path:
        """A request's file. `places` changes how hosts are reached."""
        folder = Path(tempfile.mkdtemp(dir=self.work))
        wanted = self.names if hosts is None else list(hosts)
        asked = [
            {
                "name": server.name,
                "address": server.address,
                "port": server.port,
                "user": server.user,
                "groups": ["servers"],
                "capture": (captures or {}).get(server.name),
                **(places or {}).get(server.name, {}),
            }
            for server in self.site.servers
            if server.name in wanted
        ]
        request = {
            "run": "tests",
            "step": "00/00",
            "action": action,
            "file": str(file),
            "hosts": asked,
            "site": dict(site) if site is not None else self.site.model_dump(mode="json"),
            "key_file": str(self.state.key),
            "known_hosts": str(self.state.known_hosts),
            "secrets_file": str(self.state.secrets),
            "work": str(folder),
            "fence": self.fence,
            "controller": CONTROLLER,
        } | more
        path = folder / "request.json"
        path.write_text(json.dumps(request))
        path.chmod(0o600)
        return path

    def start(self, kind: str, request: Path) -> tuple[subprocess.Popen[bytes], int]:
        """A runner, and the descriptor that its events come from."""
        reader, writer = os.pipe()
        command = [sys.executable, "-m", "homewright.engine.child", str(writer), str(os.getpid())]
        process = subprocess.Popen(
            [*command, f"homewright.engine.runners.{kind}", str(request)],
            pass_fds=(writer,),
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(writer)
        return process, reader

    def drive(
        self,
        kind: str,
        file: Path,
        action: str = "run",
        on_event: Callable[[Event, subprocess.Popen[bytes]], None] | None = None,
        **more: Any,
    ) -> Outcome:
        """A runner to its end."""
        outcome = Outcome()
        process, reader = self.start(kind, self.request(file, action, **more))
        with os.fdopen(reader, "rb") as events:
            for line in events:
                event = Event.from_json(line)
                outcome.events.append(event)
                if on_event is not None:
                    on_event(event, process)
        outcome.exit_code = process.wait(timeout=30)
        return outcome

    def drive_forked(self, file: Path, action: str, **more: Any) -> Outcome:
        """A python runner to its end, forked as an engine's are from a process that has loaded what it needs."""
        reader, writer = os.pipe()
        words, mark = [str(self.request(file, action, **more))], f"tests-{os.getpid()}.runner."
        forked = forks().fork("homewright.engine.runners.python", words, (MARK, mark), [file], writer)
        try:
            process = asyncio.run(forked)
        finally:
            os.close(writer)
        with os.fdopen(reader, "rb") as events, process.stdout as out, process.stderr as err:
            outcome = Outcome([Event.from_json(line) for line in events])
            print((out.read() + err.read()).decode(errors="replace"), end="")
        outcome.exit_code = process.wait()
        return outcome


@functools.cache
def forks() -> Forks:
    """What the runners of these tests are forked from, until `leave_forks`: it hears when they end."""
    return Forks(environment_of(os.environ, f"tests-{os.getpid()}.forks."))


def leave_forks() -> None:
    """No runner is needed any more: what they are forked from has ended when this does."""
    if forks.cache_info().currsize:
        asyncio.run(forks().leave())
        forks.cache_clear()


assert EVENTS_DESCRIPTOR == 3
