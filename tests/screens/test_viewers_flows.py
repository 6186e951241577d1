"""Several people at one run: reading along, asking for control, handing it over, by keyboard alone."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from piloting import Compare, Make, both, drive, open_page, opened, page, shows, text_of, until
from screen_doubles import NOW, RUN, write_run
from textual.pilot import Pilot

from homewright.engine import control
from homewright.engine.journal.writer import Writer
from homewright.engine.lock import EngineLock
from homewright.engine.viewers import Viewer, Viewers
from homewright.screens.viewing import HandOver, Viewing
from homewright.site.paths import StateFolder

if TYPE_CHECKING:
    from conftest import Recorded

SIZE = (80, 24)
BOB = Viewer("bob-1", "bob", 4711, "pts/2", "192.168.1.77", "screens", NOW)


@pytest.fixture
def going(state: StateFolder) -> Iterator[StateFolder]:
    """A run that goes on, and an engine's lock."""
    lock = EngineLock.take(state, RUN)
    write_run(state)
    yield state
    lock.release()


@contextlib.asynccontextmanager
async def engine(state: StateFolder, obeyed: list[str]) -> AsyncIterator[control.Desk]:
    """What a running engine has for viewers, without the run."""
    writer = Writer(state, RUN)

    def obey(identity: str, command: str, by: str) -> int:
        obeyed.append(command)
        return 1

    desk = control.Desk(writer, obey)
    try:
        async with control.serving(state, desk):
            yield desk
    finally:
        writer.close()


def boxed(pilot: Pilot[object]) -> Callable[[], bool]:
    return lambda: isinstance(pilot.app.screen, HandOver)


def test_who_comes_second_reads_along_until_control_is_handed_over(
    make_app: Make, site: Path, going: StateFolder
) -> None:
    obeyed: list[str] = []

    async def flow(pilot: Pilot[object]) -> None:
        async with engine(going, obeyed) as desk:
            desk.look(BOB, wants=True)
            await open_page(pilot, site, "deploy")
            await until(pilot, lambda: len(desk.now.all) == 2)
            await until(pilot, shows(pilot, "read-only: bob at pts/2 is in control", "t take control"))
            assert "c cancel" not in text_of(pilot.app)
            assert "p pause" not in text_of(pilot.app)
            for key in "cp":
                await pilot.press(key)
                await until(pilot, shows(pilot, "Read-only: bob at pts/2 (process 4711, from 192.168.1.77)"))
            assert obeyed == []
            await pilot.press("t")
            await until(pilot, shows(pilot, "is asked for control", "asked for"))
            assert desk.now.asking
            desk.say(BOB.id, "refuse")
            await until(pilot, shows(pilot, "bob at pts/2 keeps control"))
            await pilot.press("t")
            await until(pilot, lambda: bool(desk.now.asking))
            desk.say(BOB.id, "grant")
            await until(pilot, shows(pilot, "You are in control", "p pause", "you are in control, 1 other looks"))
            await pilot.press("p")
            await until(pilot, lambda: obeyed == ["pause"])

    drive(make_app(), SIZE, flow)


def test_who_has_asked_hears_of_the_answer_by_the_journal_alone(make_app: Make, site: Path, going: StateFolder) -> None:
    """Between the engine's word that it has the question and the next look, what was seen last knows of none."""

    async def flow(pilot: Pilot[object]) -> None:
        async with engine(going, []) as desk:
            desk.look(BOB, wants=True)
            await open_page(pilot, site, "deploy")
            await until(pilot, shows(pilot, "read-only: bob at pts/2 is in control", "t take control"))
            page = pilot.app.screen
            assert isinstance(page, Viewing)
            page._asks = True
            page._once_more()
            assert page._asks
            assert "keeps control" not in text_of(pilot.app)

    drive(make_app(), SIZE, flow)


async def asked_by_bob(pilot: Pilot[object], site: Path, desk: control.Desk) -> None:
    """We are in control, and Bob has asked for it: the question is open."""
    await open_page(pilot, site, "deploy")
    await until(pilot, shows(pilot, "you are in control"))
    desk.look(BOB, wants=True)
    desk.say(BOB.id, "ask")
    await until(pilot, boxed(pilot))


def test_who_is_in_control_is_asked(make_app: Make, site: Path, going: StateFolder) -> None:
    async def flow(pilot: Pilot[object]) -> None:
        async with engine(going, []) as desk:
            await asked_by_bob(pilot, site, desk)
            assert "bob at pts/2" in text_of(pilot.app)
            await pilot.press("escape")
            await until(pilot, lambda: not desk.now.asking)
            assert desk.now.holder != BOB.id
            desk.say(BOB.id, "ask")
            await until(pilot, boxed(pilot))
            await pilot.press("enter")
            await until(pilot, lambda: desk.now.holder == BOB.id)
            await until(pilot, shows(pilot, "is in control now; you read along"))
            desk.left(BOB.id)
            await until(pilot, shows(pilot, "Nobody is in control any more", "p pause"))

    drive(make_app(), SIZE, flow)


def test_a_question_that_lapsed_takes_its_box_along(make_app: Make, site: Path, going: StateFolder) -> None:
    async def flow(pilot: Pilot[object]) -> None:
        async with engine(going, []) as desk:
            await asked_by_bob(pilot, site, desk)
            desk._lapse()
            await until(pilot, shows(pilot, "is in control now; you read along"))
            assert not isinstance(pilot.app.screen, HandOver)
            assert desk.now.holder == BOB.id

    drive(make_app(), SIZE, flow)


