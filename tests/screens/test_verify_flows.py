"""Everything that was done is proved again from the screens: by a key where it ended, and from wherever one is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from piloting import Make, drive, open_page, shows, until
from textual.pilot import Pilot

from homewright.engine import launch
from homewright.engine.journal.writer import Writer
from homewright.engine.states import Action, State
from homewright.errors import UsageError
from homewright.site.paths import StateFolder

SIZE = (80, 24)
Begun = list[tuple[object, ...]]


@pytest.fixture
def done(state: StateFolder) -> StateFolder:
    writer = Writer(state, "r1")
    writer.change(writer.add_run(action=Action.RUN, state=State.SUCCEEDED, created=0.0))
    writer.close()
    return state


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> Begun:
    """What an engine was asked for, in place of one."""
    asked: Begun = []

    def start(file: Path, state: StateFolder, *, action: str, stages: Sequence[Path]) -> str:
        asked.append((file, state.root, action, *stages))
        return "r2"

    monkeypatch.setattr(launch, "start", start)
    return asked


def front(pilot: Pilot[object], name: str) -> Callable[[], bool]:
    return lambda: type(pilot.app.screen).__name__ == name


def test_v_proves_it_all_again_where_a_run_has_ended(
    make_app: Make, site: Path, done: StateFolder, begun: Begun
) -> None:
    async def flow(pilot: Pilot[object]) -> None:
        await open_page(pilot, site, "finished")
        await until(pilot, shows(pilot, "Proved"))
        await pilot.press("v")
        await until(pilot, front(pilot, "Deploy"))

    drive(make_app(), SIZE, flow)
    assert begun == [(site, done.root, "verify")]


def test_the_palette_has_it_everywhere(make_app: Make, site: Path, done: StateFolder, begun: Begun) -> None:
    async def flow(pilot: Pilot[object]) -> None:
        await open_page(pilot, site, "servers")
        await until(pilot, shows(pilot, "s1"))
        await pilot.press("ctrl+p")
        await pilot.press(*"verify", "enter")
        await until(pilot, front(pilot, "Deploy"))

    drive(make_app(), SIZE, flow)
    assert begun == [(site, done.root, "verify")]


def test_why_it_cannot_be_proved_now_is_told(
    make_app: Make, site: Path, done: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(*_: object, **__: object) -> str:
        raise UsageError("Another engine holds the site.", "Since noon.")

    monkeypatch.setattr(launch, "start", busy)

    async def flow(pilot: Pilot[object]) -> None:
        await open_page(pilot, site, "finished")
        await until(pilot, shows(pilot, "Proved"))
        await pilot.press("v")
        await until(pilot, shows(pilot, "Another engine holds the site", "Since noon"))
        await pilot.press("escape")
        await until(pilot, front(pilot, "Finished"))

    drive(make_app(), SIZE, flow)
