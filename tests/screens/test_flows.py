"""The screens by keyboard alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from piloting import closed, drive, opened, recorded_facts, shows, text_of, until
from screen_checks import report_of
from screen_doubles import NOW, RUN, Manager, listing, workspace, write_run
from textual.pilot import Pilot

from homewright.checks import running
from homewright.engine.journal import Reader
from homewright.engine.lock import EngineLock
from homewright.errors import Unreachable
from homewright.screens.app import HomewrightApp
from homewright.screens.deploy import Deploy
from homewright.screens.page import STEPS, fitting
from homewright.screens.services import Reach, SiteGlimpse
from homewright.screens.widgets.log_pane import LogPane
from homewright.screens.widgets.table import Table
from homewright.site import files
from homewright.site.models import Server
from homewright.site.paths import StateFolder
from homewright.workspaces.models import Session, WorkspaceState

if TYPE_CHECKING:
    from conftest import Recorded

Make = Callable[..., HomewrightApp]
SIZE = (80, 24)


async def open_page(pilot: Pilot[object], file: Path, page: str) -> None:
    app = pilot.app
    assert isinstance(app, HomewrightApp)
    await until(pilot, shows(pilot, "Begin something"))
    app.open_site(file, "attic")
    app.go(page)
    await pilot.pause()


def test_a_new_site_gets_a_server_and_first_contact(make_app: Make, services: Recorded) -> None:
    async def flow(pilot: Pilot[object]) -> None:
        await until(pilot, shows(pilot, "Begin something"))
        await opened(pilot, "n")
        await pilot.press(*"attic", "enter")
        await until(pilot, shows(pilot, "No servers yet"))
        await pilot.press("ctrl+n")
        await until(pilot, shows(pilot, "Add a server first"))
        await opened(pilot, "a")
        await pilot.press(*"s1", "enter", *"192.168.1.11", "enter", *"admin", "enter", "enter", "enter")
        await until(pilot, shows(pilot, "s1", "no first contact yet"))
        assert files.load(services.place_of("attic")).servers[0].address == "192.168.1.11"
        await pilot.press("ctrl+n")
        await until(pilot, shows(pilot, "s1: no first contact yet. Press c"))
        await pilot.press("c")
        await until(pilot, shows(pilot, "SHA256:", "ssh-keygen -lf"))
        assert services.passwords == []
        await pilot.press("y")
        await until(pilot, shows(pilot, "waits for a password"))
        await pilot.press(*"correct", "enter")
        await until(pilot, shows(pilot, "Every server here is reached"))
        await pilot.press("ctrl+n")
        await until(pilot, shows(pilot, "1 of 1 reached"))
        await pilot.press("ctrl+n")
        await until(pilot, shows(pilot, "2/9 Hardware", "1 of 1 known"))
        await pilot.press("ctrl+n")
        await until(pilot, shows(pilot, "3/9 Checks", "Every check passed"))
        await pilot.press("ctrl+n")
        await until(pilot, shows(pilot, "4/9 Network", "No two ranges meet"))
        await pilot.press("ctrl+n")
        await until(pilot, shows(pilot, "5/9 GPUs", "GeForce"))
        await pilot.press("ctrl+n")
        await until(pilot, shows(pilot, "6/9 Instances", "1 instance"))
        await pilot.press("ctrl+n")
        await until(pilot, shows(pilot, "7/9 Platform", "It asks for"))
        await pilot.press("ctrl+n")
        await until(pilot, shows(pilot, "It is shown this once"))
        await pilot.press("enter")
        await until(pilot, shows(pilot, "8/9 Plan", "00/10"))
        for step, name in reversed(list(enumerate(STEPS[:7], 1))):
            await pilot.press("escape")
            await until(pilot, shows(pilot, f"{step}/9 {name}"))
        await pilot.press("escape")
        await until(pilot, shows(pilot, "Begin something"))

    drive(make_app(), SIZE, flow)
    assert services.passwords == [("s1", None), ("s1", "correct")]


def test_nothing_is_sent_to_a_server_with_another_host_key(make_app: Make, services: Recorded, site: Path) -> None:
    async def flow(pilot: Pilot[object]) -> None:
        await open_page(pilot, site, "servers")
        await until(pilot, shows(pilot, "0 of 3"))
        await pilot.press("c")
        await until(pilot, shows(pilot, "ssh-keygen -lf"))
        await pilot.press("x")
        await until(pilot, shows(pilot, "nothing was sent"))

    drive(make_app(), SIZE, flow)
    assert services.passwords == []


def test_a_refused_password_is_typed_anew(make_app: Make, services: Recorded, site: Path) -> None:
    async def flow(pilot: Pilot[object]) -> None:
        await open_page(pilot, site, "servers")
        await until(pilot, shows(pilot, "0 of 3"))
        await pilot.press("c")
        await until(pilot, shows(pilot, "ssh-keygen -lf"))
        await pilot.press("y")
        await until(pilot, shows(pilot, "waits for a password"))
        await pilot.press(*"wrong", "enter")
        await until(pilot, shows(pilot, "refuses the password"))
        await pilot.press(*"correct", "enter")
        await until(pilot, shows(pilot, "Every server here is reached"))

    drive(make_app(), SIZE, flow)
    assert services.passwords[-1] == ("s1", "correct")


def test_the_sites_are_looked_at_once_at_the_start(make_app: Make, services: Recorded, site: Path) -> None:
    looked: list[str | None] = []
    sites = services.sites

    def counted(chosen: str | None) -> list[SiteGlimpse]:
        looked.append(chosen)
        return sites(chosen)

    services.sites = counted  # type: ignore[method-assign]

    async def flow(pilot: Pilot[object]) -> None:
        await until(pilot, shows(pilot, "attic", "all answer"))
        # No other screen beneath it, which would be laid out for nothing before the first frame.
        assert [type(screen).__name__ for screen in pilot.app.screen_stack] == ["Welcome"]

    drive(make_app(), SIZE, flow)
    assert len(looked) == 1


def test_removing_a_server_wants_its_name(make_app: Make, site: Path) -> None:
    async def flow(pilot: Pilot[object]) -> None:
        await open_page(pilot, site, "servers")
        await until(pilot, shows(pilot, "0 of 3"))
        await pilot.press("down", "D")
        await until(pilot, shows(pilot, "Type s2 to go on"))
        await pilot.press(*"s1", "enter")
        await until(pilot, shows(pilot, "that is not s2"))
        await pilot.press("backspace", "2", "enter")
        await until(pilot, shows(pilot, "0 of 2"))

    drive(make_app(), SIZE, flow)
    assert [server.name for server in files.load(site).servers] == ["s1", "s3"]


def test_servers_come_from_the_ssh_configuration(
    make_app: Make, services: Recorded, site: Path, tmp_path: Path
) -> None:
    config = tmp_path / ".ssh" / "config"
    config.parent.mkdir()
    config.write_text(
        "Host tower\n  HostName 192.168.1.40\n  User ops\n  Port 2222\nHost web\n  HostName web.example\n"
        "Host typo\n  HostName 192.168.1.41\n  Port ssh\n"
    )

    async def flow(pilot: Pilot[object]) -> None:
        await open_page(pilot, site, "servers")
        await until(pilot, shows(pilot, "0 of 3"))
        await pilot.press("i")
        await until(pilot, shows(pilot, "tower", "address must be", "port ssh is n"))
        await pilot.press("enter")
        await until(pilot, shows(pilot, "0 of 4"))

    drive(make_app(), SIZE, flow)
    added = files.load(site).servers[-1]
    assert (added.name, added.address, added.user, added.port) == ("tower", "192.168.1.40", "ops", 2222)


def test_next_goes_to_the_server_that_was_not_reached(make_app: Make, services: Recorded, site: Path) -> None:
    error = Unreachable("s2 does not answer.", "Nothing came back.", ["see whether it is on"])
    services.reached = {"s1": Reach(True, "reached"), "s2": Reach(False, error.what, error=error)}

    async def flow(pilot: Pilot[object]) -> None:
        await open_page(pilot, site, "servers")
        await until(pilot, shows(pilot, "1 of 3 reached", "does not answer"))
        await pilot.press("ctrl+n")
        await until(pilot, shows(pilot, "✗ s3: no first contact yet"))
        assert pilot.app.screen.query_one(Table).cursor_key == "s3"
        services.reached["s3"] = Reach(True, "reached")
        await pilot.press("r")
        await until(pilot, shows(pilot, "2 of 3 reached"))
        await pilot.press("ctrl+n")
        await until(pilot, shows(pilot, "s2 does not answer: ctrl+n once more goes on without s2"))
        assert pilot.app.screen.query_one(Table).cursor_key == "s2"
        await pilot.press("ctrl+n")
        await until(pilot, shows(pilot, "2/9 Hardware"))

    drive(make_app(), SIZE, flow)


def test_help_over_the_servers_tries_none_of_them_again(make_app: Make, services: Recorded, site: Path) -> None:
    tried: list[str] = []
    reach = services.reach

    def counted(server: Server, state: StateFolder) -> Reach:
        tried.append(server.name)
        return reach(server, state)

    services.reach = counted  # type: ignore[method-assign]

    async def flow(pilot: Pilot[object]) -> None:
        await open_page(pilot, site, "servers")
        await until(pilot, shows(pilot, "0 of 3"))
        await pilot.press("f1")
        await until(pilot, shows(pilot, "help · Servers"))
        await closed(pilot, "escape")
        await until(pilot, shows(pilot, "0 of 3 reached", "no first contact yet"))
        assert sorted(tried) == ["s1", "s2", "s3"]

    drive(make_app(), SIZE, flow)


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


def test_the_key_line_always_has_the_way_on() -> None:
    keys = [("a", "add"), ("b", "x" * 30), ("c", "y" * 30), ("ctrl+n", "next"), ("F1", "help")]
    assert fitting(keys, 120) == keys
    leaving = [*keys[:2], ("ctrl+q", "leave"), keys[-1]]
    assert fitting(leaving, 60) == [*keys[:2], keys[-1]]
    assert fitting(keys, 80) == [keys[0], keys[1], ("ctrl+n", "next"), ("ctrl+p", "more"), ("F1", "help")]


def test_approving_the_plan_begins_that_very_plan(
    make_app: Make, services: Recorded, site: Path, state: StateFolder
) -> None:
    recorded_facts(state, ["s1", "s2", "s3"])
    write_run(state, "failed")
    running.keep(state, report_of(["s1", "s2", "s3"]))

    async def flow(pilot: Pilot[object]) -> None:
        await open_page(pilot, site, "plan")
        await until(pilot, shows(pilot, "00/40"))
        await pilot.press("ctrl+n")
        await until(pilot, shows(pilot, "approve this plan?"))
        await closed(pilot, "escape")
        assert services.begun == []
        await pilot.press("ctrl+n")
        await until(pilot, shows(pilot, "approve this plan?"))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, Deploy))

    drive(make_app(), SIZE, flow)
    assert services.begun == [services.plan(site, state, None).digest]


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


def test_a_failed_step_is_left_out_for_a_reason(
    make_app: Make, services: Recorded, site: Path, state: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_run(state, "failed")
    asked: list[object] = []
    monkeypatch.setattr(services, "go_on", lambda *words: asked.append(words) or RUN)

    async def flow(pilot: Pilot[object]) -> None:
        await open_page(pilot, site, "deploy")
        await until(pilot, shows(pilot, "k skip"))
        await pilot.press("k")
        await until(pilot, shows(pilot, "leave out 00/20"))
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
        await until(pilot, shows(pilot, "homewright attach"))
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, Deploy))
        await pilot.press("ctrl+q")
        await until(pilot, shows(pilot, "homewright attach"))
        await pilot.press("enter")
        await until(pilot, lambda: pilot.app._exit)

    try:
        drive(make_app(), SIZE, flow)
    finally:
        lock.release()


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
        pilot.app.screen.poll()  # type: ignore[attr-defined]
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
    assert manager.asked == [("stop", "alice/default@s2")]


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


def test_deleting_keeps_the_storage_unless_it_is_ticked(make_app: Make, site: Path, manager: Manager) -> None:
    async def flow(pilot: Pilot[object]) -> None:
        await open_page(pilot, site, "workspaces")
        await until(pilot, shows(pilot, "alice"))
        await pilot.press("D")
        await until(pilot, shows(pilot, "Type alice/default@s2"))
        await pilot.press(*"alice/default@s2", "enter")
        await until(pilot, shows(pilot, "alice/default@s2: deleted"))

    drive(make_app(), SIZE, flow)
    assert manager.asked == [("delete", "alice/default@s2", False)]


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
    assert manager.asked == [("create", "alice", "small", True)]


def test_a_wrong_field_gets_the_focus_and_says_why(make_app: Make, site: Path, manager: Manager) -> None:
    async def flow(pilot: Pilot[object]) -> None:
        await open_page(pilot, site, "workspaces")
        await until(pilot, shows(pilot, "alice"))
        await pilot.press("n")
        await until(pilot, shows(pilot, "It goes to"))
        await pilot.press("home", *"a/b", "tab", "ctrl+s")
        await until(pilot, shows(pilot, "User: must not contain a slash"))
        assert pilot.app.focused is not None and pilot.app.focused.parent is not None
        assert pilot.app.focused.parent.id == "field-user"

    drive(make_app(), SIZE, flow)
    assert manager.asked == []


def test_what_was_not_foreseen_is_said_calmly(
    make_app: Make, services: Recorded, site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("a mistake of ours")

    monkeypatch.setattr(services, "plan", broken)

    async def flow(pilot: Pilot[object]) -> None:
        await open_page(pilot, site, "plan")
        await until(pilot, shows(pilot, "Something unexpected went wrong"))
        assert "Traceback" not in text_of(pilot.app)

    drive(make_app(), SIZE, flow)
    report = next((tmp_path / "state" / "homewright").glob("unexpected-*.txt"))
    assert "a mistake of ours" in report.read_text()
    assert report.stat().st_mode & 0o777 == 0o600


def test_no_key_acts_on_what_cannot_be_seen(make_app: Make, site: Path, manager: Manager) -> None:
    async def flow(pilot: Pilot[object]) -> None:
        await open_page(pilot, site, "workspaces")
        await until(pilot, shows(pilot, "alice"))
        await pilot.resize_terminal(60, 20)
        await until(pilot, shows(pilot, "needs 80x24"))
        await pilot.press("x", "D", "n")
        await pilot.resize_terminal(80, 24)
        await until(pilot, shows(pilot, "alice", "4 · 1 running"))

    drive(make_app(), SIZE, flow)
    assert manager.asked == []
