"""Who is in control of a run: the rules by tables, then over the real socket with several processes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pty
import socket
import sys
import threading
import time
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from practice_lab import COMMAND

from homewright.cli import in_control
from homewright.cli.in_control import Move
from homewright.engine import client, control, listening, viewers
from homewright.engine.client import Controlled, Presence
from homewright.engine.journal import Reader
from homewright.engine.journal.writer import Writer
from homewright.engine.lines import render
from homewright.engine.lock import EngineLock
from homewright.engine.viewers import Viewer, Viewers
from homewright.site.paths import StateFolder

from .conftest import wait_for

ANN = Viewer("a", "ann", 11, "pts/1", "192.0.2.7", "screens", 5.0)
BOB = Viewer("b", "bob", 12, "pts/2", "", "screens", 6.0)
EVE = Viewer("c", "eve", 13)
BOTH = Viewers("r1", (ANN, BOB), holder="a")
ASKED = Viewers("r1", (ANN, BOB), holder="a", asking="b", until=100.0)


def summary(outcome: viewers.Outcome) -> tuple[str, str, list[str]]:
    now, said = outcome
    return now.holder, now.asking, [one.what for one in said]


@pytest.mark.parametrize(
    ("outcome", "wanted"),
    [
        (viewers.came(Viewers("r1"), ANN, wants=True), ("a", "", ["came", "took"])),
        (viewers.came(Viewers("r1"), ANN, wants=False), ("", "", ["came"])),
        (viewers.came(Viewers("r1", (ANN,), holder="a"), BOB, wants=True), ("a", "", ["came"])),
        (viewers.asked(BOTH, "b", 70.0), ("a", "b", ["asked"])),
        (viewers.asked(BOTH, "a", 70.0), ("a", "", [])),
        (viewers.asked(BOTH, "nobody", 70.0), ("a", "", [])),
        (viewers.asked(Viewers("r1", (ANN,)), "a", 70.0), ("a", "", ["took"])),
        (viewers.asked(Viewers("r1", (ANN, BOB, EVE), "a", "b", 100.0), "c", 70.0), ("a", "b", [])),
        (viewers.answered(ASKED, "a", yes=True), ("b", "", ["granted"])),
        (viewers.answered(ASKED, "a", yes=False), ("a", "", ["refused"])),
        (viewers.answered(ASKED, "b", yes=True), ("a", "b", [])),
        (viewers.answered(BOTH, "a", yes=True), ("a", "", [])),
        (viewers.lapsed(ASKED, 99.9), ("a", "b", [])),
        (viewers.lapsed(ASKED, 100.0), ("b", "", ["passed"])),
        (viewers.lapsed(BOTH, 1000.0), ("a", "", [])),
        (viewers.left(BOTH, "a"), ("", "", ["left", "gave"])),
        (viewers.left(BOTH, "b"), ("a", "", ["left"])),
        (viewers.left(ASKED, "a"), ("b", "", ["left", "passed"])),
        (viewers.left(ASKED, "b"), ("a", "", ["left"])),
        (viewers.left(BOTH, "nobody"), ("a", "", [])),
        (viewers.given_back(BOTH, "a"), ("", "", ["gave"])),
        (viewers.given_back(BOTH, "b"), ("a", "", [])),
        (viewers.given_back(ASKED, "a"), ("b", "", ["granted"])),
    ],
)
def test_what_happens_among_viewers(outcome: viewers.Outcome, wanted: tuple[str, str, list[str]]) -> None:
    assert summary(outcome) == wanted
    assert Viewers.from_json(outcome[0].as_json()) == outcome[0]


def test_only_who_is_in_control_is_heard() -> None:
    assert viewers.hindrance(BOTH, "a") == ""
    assert viewers.hindrance(Viewers("r1", (BOB,)), "b") == ""
    assert viewers.hindrance(BOTH, "b") == "ann at pts/1 (process 11, from 192.0.2.7) is in control of this run."
    gone = Viewers("r1", (BOB,), holder="a")
    assert viewers.hindrance(gone, "b") == ""


def test_the_record_of_a_newer_version_is_read_and_no_other_text() -> None:
    newer = BOTH.as_json().replace('"holder"', '"colour": "red", "holder"').replace('"tty"', '"mood": 1, "tty"')
    assert Viewers.from_json(newer) == BOTH
    for text in ("{}", "[]", "no json", '{"run": "r1", "all": [{}]}'):
        with pytest.raises((ValueError, TypeError, KeyError)):
            Viewers.from_json(text)


@pytest.fixture
def held(state: StateFolder, writer: Writer) -> Iterator[StateFolder]:
    """A site with an engine's lock and a run that goes on."""
    taken = EngineLock.take(state, "r1")
    yield state
    taken.release()


