"""What python runners are forked from: it loads our modules and nothing else, and goes with its engine."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import textwrap
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from homewright.catalogue.models import Limits
from homewright.engine import leftovers
from homewright.engine.events import Event
from homewright.engine.forks import Forks
from homewright.engine.runner_process import Ending, RunnerProcess, environment_of
from homewright.engine.runners import forking

from .conftest import wait_for

SAY = """
import json, os, sys, threading, time
def say(**data):
    os.write(3, json.dumps({"kind": "line", "data": data}).encode() + b"\\n")
"""


class Runs:
    """Runs modules as forked runners."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.mark = f"test-{os.getpid()}-{folder.name}:"
        monkeypatch.setenv("PYTHONPATH", str(folder))
        self.forks = Forks(environment_of(os.environ, self.mark))

    @property
    def parents(self) -> list[int]:
        """What is forked from, and all that was: its environment is theirs."""
        return leftovers.found(self.mark)

    async def run(self, name: str, body: str = "", files: tuple[Path, ...] = ()) -> tuple[Ending, list[Event]]:
        """One to its end. Without a body, the one of that name of before."""
        if body:
            (self.folder / f"{name}.py").write_text(SAY + textwrap.dedent(body))
        heard: list[Event] = []
        process = RunnerProcess(name, Path("x"), "00/10", f"runner-{self.mark}{name}.", Limits(), heard.append)
        process.forks, process.files = self.forks, files
        return await process.run(asyncio.Event()), heard

    def all(self, work: Callable[[], Awaitable[None]]) -> None:
        async def whole() -> None:
            try:
                await work()
            finally:
                await self.forks.leave()

        asyncio.run(whole())
        assert self.parents == []


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runs:
    return Runs(tmp_path, monkeypatch)


@pytest.mark.programs
def test_what_files_name_of_ours_is_there_before_and_nothing_of_theirs_has_happened(runs: Runs) -> None:
    file = runs.folder / "10_step.py"
    file.write_text("from homewright.stages import bridge\nimport colorsys\nopen('happened', 'w')\n")
    tells = """
        mark = os.environ["HOMEWRIGHT_RUNNER"]
        modules = [name for name in ("homewright.stages.bridge", "paramiko", "colorsys") if name in sys.modules]
        say(parent=os.getppid(), modules=modules, threads=threading.active_count(), mark=mark)
    """

    async def work() -> None:
        _, first = await runs.run("one", tells)
        _, second = await runs.run("two", tells, (file, runs.folder / "no-such-file.py"))
        told = [events[0].data for events in (first, second)]
        assert told[0]["modules"] == ["paramiko"]
        assert told[1]["modules"] == ["homewright.stages.bridge", "paramiko"]
        assert told[0]["parent"] == told[1]["parent"], "both were forked"
        assert {one["threads"] for one in told} == {1}, "what forks has one thread alone, or a lock might stay taken"
        assert [one["mark"] for one in told] == [f"runner-{runs.mark}one.", f"runner-{runs.mark}two."]
        assert not (runs.folder / "happened").exists()

    runs.all(work)


@pytest.mark.programs
def test_several_at_a_time_end_each_by_itself(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        ends = asyncio.gather(
            runs.run("first", "while not os.path.exists('second.ended'): time.sleep(0.02)\nsys.exit(3)"),
            runs.run("second", "say(pid=os.getpid())"),
        )
        waiting = asyncio.ensure_future(ends)
        while not (runs.folder / "second.ended").exists():
            await asyncio.sleep(0.02)
            if (runs.folder / "second.py").exists() and len(runs.parents) == 2:
                (runs.folder / "second.ended").touch()
        (first, _), (second, heard) = await waiting
        assert (first.exit_code, second.exit_code) == (3, 0)
        assert heard[0].data["pid"]

    monkeypatch.chdir(runs.folder)
    runs.all(work)


@pytest.mark.programs
def test_one_that_went_with_what_it_was_forked_from_is_a_kill_and_the_next_has_another(runs: Runs) -> None:
    async def work() -> None:
        end, _ = await runs.run("killer", "os.kill(os.getppid(), 9)\ntime.sleep(1000)")
        assert end.exit_code == -signal.SIGKILL
        end, heard = await runs.run("after", "say(pid=os.getpid())")
        assert (end.exit_code, len(heard)) == (0, 1)

    runs.all(work)


@pytest.mark.programs
def test_where_nothing_can_be_forked_it_is_started_by_itself(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("homewright.engine.forks.FORKING", "no_such_module")

    async def work() -> None:
        end, heard = await runs.run("alone", "say(parent=os.getppid())")
        assert (end.exit_code, heard[0].data) == (0, {"parent": os.getpid()})

    runs.all(work)


@pytest.mark.programs
def test_nobody_waits_for_one_that_is_needed_no_more(runs: Runs) -> None:
    async def work() -> None:
        runs.forks.begin()
        runs.forks.begin()
        assert len(runs.parents) == 1
        await runs.forks.leave()
        wait_for(lambda: runs.parents == [], "its end")

    runs.all(work)


@pytest.mark.parametrize(
    ("text", "loaded"),
    [
        ("import homewright.stages.dns_query", True),
        ("from homewright.stages import dns_query as asked", True),
        ("from homewright.stages.dns_query import no_such_name", True),
        ("def run(host):\n    import homewright.stages.dns_query", False),
        ("from .homewright.stages import dns_query", False),
        ("import homewrights.stages.dns_query", False),
        ("from homewright.stages import dns_query\n(", False),
    ],
)
def test_names_of_ours_at_the_top_of_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, loaded: bool
) -> None:
    monkeypatch.delitem(sys.modules, "homewright.stages.dns_query", raising=False)
    (tmp_path / "10_step.py").write_text(text)
    forking.load(tmp_path / "10_step.py")
    assert ("homewright.stages.dns_query" in sys.modules) is loaded
