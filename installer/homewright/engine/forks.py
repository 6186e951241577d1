"""The engine's side of what python runners are forked from: see `runners.forking`."""

from __future__ import annotations

import asyncio
import contextlib
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

FORKING = "homewright.engine.runners.forking"
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

    def begin(self) -> None:
        """Start it, if it is not there: it loads what every runner needs."""
        if self._process is not None and self._process.poll() is None:
            return
        self._hang_up()
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

        The modules of ours that these files name are loaded by then. Raises NoFork.
        """
        readers, writers = zip(*(os.pipe() for _ in range(3)), strict=True)
        out, err, told = (os.fdopen(reader, "rb", 0) for reader in readers)
        request = {"module": module, "words": list(words), "mark": mark, "files": [str(file) for file in files]}
        try:
            self.begin()
            assert self._requests is not None
            socket.send_fds(self._requests, [json.dumps(request).encode()], [events, *writers])
        except OSError as error:
            for one in (out, err, told):
                one.close()
            raise NoFork(str(error)) from error
        finally:
            for writer in writers:
                os.close(writer)
        pid = await _line(told)
        if not pid:
            for one in (out, err, told):
                one.close()
            raise NoFork("What runners are forked from has ended.")
        return Forked(int(pid), out, err, told)

    async def leave(self) -> None:
        """No runner is needed any more: it ends by itself, and is waited for."""
        self._hang_up()
        process, self._process = self._process, None
        if process is not None:
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


def _ended(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(END_S)
    if process.poll() is None:
        process.kill()
        process.wait()
