"""A failure, an answer that was wrong, and trying again: by keyboard alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from piloting import Compare, Make, both, drive, open_page, opened, page, recorded_facts, shows, text_of, until
from screen_checks import report_of
from screen_doubles import RUN, write_run
from textual.pilot import Pilot

from homewright.catalogue import load, shipped
from homewright.checks import running
from homewright.screens.deploy import Deploy
from homewright.screens.edit_answer import rows_of
from homewright.screens.services_runs import Read
from homewright.screens.widgets.log_pane import LogPane
from homewright.site import files
from homewright.site.paths import StateFolder

if TYPE_CHECKING:
    from conftest import Recorded

SIZE = (80, 24)
HOSTS = ["s1", "s2", "s3"]


@pytest.fixture
def failed(state: StateFolder, site: Path) -> StateFolder:
    """A run of stage 00 that failed in its second step, on checked servers."""
    write_run(state, "failed", lines=300)
    folder = state.run(RUN)
    load([shipped()]).copy(folder / "catalogue")
    (folder / "request.json").write_text(json.dumps({"action": "apply", "only": "00"}))
    recorded_facts(state, HOSTS)
    running.keep(state, report_of(HOSTS))
    return state


def test_an_answer_on_a_page_is_edited_and_the_run_goes_on_with_it(
    make_app: Make, services: Recorded, site: Path, failed: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    monkeypatch.setattr(services, "go_on", lambda *words: asked.append(words) or RUN)

    async def flow(pilot: Pilot[object]) -> None:
        await open_page(pilot, site, "deploy")
        await until(pilot, shows(pilot, "The disk of a server is full"))
        await opened(pilot, "e")
        await until(pilot, shows(pilot, "edit an answer, then retry", "Servers, the page"))
        await pilot.press("enter")
        await until(pilot, shows(pilot, "1/9 Servers"))
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, Deploy))
        await until(pilot, shows(pilot, "r retry"))
        await opened(pilot, "e")
        await until(pilot, shows(pilot, "Network, the page"))
        await pilot.press("down", "enter")
        await until(pilot, shows(pilot, "4/9 Network"))
        files.update(site, {"zone": "home.internal"})
        await until(pilot, lambda: "Looking" not in text_of(pilot.app))
        pilot.app.screen.onward()  # type: ignore[attr-defined]  # of the page that is open
        await until(pilot, shows(pilot, "8/9 Plan", "00/10"))
        await pilot.press("ctrl+n")
        await until(pilot, shows(pilot, "retry with this plan?", "proved first"))
        await pilot.press("enter")
        await until(pilot, lambda: bool(asked))

    drive(make_app(), SIZE, flow)
    assert asked == [(site, failed, RUN)]


def test_an_answer_that_no_page_asks_is_edited_here(
    make_app: Make, services: Recorded, site: Path, failed: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = (Read("environment", "{}"), Read("name", "attic"))
    monkeypatch.setattr(services, "reads", lambda *_: read)

    async def flow(pilot: Pilot[object]) -> None:
        await open_page(pilot, site, "deploy")
        await until(pilot, shows(pilot, "The disk of a server is full"))
        await opened(pilot, "e")
        await opened(pilot, "enter")
        await until(pilot, shows(pilot, "In YAML"))
        await pilot.press("end", *["backspace"] * 2, *"{COLOUR:", "space", *"red}", "enter")
        await until(pilot, shows(pilot, "8/9 Plan"))

    drive(make_app(), SIZE, flow)
    assert files.load(site).environment == {"COLOUR": "red"}


def test_answers_are_listed_by_the_page_that_asks_them() -> None:
    reads = [Read(name, "v") for name in ("servers", "network.lxd", "network.lan", "zone", "mirror.apt", "name")]
    rows = {row.key: row.cells for row in rows_of(reads)}
    assert list(rows) == ["page Servers", "page Network", "field mirror.apt"]
    assert rows["page Network"][1] == ("network.lxd, network.lan, zone", "muted")


def test_j_shows_the_first_error_of_the_log(make_app: Make, site: Path, failed: StateFolder) -> None:
    async def flow(pilot: Pilot[object]) -> None:
        await open_page(pilot, site, "deploy")
        await until(pilot, shows(pilot, "The disk of a server is full"))
        await pilot.press("j")
        await until(pilot, shows(pilot, "00/20 SSH keys · s2", "write failed: No space left on device"))
        assert isinstance(pilot.app.focused, LogPane)

    drive(make_app(), (120, 40), flow)


@both
def test_picture_which_answer(
    snap_compare: Compare, make_app: Make, site: Path, failed: StateFolder, size: tuple[int, int]
) -> None:
    act = page("deploy", ("The disk of a server is full", "Initial setup"), "e", ("edit an answer, then retry",))
    assert snap_compare(make_app(), terminal_size=size, run_before=act)
