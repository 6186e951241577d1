"""A user's git credentials and repositories, by keyboard, and as pictures."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from piloting import Compare, Make, both, closed, drive, open_page, opened, page, shows, text_of, until
from screen_doubles import REPOSITORY, Manager, workspace
from textual.pilot import Pilot

from homewright.screens.widgets.field import Field
from homewright.workspaces.models import Key, Problem, Repository, ServerTold, WorkspaceState

SIZE = (80, 24)
SERVER = "https://git.example.org"
OTHER = "https://code.example.net"


@pytest.fixture
def manager(manager: Manager) -> Manager:
    """With one workspace in the cluster and one on a server."""
    manager.in_cluster = True
    changes: dict[str, Any] = {"key": Key(user="erin"), "template": "code-server", "preset": "standard", "port": None,
                               "address": "", "node": "n1"}  # fmt: skip
    erin = workspace("erin", WorkspaceState.RUNNING).model_copy(update=changes)
    manager.now = replace(manager.now, workspaces=(erin, workspace("zoe", WorkspaceState.RUNNING)))
    return manager


def field(pilot: Pilot[object], name: str) -> Field:
    return pilot.app.screen.query_one(f"#field-{name}", Field)


async def give(pilot: Pilot[object], server: str, token: str) -> None:
    """From the credentials' box: a server and a token."""
    await opened(pilot, "a")
    await pilot.press(*server, "enter")
    await pilot.press("enter")
    await pilot.press(*token)
    assert token not in text_of(pilot.app)
    await closed(pilot, "enter")


def test_credentials_are_given_tested_and_forgotten(make_app: Make, site: Path, manager: Manager) -> None:
    async def flow(pilot: Pilot[object]) -> None:
        await open_page(pilot, site, "workspaces")
        await until(pilot, shows(pilot, "erin"))
        await pilot.press("k")
        await until(pilot, shows(pilot, "No credentials of erin are kept"))
        await give(pilot, SERVER, "opensesame")
        await until(pilot, shows(pilot, SERVER, "it accepts them: erin there"))
        await opened(pilot, "a")
        assert field(pilot, "server").value == SERVER, "those under the cursor"
        await pilot.press(*"wrong", "enter")
        await until(pilot, shows(pilot, "does not accept the credentials"))
        await opened(pilot, "D")
        await until(pilot, shows(pilot, "forget those for"))
        await closed(pilot, "enter")
        await until(pilot, shows(pilot, "No credentials of erin are kept"))
        assert "does not accept" not in text_of(pilot.app)
        await closed(pilot, "escape")

    drive(make_app(), SIZE, flow)
    assert manager.asked == [
        ("credentials", "erin", SERVER, "erin", "opensesame"), ("credentials", "erin", SERVER, "erin", "wrong"),
        ("credentials", "erin", SERVER, "", None),
    ]  # fmt: skip


@pytest.mark.parametrize("then", ["give", "forget"])
def test_a_test_of_credentials_of_before_tells_nothing_of_those_of_now(
    make_app: Make, site: Path, manager: Manager, monkeypatch: pytest.MonkeyPatch, then: str
) -> None:
    manager.signs_in = {SERVER: False}
    slow, ask = threading.Event(), manager.repositories_of
    answers: list[tuple[ServerTold, ...]] = []

    def held_up(user: str) -> tuple[ServerTold, ...]:
        """The first answer is of what is kept when it is asked for, and comes late."""
        told, first = ask(user), not answers
        answers.append(told)
        assert not first or slow.wait(30)
        return told

    monkeypatch.setattr(manager, "repositories_of", held_up)

    async def flow(pilot: Pilot[object]) -> None:
        await open_page(pilot, site, "workspaces")
        await until(pilot, shows(pilot, "erin"))
        await opened(pilot, "k")
        await until(pilot, shows(pilot, SERVER))
        await pilot.press("t")
        await until(pilot, shows(pilot, "asking"))
        if then == "give":
            await opened(pilot, "a")
            await pilot.press(*"opensesame")
            await closed(pilot, "enter")
            await until(pilot, shows(pilot, "accepts them"))
        else:
            await opened(pilot, "D")
            await closed(pilot, "enter")
            await until(pilot, shows(pilot, "No credentials of erin are kept"))
        slow.set()
        await until(pilot, lambda: not [one for one in threading.enumerate() if one.name == "job test"])
        await pilot.pause()
        assert shows(pilot, "accepts them" if then == "give" else "Pods get them as a file")()
        assert "refuses" not in text_of(pilot.app) and "does not accept" not in text_of(pilot.app)

    drive(make_app(), SIZE, flow)


@pytest.mark.parametrize(("typed", "says"), [
    ("https://bob:secret@git.example.org", "holds a name or a password"), ("ftp://x", "names no server"),
    ("", "this is needed"),
])  # fmt: skip
def test_a_wrong_server_is_told_at_once(make_app: Make, site: Path, manager: Manager, typed: str, says: str) -> None:
    async def flow(pilot: Pilot[object]) -> None:
        await open_page(pilot, site, "workspaces")
        await until(pilot, shows(pilot, "erin"))
        await opened(pilot, "k")
        await opened(pilot, "a")
        await pilot.press(*typed)
        await pilot.press("ctrl+s")
        await until(pilot, shows(pilot, says))

    drive(make_app(), SIZE, flow)
    assert not manager.asked