CID = Viewer("cid-1", "cid", 4712, "pts/3", "", "screens", NOW)


def test_a_question_that_is_gone_is_not_answered_for_the_next_one(
    make_app: Make, site: Path, going: StateFolder
) -> None:
    async def flow(pilot: Pilot[object]) -> None:
        async with engine(going, []) as desk:
            await asked_by_bob(pilot, site, desk)
            desk.look(CID, wants=True)
            desk.left(BOB.id)
            desk.say(CID.id, "ask")
            await until(pilot, lambda: boxed(pilot)() and "cid at pts/3" in text_of(pilot.app))
            await pilot.press("enter")
            await until(pilot, lambda: desk.now.holder == CID.id)

    drive(make_app(), SIZE, flow)


def test_an_answer_that_is_on_its_way_is_not_asked_for_again(
    make_app: Make, services: Recorded, site: Path, going: StateFolder
) -> None:
    said: list[str] = []
    present = SimpleNamespace(viewer="ann-1", wants=True, stop=lambda: None, say=said.append)
    services.presence = lambda state: present  # type: ignore[method-assign, assignment, return-value]  # for one test
    ann = Viewer("ann-1", "ann", 4700, "pts/1", "", "screens", NOW)
    asked = Viewers(RUN, (ann, BOB), holder=ann.id, asking=BOB.id, until=NOW + 30)
    looked_at(going, asked)

    async def flow(pilot: Pilot[object]) -> None:
        await open_page(pilot, site, "deploy")
        await until(pilot, boxed(pilot))
        await pilot.press("escape")
        await until(pilot, lambda: said == ["refuse"])
        shown = pilot.app.screen
        assert isinstance(shown, Viewing)
        shown.show_viewers(asked)  # the engine has not heard it yet
        await pilot.pause()
        assert pilot.app.screen is shown
        looked_at(going, replace(asked, until=NOW + 31))  # refused, and asked again
        await until(pilot, boxed(pilot))
        assert said == ["refuse"]

    drive(make_app(), SIZE, flow)


def test_a_question_waits_until_the_box_in_front_is_closed(make_app: Make, site: Path, going: StateFolder) -> None:
    async def flow(pilot: Pilot[object]) -> None:
        async with engine(going, []) as desk:
            await open_page(pilot, site, "deploy")
            await until(pilot, shows(pilot, "you are in control"))
            await opened(pilot, "f1")
            desk.look(BOB, wants=True)
            desk.say(BOB.id, "ask")
            page = pilot.app.screen_stack[-2]
            assert isinstance(page, Viewing)
            await until(pilot, lambda: page._viewers is not None and page._viewers.asking == BOB.id)
            assert not boxed(pilot)()
            await pilot.press("escape")
            await until(pilot, boxed(pilot))  # though nothing new happens in the run

    drive(make_app(), SIZE, flow)


def test_leaving_the_screen_gives_control_back(make_app: Make, site: Path, going: StateFolder) -> None:
    async def flow(pilot: Pilot[object]) -> None:
        async with engine(going, []) as desk:
            await open_page(pilot, site, "deploy")
            await until(pilot, lambda: bool(desk.now.holder))
            await pilot.press("escape")
            await until(pilot, lambda: not desk.now.all)

    drive(make_app(), SIZE, flow)


def looked_at(state: StateFolder, viewers: Viewers) -> None:
    writer = Writer(state, RUN)
    writer.change(writer.set_meta(control.META, viewers.as_json()))
    writer.close()


def test_control_is_wanted_still_where_the_engine_does_not_know_us_yet(
    make_app: Make, services: Recorded, site: Path, going: StateFolder
) -> None:
    present = SimpleNamespace(viewer="", wants=True, stop=lambda: None)
    services.presence = lambda state: present  # type: ignore[method-assign, assignment, return-value]  # for one test
    looked_at(going, Viewers(RUN, ()))

    async def flow(pilot: Pilot[object]) -> None:
        await open_page(pilot, site, "deploy")
        await until(pilot, lambda: getattr(pilot.app.screen, "_viewers", None) is not None)
        assert present.wants

    drive(make_app(), SIZE, flow)


@both
def test_picture_read_only(
    snap_compare: Compare, make_app: Make, site: Path, going: StateFolder, size: tuple[int, int]
) -> None:
    looked_at(going, Viewers(RUN, (BOB,), holder=BOB.id))
    act = page("deploy", ("Initial setup", "line 12", "read-only"), "c", ("Read-only",))
    assert snap_compare(make_app(), terminal_size=size, run_before=act)


@both
def test_picture_control_is_asked_for(
    snap_compare: Compare, make_app: Make, services: Recorded, site: Path, going: StateFolder, size: tuple[int, int]
) -> None:
    ann = Viewer("ann-1", "ann", 4700, "pts/1", "", "screens", NOW)
    present = SimpleNamespace(viewer="ann-1", wants=True, stop=lambda: None)
    services.presence = lambda state: present  # type: ignore[method-assign, assignment, return-value]  # for one test
    looked_at(going, Viewers(RUN, (ann, BOB), holder="ann-1", asking=BOB.id, until=NOW + 30))
    act = page("deploy", ("control is asked for",))
    assert snap_compare(make_app(), terminal_size=size, run_before=act)
