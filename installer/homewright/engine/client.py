"""The viewers' side of the control socket."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import select
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from homewright.engine import lock
from homewright.engine.journal import Reader
from homewright.engine.listening import ANSWER_S, address
from homewright.engine.viewers import ANSWER_S as HANDOVER_S
from homewright.errors import Busy, HomewrightError, StateError, UsageError
from homewright.site.paths import StateFolder

POLL_S = 0.2
AGAIN_S = 1.0
"""Between two tries to reach an engine that is there and does not answer."""


class Controlled(Busy):
    """Somebody else is in control of the run."""

    code = "controlled"


def cancel(state: StateFolder, *, take: Callable[[str], None] | None = None) -> int:
    """Ask the running engine to stop after what cannot be interrupted; returns the seq of its acknowledgement.

    Where somebody else is in control, `take` says that control is asked for, and is told what it waits for. Raises
    UsageError where no engine is running, StateError where it does not answer, Controlled where somebody else is in
    control (and has not handed it over).
    """
    return send(state, "cancel", take=take)


def pause(state: StateFolder, *, take: Callable[[str], None] | None = None) -> int:
    """Ask the running engine to begin no further step until it is told to continue. As `cancel`."""
    return send(state, "pause", take=take)


def go_on(state: StateFolder, *, take: Callable[[str], None] | None = None) -> int:
    """Let a paused engine go on. As `cancel`."""
    return send(state, "continue", take=take)


def send(state: StateFolder, command: str, *, take: Callable[[str], None] | None = None) -> int:
    """Send one command and wait until it is acknowledged in the journal; returns that event's seq. As `cancel`."""
    with _line(state) as line:
        try:
            return int(line.ask(command)["seq"])
        except Controlled as error:
            if take is None:
                raise
            _take_over(state, line, error, take)
            return int(line.ask(command)["seq"])


def _take_over(state: StateFolder, line: Line, error: Controlled, say: Callable[[str], None]) -> None:
    """Ask for control and wait until it is ours. Raises Controlled where it is refused."""
    mine = line.look("command", wants=False)
    line.ask("ask")
    say(f"{error.why} Control is asked for; it passes in {HANDOVER_S:.0f} s, unless it is refused.")
    reader = Reader(state)
    deadline = time.monotonic() + HANDOVER_S + ANSWER_S
    while time.monotonic() < deadline:
        now = reader.viewers(reader.run())
        if now is None:
            raise UsageError("No run is going on.", "It has ended meanwhile.", ["homewright status"])
        if now.holder == mine:
            return
        if now.asking != mine:
            break
        time.sleep(POLL_S)
    raise Controlled("Control was refused.", error.why, ["ask them", "watch the run: homewright attach"])


class Line:
    """A connection to the engine: one viewer for as long as it is open."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._answers = connection.makefile("rb")
        self._asking = threading.Lock()

    def ask(self, command: str, **more: object) -> dict[str, Any]:
        """Say one thing; the answer. Raises StateError where none comes, Controlled or HomewrightError at a no."""
        request = {"id": secrets.token_hex(8), "command": command, **_who(), **more}
        try:
            with self._asking:
                self._connection.sendall(json.dumps(request).encode() + b"\n")
                answer = json.loads(self._answers.readline())
        except (OSError, ValueError) as error:
            self.hang_up()  # an answer that comes late would be taken for that to the next question
            raise _silent(error) from error
        if not answer.get("ok"):
            why = str(answer.get("why", ""))
            if answer.get("code") == Controlled.code:
                do = ["ask for it, and do it then: the same command with --take", "or watch: homewright attach"]
                raise Controlled("Somebody else is in control of this run.", why, do)
            raise HomewrightError("The engine refused the command.", why)
        return dict(answer)

    def look(self, face: str, *, wants: bool) -> str:
        """Be a viewer of the run from now on, in control where that is wanted and nobody is; the viewer's id."""
        return str(self.ask("look", face=face, wants=wants)["viewer"])

    def wait_for_end(self) -> None:
        """Until the engine closes the connection, or `hang_up` does. Reads nothing: answers are others' to read."""
        ends = select.poll()
        ends.register(self._connection, select.POLLRDHUP)
        while not ends.poll():
            pass

    def hang_up(self) -> None:
        """End the connection, from any thread; whoever waits for its end closes it."""
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.hang_up()
        self._answers.close()
        self._connection.close()


@contextlib.contextmanager
def _line(state: StateFolder) -> Iterator[Line]:
    if lock.holder(state) is None:
        raise UsageError("No run is going on.", "There is no engine to talk to.", ["homewright status"])
    line = connect(state)
    try:
        yield line
    finally:
        line.close()


def connect(state: StateFolder) -> Line:
    """A line to the engine of this site. Raises StateError where none answers."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(ANSWER_S)
        with address(state) as path:
            connection.connect(path)
    except OSError as error:
        connection.close()
        raise _silent(error) from error
    return Line(connection)


class Presence:
    """Keeps a line to whichever engine works on the site, so that the others see who looks, and who is in control.

    A thread of its own connects again when another engine has begun.
    """

    def __init__(self, state: StateFolder, face: str, *, wants: bool = False) -> None:
        self._state = state
        self._face = face
        self.wants = wants
        """Whether to take control of the next engine's run where nobody else has it."""
        self._line: Line | None = None
        self.viewer = ""
        """Our id with the engine that is there; empty without one."""
        self._stop = threading.Event()

    def start(self) -> None:
        threading.Thread(target=self._keep, name="presence", daemon=True).start()

    def stop(self) -> None:
        """Look away: control goes back."""
        self._stop.set()
        line, self._line, self.viewer = self._line, None, ""
        if line is not None:
            line.hang_up()

    def say(self, word: str) -> int:
        """A command, or a word among viewers; the seq of a command's acknowledgement, else 0.

        Raises UsageError where no engine is running, and what `Line.ask` raises.
        """
        line = self._line
        if line is None:
            return send(self._state, word)
        return int(line.ask(word).get("seq", 0))

    def _keep(self) -> None:
        while not self._stop.is_set():
            if lock.holder(self._state) is not None:
                with contextlib.suppress(HomewrightError):
                    self._look()
            self._stop.wait(AGAIN_S)

    def _look(self) -> None:
        line = connect(self._state)
        try:
            viewer = line.look(self._face, wants=self.wants)
        except HomewrightError:
            line.close()
            raise
        self._line, self.viewer = line, viewer
        if not self._stop.is_set():
            line.wait_for_end()
        self._line, self.viewer = None, ""
        line.close()


def _who() -> dict[str, str]:
    """Where we sit: the terminal, and the address that the login came from."""
    tty = ""
    for stream in (sys.stdin, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            tty = tty or os.ttyname(stream.fileno()).removeprefix("/dev/")
    return {"tty": tty, "from": (os.environ.get("SSH_CONNECTION", "").split() or [""])[0]}


def _silent(error: Exception) -> StateError:
    return StateError(
        "The engine does not answer.", f"{error}.", ["see whether it still runs: homewright status", "then try again"]
    )
