"""What python runners are forked from: it loads our modules and nothing else, and goes with its engine."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import textwrap
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from homewright.catalogue.models import Limits
from homewright.engine import forks, leftovers, runner_process
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


async def until(true: Callable[[], bool], meanwhile: asyncio.Future[Any]) -> None:
    """Wait for a condition while that goes on; what goes wrong with it is raised."""
    begin = time.monotonic()
    while not true():
        if meanwhile.done():
            await meanwhile
            raise AssertionError("it has ended")
        assert time.monotonic() < begin + 60
        await asyncio.sleep(0.02)


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
            runs.run("second", "say(pid=os.getpid())\nwhile not os.path.exists('both'): time.sleep(0.02)"),
        )
        waiting = asyncio.ensure_future(ends)
        for many, then in ((3, "both"), (2, "second.ended")):
            await until(lambda many=many: len(runs.parents) == many, waiting)
            (runs.folder / then).touch()
        (first, _), (second, heard) = await waiting
        assert (first.exit_code, second.exit_code) == (3, 0)
        assert heard[0].data["pid"]

    monkeypatch.chdir(runs.folder)
    runs.all(work)


@pytest.mark.programs
def test_one_that_went_with_what_it_was_forked_from_is_a_kill_and_the_next_has_another(runs: Runs) -> None:
    async def work() -> None:
        end, _ = await runs.run("killer", "os.kill(os.getppid(), 9)\ntime.sleep(30)")
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


FAULTY = """
import os, socket, time
from homewright.engine.runners import forking

def fault(): return open("fault").read() if os.path.exists("fault") else ""

def fork(fork=os.fork):
    if fault() == "fork":
        raise BlockingIOError(11, "Resource temporarily unavailable")
    if fault() == "slow":
        time.sleep(30)
    child = fork()
    if child == 0 and fault() == "pidfd":
        time.sleep(30)
    return child

def setsid(setsid=os.setsid):
    if fault() == "child":
        raise OSError(24, "Too many open files")
    setsid()

def pidfd_open(child, open=os.pidfd_open):
    if fault() == "pidfd":
        raise OSError(24, "Too many open files")
    return open(child)

def recv_fds(requests, size, most, receive=socket.recv_fds):
    message, descriptors, *rest = receive(requests, size, most)
    if fault() == "descriptors":
        while len(descriptors) > 2:
            os.close(descriptors.pop())
    if fault() == "lost":
        for one in descriptors:
            os.close(one)
        raise OSError(12, "Cannot allocate memory")
    damaged = {"cut": message[:40], "empty": b"", "another": b"[1]", "names": b"{}", "deep": b"[" * 60000}
    damaged["words"] = message.replace(b'"words": [', b'"words": [7, ')
    damaged["mark"] = message.replace(b'"mark": [', b'"mark": ["a", ')
    return (damaged.get(fault(), message), descriptors, *rest)

