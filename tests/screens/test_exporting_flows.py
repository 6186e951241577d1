"""Site exports on the screens: made by keys, reminded of, and a site taken over from one."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from piloting import Compare, Make, both, drive, open_page, opened, page, shows, text_of, until
from screen_doubles import write_run
from textual.pilot import Pilot

from homewright.access import engine_key, key_change
from homewright.errors import Busy, StateError
from homewright.screens.finished import Finished
from homewright.site.paths import StateFolder
from homewright.takeover import packing, sealing

if TYPE_CHECKING:
    from conftest import Recorded

SIZE = (80, 24)


@pytest.fixture
def sealed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The passphrases that exports were encrypted with, without the second that each takes on purpose."""
    used: list[str] = []

    def seal(data: bytes, passphrase: str) -> bytes:
        used.append(passphrase)
        return sealing.HEADER + data

    monkeypatch.setattr(packing.sealing, "seal", seal)
    return used


@pytest.fixture
def done(state: StateFolder) -> StateFolder:
    """A site that has been set up, and has a key of its own."""
    write_run(state, "succeeded")
    engine_key.ensure(state.key, "homewright attic")
    return state


def test_finished_names_the_servers_that_the_old_controller_may_still_enter(
    make_app: Make, site: Path, done: StateFolder
) -> None:
    key_change.begin(done.key, ["s1", "s2"], "x")
    key_change.done(done.key, "s1")

    async def flow(pilot: Pilot[object]) -> None:
        await open_page(pilot, site, "finished")
        await until(pilot, shows(pilot, "Proved, 9 changed"))
        await pilot.press("end")
        await until(pilot, shows(pilot, "the old controller's key in"))

    drive(make_app(), SIZE, flow)


def test_finished_comes_where_the_record_of_old_keys_is_damaged(make_app: Make, site: Path, done: StateFolder) -> None:
    done.key.with_name(key_change.RECORD).write_text("half")

    async def flow(pilot: Pilot[object]) -> None:
        await open_page(pilot, site, "finished")
        await until(pilot, shows(pilot, "Proved, 9 changed"))
        await pilot.press("end")
        await until(pilot, shows(pilot, "cannot be read."))

    drive(make_app(), (200, 40), flow)


def test_finished_reminds_and_x_makes_the_export(
    make_app: Make, site: Path, done: StateFolder, tmp_path: Path, sealed: list[str]
) -> None:
    async def flow(pilot: Pilot[object]) -> None:
        await open_page(pilot, site, "finished")
        await until(pilot, shows(pilot, "Proved, 9 changed"))
        await pilot.press("end")
        await until(pilot, shows(pilot, "No site export has been made"))
        await opened(pilot, "x")
        await pilot.press("enter", *"short", "ctrl+s")
        await until(pilot, shows(pilot, "must have at least 12 characters"))
        assert sealed == []
        await pilot.press("end", *"-but-longer", "enter", *"short-but-other", "ctrl+s")
        await until(pilot, shows(pilot, "the two differ"))
        await pilot.press("end", *["backspace"] * 5, *"longer", "enter")

    async def rest(pilot: Pilot[object]) -> None:
        await flow(pilot)
        await until(pilot, shows(pilot, "Written:", "homewright site import FILE"))
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, Finished))
        assert "No site export" not in text_of(pilot.app)

    drive(make_app(), SIZE, rest)
    assert sealed == ["short-but-longer"]
    file = tmp_path / "homewright-attic-20260102.age"
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_passphrase_is_made_where_none_is_typed(
    make_app: Make, site: Path, done: StateFolder, sealed: list[str]
) -> None:
    async def flow(pilot: Pilot[object]) -> None:
        await open_page(pilot, site, "workspaces")
        await until(pilot, shows(pilot, "alice"))
        await opened(pilot, "ctrl+p")
        await pilot.press(*"site", "space", *"export")
        await until(pilot, shows(pilot, "▸ site export"))
        await opened(pilot, "enter")
        await pilot.press("ctrl+s")
        await until(pilot, lambda: bool(sealed))
        await until(pilot, shows(pilot, "shown this once", sealed[0]))

    drive(make_app(), SIZE, flow)


def test_welcome_says_that_no_export_was_made(make_app: Make, site: Path, done: StateFolder) -> None:
    async def flow(pilot: Pilot[object]) -> None:
        await until(pilot, shows(pilot, "run done", "export of attic", "none yet"))
        await opened(pilot, "down", "down", "down", "enter")
        await until(pilot, shows(pilot, "homewright-attic-20260102.age"))

    drive(make_app(), SIZE, flow)


def taking(services: Recorded, answers: list[object]) -> list[tuple[str, bool]]:
    asked: list[tuple[str, bool]] = []

    def take_over(file: Path, passphrase: str, chosen_state: str | None, gone: bool) -> object:
        asked.append((passphrase, gone))
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    services.take_over = take_over  # type: ignore[method-assign, assignment]  # for one test
    return asked


def test_a_site_is_taken_over_from_welcome(
    make_app: Make, services: Recorded, site: Path, state: StateFolder, tmp_path: Path
) -> None:
    (tmp_path / "attic.age").write_bytes(sealing.HEADER + b"words")
    held = Busy("The old controller may be at work.", "s1: tower, run r1 has it since 2026-01-02.", ["let it end"])
    answers: list[object] = [StateError("It is damaged."), held, SimpleNamespace(file=site)]
    asked = taking(services, answers)

    async def flow(pilot: Pilot[object]) -> None:
        await until(pilot, shows(pilot, "Begin something"))
        await opened(pilot, "o")
        await pilot.press(*str(tmp_path / "attic.age"))
        await opened(pilot, "enter")
        await until(pilot, shows(pilot, "is a site export"))
        await pilot.press("enter")
        await until(pilot, shows(pilot, "this is needed"))
        await pilot.press(*"its words", "enter")
        await until(pilot, shows(pilot, "It is damaged"))
        await pilot.press("enter")
        await until(pilot, shows(pilot, "the old controller may be at work", "Type gone to go on"))
        await pilot.press(*"gone", "enter")
        await until(pilot, shows(pilot, "1/9 Servers"))

    drive(make_app(), SIZE, flow)
    assert asked == [("its words", False), ("its words", False), ("its words", True)]


@both
def test_picture_export(
    snap_compare: Compare,
    make_app: Make,
    site: Path,
    done: StateFolder,
    size: tuple[int, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Path, "home", classmethod(lambda _: Path("/")))
    act = page("finished", ("Proved",), "x", ("site export", "Passphrase"), "tab s h o r t tab", ("at least 12",))
    assert snap_compare(make_app(), terminal_size=size, run_before=act)


@both
def test_picture_take_over(
    snap_compare: Compare, make_app: Make, services: Recorded, site: Path, size: tuple[int, int]
) -> None:
    from homewright.screens.exporting import TakeOverBox

    held = Busy("The old controller may be at work.", "s1: tower, run 20260102-1158 has it since 2026-01-02 11:58.", [])
    taking(services, [held])

    async def act(pilot: Pilot[object]) -> None:
        await until(pilot, shows(pilot, "Begin something"))
        pilot.app.push_screen(TakeOverBox(Path("/media/stick/attic.age")))
        await until(pilot, shows(pilot, "is a site export"))
        await pilot.press(*"words", "enter")
        await until(pilot, shows(pilot, "Type gone"))

    assert snap_compare(make_app(), terminal_size=size, run_before=act)