@contextlib.asynccontextmanager
async def engine(state: StateFolder, writer: Writer, obeyed: list[str]) -> AsyncIterator[control.Desk]:
    def obey(identity: str, command: str, by: str) -> int:
        obeyed.append(command)
        return 7

    desk = control.Desk(writer, obey)
    async with control.serving(state, desk):
        yield desk


async def until(condition: Callable[[], object], limit: float = 20.0) -> None:
    end = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < end
        await asyncio.sleep(0.01)


def told(state: StateFolder) -> list[str]:
    events = [event for event in Reader(state).events("r1") if event.kind == "viewer"]
    assert [render(event) is None for event in events] == [event.data["what"] in viewers.QUIET for event in events]
    return [event.data["what"] for event in events]


def test_an_engine_that_ends_says_nothing_of_those_who_look_on(
    held: StateFolder, writer: Writer, caplog: pytest.LogCaptureFixture
) -> None:
    there = threading.Event()

    def look_on() -> None:
        with listening.address(held) as path, socket.socket(socket.AF_UNIX) as line:
            line.connect(path)
            there.set()
            with contextlib.suppress(ConnectionResetError):
                line.recv(1)

    async def whole() -> None:
        async with engine(held, writer, []):
            asyncio.get_running_loop().run_in_executor(None, look_on)
            await until(there.is_set)
            await asyncio.sleep(0)  # the connection is being served

    asyncio.run(whole())
    assert caplog.text == ""


def test_control_is_asked_for_and_handed_over(held: StateFolder, writer: Writer) -> None:
    obeyed: list[str] = []

    async def whole() -> None:
        async with engine(held, writer, obeyed) as desk:
            one, two = Presence(held, "screens", wants=True), Presence(held, "screens", wants=True)
            one.start()
            await until(lambda: one.viewer and desk.now.holder == one.viewer)
            two.start()
            await until(lambda: len(desk.now.all) == 2 and two.viewer)
            with pytest.raises(Controlled, match="in control") as caught:
                await asyncio.to_thread(two.say, "pause")
            assert caught.value.exit_code == 3
            assert "process" in caught.value.why and "--take" in " ".join(caught.value.do)
            with pytest.raises(Controlled):
                await asyncio.to_thread(client.cancel, held)
            await asyncio.to_thread(two.say, "ask")
            assert desk.now.asking == two.viewer
            shown = Reader(held).viewers(Reader(held).run("r1"))
            assert shown is not None and shown.asking == two.viewer and shown.holder == one.viewer
            await asyncio.to_thread(one.say, "refuse")
            assert (desk.now.holder, desk.now.asking) == (one.viewer, "")
            await asyncio.to_thread(two.say, "ask")
            await asyncio.to_thread(one.say, "grant")
            assert await asyncio.to_thread(two.say, "pause") == 7
            with pytest.raises(Controlled):
                await asyncio.to_thread(one.say, "cancel")
            two.stop()
            await until(lambda: not desk.now.holder)
            assert await asyncio.to_thread(one.say, "cancel") == 7
            one.stop()
            await until(lambda: not desk.now.all)

    asyncio.run(whole())
    assert obeyed == ["pause", "cancel"]
    expected = ["came", "took", "came", "asked", "refused", "asked", "granted", "left", "gave", "left"]
    assert told(held) == expected


