"""One process on a server that carries out many commands: signed in, made root and started once for all of them.

A command of its own costs the server 15 ms of processor time before it begins (a fork of sshd, a shell, sudo with
its session and its lines in the log), and two round trips; through a carrier it costs a fork and one. See
docs/decisions/0110-one-carrier-for-many-commands.md.
"""

from __future__ import annotations

import contextlib
import struct
import threading
import time
from dataclasses import dataclass, field
from typing import Protocol

from homewright.access.remote import MARKER, Completed

READY = b"carrier of homewright\n"
START_S = 30.0
"""How long sudo and Python may take to start there."""
_CHUNK = 1 << 17
_ASKED = struct.Struct("!III")
"""Number, bytes of the command, bytes of its standard input."""
_LEFT = 0xFFFFFFFF
"""In place of the bytes of a command: nobody waits for this number any more."""
_ANSWER = struct.Struct("!IiII")
"""Number, exit code, bytes of both outputs."""

# Runs on the server, on its own Python 3.8 or later. It imports no more than it must: `subprocess` alone is 14 ms.
# Where we hang up it ends, and what it has started goes on or not, as under sshd itself.
SCRIPT = r"""
import os, select, signal, struct
asked, answer, works, unread = struct.Struct("!III"), struct.Struct("!IiII"), {}, b""
poll, places = select.poll(), {}


def say(data):
    while data:
        data = data[os.write(1, data):]


def begin(number, command, given):
    actions, ends = [], []
    try:
        if given:
            ends.append(os.pipe())
            os.set_blocking(ends[0][1], False)
        else:
            actions.append((os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0))
        for _ in (1, 2):
            ends.append(os.pipe()[::-1])
        actions += [(os.POSIX_SPAWN_DUP2, one[0], at) for at, one in enumerate(ends, 3 - len(ends))]
        pid = os.posix_spawn("/bin/sh", ["sh", "-c", command], os.environ, file_actions=actions, setpgroup=0,
                             setsigdef=[signal.SIGPIPE])
    except (OSError, ValueError) as error:  # too long, no process or no descriptor left: the others go on
        for one in ends:
            os.close(one[0])
            os.close(one[1])
        why = ("sh: %s\n" % error).encode()
        say(answer.pack(number, 126, 0, len(why)) + why)
        return
    works[number] = {"left": 3, "code": 0, "given": given, "pid": pid, 1: [], 2: []}
    for at, one in enumerate(ends, 3 - len(ends)):
        os.close(one[0])
        watch(one[1], select.POLLIN if at else select.POLLOUT, number, at)


def watch(descriptor, what, number, kind):
    poll.register(descriptor, what)
    places[descriptor] = number, kind


def leave(descriptor):
    poll.unregister(descriptor)
    del places[descriptor]
    os.close(descriptor)


def forward(descriptor):
    number, kind = places[descriptor]
    work = works[number]
    if kind == 0:
        try:
            work["given"] = work["given"][os.write(descriptor, work["given"][:65536]):]
        except BlockingIOError:
            return
        except OSError:
            work["given"] = b""
        if not work["given"]:
            leave(descriptor)
        return
    block = os.read(descriptor, 131072)
    if block:
        work[kind].append(block)
        return
    leave(descriptor)
    ended(number)


def hang_up(number):
    for descriptor in [one for one, place in places.items() if place[0] == number]:
        leave(descriptor)


def drop(number):
    work = works.get(number)
    if work:
        hang_up(number)
        work.update({"left": 2 if work["pid"] else 1, "given": b"", 1: [], 2: []})
        ended(number)


def ended(number):
    work = works[number]
    work["left"] -= 1
    if work["left"]:
        return
    hang_up(number)
    del works[number]
    out, err = b"".join(work[1]), b"".join(work[2])
    say(answer.pack(number, work["code"], len(out), len(err)) + out + err)


def reap():
    for number, work in list(works.items()):
        if work["pid"]:
            pid, status = os.waitpid(work["pid"], os.WNOHANG)
            if pid:
                work["pid"] = 0
                work["code"] = os.WEXITSTATUS(status) if os.WIFEXITED(status) else -1
                ended(number)


wakes, wake = os.pipe()
os.set_blocking(wake, False)
signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
signal.signal(signal.SIGCHLD, lambda *_: None)
poll.register(0, select.POLLIN)
poll.register(wakes, select.POLLIN)
say(b"carrier of homewright\n")
while True:
    # Our own input last: it opens and closes descriptors, whose numbers the others' news is by.
    for descriptor, _ in sorted(poll.poll(), reverse=True):
        if descriptor == wakes:
            os.read(wakes, 4096)
            reap()
        elif descriptor in places:
            forward(descriptor)
        elif descriptor == 0:
            block = os.read(0, 131072)
            if not block:
                os._exit(0)
            unread += block
            while len(unread) >= 12:
                number, words, more = asked.unpack(unread[:12])
                if words == 0xFFFFFFFF:
                    unread = unread[12:]
                    drop(number)
                    continue
                if len(unread) < 12 + words + more:
                    break
                command, given = unread[12:12 + words], unread[12 + words:12 + words + more]
                unread = unread[12 + words + more:]
                begin(number, command, given)
"""


