"""Work that would block the screen: one daemon thread a job, ending in one message.

Daemon threads, and not the toolkit's own pool: leaving the program must not wait for a server that does not answer.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from textual.message import Message
from textual.message_pump import MessagePump

from homewright.errors import HomewrightError

Result = TypeVar("Result")
Said = TypeVar("Said")


@dataclass
class JobDone(Message):
    """A job has ended; `deliver` hands its result to the screen that asked, on the screen's own thread."""

    name: str
    number: int
    deliver: Callable[[], None]
    error: BaseException | None = None


@dataclass
class JobSays(Message):
    """A job has something to say while it works."""

    name: str
    number: int
    deliver: Callable[[], None]


def post(owner: MessagePump, message: Message) -> None:
    """Post from a thread. A screen that has gone meanwhile needs no answer: the toolkit raises for it, or drops it."""
    with contextlib.suppress(RuntimeError, LookupError):
        owner.post_message(message)


class Jobs:
    """The jobs of one screen. A newer job of a name makes what an older one delivers void."""

    def __init__(self, owner: MessagePump) -> None:
        self._owner = owner
        self._numbers: dict[str, int] = {}
        self._running: dict[str, int] = {}

    def running(self, name: str) -> bool:
        """Whether the newest job of this name is still at work."""
        return name in self._running

    def start(
        self,
        name: str,
        work: Callable[[], Result],
        done: Callable[[Result], None],
        failed: Callable[[HomewrightError], None],
        quiet: bool = False,
    ) -> None:
        """Run `work` in a thread, then `done` with its result, or `failed` with its error, on the screen's thread.

        `quiet` jobs never tell a screen that something unexpected went wrong in them: they only look.
        """
        number = self._numbers.get(name, 0) + 1
        self._numbers[name] = self._running[name] = number

        def body() -> None:
            try:
                result = work()
            except HomewrightError as error:
                problem = error
                post(self._owner, JobDone(name, number, lambda: failed(problem)))
            except Exception as error:
                post(self._owner, JobDone(name, number, lambda: None, None if quiet else error))
            else:
                post(self._owner, JobDone(name, number, lambda: done(result)))

        threading.Thread(target=body, name=f"job {name}", daemon=True).start()

    def teller(self, name: str, say: Callable[[Said], None], now: bool = False) -> Callable[[Said], None]:
        """A function that a job may call from its thread; `say` runs on the screen's thread, while the job is new.

        Made before the job begins, or with `now` while it is at work.
        """
        number = self._numbers.get(name, 0) + (0 if now else 1)

        def tell(said: Said) -> None:
            post(self._owner, JobSays(name, number, lambda: say(said)))

        return tell

    def settle(self, message: JobDone) -> bool:
        """Note that a job has ended; False when a newer one of its name has begun since."""
        if self._numbers.get(message.name) != message.number:
            return False
        self._running.pop(message.name, None)
        return True

    def current(self, message: JobSays) -> bool:
        """Whether the job that speaks is the newest of its name and still at work."""
        return self._running.get(message.name) == message.number

    def forget(self, name: str) -> None:
        """Make what the running job of this name delivers void."""
        if self._running.pop(name, None) is not None:
            self._numbers[name] += 1
