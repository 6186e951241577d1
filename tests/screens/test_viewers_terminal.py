"""Two of the real program in two terminals at one run: one is in control, the other reads along and asks for it."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from screen_doubles import RUN, write_run
from tmux_terminal import TmuxTerminal, homewright

from homewright.engine import control
from homewright.engine.journal.writer import Writer
from homewright.engine.lock import EngineLock
from homewright.site import files
from homewright.site.models import Server, Site
from homewright.site.paths import StateFolder

LIMIT_S = 60.0
"""What starting a program, or handing something over, may take on two busy cores."""


class Engine:
    """What a running engine has for viewers, without the run; it lives in a thread of the test's."""

    def __init__(self, state: StateFolder) -> None:
        self.state = state
        self.obeyed: list[str] = []
        self.desk: control.Desk | None = None
        self._over = threading.Event()
        self._there = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._live()))

    def start(self) -> None:
        self._thread.start()
        assert self._there.wait(LIMIT_S)

    def stop(self) -> None:
        self._over.set()
        self._thread.join(LIMIT_S)

    async def _live(self) -> None:
        writer = Writer(self.state, RUN)

        def obey(identity: str, command: str, by: str) -> int:
            self.obeyed.append(f"{command} {by}")
            return 1

        self.desk = control.Desk(writer, obey)
        async with control.serving(self.state, self.desk):
            self._there.set()
            await asyncio.to_thread(self._over.wait)
        writer.close()


@pytest.fixture
def places(tmp_path: Path) -> dict[str, str]:
    return {f"XDG_{name}_HOME": str(tmp_path / name.lower()) for name in ("CONFIG", "STATE", "CACHE")}


@pytest.fixture
def engine(places: dict[str, str]) -> Iterator[Engine]:
    file = Path(places["XDG_CONFIG_HOME"]) / "homewright" / "attic" / "site.yaml"
    servers = tuple(Server(name=f"s{n}", address=f"127.0.0.{n}", user="admin", port=1) for n in (1, 2, 3))
    files.save(file, Site(name="attic", servers=servers))
    state = StateFolder(Path(places["XDG_STATE_HOME"]) / "homewright" / "sites" / "attic", file).create()
    lock = EngineLock.take(state, RUN)
    write_run(state)
    made = Engine(state)
    made.start()
    yield made
    made.stop()
    lock.release()


@pytest.fixture
def two(engine: Engine, places: dict[str, str]) -> Iterator[tuple[TmuxTerminal, TmuxTerminal]]:
    """The first one that came is in control; both opened the run by themselves."""
    with contextlib.ExitStack() as stack:
        opened = []
        for words in ("you are in control", "read-only"):
            terminal = TmuxTerminal(homewright(), places)
            stack.callback(terminal.close)
            terminal.wait(words, limit=LIMIT_S)
            opened.append(terminal)
        yield opened[0], opened[1]


def test_control_is_handed_over_between_two_terminals(engine: Engine, two: tuple[TmuxTerminal, TmuxTerminal]) -> None:
    first, second = two
    second.press("c")
    second.wait("Read-only: ", limit=LIMIT_S)
    assert "c cancel" not in second.text() and engine.obeyed == []
    second.press("t")
    first.wait("control is asked for", limit=LIMIT_S)
    first.press("Escape")
    second.wait("keeps control", limit=LIMIT_S)
    second.press("t")
    first.wait("control is asked for", limit=LIMIT_S)
    first.press("Enter")
    second.wait("You are in control", limit=LIMIT_S)
    first.wait("read-only", limit=LIMIT_S)
    second.press("p")
    second.wait("The run pauses when", limit=LIMIT_S)
    assert len(engine.obeyed) == 1 and engine.obeyed[0].startswith("pause ")


def test_kill_9_of_the_one_in_control_frees_it(engine: Engine, two: tuple[TmuxTerminal, TmuxTerminal]) -> None:
    first, second = two
    first.kill()
    second.wait("Nobody is in control any more", limit=LIMIT_S)
    second.press("p")
    second.wait("The run pauses when", limit=LIMIT_S)
    assert len(engine.obeyed) == 1
