"""Two sites: what one recorded is not the other's, and commands that are told say which is meant."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from piloting import drive, opened, shows, text_of, until
from screen_doubles import RUN, write_run
from textual.pilot import Pilot

from homewright.engine.lock import EngineLock
from homewright.errors import HomewrightError, speak_of
from homewright.screens.app import HomewrightApp
from homewright.screens.services import Services
from homewright.site.paths import StateFolder

Make = Callable[..., HomewrightApp]
SIZE = (80, 24)


@pytest.fixture(autouse=True)
def spoken() -> Iterator[None]:
    yield
    speak_of()


def test_a_remedy_names_the_site_that_was_opened_where_there_are_several(
    make_app: Make, site: Path, tmp_path: Path
) -> None:
    other = tmp_path / "kept elsewhere" / "site.yaml"
    other.parent.mkdir()
    other.write_text("version: 1\nname: cellar\n")

    async def flow(pilot: Pilot[object]) -> None:
        await until(pilot, shows(pilot, "Begin something"))
        app = pilot.app
        assert isinstance(app, HomewrightApp)
        app.open_site(site, "attic")
        assert HomewrightError("So it is.", "", ["homewright plan"]).do == ("homewright plan",)
        app.open_site(other, "cellar")
        assert HomewrightError("So it is.", "", ["homewright plan"]).do == (f"homewright --site '{other}' plan",)

    drive(make_app(), SIZE, flow)


def test_a_site_file_that_may_not_be_looked_at_is_none_to_show(site: Path, tmp_path: Path) -> None:
    there = [one.file for one in Services().sites(None)]
    assert site in there
    for named in (str(tmp_path / ("a" * 300) / "site.yaml"), "a." * 150):
        assert [one.file for one in Services().sites(named)] == there


def test_a_second_file_of_the_sites_name_is_refused_with_a_way_out(make_app: Make, site: Path, tmp_path: Path) -> None:
    StateFolder.of("attic", site=site).create()
    other = tmp_path / "copy.yaml"
    other.write_bytes(site.read_bytes())

    async def flow(pilot: Pilot[object]) -> None:
        await until(pilot, shows(pilot, "Begin something"))
        await opened(pilot, "o")
        await pilot.press(*str(other), "enter")
        await until(pilot, shows(pilot, "belongs to another site file", "What to do"))
        assert "no servers" not in text_of(pilot.app)

    drive(make_app(), SIZE, flow)


@pytest.mark.parametrize(("ending", "page"), [("running", "deploy"), ("failed", "resume")])
def test_a_run_is_looked_at_without_a_word_of_the_site_s_file(
    site: Path, tmp_path: Path, ending: str, page: str
) -> None:
    """A run goes on, or waits to be gone on with, also where somebody is in the middle of editing the file."""
    state = StateFolder.of("attic", site=site).create()
    write_run(state, ending)
    site.write_text("servers: [\n")
    lock = EngineLock.take(state, RUN) if ending == "running" else None
    try:
        assert Services().where_to_go(site, None, "attic") == ("attic", page)
    finally:
        if lock is not None:
            lock.release()
    with pytest.raises(HomewrightError):
        Services().where_to_go(site, None)
