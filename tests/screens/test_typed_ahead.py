"""Keys that come all in one go, as on a busy machine: each is for what the ones before it have led to."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
from piloting import drive, open_page, opened, shows, until
from screen_doubles import Manager
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding
from textual.pilot import Pilot
from textual.screen import Screen
from textual.widgets import Input

from homewright.screens import typed_ahead
from homewright.screens.app import HomewrightApp
from homewright.screens.typed_ahead import InOrder
from homewright.screens.widgets.field import Field
from homewright.screens.workspace_git import GiveBox

if TYPE_CHECKING:
    from homewright.workspaces.one_manager import OneManager

Make = Callable[..., HomewrightApp]


def at_once(pilot: Pilot[object], *keys: str) -> None:
    """All of these keys are there before the first of them is handled."""
    driver = pilot.app._driver
    assert driver is not None
    for key in keys:
        event = events.Key(key, key if len(key) == 1 else None)
        event.set_sender(pilot.app)
        driver.send_message(event)


def test_a_form_that_is_filled_in_and_sent_at_once(make_app: Make, site: Path, manager: Manager) -> None:
    async def flow(pilot: Pilot[object]) -> None:
        await open_page(pilot, site, "workspaces")
        await until(pilot, shows(pilot, "alice"))
        await opened(pilot, "n")
        await until(pilot, shows(pilot, "It goes to"))
        at_once(pilot, "end", "ctrl+u", *"zoe", "tab", "end", "ctrl+u", "ctrl+s", *"first", "ctrl+s")
        await until(pilot, lambda: bool(manager.asked))
        assert manager.asked[0][:2] == ("create", "zoe/first"), manager.asked

    drive(make_app(), (80, 24), flow)


def test_keys_for_the_page_that_a_key_leads_to(make_app: Make, site: Path, manager: Manager) -> None:
    async def flow(pilot: Pilot[object]) -> None:
        await open_page(pilot, site, "workspaces")
        await until(pilot, shows(pilot, "alice"))
        at_once(pilot, "n", "end", "ctrl+u", *"zoe", "escape", "down", "slash", *"carol")
        await until(pilot, shows(pilot, "carol", "filter"))
        assert not shows(pilot, "alice")()

    drive(make_app(), (80, 24), flow)


def test_nothing_waits_for_a_key_whose_box_went_with_it(
    make_app: Make, site: Path, manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(typed_ahead, "PATIENCE_S", 1000.0)

    async def flow(pilot: Pilot[object]) -> None:
        await open_page(pilot, site, "workspaces")
        await until(pilot, shows(pilot, "alice"))
        for text in ("carol", "dave"):
            at_once(pilot, "slash", "ctrl+u", *text, "enter")
            await until(pilot, lambda text=text: shows(pilot, text)() and not shows(pilot, "alice")())  # type: ignore[misc]
            await until(pilot, lambda: pilot.app._at_work is None)  # type: ignore[attr-defined]

    drive(make_app(), (80, 24), flow)


def test_what_a_key_tells_is_done_before_the_next_one(make_app: Make, site: Path, manager: Manager) -> None:
    """enter goes on by a message of its own (Input.Submitted): no letter of a token stands where it can be read."""
    manager.in_cluster = True

    async def flow(pilot: Pilot[object]) -> None:
        await open_page(pilot, site, "workspaces")
        await until(pilot, shows(pilot, "alice"))
        app = pilot.app
        app.push_screen(GiveBox("erin", "", cast("OneManager", manager)))
        await until(pilot, lambda: app.focused is not None)
        name, token = (app.screen.query_one(f"#field-{one}", Field) for one in ("name", "token"))
        at_once(pilot, *"abc", "enter", "end", "ctrl+u", *"erin", "enter", *"token9")
        await until(pilot, lambda: token.value.endswith("9"))
        assert (name.value, token.value) == ("erin", "token9")

    drive(make_app(), (80, 24), flow)


class Two(InOrder[None]):
    """Two fields; ctrl+k takes the first away."""

    BINDINGS = [Binding("ctrl+k", "drop", priority=True)]

    def compose(self) -> ComposeResult:
        yield Input(id="one")
        yield Input(id="two")

    async def action_drop(self) -> None:
        await self.query_one("#one").remove()


def test_a_paste_stays_between_the_keys(make_app: Make) -> None:
    async def flow(pilot: Pilot[object]) -> None:
        driver = pilot.app._driver
        assert driver is not None
        at_once(pilot, "a")
        driver.send_message(events.Paste("bc"))
        at_once(pilot, "d", "tab", "x")
        await until(pilot, lambda: pilot.app.query_one("#two", Input).value == "x")
        assert pilot.app.query_one("#one", Input).value == "abcd"

    drive(Two(), (80, 24), flow)  # type: ignore[arg-type]  # any program can be driven


def test_what_had_the_focus_may_go_with_a_key_in_its_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(typed_ahead, "PATIENCE_S", 0.2)

    async def flow(pilot: Pilot[object]) -> None:
        at_once(pilot, *"ab", "ctrl+k", *"xyz")
        await until(pilot, lambda: pilot.app.query_one("#two", Input).value == "xyz")

    drive(Two(), (80, 24), flow)  # type: ignore[arg-type]  # any program can be driven


def test_a_key_whose_end_is_never_told_holds_up_the_next_one_for_a_while_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(typed_ahead, "PATIENCE_S", 0.2)
    monkeypatch.setattr(Two, "_handled", lambda self, event: None)

    async def flow(pilot: Pilot[object]) -> None:
        at_once(pilot, *"abc")
        await until(pilot, lambda: pilot.app.query_one("#one", Input).value == "abc")

    drive(Two(), (80, 24), flow)  # type: ignore[arg-type]  # any program can be driven


class Typed(InOrder[None]):
    """One field, and what was in it in each frame."""

    def __init__(self) -> None:
        super().__init__()
        self.painted: list[str] = []

    def compose(self) -> ComposeResult:
        yield Input()

    def _display(self, screen: Screen[object], renderable: Any) -> None:
        if renderable is not None:
            self.painted.append(self.query_one(Input).value if self.query(Input) else "")
        super()._display(screen, renderable)

    async def paints(self, value: str) -> None:
        """Wait until this has been painted; the pilot's own waiting would paint too."""
        end = time.monotonic() + 20
        while self.painted[-1:] != [value]:
            assert time.monotonic() < end, self.painted
            await asyncio.sleep(0.01)


def test_a_key_is_painted_without_waiting_for_the_next_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over SSH there are 30 frames a second at most, and a log that comes in uses some of them."""
    monkeypatch.setattr("textual.screen.UPDATE_PERIOD", 1000.0)

    async def run() -> None:
        app = Typed()
        async with app.run_test(size=(80, 24)) as pilot:
            for number in range(1, 6):
                at_once(pilot, "x")
                await app.paints("x" * number)

    asyncio.run(run())


def test_keys_that_are_there_already_have_no_frames_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """A paste that comes as keys, an arrow that is held: only after the last of them is a frame not waited for."""
    monkeypatch.setattr("textual.screen.UPDATE_PERIOD", 1000.0)

    async def run() -> None:
        app = Typed()
        async with app.run_test(size=(80, 24)) as pilot:
            app.painted.clear()
            at_once(pilot, *"x" * 50)
            await app.paints("x" * 50)
            assert len(app.painted) < 10

    asyncio.run(run())