def test_one_on_a_server_keeps_its_own(make_app: Make, site: Path, manager: Manager) -> None:
    async def flow(pilot: Pilot[object]) -> None:
        await open_page(pilot, site, "workspaces")
        await until(pilot, shows(pilot, "zoe"))
        await pilot.press("down", "k")
        await until(pilot, shows(pilot, "is on a server"))

    drive(make_app(), SIZE, flow)


async def to_new(pilot: Pilot[object], site: Path) -> None:
    """The form, at a template of the cluster."""
    await open_page(pilot, site, "workspaces")
    await until(pilot, shows(pilot, "erin"))
    await pilot.press("n")
    await until(pilot, lambda: bool(pilot.app.screen.query("#field-template")))
    await until(pilot, shows(pilot, "It goes to"))
    field(pilot, "template").control_widget.focus()
    while field(pilot, "template").value != "code-server":
        await pilot.press("right")
    await until(pilot, lambda: bool(field(pilot, "repository").display))


def test_a_repository_is_chosen_from_what_there_is(make_app: Make, site: Path, manager: Manager) -> None:
    async def flow(pilot: Pilot[object]) -> None:
        await to_new(pilot, site)
        await opened(pilot, "ctrl+r")
        await until(pilot, shows(pilot, "No credentials are kept"))
        await opened(pilot, "ctrl+t")
        await give(pilot, SERVER, "opensesame")
        await until(pilot, shows(pilot, "it accepts them"))
        await closed(pilot, "escape")
        await until(pilot, shows(pilot, "team/project", "erin/notes"))
        await pilot.press(*"proj")
        await until(pilot, lambda: not shows(pilot, "erin/notes")())
        await closed(pilot, "enter")
        await until(pilot, lambda: field(pilot, "repository").value == REPOSITORY.url)
        assert field(pilot, "branch").value == "main"
        await pilot.press("ctrl+s")
        await until(pilot, lambda: any(asked[0] == "create" for asked in manager.asked))

    drive(make_app(), SIZE, flow)
    assert ("repository", Repository(url=REPOSITORY.url, branch="main")) in manager.asked and manager.anyway is False


MISS = Problem(
    reason="its repository would not be cloned: there is no such branch", whose="user",
    remedy="name one that is there: main",
)  # fmt: skip


def test_what_it_would_lack_is_accepted_first(make_app: Make, site: Path, manager: Manager) -> None:
    manager.misses = (MISS,)

    async def flow(pilot: Pilot[object]) -> None:
        await to_new(pilot, site)
        field(pilot, "repository").control_widget.focus()
        await pilot.press(*REPOSITORY.url)
        await until(pilot, shows(pilot, "It starts, but its repository"))
        await pilot.press("ctrl+s")
        await until(pilot, shows(pilot, "see to its repository"))
        assert not manager.asked
        await pilot.press("space", "ctrl+s")
        await until(pilot, lambda: any(asked[0] == "create" for asked in manager.asked))

    drive(make_app(), SIZE, flow)
    assert manager.anyway is True


# Pictures


@both
@pytest.mark.parametrize("kept", [0, 2], ids=["none", "tested"])
def test_credentials(
    snap_compare: Compare, make_app: Make, site: Path, manager: Manager, size: tuple[int, int], kept: int
) -> None:
    manager.signs_in = dict(((SERVER, True), (OTHER, False))[:kept])
    tested = ("t", ("✓ accepts them", "✗ refuses them")) if kept else (("No credentials of erin are kept",),)
    act = page("workspaces", ("erin",), "k", (SERVER if kept else "No credentials of erin",), *tested)
    assert snap_compare(make_app(), terminal_size=size, run_before=act)


@both
def test_giving_credentials(
    snap_compare: Compare, make_app: Make, site: Path, manager: Manager, size: tuple[int, int]
) -> None:
    async def act(pilot: Pilot[object]) -> None:
        await page("workspaces", ("erin",), "k", ("No credentials of erin",))(pilot)
        await opened(pilot, "a")
        await pilot.press(*SERVER, "enter", "enter", *"token")
        await pilot.pause()

    assert snap_compare(make_app(), terminal_size=size, run_before=act)


@both
def test_repositories(
    snap_compare: Compare, make_app: Make, site: Path, manager: Manager, size: tuple[int, int]
) -> None:
    manager.signs_in = {SERVER: True, OTHER: False}

    async def act(pilot: Pilot[object]) -> None:
        await to_new(pilot, site)
        await opened(pilot, "ctrl+r")
        await until(pilot, shows(pilot, "team/old", "does not accept"))

    assert snap_compare(make_app(), terminal_size=size, run_before=act)


@both
def test_new_workspace_that_would_lack_its_repository(
    snap_compare: Compare, make_app: Make, site: Path, manager: Manager, size: tuple[int, int]
) -> None:
    manager.misses = (MISS,)

    async def act(pilot: Pilot[object]) -> None:
        await to_new(pilot, site)
        field(pilot, "repository").control_widget.focus()
        await pilot.press(*REPOSITORY.url)
        await until(pilot, shows(pilot, "It starts, but its repository"))
        await pilot.pause()

    assert snap_compare(make_app(), terminal_size=size, run_before=act)