os.fork, os.setsid, os.pidfd_open, socket.recv_fds = fork, setsid, pidfd_open, recv_fds
forking.main()
"""
TOLD = {
    "child": "Too many open files",
    "pidfd": "A forked runner could not be watched: ",
    "lost": "No request could be received: ",
}
SAYS_PARENT = "say(parent=os.getppid())"


@pytest.fixture
def faulty(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> Runs:
    """Where the file `fault` names what fails in what is forked from."""
    (runs.folder / "faulty_forking.py").write_text(FAULTY)
    monkeypatch.setattr(forks, "FORKING", "faulty_forking")
    monkeypatch.chdir(runs.folder)
    return runs


@pytest.mark.programs
@pytest.mark.parametrize(
    "fault",
    ["fork", "child", "pidfd", "descriptors", "lost", "cut", "empty", "another", "names", "words", "mark", "deep"],
)
def test_a_fork_that_fails_ends_no_other_and_its_runner_is_started_by_itself(
    faulty: Runs, fault: str, capfd: pytest.CaptureFixture[str]
) -> None:
    waits = "open('begun', 'w').close()\nwhile not os.path.exists('over'): time.sleep(0.02)\nsys.exit(3)"
    complaints: list[str] = []

    def told() -> str:
        complaints.append(capfd.readouterr().err)
        return "".join(complaints)

    async def work() -> None:
        waiting = asyncio.ensure_future(faulty.run("first", "say(parent=os.getppid())\n" + waits))
        await until((faulty.folder / "begun").exists, waiting)
        (faulty.folder / "fault").write_text(fault)
        end, alone = await faulty.run("second", SAYS_PARENT)
        assert (end.exit_code, alone[0].data) == (0, {"parent": os.getpid()})
        await until(lambda: TOLD.get(fault, "No runner could be forked: ") in told(), waiting)
        (faulty.folder / "fault").unlink()
        _, third = await faulty.run("third", SAYS_PARENT)
        (faulty.folder / "over").touch()
        end, first = await waiting
        assert end.exit_code == 3
        assert third[0].data == first[0].data != {"parent": os.getpid()}

    faulty.all(work)


@pytest.mark.programs
def test_a_fork_that_takes_too_long_is_given_up(faulty: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        _, before = await faulty.run("first", SAYS_PARENT)
        (faulty.folder / "fault").write_text("slow")
        with monkeypatch.context() as patch:
            patch.setattr(forks, "FORK_S", 0.1)
            end, alone = await faulty.run("second", SAYS_PARENT)
        assert (end.exit_code, alone[0].data) == (0, {"parent": os.getpid()})
        assert faulty.parents == [], "what might still fork it is gone"
        (faulty.folder / "fault").unlink()
        _, after = await faulty.run("third", SAYS_PARENT)
        assert len({before[0].data["parent"], after[0].data["parent"], os.getpid()}) == 3

    faulty.all(work)


@pytest.mark.programs
def test_a_request_that_is_too_long_is_not_sent(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[object] = []
    monkeypatch.setattr("socket.send_fds", lambda *asked: sent.append(asked))

    async def work() -> None:
        end, alone = await runs.run("alone", SAYS_PARENT, (Path("x" * forking.MOST),))
        assert (end.exit_code, alone[0].data, sent) == (0, {"parent": os.getpid()}, [])

    runs.all(work)


@pytest.mark.programs
def test_a_shutdown_that_asks_everything_to_end_lets_runners_come_to_a_safe_point(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    careful = "import signal\nasked = []\nsignal.signal(signal.SIGTERM, lambda *_: asked.append(1))\n"

    async def work() -> None:
        body = careful + "say(parent=os.getppid())\nopen('first', 'w').write(str(os.getpid()))\n"
        body += "while not asked: time.sleep(0.02)\nsay(safe=True)"
        first = asyncio.ensure_future(runs.run("careful", body))
        await until(lambda: number(runs.folder / "first") > 1, first)
        (parent,) = set(runs.parents) - {number(runs.folder / "first")}
        os.kill(parent, signal.SIGTERM)
        body = "say(parent=os.getppid())\nopen('second', 'w').write(str(os.getpid()))\ntime.sleep(30)"
        second = asyncio.ensure_future(runs.run("careless", body))
        await until(lambda: number(runs.folder / "second") > 1, second)
        for name in ("first", "second"):
            os.kill(number(runs.folder / name), signal.SIGTERM)
        (end, heard), (ended, other) = await first, await second
        assert (end.exit_code, [event.data for event in heard]) == (0, [{"parent": parent}, {"safe": True}])
        assert (ended.exit_code, other[0].data) == (-signal.SIGTERM, {"parent": parent}), "as if started by itself"

    monkeypatch.chdir(runs.folder)
    runs.all(work)


def number(file: Path) -> int:
    """What is written there; 0 where nothing is."""
    return int(file.read_text() or 0) if file.exists() else 0


@pytest.mark.parametrize("line", [b"", b"1\n", b"-9\n", b"+1\n", b"+0\n"])
def test_what_is_told_of_an_end_is_no_number_of_a_process(line: bytes) -> None:
    with pytest.raises(forks.NoFork):
        forks._number(line)
    assert forks._number(b"+4711\n") == 4711


def test_every_process_is_never_a_group_that_is_signalled(monkeypatch: pytest.MonkeyPatch) -> None:
    signalled: list[int] = []
    monkeypatch.setattr(os, "killpg", lambda pid, _: signalled.append(pid))
    for pid in (-1, 0, 1, 4711):
        runner_process._signal_group(pid, signal.SIGKILL)
    assert signalled == [4711]


@pytest.mark.programs
def test_nobody_waits_for_one_that_is_needed_no_more(runs: Runs) -> None:
    async def work() -> None:
        runs.forks.begin()
        runs.forks.begin()
        assert len(runs.parents) == 1
        process = runs.forks._process
        await runs.forks.leave()
        assert process is not None
        assert process.returncode == -signal.SIGKILL, "nobody asked for a runner, and it loaded all the same"
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
