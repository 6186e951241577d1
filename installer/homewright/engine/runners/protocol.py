"""How a runner speaks: events as JSON lines on its own descriptor, and nothing on any other.

No threading module here: the pyinfra runner has gevent's in place of it, and a greenlet must never wait for a pipe.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from homewright.engine.events import Event, Kind, Level
from homewright.engine.runners.request import EVENTS_DESCRIPTOR, HostRequest, StepRequest
from homewright.engine.states import State, Verdict

MAX_TEXT = 8_000
"""Characters of one event's text; asyncio's reader gives up on lines of 64 KiB, and a screen shows far less."""
MAX_REASON = 600
"""Characters of the reason why a host failed."""
_PR_SET_PDEATHSIG = 1


def native(module: str, name: str) -> Any:
    """A function of the interpreter itself, also where gevent has put its own in place of it."""
    monkey = sys.modules.get("gevent.monkey")
    if monkey is not None:
        return monkey.get_original(module, name)
    return getattr(importlib.import_module(module), name)


def die_with_parent(parent: int | None = None) -> None:
    """Have the kernel kill this process when its parent ends; ends at once where that has already happened.

    `parent` is the process id that the parent should have.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    now = os.getppid()
    if now == 1 or (parent is not None and now != parent):
        os._exit(1)


class Emitter:
    """Writes events; safe to use from several threads."""

    def __init__(self, descriptor: int, step: str, beside: Emitter | None = None) -> None:
        """`beside` is another one that writes to the same descriptor: no line of theirs lies in the middle of ours."""
        self._descriptor = descriptor
        self._step = step
        self._lock: Any = beside._lock if beside is not None else native("_thread", "allocate_lock")()

    def emit(self, kind: Kind, text: str = "", *, host: str = "", level: Level = Level.INFO, **data: Any) -> None:
        """One event, its text cut at `MAX_TEXT`. Ends the process where nobody reads any more."""
        self._write(Event(kind, cut(text), step=self._step, host=host, level=level, data=data, ts=time.time()))

    def _write(self, event: Event) -> None:
        line = event.as_json().encode("utf-8", "backslashreplace") + b"\n"
        with self._lock:
            try:
                while line:
                    line = line[os.write(self._descriptor, line) :]
            except BrokenPipeError:
                os._exit(1)

    def line(self, text: str, *, host: str = "", level: Level = Level.INFO) -> None:
        """What a command printed, or what a step says, one event a line."""
        for part in text.splitlines() or [""]:
            self.emit(Kind.LINE, part, host=host, level=level)

    def started(self, host: str) -> None:
        self.emit(Kind.HOST_STARTED, host=host)

    def finished(self, host: str, state: State | str, *, changed: int = 0, reason: str = "") -> None:
        """How a host ended: succeeded, failed or unreachable."""
        bad = str(state) != State.SUCCEEDED
        level = Level.ERROR if bad else Level.INFO
        self.emit(
            Kind.HOST_FINISHED, host=host, level=level, state=str(state), changed=changed, reason=reason[:MAX_REASON]
        )

    def task_started(self, name: str, host: str = "") -> None:
        self.emit(Kind.TASK_STARTED, name, host=host)

    def task_finished(self, name: str, host: str, result: str) -> None:
        level = Level.ERROR if result in ("failed", "unreachable") else Level.INFO
        self.emit(Kind.TASK_FINISHED, name, host=host, level=level, result=result)

    def again(self, host: str, why: str, *, attempt: int) -> None:
        """Something is tried once more; `attempt` is the number of the try to come."""
        self.emit(Kind.RETRY, why, host=host, level=Level.WARNING, attempt=attempt, wait_s=None)

    def verdict(self, host: str, verdict: Verdict, reason: str, *, idle: bool = False) -> None:
        """What a proof found; `idle` where the step has nothing to do there."""
        level = Level.INFO if verdict == Verdict.PROVED else Level.WARNING
        more = {"idle": True} if idle else {}
        self.emit(Kind.VERIFY, reason[:MAX_REASON], host=host, level=level, verdict=str(verdict), **more)

    def capture(self, host: str, captured: Mapping[str, Any]) -> None:
        """What rollback needs of the state before."""
        self.emit(Kind.CAPTURE, host=host, captured=dict(captured))

    def look(self, host: str, seen: Mapping[str, Mapping[str, str]]) -> None:
        """What is there of the things that the step declares to change."""
        self.emit(Kind.LOOK, host=host, seen={kind: dict(names) for kind, names in seen.items()})