class Channel(Protocol):
    """The way there: a channel of SSH, as far as it is used."""

    def recv(self, nbytes: int, /) -> bytes: ...
    def sendall(self, data: bytes, /) -> None: ...
    def close(self) -> None: ...


class Gone(Exception):
    """The carrier ended before the command did, or it never started."""


@dataclass
class _Waiting:
    done: threading.Event = field(default_factory=threading.Event)
    answer: Completed | None = None


class Carrier:
    """The one at the other end of a channel. Its methods may be called from several threads at once."""

    def __init__(self, channel: Channel) -> None:
        """`channel` leads to `SCRIPT`, which was started a moment ago."""
        self._channel = channel
        self._lock = threading.Lock()
        self._sending = threading.Lock()
        self._waiting: dict[int, _Waiting] = {}
        self._number = 0
        self._over = False
        self._ready = threading.Event()
        self.started = False
        """It has said that it is there."""
        threading.Thread(target=self._listen, daemon=True).start()

    @property
    def of_use(self) -> bool:
        """Waits until it has started, or has not."""
        self._ready.wait(START_S)
        return self.started and not self._over

    def run(self, command: str, stdin: bytes | None, timeout: float | None) -> Completed:
        """A command for the shell, to its end.

        Raises TimeoutError after `timeout` seconds, Gone where the connection broke off. One whose time is over may
        still be running, and is hung up on as by sshd: it ends where it says something more.
        """
        until = None if timeout is None else time.monotonic() + timeout
        words, given, waiting = command.encode(), stdin or b"", _Waiting()
        with self._lock:
            if self._over:
                raise Gone
            self._number += 1
            number = self._number
            self._waiting[number] = waiting
        if not self._sending.acquire(timeout=-1 if until is None else max(0.0, until - time.monotonic())):
            with self._lock:
                self._waiting.pop(number, None)
            raise TimeoutError  # it was never asked for
        try:
            self._channel.sendall(_ASKED.pack(number, len(words), len(given)) + words + given)
        except (OSError, EOFError) as error:
            raise Gone from error
        finally:
            self._sending.release()
        if not waiting.done.wait(None if until is None else max(0.0, until - time.monotonic())):
            with self._lock:
                unanswered = self._waiting.pop(number, None) is not None
            if unanswered:
                # By a thread of its own: who waited has waited long enough, and the way there may be held up.
                threading.Thread(target=self._leave, args=(number,), daemon=True).start()
                raise TimeoutError
            waiting.done.wait()  # its answer came in this moment
        if waiting.answer is None:
            raise Gone
        return waiting.answer

    def close(self) -> None:
        """Let it end."""
        self._channel.close()

    def _leave(self, number: int) -> None:
        """Nobody waits for this one any more: what it says is not kept there."""
        with contextlib.suppress(OSError, EOFError), self._sending:
            self._channel.sendall(_ASKED.pack(number, _LEFT, 0))

    def _listen(self) -> None:
        """Until the channel is closed: who waits gets the answer, and at the end nobody waits any more."""
        unread = bytearray()
        try:
            while data := self._channel.recv(_CHUNK):
                unread += data
                if not self.started:
                    _, found, rest = unread.partition(MARKER)
                    if not found or not rest.startswith(READY):
                        continue
                    unread, self.started = rest[len(READY) :], True
                    self._ready.set()
                self._take(unread)
        except OSError:
            pass
        finally:
            with self._lock:
                self._over = True
                waiting = list(self._waiting.values())
            self._ready.set()
            for one in waiting:
                one.done.set()

    def _take(self, unread: bytearray) -> None:
        """All whole answers; what is left of `unread` is the beginning of one."""
        while len(unread) >= _ANSWER.size:
            number, code, out, err = _ANSWER.unpack_from(unread)
            end = _ANSWER.size + out + err
            if len(unread) < end:
                return
            stdout, stderr = bytes(unread[_ANSWER.size : _ANSWER.size + out]), bytes(unread[_ANSWER.size + out : end])
            del unread[:end]
            with self._lock:
                waiting = self._waiting.pop(number, None)
            if waiting is not None:  # else nobody waits for it any more
                told = stdout.decode(errors="replace"), stderr.decode(errors="replace")
                waiting.answer = Completed(*told, code, stdout)
                waiting.done.set()
