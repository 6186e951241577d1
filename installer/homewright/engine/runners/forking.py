"""Where python runners come from: a process that has loaded what they need, and forks one for each request.

``python -m homewright.engine.child DESCRIPTOR PARENT homewright.engine.runners.forking``, with the engine's requests on
descriptor 3. A runner that is started by itself loads pydantic, paramiko and pylxd anew: 0.67 s of processor time
for a step of LXD, three times a step. Nothing of a run happens in this process, and only Homewright's own modules are
loaded in it, those that a numbered file names: a file's own top level is its runner's.
"""

from __future__ import annotations

import ast
import contextlib
import errno
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from homewright.engine.runners.protocol import die_with_parent

REQUESTS = 3
"""The engine's socket: a request is one message, and four descriptors with it."""
PASSED = 4
"""Descriptors of one request: for events, output and errors, and where its number and its end are told."""
MOST = 1 << 16
"""Bytes of one request: some paths. The engine sends no longer one."""
OURS = "homewright"
OVER = (errno.ECONNRESET, errno.ENOTCONN, errno.EBADF, errno.ENOTSOCK)
"""What a socket says that will never give a request again. All else is for this moment, as memory that is short."""
AGAIN_S = 0.05
"""How long after a request could not be received the next one is looked for."""


@dataclass(frozen=True)
class Request:
    """A runner that is asked for."""

    module: str
    words: list[str]
    mark: tuple[str, str]
    files: list[str]

    @classmethod
    def read(cls, message: bytes) -> Self:
        """Raises ValueError where the message is damaged; RecursionError, too."""
        asked = json.loads(message)
        if not isinstance(asked, dict) or set(asked) != {"module", "words", "mark", "files"}:
            raise ValueError("it is no request")
        lists = [asked["words"], asked["mark"], asked["files"]]
        if not all(isinstance(one, list) and all(isinstance(word, str) for word in one) for one in lists):
            raise ValueError("it is no request: its lists are not of words")
        if not isinstance(asked["module"], str) or len(asked["mark"]) != 2:
            raise ValueError("it is no request: module and mark")
        return cls(asked["module"], asked["words"], (asked["mark"][0], asked["mark"][1]), asked["files"])