HOLDER = """
import sys, time
from pathlib import Path
from homewright.engine.client import connect
from homewright.site.paths import StateFolder
line = connect(StateFolder(Path(sys.argv[1])))
print(line.look("screens", wants=True), flush=True)
time.sleep(600)
"""


@pytest.mark.programs
def test_control_of_a_killed_process_is_free_at_once(held: StateFolder, writer: Writer) -> None:
    obeyed: list[str] = []

    async def whole() -> None:
        async with engine(held, writer, obeyed) as desk:
            other = await asyncio.create_subprocess_exec(sys.executable, "-c", HOLDER, str(held.root), stdout=PIPE)
            try:
                await until(lambda: desk.now.holder)
                assert desk.now.in_control is not None and desk.now.in_control.pid == other.pid
                with pytest.raises(Controlled, match="in control"):
                    await asyncio.to_thread(client.pause, held)
                asked: list[str] = []
                asking = asyncio.create_task(asyncio.to_thread(client.cancel, held, take=asked.append))
                await until(lambda: desk.now.asking)
            finally:
                other.kill()
                await other.wait()
            assert await asking == 7
            assert f"process {other.pid}" in asked[0] and "30 s" in asked[0]
            await until(lambda: not desk.now.all)

    asyncio.run(whole())
    assert obeyed == ["cancel"]
    assert told(held)[-3:] == ["passed", "left", "gave"]


@pytest.mark.parametrize(
    ("now", "mine", "asked", "wanted"),
    [
        (None, "a", False, Move.NONE),
        (BOTH, "", False, Move.NONE),
        (BOTH, "a", False, Move.NONE),
        (BOTH, "b", False, Move.ASK),
        (BOTH, "b", True, Move.NONE),
        (ASKED, "a", True, Move.ANSWER),
        (ASKED, "b", True, Move.NONE),
        (Viewers("r1", (ANN,)), "a", False, Move.NONE),
        (Viewers("r1", (ANN,), holder="a", asking="gone"), "a", False, Move.NONE),
    ],
)
def test_what_who_wants_control_does_next(now: Viewers | None, mine: str, asked: bool, wanted: Move) -> None:
    assert in_control.move(now, mine, asked=asked) is wanted


@pytest.mark.parametrize(
    ("typed", "wanted"),
    [("y\n", "grant"), (" YES \n", "grant"), ("\n", "refuse"), ("no\n", "refuse"), ("n", "refuse"), ("what?\n", None)],
)
def test_what_a_typed_answer_means(typed: str, wanted: str | None) -> None:
    assert in_control.word(typed) == wanted


