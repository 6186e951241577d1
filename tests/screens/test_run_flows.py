"""A run on its screen, by keyboard alone: log, failure, going on, pause, leaving."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from piloting import drive, open_page, opened, shows, text_of, until
from screen_doubles import NOW, RUN, write_run
from textual.pilot import Pilot

from homewright.engine.journal import Reader
from homewright.engine.lock import EngineLock
from homewright.screens.app import HomewrightApp
from homewright.screens.deploy import Deploy
from homewright.screens.services import Services
from homewright.screens.widgets.log_pane import LogPane
from homewright.screens.widgets.table import Table
from homewright.site.paths import StateFolder

if TYPE_CHECKING:
    from conftest import Recorded

Make = Callable[..., HomewrightApp]
SIZE = (80, 24)


def test_searching_again_finds_the_next_line(make_app: Make, site: Path, state: StateFolder) -> None:
    write_run(state, "failed")

    async def flow(pilot: Pilot[object]) -> None:
        await open_page(pilot, site, "deploy")
        await until(pilot, shows(pilot, "Run failed"))
        await pilot.press("enter", "home")
        await opened(pilot, "slash")
        await pilot.press(*"exchange", "enter")
        await until(pilot, shows(pilot, "again for the next one"))
        first = int(text_of(pilot.app).split("Line ")[1].split(".")[0])
        await opened(pilot, "slash")
        await pilot.press("enter")
        await until(pilot, shows(pilot, f"Line {first + 1}."))
        await opened(pilot, "slash")
        await pilot.press("enter")
        await until(pilot, shows(pilot, f"Line {first + 2}."))

    drive(make_app(), SIZE, flow)


def test_what_went_wrong_can_be_read_to_its_end_by_keys(make_app: Make, site: Path, state: StateFolder) -> None:
    write_run(state, "failed")

    async def flow(pilot: Pilot[object]) -> None:
        await open_page(pilot, site, "deploy")
        await until(pilot, shows(pilot, "w why", "The disk of a server is full"))
        assert "The last lines" not in text_of(pilot.app)
        await pilot.press("w", "end")
        await until(pilot, shows(pilot, "s2: failed: No space left"))
        await pilot.press("escape")
        assert isinstance(pilot.app.focused, Table)

    drive(make_app(), SIZE, flow)


def test_the_log_is_there_before_stages_and_answers_are_read(
    make_app: Make, site: Path, state: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_run(state, "failed")
    app, seen = make_app(), list[tuple[str, int]]()

    def note(what: str, then: object) -> Callable[..., object]:
        def noted(*_: object) -> object:
            lines = app.screen.query_one("#log", LogPane).lines
            seen.append((what, len(lines) if lines is not None else 0))
            return then

        return noted

    monkeypatch.setattr(Services, "stage_titles", note("titles", {"00": "Of the catalogue"}))
    monkeypatch.setattr(Services, "rings", note("bell", False))

    async def flow(pilot: Pilot[object]) -> None:
        await open_page(pilot, site, "deploy")
        await until(pilot, shows(pilot, "Run failed", "Of the catalogue"))
        await until(pilot, lambda: len(seen) == 2)

    drive(app, SIZE, flow)
    assert {what for what, _ in seen} == {"titles", "bell"}
    assert all(lines for _, lines in seen), seen


def test_a_broken_look_at_the_journal_is_said(
    make_app: Make, site: Path, state: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_run(state, "failed")

    def broken(*_: object, **__: object) -> object:
        raise ValueError("not foreseen")

    monkeypatch.setattr(Reader, "steps", broken)

    async def flow(pilot: Pilot[object]) -> None:
        await open_page(pilot, site, "deploy")
        await until(pilot, shows(pilot, "Something unexpected went wrong"))

    drive(make_app(), SIZE, flow)


def test_retry_goes_on_with_that_very_run(
    make_app: Make, services: Recorded, site: Path, state: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_run(state, "failed")
    asked: list[object] = []

    def go_on(*words: object) -> str:
        asked.append(words)
        return RUN

    monkeypatch.setattr(services, "go_on", go_on)

    async def flow(pilot: Pilot[object]) -> None:
        await open_page(pilot, site, "deploy")
        await until(pilot, shows(pilot, "The disk of a server is full"))
        await pilot.press("r")
        await until(pilot, shows(pilot, "what was done is proved first"))

    drive(make_app(), SIZE, flow)
    assert asked == [(site, state, RUN)]


def test_a_failed_step_is_skipped_for_a_reason(
    make_app: Make, services: Recorded, site: Path, state: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_run(state, "failed")
    asked: list[object] = []
    monkeypatch.setattr(services, "go_on", lambda *words: asked.append(words) or RUN)

    async def flow(pilot: Pilot[object]) -> None:
        await open_page(pilot, site, "deploy")
        await until(pilot, shows(pilot, "k skip"))
        await pilot.press("k")
        await until(pilot, shows(pilot, "skip 00/20"))
        await pilot.press("enter")
        await until(pilot, shows(pilot, "say why"))
        await pilot.press(*"old disk", "enter")
        await until(pilot, lambda: bool(asked))

    drive(make_app(), SIZE, flow)
    assert asked == [(site, state, RUN, {"00/20": "old disk"})]


def test_a_run_is_paused_and_cancelled_by_keys(
    make_app: Make, services: Recorded, site: Path, state: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_run(state)
    told: list[str] = []
    monkeypatch.setattr(services, "tell", lambda _, command: told.append(command) or 1)
    lock = EngineLock.take(state, RUN)

    async def flow(pilot: Pilot[object]) -> None:
        await open_page(pilot, site, "deploy")
        await until(pilot, shows(pilot, "p pause"))
        await pilot.press("p")
        await until(pilot, shows(pilot, "The run pauses when"))
        await pilot.press("c")
        await until(pilot, shows(pilot, "cancel the run?"))
        await pilot.press("escape")
        await until(pilot, lambda: "cancel the run?" not in text_of(pilot.app))
        assert told == ["pause"]
        # The step that it is at goes on: the pause has not come, and can be taken back.
        await until(pilot, shows(pilot, "p go on"))
        await pilot.press("p")
        await until(pilot, shows(pilot, "The run goes on", "p pause"))
        assert told == ["pause", "continue"]
        await pilot.press("c")
        await until(pilot, shows(pilot, "cancel the run?"))
        await pilot.press("enter")
        await until(pilot, shows(pilot, "being cancelled"))

    try:
        drive(make_app(), SIZE, flow)
    finally:
        lock.release()
    assert told == ["pause", "continue", "cancel"]


def test_a_support_bundle_is_packed_by_a_key(
    make_app: Make, site: Path, state: StateFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_run(state, "failed")
    monkeypatch.setenv("HOME", str(tmp_path))

    async def flow(pilot: Pilot[object]) -> None:
        await open_page(pilot, site, "deploy")
        await until(pilot, shows(pilot, "The disk of a server is full"))
        await pilot.press("b")
        await until(pilot, shows(pilot, "Support bundle without secrets"))

    drive(make_app(), SIZE, flow)
    assert len(list(tmp_path.glob("homewright-attic-*.tar.gz"))) == 1


def test_only_keys_that_work_are_shown(make_app: Make, site: Path, state: StateFolder) -> None:
    write_run(state, "failed")

    async def flow(pilot: Pilot[object]) -> None:
        await open_page(pilot, site, "deploy")
        await until(pilot, shows(pilot, "r retry"))
        assert "detach" not in text_of(pilot.app)
        assert "f follow" not in text_of(pilot.app)

    drive(make_app(), SIZE, flow)


def test_scrolled_up_the_log_does_not_slide(make_app: Make, site: Path, state: StateFolder) -> None:
    from homewright.engine.events import Event, Kind
    from homewright.engine.journal.writer import Writer

    lock = EngineLock.take(state, RUN)
    write_run(state, "running", lines=10_000)

    async def flow(pilot: Pilot[object]) -> None:
        await open_page(pilot, site, "deploy")
        pane = pilot.app.screen.query_one("#log", LogPane)
        await until(pilot, lambda: pane.lines is not None and len(pane.lines) > 10_000)
        await until(pilot, shows(pilot, "line 10000 of"))
        await pilot.press("enter", "pageup", "pageup")
        await pilot.pause()
        before, count = pane.top, len(pane.lines or ())
        seen = [pane.render_line(y).text for y in range(5)]
        writer = Writer(state, RUN)
        for number in range(500):
            writer.line(Event(Kind.LINE, f"later {number}", step="00/20", host="s1", ts=NOW))
        writer.close()
        await until(pilot, lambda: len(pane.lines or ()) == count + 500)
        assert pane.top == before
        assert [pane.render_line(y).text for y in range(5)] == seen
        await pilot.press("home")
        assert "Run started" in pane.render_line(0).text
        await pilot.press("f")
        await until(pilot, shows(pilot, "later 499"))

    try:
        drive(make_app(), SIZE, flow)
    finally:
        lock.release()


def test_search_finds_a_line_of_a_long_log(make_app: Make, site: Path, state: StateFolder) -> None:
    write_run(state, "failed", lines=5000)

    async def flow(pilot: Pilot[object]) -> None:
        await open_page(pilot, site, "deploy")
        await until(pilot, shows(pilot, "The disk of a server is full"))
        await opened(pilot, "slash")
        await pilot.press(*"line 2345 of", "enter")
        await until(pilot, shows(pilot, "s2: line 2345 of", "again for the next one"))

    drive(make_app(), (120, 40), flow)


def test_tab_goes_through_the_servers(make_app: Make, site: Path, state: StateFolder) -> None:
    write_run(state, "succeeded")

    async def flow(pilot: Pilot[object]) -> None:
        await open_page(pilot, site, "deploy")
        await until(pilot, shows(pilot, "whole run · all servers"))
        await pilot.press("tab")
        await until(pilot, shows(pilot, "whole run · s1", "s1: line 10 of"))
        assert "s2: line" not in text_of(pilot.app)

    drive(make_app(), (120, 40), flow)


def test_the_whole_log_is_saved(make_app: Make, site: Path, state: StateFolder, tmp_path: Path) -> None:
    write_run(state, "failed", lines=3000)

    async def flow(pilot: Pilot[object]) -> None:
        await open_page(pilot, site, "deploy")
        await until(pilot, shows(pilot, "The disk of a server is full"))
        await pilot.press("s")
        await until(pilot, shows(pilot, "lines saved in"))

    drive(make_app(), SIZE, flow)
    file = tmp_path / f"homewright-attic-{RUN}.log"
    assert file.stat().st_mode & 0o777 == 0o600
    assert sum("of the key exchange" in line for line in file.read_text().splitlines()) == 3000


def test_leaving_while_a_run_goes_on_says_so(make_app: Make, site: Path, state: StateFolder) -> None:
    lock = EngineLock.take(state, RUN)
    write_run(state, "running")

    async def flow(pilot: Pilot[object]) -> None:
        await open_page(pilot, site, "deploy")
        await until(pilot, shows(pilot, "d detach"))
        await pilot.press("ctrl+q")
        await until(pilot, shows(pilot, "homewright --site attic attach"))
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, Deploy))
        await pilot.press("ctrl+q")
        await until(pilot, shows(pilot, "homewright --site attic attach"))
        await pilot.press("enter")
        await until(pilot, lambda: pilot.app._exit)

    try:
        drive(make_app(), SIZE, flow)
    finally:
        lock.release()


@pytest.mark.parametrize("bell", [True, False])
def test_who_does_not_look_is_called_at_the_end(make_app: Make, site: Path, state: StateFolder, bell: bool) -> None:
    from homewright.engine.events import Event, Kind
    from homewright.engine.journal.writer import Writer
    from homewright.site import files

    files.update(site, {"notify.bell": bell})
    lock = EngineLock.take(state, RUN)
    write_run(state, "running")
    app = make_app()

    async def flow(pilot: Pilot[object]) -> None:
        await open_page(pilot, site, "deploy")
        page = pilot.app.screen
        assert isinstance(page, Deploy)
        await until(pilot, lambda: not page.jobs.running("bell") and page.run_shown is not None)
        assert app.attracted == []
        writer = Writer(state, RUN)
        writer.transition(Event(Kind.LINE, "failed", ts=NOW), writer.set_step("00/20", "", state="failed"))
        await until(pilot, shows(pilot, "what went wrong"))
        end = writer.set_run(state="failed", finished=NOW)
        writer.transition(Event(Kind.RUN_FINISHED, "Run failed.", ts=NOW), end)
        await until(pilot, shows(pilot, "r retry"))
        writer.close()

    try:
        drive(app, SIZE, flow)
    finally:
        lock.release()
    assert app.attracted == (["homewright attic: 00/20 failed", "homewright attic: run failed"] if bell else [])
