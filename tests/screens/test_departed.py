"""What comes for a page that was left meanwhile ends in nothing: no widget is looked for that is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from piloting import drive, open_page, shows, until
from textual.css.query import NoMatches
from textual.pilot import Pilot

from homewright.screens.app import HomewrightApp
from homewright.screens.help import HelpBox
from homewright.screens.jobs import JobDone, JobSays
from homewright.screens.page import Page
from homewright.screens.widgets.table import Table

Make = Callable[..., HomewrightApp]


def by_job(page: Page, act: Callable[[], object]) -> None:
    page.jobs._numbers["look"] = page.jobs._running["look"] = 1
    page.post_message(JobDone("look", 1, act))


def by_word_of_a_job(page: Page, act: Callable[[], object]) -> None:
    page.jobs._numbers["look"] = page.jobs._running["look"] = 1
    page.post_message(JobSays("look", 1, act))


def by_timer(page: Page, act: Callable[[], object]) -> None:
    page.set_interval(0.001, act)


def by_delay(page: Page, act: Callable[[], object]) -> None:
    page.set_timer(0.001, act)


def put_off(page: Page, act: Callable[[], object]) -> None:
    page.call_after_refresh(act)


@pytest.mark.parametrize("way", [by_job, by_word_of_a_job, by_timer, by_delay, put_off])
def test_what_comes_late_looks_for_no_widget(make_app: Make, site: Path, way: Callable[..., None]) -> None:
    """All the while in which the toolkit takes the page away: some of it comes when its widgets have gone already."""

    async def flow(pilot: Pilot[object]) -> None:
        await open_page(pilot, site, "servers")
        app, page = pilot.app, pilot.app.screen
        assert isinstance(app, HomewrightApp) and isinstance(page, Page)
        app.go("hardware")
        while page.is_attached:
            way(page, lambda: page.query_one(Table))
            await asyncio.sleep(0)
        await until(pilot, shows(pilot, "2/9 Hardware"))

    drive(make_app(), (80, 24), flow)


@pytest.mark.parametrize("turns", [0, 1, 3])
def test_a_box_that_goes_as_it_comes(make_app: Make, site: Path, turns: int) -> None:
    async def flow(pilot: Pilot[object]) -> None:
        await open_page(pilot, site, "servers")
        app = pilot.app
        assert isinstance(app, HomewrightApp)
        app.push_screen(HelpBox("servers", "What they are.", [("a", "add")]))
        for _ in range(turns):
            await asyncio.sleep(0)
        app.go("hardware")
        await until(pilot, shows(pilot, "2/9 Hardware"))

    drive(make_app(), (80, 24), flow)


def test_a_widget_that_is_missing_on_a_page_that_is_there_ends_the_program(make_app: Make, site: Path) -> None:
    async def flow(pilot: Pilot[object]) -> None:
        await open_page(pilot, site, "servers")
        pilot.app.screen.call_later(lambda: pilot.app.screen.query_one("#there-is-none"))
        await until(pilot, lambda: pilot.app._exception is not None)

    with pytest.raises(NoMatches):
        drive(make_app(), (80, 24), flow)
