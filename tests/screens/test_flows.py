"""The wizard by keyboard alone, from a new site to an approved plan."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from piloting import closed, drive, open_page, opened, recorded_facts, shows, text_of, until
from screen_checks import report_of
from screen_doubles import Manager, write_run
from textual.pilot import Pilot

from homewright.checks import running
from homewright.errors import Unreachable
from homewright.screens.app import HomewrightApp
from homewright.screens.deploy import Deploy
from homewright.screens.page import STEPS, fitting
from homewright.screens.servers import beside_its_name
from homewright.screens.services import Reach, SiteGlimpse
from homewright.screens.widgets.table import Table
from homewright.site import files
from homewright.site.models import Server
from homewright.site.paths import StateFolder

if TYPE_CHECKING:
    from conftest import Recorded

Make = Callable[..., HomewrightApp]
SIZE = (80, 24)


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
        await until(pilot, shows(pilot, "7/9 Platform", "would ask for"))
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


def test_the_answers_of_a_finished_site_can_be_changed(
    make_app: Make, services: Recorded, site: Path, state: StateFolder
) -> None:
    write_run(state, "succeeded")

    async def flow(pilot: Pilot[object]) -> None:
        await until(pilot, shows(pilot, "servers of attic", "add or change one"))
        await pilot.press("down", "enter")
        await until(pilot, shows(pilot, "1/9 Servers", "192.168.1.11"))

    drive(make_app(), SIZE, flow)


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
        assert pilot.app.screen.query_one(Table).rows[0].cells[2] == ("✗ refuses the password of admin.", "failed")
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

    services.sites = counted  # type: ignore[method-assign]  # for one test

    async def flow(pilot: Pilot[object]) -> None:
        await until(pilot, shows(pilot, "attic", "all answer"))
        # No other screen beneath it, which would be laid out for nothing before the first frame.
        assert [type(screen).__name__ for screen in pilot.app.screen_stack] == ["Welcome"]

    drive(make_app(), SIZE, flow)
    assert len(looked) == 1


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("s1 (10.0.0.7) does not answer.", "does not answer."),
        ("s1 answers, but not as an SSH server.", "answers, but not as an SSH server."),
        ("s1's SSH server is too old or too strict for us.", "s1's SSH server is too old or too strict for us."),
        ("The host key of s1 (10.0.0.7) has changed.", "The host key has changed."),
        ("sudo on s1 did not take the password.", "sudo did not take the password."),
        ("compare its fingerprint", "compare its fingerprint"),
    ],
)
def test_beside_a_server_s_name_it_is_not_said_again(said: str, shown: str) -> None:
    assert beside_its_name(said, Server(name="s1", address="10.0.0.7", user="ann")) == shown


@pytest.mark.parametrize(
    ("contacted", "says"),
    [
        (0, "3 servers, all answer · no first contact yet"),
        (2, "3 servers, all answer · first contact with 2"),
        (3, "3 servers, all answer · nothing done yet"),
    ],
)
def test_a_port_that_answers_is_not_called_more_than_that(
    make_app: Make, site: Path, contact: Callable[[int], None], contacted: int, says: str
) -> None:
    contact(contacted)

    async def flow(pilot: Pilot[object]) -> None:
        await until(pilot, shows(pilot, says))

    drive(make_app(), SIZE, flow)


def test_servers_that_answer_are_told_also_where_known_hosts_cannot_be_read(
    make_app: Make, site: Path, state: StateFolder
) -> None:
    state.key.write_text("the site's own key\n")
    state.known_hosts.mkdir()

    async def flow(pilot: Pilot[object]) -> None:
        await until(pilot, shows(pilot, "3 servers, all answer"))

    drive(make_app(), SIZE, flow)


def test_a_refused_password_leads_to_another_user(make_app: Make, site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("homewright.lab.SITE_NAME", "attic")

    async def flow(pilot: Pilot[object]) -> None:
        await open_page(pilot, site, "servers")
        await until(pilot, shows(pilot, "0 of 3"))
        await pilot.press("C")
        await until(pilot, shows(pilot, "SHA256:"))

        def asks(left: int) -> Callable[[], bool]:
            return lambda: (
                text_of(pilot.app).count("! compare its fingerprint") == left and shows(pilot, "shows this host key")()
            )

        for left in (3, 2, 1):  # whichever answers first is asked about first
            await until(pilot, asks(left))
            await pilot.press("y")
        await until(pilot, shows(pilot, "The practice servers' password", "--password"))
        await pilot.press(*"wrong", "enter")
        await until(pilot, shows(pilot, "another user: esc, then enter", "the practice servers' password"))
        await pilot.press("escape", "enter")
        await until(pilot, shows(pilot, "User", "next field"))

    drive(make_app(), SIZE, flow)


def test_removing_a_server_wants_its_name(make_app: Make, site: Path) -> None:
    async def flow(pilot: Pilot[object]) -> None:
        await open_page(pilot, site, "servers")
        await until(pilot, shows(pilot, "0 of 3"))
        await pilot.press("down", "D")
        await until(pilot, shows(pilot, "Type s2 to go on"))
        await pilot.press(*"s1", "enter")
        await until(pilot, shows(pilot, "that is not s2"))
        await pilot.press("backspace", "2")
        await until(pilot, lambda: "that is not s2" not in text_of(pilot.app))
        await pilot.press("enter")
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

    services.reach = counted  # type: ignore[method-assign]  # for one test

    async def flow(pilot: Pilot[object]) -> None:
        await open_page(pilot, site, "servers")
        await until(pilot, shows(pilot, "0 of 3"))
        await pilot.press("f1")
        await until(pilot, shows(pilot, "help · Servers"))
        await closed(pilot, "escape")
        await until(pilot, shows(pilot, "0 of 3 reached", "no first contact yet"))
        assert sorted(tried) == ["s1", "s2", "s3"]

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


def test_what_had_the_keyboard_has_it_again_once_it_can_be_seen(make_app: Make, site: Path, manager: Manager) -> None:
    async def flow(pilot: Pilot[object]) -> None:
        async def too_small_for_a_while() -> None:
            held = pilot.app.screen.focused
            assert held is not None
            for size in ((60, 20), (50, 18)):
                await pilot.resize_terminal(*size)
                await until(pilot, shows(pilot, f"has {size[0]}x{size[1]}"))
                await until(pilot, lambda: pilot.app.screen.focused is None)
            await pilot.resize_terminal(*SIZE)
            await until(pilot, lambda: pilot.app.screen.focused is held)

        await open_page(pilot, site, "workspaces")
        await until(pilot, shows(pilot, "alice"))
        await too_small_for_a_while()
        await pilot.press("D")
        await until(pilot, shows(pilot, "Type alice/default@s2"))
        await too_small_for_a_while()
        await closed(pilot, "escape")
        await until(pilot, lambda: isinstance(pilot.app.screen.focused, Table))

    drive(make_app(), SIZE, flow)
