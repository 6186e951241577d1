"""The manager of workspaces by keyboard alone."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from piloting import closed, drive, open_page, opened, shows, text_of, until
from screen_doubles import NOW, Manager, listing, workspace
from textual.pilot import Pilot

from homewright.errors import Unreachable
from homewright.screens import new_workspace
from homewright.screens.app import HomewrightApp
from homewright.screens.services import Services
from homewright.screens.widgets.field import Field
from homewright.screens.widgets.table import Table
from homewright.workspaces.models import Key, Problem, Session, Workspace, WorkspaceState

if TYPE_CHECKING:
    from conftest import Recorded

Make = Callable[..., HomewrightApp]
SIZE = (80, 24)
LIMIT_S = 30.0


def test_workspaces_update_in_place(make_app: Make, site: Path, manager: Manager) -> None:
    async def flow(pilot: Pilot[object]) -> None:
        await open_page(pilot, site, "workspaces")
        await until(pilot, shows(pilot, "alice", "dave"))
        await pilot.press("down", "down")
        table = pilot.app.screen.query_one(Table)
        assert table.cursor_key == "carol/default@s3"
        manager.now = replace(
            manager.now, workspaces=(workspace("aaron", WorkspaceState.STOPPED), *manager.now.workspaces)
        )
        pilot.app.screen.poll()  # type: ignore[attr-defined]  # of the page that is open
        await until(pilot, shows(pilot, "aaron"))
        assert table.cursor_key == "carol/default@s3"

    drive(make_app(), SIZE, flow)


def test_old_data_says_its_age(make_app: Make, site: Path, manager: Manager) -> None:
    manager.now = listing(polled_at=NOW - 25)

    async def flow(pilot: Pilot[object]) -> None:
        await open_page(pilot, site, "workspaces")
        await until(pilot, shows(pilot, "seen 25s ago"))

    drive(make_app(), SIZE, flow)


def test_a_node_that_does_not_answer_is_said(make_app: Make, site: Path, manager: Manager) -> None:
    manager.now = replace(manager.now, unreachable={"s3": "no route to host"})

    async def flow(pilot: Pilot[object]) -> None:
        await open_page(pilot, site, "workspaces")
        await until(pilot, shows(pilot, "s3 does not answer: no route to host"))

    drive(make_app(), SIZE, flow)


def test_stopping_asks_only_where_somebody_is_on(make_app: Make, site: Path, manager: Manager) -> None:
    async def flow(pilot: Pilot[object]) -> None:
        await open_page(pilot, site, "workspaces")
        await until(pilot, shows(pilot, "alice"))
        manager.guests = (Session(address="192.168.1.77", connections=1),)
        await pilot.press("x")
        await until(pilot, shows(pilot, "from 192.168.1.77, 1 connection"))
        await closed(pilot, "escape")
        assert manager.asked == []
        manager.guests = ()
        await pilot.press("x")
        await until(pilot, shows(pilot, "alice/default@s2: stopped"))

    drive(make_app(), SIZE, flow)
    assert manager.asked == [("stop", "alice/default@s2", False)]


def test_marked_workspaces_are_started_together(make_app: Make, site: Path, manager: Manager) -> None:
    async def flow(pilot: Pilot[object]) -> None:
        await open_page(pilot, site, "workspaces")
        await until(pilot, shows(pilot, "dave"))
        await pilot.press("down", "down", "space", "space")
        await until(pilot, shows(pilot, "2 marked"))
        await pilot.press("s")
        await until(pilot, lambda: len(manager.asked) == 2)

    drive(make_app(), SIZE, flow)
    assert {asked[1] for asked in manager.asked} == {"carol/default@s3", "dave/default@s2"}


def test_those_that_are_being_stopped_start_once_all_of_them_are(
    make_app: Make, site: Path, manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow, refused = threading.Event(), threading.Event()
    stop = manager.stop

    def slowly(key: Key, *, in_cluster: bool = False) -> Workspace:
        if key.user == "dave":
            assert refused.wait(LIMIT_S)
            raise Unreachable("s2 does not answer.")
        assert slow.wait(LIMIT_S)
        return stop(key, in_cluster=in_cluster)

    monkeypatch.setattr(manager, "stop", slowly)

    async def flow(pilot: Pilot[object]) -> None:
        await open_page(pilot, site, "workspaces")
        await until(pilot, shows(pilot, "dave"))
        await pilot.press("A")
        await until(pilot, shows(pilot, "4 marked"))
        await pilot.press("x")
        await until(pilot, shows(pilot, "stopping"))
        await pilot.press("s")
        await until(pilot, shows(pilot, "stopping, then starting"))
        assert manager.asked == []
        slow.set()
        await until(pilot, lambda: len(manager.asked) == 3)
        assert {asked[0] for asked in manager.asked} == {"stop"}, "none starts before the last is stopped"
        refused.set()
        await until(pilot, lambda: len(manager.asked) == 6)
        await until(pilot, shows(pilot, "1 of 4 failed", "s2 does not answer."))

    drive(make_app(), (120, 40), flow)
    started = sorted(str(asked[1]) for asked in manager.asked if asked[0] == "start")
    assert [key.partition("/")[0] for key in started] == ["alice", "bob@corp.com", "carol"], (
        "and not what was not stopped"
    )


def test_names_with_numbers_are_in_the_order_of_these(make_app: Make, site: Path, manager: Manager) -> None:
    users = [f"student-{number}" for number in (10, 2, 100, 9, 1)]
    manager.now = replace(manager.now, workspaces=tuple(workspace(user, WorkspaceState.RUNNING) for user in users))

    async def flow(pilot: Pilot[object]) -> None:
        await open_page(pilot, site, "workspaces")
        await until(pilot, shows(pilot, "student-100"))
        rows = pilot.app.screen.query_one(Table).rows
        assert [row.key.partition("/")[0] for row in rows] == [f"student-{number}" for number in (1, 2, 9, 10, 100)]

    drive(make_app(), SIZE, flow)


def test_deleting_keeps_the_storage_unless_it_is_ticked(make_app: Make, site: Path, manager: Manager) -> None:
    async def flow(pilot: Pilot[object]) -> None:
        await open_page(pilot, site, "workspaces")
        await until(pilot, shows(pilot, "alice"))
        await pilot.press("D")
        await until(pilot, shows(pilot, "Type alice/default@s2"))
        await pilot.press(*"alice/default@s2", "enter")
        await until(pilot, shows(pilot, "alice/default@s2: deleted"))

    drive(make_app(), SIZE, flow)
    assert manager.asked == [("delete", "alice/default@s2", False, False)]


def test_space_ticks_and_enter_deletes_wherever_the_focus_is(make_app: Make, site: Path, manager: Manager) -> None:
    async def flow(pilot: Pilot[object]) -> None:
        await open_page(pilot, site, "workspaces")
        await until(pilot, shows(pilot, "alice"))
        await pilot.press("D")
        await until(pilot, shows(pilot, "Type alice/default@s2"))
        await pilot.press("tab", "space", "enter")
        await until(pilot, shows(pilot, "[x]", "that is not alice/default@s2"))
        await pilot.press("tab", *"alice/default@s2")
        await until(pilot, lambda: "that is not" not in text_of(pilot.app))
        await pilot.press("tab", "enter")
        await until(pilot, shows(pilot, "alice/default@s2: deleted"))

    drive(make_app(), SIZE, flow)
    assert manager.asked == [("delete", "alice/default@s2", True, False)]


def test_verbs_on_a_row_of_the_cluster_never_reach_a_server(make_app: Make, site: Path, manager: Manager) -> None:
    """The row may be stale, and a server may have a workspace of that very user and name."""
    one = workspace("erin", WorkspaceState.ERROR)
    manager.now = replace(manager.now, workspaces=(one.model_copy(update={"key": Key(user="erin")}),))

    async def flow(pilot: Pilot[object]) -> None:
        await open_page(pilot, site, "workspaces")
        await until(pilot, shows(pilot, "erin"))
        await pilot.press("s")
        await until(pilot, shows(pilot, "erin: runs"))
        await pilot.press("x")
        await until(pilot, shows(pilot, "erin: stopped"))
        await pilot.press("D")
        await until(pilot, shows(pilot, "Type erin"))
        await pilot.press(*"erin", "enter")
        await until(pilot, shows(pilot, "erin: deleted"))

    drive(make_app(), SIZE, flow)
    assert manager.asked == [("start", "erin", True), ("stop", "erin", True), ("delete", "erin", False, True)]


def test_restarting_asks_only_where_somebody_is_on(make_app: Make, site: Path, manager: Manager) -> None:
    async def flow(pilot: Pilot[object]) -> None:
        await open_page(pilot, site, "workspaces")
        await until(pilot, shows(pilot, "alice"))
        manager.guests = (Session(address="192.168.1.77", connections=1),)
        await pilot.press("R")
        await until(pilot, shows(pilot, "Restarting ends these sessions", "from 192.168.1.77"))
        await closed(pilot, "escape")
        assert manager.asked == []
        manager.guests = ()
        await pilot.press("R")
        await until(pilot, shows(pilot, "alice/default@s2: runs"))

    drive(make_app(), SIZE, flow)
    assert manager.asked == [("restart", "alice/default@s2", False)]


def test_one_that_does_not_say_who_is_on_keeps_the_verb_from_no_other(
    make_app: Make, site: Path, manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sessions(key: Key) -> tuple[Session, ...]:
        if key.user == "carol":
            raise Unreachable("s3 does not answer.")
        return ()

    monkeypatch.setattr(manager, "sessions", sessions)

    async def flow(pilot: Pilot[object]) -> None:
        await open_page(pilot, site, "workspaces")
        await until(pilot, shows(pilot, "dave"))
        await pilot.press("down", "down", "space", "space")
        await until(pilot, shows(pilot, "2 marked"))
        await pilot.press("x")
        await until(pilot, shows(pilot, "stop 2 workspaces?", "carol/default@s3: unknown: s3 does not answer."))
        await pilot.press("enter")
        await until(pilot, lambda: len(manager.asked) == 2)

    drive(make_app(), SIZE, flow)
    assert {asked[1] for asked in manager.asked} == {"carol/default@s3", "dave/default@s2"}


def test_filter_password_and_log(make_app: Make, site: Path, manager: Manager) -> None:
    async def flow(pilot: Pilot[object]) -> None:
        await open_page(pilot, site, "workspaces")
        await until(pilot, shows(pilot, "alice"))
        assert "correct horse battery" not in text_of(pilot.app)
        await pilot.press("p")
        await until(pilot, shows(pilot, "correct horse battery"))
        await closed(pilot, "escape")
        await pilot.press("l")
        await until(pilot, shows(pilot, "session opened"))
        assert "a title" not in text_of(pilot.app)
        await closed(pilot, "escape")
        await opened(pilot, "slash")
        await pilot.press(*"carol", "enter")
        await until(pilot, lambda: "dave" not in text_of(pilot.app))
        assert "carol" in text_of(pilot.app)

    drive(make_app(), SIZE, flow)


def test_a_second_owner_must_be_accepted(make_app: Make, site: Path, manager: Manager) -> None:
    manager.must_accept = "s3 already has workspaces of bob."

    async def flow(pilot: Pilot[object]) -> None:
        await open_page(pilot, site, "workspaces")
        await until(pilot, shows(pilot, "alice"))
        await pilot.press("n")
        await until(pilot, shows(pilot, "To be accepted"))
        await pilot.press("ctrl+s")
        await until(pilot, shows(pilot, "Accept the warning first"))
        assert manager.asked == []
        await pilot.press("space", "ctrl+s")
        await until(pilot, shows(pilot, "https://192.168.1.13:8500/"))

    drive(make_app(), SIZE, flow)
    assert manager.asked == [("create", "alice", "small", True, True)]
    assert manager.anyway is False, "nobody has accepted that it would not start"


def test_what_was_accepted_of_one_workspace_is_not_of_the_next(
    make_app: Make, site: Path, manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager.must_accept = "s3 already has workspaces of bob."

    async def flow(pilot: Pilot[object]) -> None:
        await open_page(pilot, site, "workspaces")
        await until(pilot, shows(pilot, "alice"))
        await pilot.press("n")
        await until(pilot, shows(pilot, "To be accepted"))
        await pilot.press("ctrl+s", "space")
        await until(pilot, shows(pilot, "[x] I accept"))
        monkeypatch.setattr(new_workspace, "CHECK_AFTER_S", 3600.0)  # faster than the nodes are asked
        manager.must_accept, manager.problems = "", (Problem(reason="no node has room", whose="cluster"),)
        pilot.app.screen.query_one("#field-user", Field).control_widget.focus()
        await pilot.press("x", "ctrl+s")
        await until(pilot, shows(pilot, "It would not start: no node has room", "Accept the warning first"))
        assert manager.asked == []
        await pilot.press("space", "ctrl+s")
        await until(pilot, lambda: bool(manager.asked))

    drive(make_app(), SIZE, flow)
    assert manager.asked == [("create", "x", "small", False, False)] and manager.anyway


def test_accepting_one_warning_accepts_no_other(make_app: Make, site: Path, manager: Manager) -> None:
    manager.must_accept = "s3 already has workspaces of bob."

    async def flow(pilot: Pilot[object]) -> None:
        await open_page(pilot, site, "workspaces")
        await until(pilot, shows(pilot, "alice"))
        await pilot.press("n")
        await until(pilot, shows(pilot, "To be accepted"))
        await pilot.press("ctrl+s", "space")
        await until(pilot, shows(pilot, "[x] I accept"))
        manager.must_accept = "Its network keeps nobody apart."
        pilot.app.screen._check()  # type: ignore[attr-defined]  # as after a change of the form
        await until(pilot, shows(pilot, "keeps nobody apart"))
        await pilot.press("ctrl+s")
        await until(pilot, shows(pilot, "Accept the warning first"))

    drive(make_app(), SIZE, flow)
    assert manager.asked == []


@pytest.mark.parametrize(
    ("typed", "says"),
    [("a / b", "User: must not contain a slash"), ("a d a space", "User: must not contain a space")],
)
def test_a_wrong_field_gets_the_focus_and_says_why(
    make_app: Make, site: Path, manager: Manager, typed: str, says: str
) -> None:
    async def flow(pilot: Pilot[object]) -> None:
        await open_page(pilot, site, "workspaces")
        await until(pilot, shows(pilot, "alice"))
        await pilot.press("n")
        await until(pilot, shows(pilot, "It goes to"))
        await pilot.press("home", *typed.split(" "), "tab", "ctrl+s")
        await until(pilot, shows(pilot, says))
        assert pilot.app.focused is not None and pilot.app.focused.parent is not None
        assert pilot.app.focused.parent.id == "field-user"

    drive(make_app(), SIZE, flow)
    assert manager.asked == []


@pytest.mark.parametrize(
    ("sitting", "sudo_user", "proposed"),
    [("ann", None, "ann"), ("ann", "bob", "ann"), ("root", "bob", "bob"), ("root", None, ""), ("root", "root", "")],
)
def test_root_is_never_proposed_as_a_user(
    monkeypatch: pytest.MonkeyPatch, sitting: str, sudo_user: str | None, proposed: str
) -> None:
    monkeypatch.setenv("LOGNAME", sitting)
    monkeypatch.delenv("SUDO_USER", raising=False)
    if sudo_user is not None:
        monkeypatch.setenv("SUDO_USER", sudo_user)
    assert Services().login() == proposed


def test_where_nobody_is_proposed_the_user_is_asked_for(
    make_app: Make, services: Recorded, site: Path, manager: Manager
) -> None:
    services.login = lambda: ""  # type: ignore[method-assign]  # for one test

    async def flow(pilot: Pilot[object]) -> None:
        await open_page(pilot, site, "workspaces")
        await until(pilot, shows(pilot, "alice"))
        await pilot.press("n")
        await until(pilot, shows(pilot, "who it is for", "Fill in the fields"))
        await pilot.press("ctrl+s")
        await until(pilot, shows(pilot, "User: this is needed"))
        await pilot.press(*"carol")
        await until(pilot, shows(pilot, "It goes to"))

    drive(make_app(), SIZE, flow)
    assert manager.asked == []
