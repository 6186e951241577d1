"""One verb on many workspaces: so many at a time, each told as it ends, and no failure that hides the next."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
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
    """
    lock = threading.Lock()
    ended = 0

    def one(task: Task[Result]) -> Outcome[Result] | None:
        nonlocal ended
        if stop is not None and stop.is_set():
            return None
        with lock:
            began(task.name)
        try:
            outcome = Outcome(task.name, result=task.work())
        except HomewrightError as error:
            outcome = Outcome[Result](task.name, error=error)
        with lock:
            ended += 1
            told(outcome, ended)
        return outcome

    with ThreadPoolExecutor(max_workers=max(1, min(parallel, len(tasks)))) as pool:
        return tuple(outcome for outcome in pool.map(one, tasks) if outcome is not None)
