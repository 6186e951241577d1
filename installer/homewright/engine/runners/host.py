"""What a numbered Python file sees of a server: the API of the python runner.

A step file has `run(host)` and `rollback(host)`, or `run_all(hosts)` and `rollback_all(hosts)` where all servers are
acted on together; a proof (x8) has `verify(host) -> Proof` and, where rollback needs the state before,
`capture(host) -> dict`. Each takes a `Host`.
"""

from __future__ import annotations

import json
import shlex
import threading
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from homewright.access.connection import Completed, Connection
from homewright.access.endpoint import Endpoint
from homewright.access.remote import CommandFailed, write_script
from homewright.discovery.facts import HostFacts
from homewright.engine.runners.guard import REFUSED, REFUSED_TEXT, Guard
from homewright.engine.runners.protocol import Cancel, Emitter
from homewright.engine.runners.request import Watched
from homewright.engine.runners.shared import Kept, SharedConnections
from homewright.engine.states import Verdict
from homewright.errors import Busy, Cancelled
from homewright.site.models import Site
from homewright.site.secrets import Secrets

Result = TypeVar("Result")
__all__ = ["CommandFailed", "Completed", "Host", "Proof", "Task", "broken", "cannot_tell", "proved", "together"]


@dataclass(frozen=True)
class Proof:
    """What a proof found, and why."""

    verdict: Verdict
    reason: str
    idle: bool = False
    """The step has nothing to do here, so that this holds with and without it."""


def proved(reason: str, *, idle: bool = False) -> Proof:
    return Proof(Verdict.PROVED, reason, idle)


def broken(reason: str) -> Proof:
    return Proof(Verdict.BROKEN, reason)


def cannot_tell(reason: str) -> Proof:
    return Proof(Verdict.CANNOT_TELL, reason)


@dataclass
class Task:
    """One task of a step on one host."""

    name: str
    changed: bool = False


