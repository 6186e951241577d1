"""What is inside of a workspace in the cluster, by keyboard, and as pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from piloting import closed, drive, open_page, page, shows, text_of, until
from screen_doubles import REPOSITORY, Manager, workspace
from textual.pilot import Pilot

from homewright.screens.app import HomewrightApp
from homewright.screens.widgets.field import Field
from homewright.workspaces.models import Key, Repository, WorkspaceState

Make = Callable[..., HomewrightApp]
Compare = Callable[..., bool]
SIZE = (80, 24)
both = pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=["80x24", "120x40"])


@pytest.fixture
def manager(manager: Manager) -> Manager:
    """With one workspace in the cluster, which has a repository, and no address of its own."""
    manager.in_cluster = True
    changes: dict[str, Any] = {
        "key": Key(user="erin"), "template": "code-server", "preset": "standard", "port": None, "address": "",
        "node": "n1", "repository": REPOSITORY,
    }  # fmt: skip
    erin = workspace("erin", WorkspaceState.RUNNING).model_copy(update=changes)
    manager.now = replace(manager.now, workspaces=(erin,))
    return manager


def test_a_repository_is_looked_at_and_brought_up_to_date(make_app: Make, site: Path, manager: Manager) -> None:
    async def flow(pilot: Pilot[object]) -> None:
        await open_page(pilot, site, "workspaces")
        await until(pilot, shows(pilot, "erin"))
        await pilot.press("y")
        await until(pilot, shows(pilot, "main, clean, 2 behind"))
        await pilot.press("y")
        await until(pilot, shows(pilot, "Commits pulled: 2."))
        await closed(pilot, "escape")

    drive(make_app(), SIZE, flow)
    assert manager.asked == [("sync", "erin", "look"), ("sync", "erin", "pull")]


def test_the_way_is_there_as_long_as_its_box(make_app: Make, site: Path, manager: Manager) -> None:
    async def flow(pilot: Pilot[object]) -> None:
        await open_page(pilot, site, "workspaces")
        await until(pilot, shows(pilot, "erin"))
        await pilot.press("o")
        await until(pilot, shows(pilot, "http://localhost:8080/"))
        assert not manager.way.closed.is_set()
        await closed(pilot, "escape")
        assert manager.way.closed.is_set()

    drive(make_app(), SIZE, flow)


@pytest.mark.parametrize(("route", "says"), [
    ("VirtualService by gateway istio-ingress/web", "Way in    VirtualService by gateway istio-ingress/web"),
    ("", "Way in    none"),
])  # fmt: skip
def test_what_leads_to_it_is_told(make_app: Make, site: Path, manager: Manager, route: str, says: str) -> None:
    [erin] = manager.now.workspaces
    manager.route = route
    led = erin.model_copy(update={"address": "https://code-erin.home.internal/"})
    manager.now = replace(manager.now, workspaces=(led,))

    async def flow(pilot: Pilot[object]) -> None:
        await open_page(pilot, site, "workspaces")
        await until(pilot, shows(pilot, "erin"))
        await pilot.press("enter")
        await until(pilot, shows(pilot, says, "Sign-in   by a password"))

    drive(make_app(), SIZE, flow)


def test_a_terminal_that_cannot_be_handed_over_is_said(make_app: Make, site: Path, manager: Manager) -> None:
    async def flow(pilot: Pilot[object]) -> None:
        await open_page(pilot, site, "workspaces")
        await until(pilot, shows(pilot, "erin"))
        await pilot.press("exclamation_mark")
        await until(pilot, shows(pilot, "cannot be handed over"))

    drive(make_app(), SIZE, flow)


def _new(pilot: Pilot[object], name: str) -> Field:
    return pilot.app.screen.query_one(f"#field-{name}", Field)


async def _to_new(pilot: Pilot[object], site: Path) -> None:
    await open_page(pilot, site, "workspaces")
    await until(pilot, shows(pilot, "erin"))
    await pilot.press("n")
    await until(pilot, lambda: bool(pilot.app.screen.query("#field-template")))
    await until(pilot, shows(pilot, "It goes to"))
    for name, takes in (("node", False), ("code-server", True)):
        _new(pilot, "template").control_widget.focus()
        while _new(pilot, "template").value != name:
            await pilot.press("right")
        await until(pilot, lambda takes=takes: _new(pilot, "repository").display == takes)  # type: ignore[misc]
    assert not _new(pilot, "branch").display


def test_a_new_workspace_gets_a_repository(make_app: Make, site: Path, manager: Manager) -> None:
    async def flow(pilot: Pilot[object]) -> None:
        await _to_new(pilot, site)
        _new(pilot, "repository").control_widget.focus()
        await pilot.press(*"https://a:b@git.example.org/x")
        await until(pilot, lambda: "nothing secret" in _new(pilot, "repository").wrong)
        await pilot.press("ctrl+u")
        await pilot.press(*REPOSITORY.url)
        await until(pilot, lambda: _new(pilot, "branch").display)
        _new(pilot, "branch").control_widget.focus()
        await pilot.press(*"main")
        _new(pilot, "history").control_widget.focus()
        await pilot.press("right")
        await pilot.press("ctrl+s")
        await until(pilot, lambda: any(asked[0] == "repository" for asked in manager.asked))

    drive(make_app(), SIZE, flow)
    assert ("repository", Repository(url=REPOSITORY.url, branch="main", shallow=False)) in manager.asked


@both
@pytest.mark.parametrize(("keys", "waits"), [("y", "2 behind"), ("y y", "pulled")], ids=["look", "synced"])
def test_repository(
    snap_compare: Compare, make_app: Make, site: Path, manager: Manager, size: tuple[int, int], keys: str, waits: str
) -> None:
    steps: list[Any] = [("erin",)]
    for key, said in zip(keys.split(), ("2 behind", "pulled"), strict=False):
        steps += [key, (said,)]
    assert steps[-1] == (waits,)
    assert snap_compare(make_app(), terminal_size=size, run_before=page("workspaces", *steps))


@both
def test_new_workspace_with_a_repository(
    snap_compare: Compare, make_app: Make, site: Path, manager: Manager, size: tuple[int, int]
) -> None:
    async def act(pilot: Pilot[object]) -> None:
        await _to_new(pilot, site)
        _new(pilot, "repository").control_widget.focus()
        await pilot.press(*REPOSITORY.url)
        await until(pilot, lambda: _new(pilot, "history").display)
        await until(pilot, lambda: "It goes to" in text_of(pilot.app))
        await pilot.pause()

    assert snap_compare(make_app(), terminal_size=size, run_before=act)
