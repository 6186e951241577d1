"""The engine's side of what python runners are forked from: see `runners.forking`."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from homewright.engine.runners.forking import MOST

FORKING = "homewright.engine.runners.forking"
FORK_S = 60.0
"""How long a fork may take, its first one with all that is loaded before: a hundred times what it takes."""
END_S = 5.0
"""How long it may take to end once nobody asks any more: it has nothing to do then."""


class NoFork(Exception):
    """No process could be forked: the runner is to be started by itself."""


@dataclass
class Forked:
    """A forked runner, as `subprocess.Popen` shows one that was started."""

    pid: int
    stdout: IO[bytes]
    stderr: IO[bytes]
    told: IO[bytes]
    """Where the end of it is told."""
    _code: int | None = None

    def poll(self) -> int | None:
        """Its exit code, negative for a signal; None while it is there."""
        if self._code is None and select.select([self.told], [], [], 0)[0]:
            return self.wait()
        return self._code

    def wait(self) -> int:
        """Its exit code, waited for."""
        if self._code is None:
            # Without a word it went with what it was forked from, by the kernel's hand.
            self._code = int(self.told.readline() or -signal.SIGKILL)
            self.told.close()  # from now on its number can be another process's
        return self._code


@dataclass
class Forks:
    """What the runners of one run are forked from. Started when first needed, or ahead."""

    environment: Mapping[str, str]
    """Its own, with a mark by which it is found; that of its children has theirs."""
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    _requests: socket.socket | None = field(default=None, init=False)
    _asked: bool = field(default=False, init=False)
    """Whether the process that is there was ever asked for a runner."""

    def begin(self) -> None:
        """Start it, if it is not there: it loads what every runner needs."""
        if self._process is not None and self._process.poll() is None:
            return
        self._hang_up()
        self._asked = False
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            own = [sys.executable, "-m", "homewright.engine.child", str(theirs.fileno()), str(os.getpid()), FORKING]
            try:
                # By the engine's main thread, whose end the kernel tells it of; what it says is the engine's own log.
                self._process = subprocess.Popen(
                    own,
                    stdin=subprocess.DEVNULL,
                    pass_fds=(theirs.fileno(),),
                    start_new_session=True,
                    env=dict(self.environment),
                )
            except BaseException:
                ours.close()
                raise
        self._requests = ours

    async def fork(
        self, module: str, words: Sequence[str], mark: tuple[str, str], files: Sequence[Path], events: int
    ) -> Forked:
        """A runner in a session of its own, whose descriptor 3 is `events`, and in whose environment the mark is.

        The modules of ours that these files name are loaded by then. Raises NoFork: then it has not begun, nor will.
        """
        readers, writers = zip(*(os.pipe() for _ in range(3)), strict=True)
        out, err, told = (os.fdopen(reader, "rb", 0) for reader in readers)
        request = {"module": module, "words": list(words), "mark": mark, "files": [str(file) for file in files]}
        message = json.dumps(request).encode()
        try:
            if len(message) > MOST:
                raise OSError(errno.EMSGSIZE, os.strerror(errno.EMSGSIZE))
            self.begin()
            assert self._requests is not None and self._process is not None
            process, self._asked = self._process, True
            socket.send_fds(self._requests, [message], [events, *writers])
        except OSError as error:
            for one in (out, err, told):
                one.close()
            raise NoFork(str(error)) from error
        finally:
            for writer in writers:
                os.close(writer)
        try:
            pid = _number(await asyncio.wait_for(_line(told), FORK_S))
        except BaseException as error:
            for one in (out, err, told):
                one.close()
            if isinstance(error, TimeoutError):
                await self._kill(process)  # or it might fork it later, when it has been started by itself
                raise NoFork(f"It took longer than {FORK_S:.0f} s.") from error
            raise
        return Forked(pid, out, err, told)

    async def leave(self) -> None:
        """No runner is needed any more: it ends by itself, and is waited for.

        One that nobody asked for anything has nothing to bring to an end: it need not load what it was started for.
        """
        self._hang_up()
        process, self._process = self._process, None
        if process is not None:
            if not self._asked:
                process.kill()
            await asyncio.to_thread(_ended, process)

    async def _kill(self, process: subprocess.Popen[bytes]) -> None:
        """What is forked from, or was until somebody else began another; with it goes all that it has forked."""
        if self._process is process:
            self._hang_up()
            self._process = None
        process.kill()
        await asyncio.to_thread(_ended, process)

    def _hang_up(self) -> None:
        if self._requests is not None:
            self._requests.close()
        self._requests = None


async def _line(source: IO[bytes]) -> bytes:
    """What comes first; empty where the other end is closed before."""
    loop, ready = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(source.fileno(), ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(source.fileno())
    return source.readline()


def _number(line: bytes) -> int:
    """The number that a child tells before it begins. What is told of its end has no plus: raises NoFork.

    A number is never one that means more than one group where it is signalled.
    """
    if not line.startswith(b"+") or int(line) <= 1:
        raise NoFork("It ended before it began.")
    return int(line)


def _ended(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(END_S)
    if process.poll() is None:
        process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(END_S)  # also a kill waits for a disk that does not answer