def load(file: Path) -> None:
    """Import the modules of ours that a file names at its top. What is wrong with it is told by who carries it out."""
    with contextlib.suppress(OSError, SyntaxError, ValueError):
        for node in ast.parse(file.read_bytes()).body:
            if isinstance(node, ast.ImportFrom) and not node.level and node.module:
                names = [node.module, *(f"{node.module}.{name.name}" for name in node.names)]
            else:
                names = [name.name for name in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                if name.partition(".")[0] == OURS:
                    with contextlib.suppress(Exception):  # also where a name is no module but something in one
                        importlib.import_module(name)


def settle() -> None:
    """What is there now belongs to all: a collection of garbage in a child would copy every page of it."""
    gc.collect()
    gc.freeze()


def complain(text: str) -> None:
    """Into the engine's log, where there is room for it."""
    with contextlib.suppress(OSError):
        print(text, file=sys.stderr, flush=True)


def become(module: str, words: list[str], mark: tuple[str, str], descriptors: list[int], parent: int) -> None:
    """The life of the child as a runner; never comes back."""
    code = 1
    try:
        os.setsid()
        die_with_parent(parent)
        os.environ[mark[0]] = mark[1]
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        events, out, err, told = descriptors
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.write(told, f"+{os.getpid()}\n".encode())  # from now on it can be asked to stop
        os.close(told)
        for descriptor, place in ((nothing, 0), (out, 1), (err, 2), (events, REQUESTS)):
            os.dup2(descriptor, place, inheritable=True)
            os.close(descriptor)
        sys.argv[1:] = words
        sys.modules.pop(module, None)
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    except BaseException:  # as an interpreter of its own would
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


class Forking:
    """Takes requests, forks, and tells how each child ended, before its number can be another process's."""

    def __init__(self, requests: socket.socket) -> None:
        self._requests = requests
        self._poll = select.poll()
        self._children: dict[int, tuple[int, int]] = {}
        """By the descriptor of each child: its number, and where its end is told."""
        self._told: dict[int, int] = {}
        """By that place: the child whose end was told there, and not read yet."""

    def live(self) -> None:
        """Until the engine hangs up."""
        self._poll.register(self._requests, select.POLLIN)
        while True:
            for descriptor, _ in self._poll.poll():
                if descriptor in self._children:
                    self._tell(descriptor)
                elif descriptor in self._told:
                    self._let_go(descriptor)
                elif not self._fork():
                    return

    def _fork(self) -> bool:
        """One more runner; false where there will be none."""
        try:
            message, descriptors, _, _ = socket.recv_fds(self._requests, MOST, PASSED)
        except (OSError, MemoryError) as error:
            # The runners that there are would end with this process. Where the request is lost so are its
            # descriptors: the engine reads the end of the last one, and starts that runner by itself.
            complain(f"No request could be received: {error}")
            if isinstance(error, OSError) and error.errno in OVER:
                return False
            time.sleep(AGAIN_S)
            return True
        if not message and not descriptors:
            return False
        parent = os.getpid()
        try:
            if len(descriptors) < PASSED:  # the kernel leaves out those for which there is no room
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            request = Request.read(message)
            known = len(sys.modules)
            for file in request.files:
                load(Path(file))
            if len(sys.modules) > known:
                settle()
            child = os.fork()
        except (OSError, ValueError, MemoryError, RecursionError) as error:
            complain(f"No runner could be forked: {error}")
            for one in descriptors:
                os.close(one)  # the engine reads the end of the last one, and starts the runner by itself
            return True
        if child == 0:
            try:
                self._let_go_of_all()
                become(request.module, request.words, request.mark, descriptors, parent)
            finally:
                os._exit(1)  # whatever goes wrong, there is one process that forks
        *passed, told = descriptors
        for one in passed:
            os.close(one)
        try:
            watched = os.pidfd_open(child)
        except OSError as error:
            complain(f"A forked runner could not be watched: {error}")
            os.kill(child, signal.SIGKILL)
            self._tell_end(child, told)
            return True
        self._children[watched] = child, told
        self._poll.register(watched, select.POLLIN)
        return True

    def _let_go_of_all(self) -> None:
        """In a child: nothing of the other children's, nor of the engine's requests, is its own."""
        self._requests.close()
        for kept, (_, told) in self._children.items():
            os.close(kept)
            os.close(told)
        for told in self._told:
            os.close(told)

    def _tell(self, watched: int) -> None:
        """A child has ended."""
        child, told = self._children.pop(watched)
        self._poll.unregister(watched)
        os.close(watched)
        self._tell_end(child, told)

    def _tell_end(self, child: int, told: int) -> None:
        """Wait for the end of a child, which is left as it is until the engine knows: it may be about to signal it."""
        ended = os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
        assert ended is not None
        exited = ended.si_code == os.CLD_EXITED
        with contextlib.suppress(BrokenPipeError):
            os.write(told, f"{ended.si_status if exited else -ended.si_status}\n".encode())
        self._told[told] = child
        self._poll.register(told, 0)  # its other end being closed is told of all the same

    def _let_go(self, told: int) -> None:
        self._poll.unregister(told)
        os.close(told)
        os.waitpid(self._told.pop(told), 0)


def main() -> int:
    """Exit code 0."""
    # A shutdown asks every process to end: the runners come to a safe point, and would be killed if this one went.
    # The engine ends it by hanging up.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.set_inheritable(REQUESTS, False)
    with socket.socket(fileno=REQUESTS) as requests:
        importlib.import_module("homewright.engine.runners.python")
        settle()
        Forking(requests).live()
    return 0


if __name__ == "__main__":
    sys.exit(main())
