"""One verb on many workspaces: so many at a time, each told as it ends, and no failure that hides the next."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from homewright.errors import HomewrightError

Result = TypeVar("Result")

PARALLEL = 8
"""At a time. Sixty-four parallel starts brought 429s at class start elsewhere; eight keep an API server of a small
cluster busy and answering."""


@dataclass(frozen=True)
class Task(Generic[Result]):
    """What is to be done to one workspace."""

    name: str
    work: Callable[[], Result]


@dataclass(frozen=True)
class Outcome(Generic[Result]):
    """How that ended: with a result or with an error."""

    name: str
    result: Result | None = None
    error: HomewrightError | None = None


def each(
    tasks: Sequence[Task[Result]],
    told: Callable[[Outcome[Result], int], None] = lambda _, __: None,
    began: Callable[[str], None] = lambda _: None,
    parallel: int = PARALLEL,
    stop: threading.Event | None = None,
) -> tuple[Outcome[Result], ...]:
    """Do all of them, `parallel` at a time and in their order; the outcomes in that order.

    `began` and `told` are called one at a time, from other threads, as each begins and ends; `told` with how many have
    ended. Once `stop` is set no further one begins: what had not begun is not among the outcomes.

    The threads are daemons: whoever leaves the program, or presses ctrl+c (KeyboardInterrupt is raised), waits for none
    of them, and nothing is told from then on. Raises what `began` and `told` raise.
    """
    stopped = stop or threading.Event()
    lock = threading.Lock()
    waiting = iter(enumerate(tasks))
    outcomes: dict[int, Outcome[Result]] = {}
    broken: list[Exception] = []
    left = False

    def begin() -> tuple[int, Task[Result]] | None:
        with lock:
            following = None if stopped.is_set() or left or broken else next(waiting, None)
            if following is not None:
                began(following[1].name)
            return following

    def work() -> None:
        try:
            while (following := begin()) is not None:
                number, task = following
                outcome = _done(task)
                with lock:
                    if left:
                        return
                    outcomes[number] = outcome
                    told(outcome, len(outcomes))
        except Exception as error:  # of whoever is told: raised where that is at home
            broken.append(error)

    threads = [
        threading.Thread(target=work, name=f"one of many {number}", daemon=True)
        for number in range(min(max(1, parallel), len(tasks)))
    ]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    except KeyboardInterrupt:
        stopped.set()
        with lock:
            left = True
        raise
    if broken:
        raise broken[0]
    return tuple(outcomes[number] for number in sorted(outcomes))


def _done(task: Task[Result]) -> Outcome[Result]:
    try:
        return Outcome(task.name, result=task.work())
    except HomewrightError as error:
        return Outcome(task.name, error=error)
    except Exception as error:  # whatever it is, the others go on and it is told with theirs
        told = HomewrightError("Something unforeseen went wrong.", f"{type(error).__name__}: {error}")
        return Outcome(task.name, error=told)
