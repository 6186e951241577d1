"""Driving the screens by keys: wait for what they show, never for a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from screen_doubles import facts_of
from textual._context import visible_screen_stack
from textual.app import App
from textual.pilot import Pilot

from homewright.discovery.facts import HostFacts
from homewright.screens.app import HomewrightApp
from homewright.screens.services import Services
from homewright.screens.widgets.field import Field
from homewright.site.paths import StateFolder

SIZES = [(80, 24), (120, 40)]
both = pytest.mark.parametrize("size", SIZES, ids=["80x24", "120x40"])
"""A picture at both sizes."""
Make = Callable[..., HomewrightApp]
Compare = Callable[..., bool]
Act = Callable[[Pilot[object]], Awaitable[None]]


async def until(pilot: Pilot[object], condition: Callable[[], bool], limit: float = 60.0) -> None:
    """Wait until a condition holds. Fails with the screen's text when it does not within the limit, in seconds."""
    end = time.monotonic() + limit
    while not condition():
        if pilot.app._exception is not None:
            raise pilot.app._exception
        if time.monotonic() > end:
            raise AssertionError(f"it never happened; the screen shows:\n{text_of(pilot.app)}")
        await pilot.pause(0.02)
    await pilot.pause()


def text_of(app: App[Any]) -> str:
    """What the screen in front shows, as plain text.

    A box that is drawn here for the first time keeps what it was drawn with: without what lies behind it, it would be
    painted on nothing from then on.
    """
    token = visible_screen_stack.set(app._background_screens)
    try:
        lines = app.screen._compositor.render_strips()
    finally:
        visible_screen_stack.reset(token)
    return "\n".join("".join(segment.text for segment in strip).rstrip() for strip in lines)


def complains(field: Field, reason: str) -> Callable[[], bool]:
    """The condition that a field says this of what is typed there."""
    return lambda: reason in field.wrong


def shows(pilot: Pilot[object], *words: str) -> Callable[[], bool]:
    """A condition: all of these words are on the screen."""
    return lambda: all(word in text_of(pilot.app) for word in words)


async def opened(pilot: Pilot[object], *keys: str) -> None:
    """Press keys of which the last opens a box; wait until it can be typed into."""
    before = pilot.app.screen
    await pilot.press(*keys)
    await until(pilot, lambda: pilot.app.screen is not before and pilot.app.focused is not None)


async def closed(pilot: Pilot[object], *keys: str) -> None:
    """Press keys of which the last closes the box in front; wait until it has gone. The page is seen around it all
    the while, so that words of the page tell nothing of that."""
    before = pilot.app.screen
    await pilot.press(*keys)
    await until(pilot, lambda: pilot.app.screen is not before)


def to(*steps: tuple[str, ...] | str) -> Act:
    """Press keys (text), or wait for words on the screen (a tuple)."""

    async def act(pilot: Pilot[object]) -> None:
        for step in steps:
            if isinstance(step, tuple):
                await until(pilot, shows(pilot, *step))
            else:
                await pilot.press(*step.split(" "))

    return act


def page(page: str, *steps: tuple[str, ...] | str, file: Path | None = None, name: str = "attic") -> Act:
    """Open a page of a site directly, then go on."""

    async def act(pilot: Pilot[object]) -> None:
        app = pilot.app
        assert isinstance(app, HomewrightApp)
        await until(pilot, shows(pilot, "Begin something"))
        app.open_site(file or Services().place_of(name), name)
        app.go(page)
        await pilot.pause()
        await to(*steps)(pilot)

    return act


def drive(app: HomewrightApp, size: tuple[int, int], body: Callable[[Pilot[object]], Awaitable[None]]) -> None:
    """Run a keyboard flow against the app."""

    async def run() -> None:
        async with app.run_test(size=size) as pilot:
            await body(pilot)

    asyncio.run(run())


def recorded_facts(state: StateFolder, names: Sequence[str]) -> Mapping[str, HostFacts]:
    """Facts of these servers, as an earlier look left them."""
    from homewright.discovery.gathering import remember

    found = {name: facts_of(name) for name in names}
    for facts in found.values():
        remember(state, facts)
    return found


async def open_page(pilot: Pilot[object], file: Path, page: str) -> None:
    app = pilot.app
    assert isinstance(app, HomewrightApp)
    await until(pilot, shows(pilot, "Begin something"))
    app.open_site(file, "attic")
    app.go(page)
    await pilot.pause()