@pytest.mark.programs
def test_a_watched_line_by_line_run_asks_its_terminal_for_an_answer(
    held: StateFolder, writer: Writer, tmp_path: Path
) -> None:
    """Real commands: one that watches at a terminal of its own, and others that ask it for control."""
    site = tmp_path / "site.yaml"
    site.write_text("version: 1\nname: attic\nservers:\n  - {name: s1, address: 127.0.0.1, user: ann}\n")
    called = [*COMMAND, "--site", str(site), "--state", str(held.root)]
    obeyed: list[str] = []

    async def command(*words: str) -> tuple[int | None, str]:
        other = await asyncio.create_subprocess_exec(*called, *words, stdin=DEVNULL, stdout=PIPE, stderr=STDOUT)
        said, _ = await other.communicate()
        return other.returncode, said.decode()

    async def whole() -> None:
        ours, theirs = pty.openpty()
        async with engine(held, writer, obeyed) as desk:
            watching = await asyncio.create_subprocess_exec(
                *called, "attach", "--plain", "--take", stdin=theirs, stdout=theirs, stderr=theirs,
                preexec_fn=lambda: os.login_tty(theirs),
            )  # fmt: skip
            os.close(theirs)
            shown = bytearray()
            os.set_blocking(ours, False)

            def read() -> bytes:
                with contextlib.suppress(OSError):
                    shown.extend(os.read(ours, 65536))
                return bytes(shown)

            try:
                await until(lambda: desk.now.holder, 60)
                assert desk.now.in_control is not None and desk.now.in_control.pid == watching.pid
                os.write(ours, b"y\n")  # typed before anybody has asked: no answer
                asking = asyncio.create_task(command("pause", "--take"))
                await until(lambda: b"Hand control over to" in read(), 60)
                os.write(ours, b"hm\n")
                await until(lambda: b"n keeps it" in read())
                os.write(ours, b"n\n")
                assert (await asking)[0] == 3
                assert desk.now.in_control is not None and desk.now.in_control.pid == watching.pid
                shown.clear()
                asking = asyncio.create_task(command("pause", "--take"))
                await until(lambda: b"Hand control over to" in read(), 60)
                os.write(ours, b"y\n")
                code, said = await asking
                assert code == 0, said
            finally:
                watching.kill()
                await watching.wait()
                os.close(ours)
            await until(lambda: not desk.now.all)

    asyncio.run(whole())
    assert obeyed == ["pause"]
    assert [word for word in told(held) if word not in viewers.QUIET][:5] == [
        "took",
        "asked",
        "refused",
        "asked",
        "granted",
    ]


def test_without_an_answer_control_passes(held: StateFolder, writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(viewers, "ANSWER_S", 0.3)

    async def whole() -> None:
        async with engine(held, writer, []) as desk:
            one = Presence(held, "screens", wants=True)
            one.start()
            await until(lambda: desk.now.holder)
            assert await asyncio.to_thread(client.pause, held, take=lambda _: None) == 7
            one.stop()
            await until(lambda: not desk.now.all)

    asyncio.run(whole())
    assert "passed" in told(held)


def test_a_refusal_reaches_who_asked(held: StateFolder, writer: Writer) -> None:
    async def whole() -> None:
        async with engine(held, writer, []) as desk:
            one = Presence(held, "screens", wants=True)
            one.start()
            await until(lambda: desk.now.holder and one.viewer)
            asking = asyncio.create_task(asyncio.to_thread(client.pause, held, take=lambda _: None))
            await until(lambda: desk.now.asking)
            await asyncio.to_thread(one.say, "refuse")
            with pytest.raises(Controlled, match="refused"):
                await asking
            one.stop()

    asyncio.run(whole())


def test_a_presence_finds_the_next_engine(state: StateFolder, writer: Writer) -> None:
    taken = EngineLock.take(state, "r1")
    present = Presence(state, "screens", wants=True)
    ids: list[str] = []

    async def whole() -> None:
        async with engine(state, writer, []) as desk:
            await until(lambda: desk.now.holder)
            ids.append(desk.now.holder)

    present.start()
    for _ in range(2):
        asyncio.run(whole())
        wait_for(lambda: not present.viewer, "the end of the connection")
    present.stop()
    taken.release()
    assert len(set(ids)) == 2


def test_after_the_end_nothing_is_recorded(held: StateFolder, writer: Writer) -> None:
    async def whole() -> int:
        async with engine(held, writer, []) as desk:
            one = Presence(held, "screens", wants=True)
            one.start()
            await until(lambda: desk.now.holder)
            desk.close()
            before = writer.last_seq
            one.stop()
            await asyncio.to_thread(wait_for, lambda: not one.viewer, "the end of the connection")
            with pytest.raises(Exception, match="refused") as caught:
                await asyncio.to_thread(client.send, held, "pause")
            assert "just ended" in str(getattr(caught.value, "why", ""))
            return before

    before = asyncio.run(whole())
    assert writer.last_seq == before