UNREACHABLE = "unreachable"
"""The state of a host that could not be reached, in HOST_FINISHED; the engine records it as failed."""


def cut(text: str) -> str:
    """The text, or its beginning and how much more there was."""
    if len(text) <= MAX_TEXT:
        return text
    return f"{text[:MAX_TEXT]} … [{len(text) - MAX_TEXT} more characters]"


class Cancel:
    """Whether the engine asked to stop (SIGTERM). A runner looks at it between tasks, never in the middle of one."""

    def __init__(self) -> None:
        self.asked = False
        signal.signal(signal.SIGTERM, self._note)

    def _note(self, _signal: int, _frame: object) -> None:
        self.asked = True


def run(work: Callable[[StepRequest, Emitter, Cancel], None], arguments: list[str] | None = None) -> int:
    """The whole life of a runner: reads the request, does `work`, and has said how every host ended.

    Exit code 0 where it could say so, 2 where the request cannot be used.
    """
    die_with_parent()
    words = sys.argv[1:] if arguments is None else arguments
    try:
        request = StepRequest.model_validate_json(Path(words[0]).read_bytes())
    except (IndexError, OSError, ValidationError) as error:
        print(f"no usable request: {error}", file=sys.stderr)
        return 2
    if request.parent is not None:
        die_with_parent(request.parent)
    os.set_inheritable(EVENTS_DESCRIPTOR, False)
    emitter = Ledger(EVENTS_DESCRIPTOR, request.step)
    settle = catch_stray_output(emitter)
    reason = "The runner ended without saying how this host ended."
    try:
        work(request, emitter, Cancel())
    except Exception as error:  # whatever it was, every host's end is told
        reason = f"{type(error).__name__}: {error}"
        emitter.line(reason, level=Level.ERROR)
    emitter.finish_rest(request.hosts, reason)
    settle()
    return 0


class Ledger(Emitter):
    """An emitter that knows which hosts have ended, so that none is forgotten."""

    def __init__(self, descriptor: int, step: str, beside: Emitter | None = None) -> None:
        super().__init__(descriptor, step, beside)
        self.ended: dict[str, str] = {}

    def finished(self, host: str, state: State | str, *, changed: int = 0, reason: str = "") -> None:
        if host not in self.ended:
            self.ended[host] = str(state)
            super().finished(host, state, changed=changed, reason=reason)

    def finish_rest(self, hosts: tuple[HostRequest, ...], reason: str) -> None:
        for host in hosts:
            self.finished(host.name, State.FAILED, reason=reason)


def catch_stray_output(emitter: Emitter) -> Callable[[], None]:
    """Whatever a library prints becomes line events: standard output and error lead into a pipe of our own.

    The function that comes back waits, a second at most, until all that was printed has been told.
    """
    reader, writer = os.pipe()
    for descriptor in (1, 2):
        os.dup2(writer, descriptor, inheritable=True)
    os.close(writer)
    with contextlib.suppress(OSError):
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0, inheritable=True)
        os.close(nothing)
    sys.stdout, sys.stderr = (
        open(descriptor, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
        for descriptor in (1, 2)
    )
    drained = native("_thread", "allocate_lock")()
    drained.acquire()

    def pump() -> None:
        rest = b""
        while True:
            block = os.read(reader, 65536)
            if not block:
                if rest:
                    emitter.emit(Kind.LINE, rest.decode("utf-8", "replace"))
                drained.release()
                return
            *lines, rest = (rest + block).split(b"\n")
            if len(rest) > 4 * MAX_TEXT:
                lines, rest = [*lines, rest], b""
            for line in lines:
                emitter.emit(Kind.LINE, line.decode("utf-8", "replace").rstrip("\r"))

    native("_thread", "start_new_thread")(pump, ())

    def settle() -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        drained.acquire(True, 1.0)

    return settle
