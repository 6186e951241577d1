"""One verb on many workspaces: nobody waits for what hangs, and nothing that goes wrong hides the others."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable

import pytest

from homewright.errors import HomewrightError
from homewright.workspaces.bulk import Outcome, Task, each

LIMIT_S = 30.0


def raising(error: Exception) -> Callable[[], str]:
    def work() -> str:
        raise error

    return work


def test_what_nobody_foresaw_is_an_outcome_among_the_others() -> None:
    tasks = [
        Task("a", lambda: "done"),
        Task("b", raising(KeyError("spec"))),
        Task("c", raising(HomewrightError("No room."))),
        Task("d", lambda: "done"),
    ]
    told: list[int] = []
    outcomes = each(tasks, lambda _, ended: told.append(ended), parallel=2)
    assert [one.name for one in outcomes] == ["a", "b", "c", "d"] and told == [1, 2, 3, 4]
    assert [one.error and f"{one.error.what} {one.error.why}".strip() for one in outcomes] == [
        None, "Something unforeseen went wrong. KeyError: 'spec'", "No room.", None,
    ]  # fmt: skip


def test_so_many_at_a_time_and_none_after_a_stop() -> None:
    stop, both = threading.Event(), threading.Barrier(2)

    def work() -> None:
        both.wait(LIMIT_S)
        stop.set()

    outcomes = each([Task(name, work) for name in "abcd"], parallel=2, stop=stop)
    assert [(one.name, one.error) for one in outcomes] == [("a", None), ("b", None)]
    assert each([]) == ()


def test_an_error_of_who_is_told_comes_back_to_them() -> None:
    def told(outcome: Outcome[str], ended: int) -> None:
        raise BrokenPipeError("nobody reads")

    with pytest.raises(BrokenPipeError):
        each([Task(name, lambda: "done") for name in "ab"], told, parallel=1)


def test_the_keyboard_ends_the_waiting_and_no_further_one_begins() -> None:
    hangs, began, told = threading.Event(), list[str](), list[str]()

    def begin(name: str) -> None:
        began.append(name)
        if name == "b":
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    tasks = [Task("a", lambda: None), *(Task(name, lambda: hangs.wait(LIMIT_S)) for name in "bc")]
    with pytest.raises(KeyboardInterrupt):
        each(tasks, lambda outcome, _: told.append(outcome.name), begin, parallel=1)
    hangs.set()
    for thread in threading.enumerate():
        if thread.name.startswith("one of many"):
            thread.join(LIMIT_S)
    assert (began, told) == (["a", "b"], ["a"]), "nothing is told of what ended after that"


def test_leaving_the_program_waits_for_none() -> None:
    program = """
import threading
from homewright.workspaces.bulk import Task, each
begun = threading.Semaphore(0)
hang = lambda: threading.Event().wait(600)
tasks = [Task(str(number), hang) for number in range(38)]
threading.Thread(target=each, args=(tasks,), kwargs={"began": lambda _: begun.release()}, daemon=True).start()
for _ in range(8):
    begun.acquire()
"""
    assert subprocess.run([sys.executable, "-c", program], timeout=LIMIT_S * 2).returncode == 0