@dataclass(eq=False)
class Host:
    """One server. Its connection is opened when first needed; methods may be called from several threads."""

    name: str
    address: str
    port: int
    user: str
    site: Site
    """All answers, and with them all other servers."""
    capture: Mapping[str, Any]
    """What `capture` recorded before the first run; empty where there is nothing."""
    key_file: Path
    known_hosts: Path
    secrets_file: Path
    guard: Guard
    emitter: Emitter
    cancel: Cancel
    groups: tuple[str, ...] = ()
    watched: Watched | None = None
    """What the step declares to change here, where it is to be looked at."""
    requested: bool = True
    """False for a server of the site that this step was not asked to act on."""
    peers: tuple[Host, ...] = field(default=(), repr=False)
    """The other servers of the site."""
    through: Endpoint | None = None
    """The server that an instance is reached through."""
    facts_file: Path | None = None
    given: Mapping[str, str] = field(default_factory=dict)
    """What the verb that began the run tells its steps, by name."""
    shared: SharedConnections | None = field(default=None, repr=False)
    """Connections that others use as well, in place of one of its own."""
    changed: int = 0
    """Tasks that changed this server."""
    error: Exception | None = None
    """What failed on this server inside `together`."""

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._connection: Connection | None = None

    @property
    def connection(self) -> Connection:
        """Raises Unreachable or HostKeyError."""
        if self.shared is not None:
            return self.shared.to(self.endpoint)
        with self._lock:
            if self._connection is None or not self._connection.alive:
                self._connection = Connection.open(self.endpoint)
            return self._connection

    @property
    def endpoint(self) -> Endpoint:
        """How it is reached."""
        place = (self.name, self.address, self.port, self.user)
        return Endpoint(*place, self.key_file, self.known_hosts, self.through)

    @contextmanager
    def into(self, endpoint: Endpoint) -> Iterator[Connection]:
        """Signed in to an instance of this server: as other proofs are, or for as long as this lasts.

        Raises Unreachable or HostKeyError.
        """
        if self.shared is None:
            with Connection.open(endpoint, below=self.connection) as connection:
                yield connection
            return
        with self.shared.turn(endpoint):
            yield self.shared.to(endpoint)

    @contextmanager
    def sharing(self, name: Hashable, make: Callable[[], Kept]) -> Iterator[Kept]:
        """What is made, to be closed when this ends; but where proofs share what they reach, what one of them has made
        under this name, which is closed with their connections. Raises as `make`."""
        if self.shared is not None:
            yield self.shared.kept(name, make)
            return
        with closing(make()) as made:
            yield made

    @property
    def secrets(self) -> Secrets:
        """The site's secrets, read when asked for. What is taken from here goes to a server on standard input only."""
        return Secrets(self.secrets_file)

    @cached_property
    def facts(self) -> Mapping[str, HostFacts]:
        """What is known of the site's servers, by name: what the plan of this run was made of."""
        told = json.loads(self.facts_file.read_bytes()) if self.facts_file and self.facts_file.exists() else {}
        return {name: HostFacts.model_validate(found) for name, found in told.items()}

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()

    def run(
        self,
        command: str | Sequence[str],
        *,
        sudo: bool = True,
        stdin: bytes | None = None,
        timeout: float | None = 60.0,
        check: bool = True,
    ) -> Completed:
        """Run a command, by default as root; `timeout` in seconds.

        Raises CommandFailed (exit code other than 0 where `check` is set, or out of time), Unreachable, Busy where
        another run has taken this server.
        """
        with self.shared.turn(self.endpoint) if self.shared is not None else nullcontext():
            guarded = f"{self.guard.check}; {_shell(command)}"
            completed = self.connection.carry(guarded, mark=self.guard.mark, sudo=sudo, stdin=stdin, timeout=timeout)
        self._refuse_if_fenced(completed.exit_code, completed.stderr)
        if check and completed.exit_code != 0:
            raise CommandFailed(self.name, _shell(command), completed)
        return completed

    def show(self, command: str | Sequence[str], *, sudo: bool = True, timeout: float | None = None) -> None:
        """Run a long command and show its lines as they come. Raises as `run` does."""
        last = ""
        try:
            lines = self.connection.stream(self.guard.around(_shell(command)), sudo=sudo, timeout=timeout)
            for line in lines:
                last = line
                self.say(line)
        except CommandFailed as error:
            self._refuse_if_fenced(error.completed.exit_code, last)
            raise CommandFailed(self.name, _shell(command), Completed("", last, error.completed.exit_code)) from error

    def read(self, path: str, *, sudo: bool = True) -> bytes | None:
        """A file's content; None where there is no such file. Raises as `run` does."""
        found = self.run(f"[ -e {shlex.quote(path)} ] || exit 44; cat -- {shlex.quote(path)}", sudo=sudo, check=False)
        if found.exit_code == 44:
            return None
        if found.exit_code != 0:
            raise CommandFailed(self.name, f"cat {path}", found)
        return found.stdout_bytes

    def exists(self, path: str) -> bool:
        """Whether root sees a file or folder there. Raises as `run` does."""
        return self.run(["test", "-e", path], check=False).exit_code == 0

    def stat(self, path: str) -> str | None:
        """`mode owner:group` such as `644 root:root`; None where there is nothing. Raises as `run` does."""
        found = self.run(["stat", "-c", "%a %U:%G", "--", path], check=False)
        return found.stdout.strip() if found.exit_code == 0 else None

    def write(self, path: str, data: bytes, *, mode: int = 0o644, owner: str = "root:root") -> bool:
        """Make a file be so; true where it was not yet. Atomic and durable; raises as `run` does."""
        if self.stat(path) == f"{mode:o} {owner}" and self.read(path) == data:
            return False
        self.run(write_script(path, len(data), mode, owner), stdin=data, timeout=120)
        return True

    def remove(self, path: str) -> bool:
        """Remove a file or a whole folder; true where there was one. Raises as `run` does."""
        if not self.exists(path):
            return False
        self.run(["rm", "-rf", "--", path])
        return True

    def say(self, text: str) -> None:
        """A line of the log."""
        self.emitter.line(text, host=self.name)

    @contextmanager
    def task(self, name: str, *, now: bool = False) -> Iterator[Task]:
        """A named part of the step; set `changed` on what it gives where it changed the server.

        Raises Cancelled where the operator has asked to stop: between tasks a step can be left, but not before one
        that is to be done `now`.
        """
        if self.cancel.asked and not now:
            raise Cancelled("Cancelled.")
        self.emitter.task_started(name, self.name)
        task = Task(name)
        try:
            yield task
        except Exception:
            self.emitter.task_finished(name, self.name, "failed")
            raise
        self.changed += task.changed
        self.emitter.task_finished(name, self.name, "changed" if task.changed else "ok")

    def _refuse_if_fenced(self, exit_code: int, said: str) -> None:
        if exit_code == REFUSED and REFUSED_TEXT in said:
            who = said.partition(REFUSED_TEXT)[2].partition("\n")[0].rstrip()
            raise Busy(f"Another run holds {self.name} now.", f"The fence there has moved on{who}.")


LOOK_UP_S = 0.2


def together(hosts: Sequence[Host], function: Callable[[Host], Result]) -> dict[str, Result]:
    """Call a function for each host, side by side; a host where it raises is out, with its `error` kept."""
    live = [host for host in hosts if host.error is None]

    def attempt(host: Host) -> tuple[bool, Any]:
        try:
            return True, function(host)
        except Exception as error:  # told as that host's failure by the runner
            host.error = error
            return False, None

    with ThreadPoolExecutor(max(1, min(32, len(live)))) as pool:
        waiting = [pool.submit(attempt, host) for host in live]
        # Handlers of signals run on this thread alone, and the kernel may hand a signal to another one, which does
        # not wake this one up: so it looks up now and then, or a cancel would be heard when all is done.
        while wait(waiting, timeout=LOOK_UP_S).not_done:
            pass
        outcomes = [one.result() for one in waiting]
    return {host.name: result for host, (worked, result) in zip(live, outcomes, strict=True) if worked}


def _shell(command: str | Sequence[str]) -> str:
    return command if isinstance(command, str) else shlex.join(command)
