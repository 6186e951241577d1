"""Every screen and its important states, as pictures at 80x24 and 120x40."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from piloting import SIZES, Compare, Make, both, page, recorded_facts, shows, text_of, to, until
from screen_doubles import RUN, Manager, workspace, write_run
from textual.pilot import Pilot

from homewright.engine.lock import EngineLock
from homewright.errors import HostKeyError, Unreachable
from homewright.screens.practice import Practice
from homewright.screens.services import Reach, Services
from homewright.screens.terminal import Terminal
from homewright.site.paths import StateFolder
from homewright.workspaces.models import Key, WorkspaceState


@both
def test_welcome_with_nothing(snap_compare: Compare, make_app: Make, size: tuple[int, int]) -> None:
    assert snap_compare(make_app(), terminal_size=size, run_before=to(("New site", "Practise")))


@both
def test_welcome_with_a_site_that_failed(
    snap_compare: Compare,
    make_app: Make,
    site: Path,
    state: StateFolder,
    contact: Callable[[int], None],
    size: tuple[int, int],
) -> None:
    contact(3)
    write_run(state, "failed")
    assert snap_compare(make_app(), terminal_size=size, run_before=to(("all answer", "run failed")))


@both
def test_site_with_a_wrong_name(
    snap_compare: Compare, make_app: Make, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    monkeypatch.setattr(
        Services, "place_of", lambda self, name: Path(f"/home/alice/.config/homewright/{name}/site.yaml")
    )
    act = to(("Begin",), "n", ("What is the site called",), "A t t i c ctrl+n", ("must be lowercase",))
    assert snap_compare(make_app(), terminal_size=size, run_before=act)


@both
def test_practice(snap_compare: Compare, make_app: Make, size: tuple[int, int]) -> None:
    act = to(("Practise on this machine",), "p", ("enter makes them",))
    assert snap_compare(make_app(), terminal_size=size, run_before=act)


def test_practice_servers_are_up(
    snap_compare: Compare, make_app: Make, services: Services, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = Path("/home/alice/.config/homewright/practice/site.yaml")
    services.lab_up = lambda *_: ("practice", shown, "practice-1")  # type: ignore[method-assign]  # for one test
    monkeypatch.setattr(Practice, "_may_be_root", lambda self: True)
    act = to(("Practise on this machine",), "p", ("enter makes them",), "enter", ("first contact asks",))
    assert snap_compare(make_app(), terminal_size=SIZES[0], run_before=act)


@both
def test_import(snap_compare: Compare, make_app: Make, site: Path, tmp_path: Path, size: tuple[int, int]) -> None:
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "config").write_text(
        "Host tower\n  HostName 192.168.1.40\n  User ops\nHost web\n  HostName web.example\n  User ops\n"
        "Host old\n  HostName 192.168.1.11\n  User ops\n"
    )
    assert snap_compare(make_app(), terminal_size=size, run_before=page("servers", ("0 of 3",), "i", ("tower",)))


@both
def test_servers(
    snap_compare: Compare,
    make_app: Make,
    services: Services,
    site: Path,
    size: tuple[int, int],
) -> None:
    error = Unreachable("s2 (192.168.1.12) does not answer.", "Nothing came back in 10 s.", ["see whether it is on"])
    services.reached |= {"s1": Reach(True, "reached"), "s2": Reach(False, error.what, error=error)}  # type: ignore[attr-defined]
    act = page("servers", ("1 of 3 reached",), "down", ("see whether it is on",))
    assert snap_compare(make_app(), terminal_size=size, run_before=act)


@both
def test_servers_when_there_are_none(
    snap_compare: Compare, make_app: Make, services: Services, size: tuple[int, int]
) -> None:
    act = page("servers", ("Add the first server: press a",), file=services.make_site("attic"))
    assert snap_compare(make_app(), terminal_size=size, run_before=act)


def test_servers_with_another_host_key(snap_compare: Compare, make_app: Make, services: Services, site: Path) -> None:
    error = HostKeyError(
        "The host key of s1 (192.168.1.11) has changed.",
        f"Trusted is SHA256:{'a' * 43} (ssh-ed25519), it shows SHA256:{'b' * 43} (ssh-ed25519). "
        "Either the server was installed anew, or another machine answers at its address. Nothing was sent to it.",
        [
            "on its console: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub",
            f"only if that prints SHA256:{'b' * 43}: homewright trust s1 --fingerprint SHA256:{'b' * 43}",
        ],
    )
    services.reached |= {"s1": Reach(False, error.what, error=error)}  # type: ignore[attr-defined]  # of FakeServices
    act = page("servers", ("has changed", "Then r tries again"))
    assert snap_compare(make_app(), terminal_size=SIZES[0], run_before=act)


def test_servers_all_reached(snap_compare: Compare, make_app: Make, services: Services, site: Path) -> None:
    services.reached |= {name: Reach(True, "reached") for name in ("s1", "s2", "s3")}  # type: ignore[attr-defined]
    act = page("servers", ("Go on to the hardware: ctrl+n",))
    assert snap_compare(make_app(), terminal_size=SIZES[0], run_before=act)


@both
def test_server_form(snap_compare: Compare, make_app: Make, site: Path, size: tuple[int, int]) -> None:
    act = page("servers", ("0 of 3",), "a s 1 enter 1 0 . 0 enter", ("already a server called s1",))
    assert snap_compare(make_app(), terminal_size=size, run_before=act)


@both
def test_fingerprint_to_compare(snap_compare: Compare, make_app: Make, site: Path, size: tuple[int, int]) -> None:
    async def act(pilot: Pilot[object]) -> None:
        await page("servers", ("0 of 3",), "C", ("compare its fingerprint", "ssh-keygen -lf"))(pilot)
        await until(pilot, lambda: text_of(pilot.app).count("compare its fingerprint") == 3)
        await pilot.press("home")  # the cursor went to the server that answered first
        await until(pilot, shows(pilot, "▸ s1"))

    assert snap_compare(make_app(), terminal_size=size, run_before=act)


@both
def test_password_refused(snap_compare: Compare, make_app: Make, site: Path, size: tuple[int, int]) -> None:
    act = page(
        "servers",
        ("0 of 3",),
        "c",
        ("ssh-keygen",),
        "y",
        ("waits for a password",),
        "w r o n g enter",
        ("refuses the password",),
    )
    assert snap_compare(make_app(), terminal_size=size, run_before=act)


@both
def test_plan(snap_compare: Compare, make_app: Make, site: Path, state: StateFolder, size: tuple[int, int]) -> None:
    recorded_facts(state, ["s1", "s2", "s3"])
    assert snap_compare(make_app(), terminal_size=size, run_before=page("plan", ("00/40", "no reboot")))


@both
def test_plan_by_server(
    snap_compare: Compare, make_app: Make, site: Path, state: StateFolder, size: tuple[int, int]
) -> None:
    recorded_facts(state, ["s1", "s2", "s3"])
    assert snap_compare(make_app(), terminal_size=size, run_before=page("plan", ("no reboot",), "v", ("00/10 ",)))


@pytest.mark.parametrize("size", [*SIZES, (160, 45)], ids=["80x24", "120x40", "160x45"])
def test_deploy_running(
    snap_compare: Compare, make_app: Make, site: Path, state: StateFolder, size: tuple[int, int]
) -> None:
    lock = EngineLock.take(state, RUN)
    write_run(state, "running")
    try:
        act = page("deploy", ("20 SSH keys", "Initial setup", "line 12", "12 %"))
        assert snap_compare(make_app(), terminal_size=size, run_before=act)
    finally:
        lock.release()


@both
def test_deploy_failed(
    snap_compare: Compare, make_app: Make, site: Path, state: StateFolder, size: tuple[int, int]
) -> None:
    write_run(state, "failed")
    act = page("deploy", ("The disk of a server is full", "Initial setup"))
    assert snap_compare(make_app(), terminal_size=size, run_before=act)


@both
def test_deploy_done(
    snap_compare: Compare, make_app: Make, site: Path, state: StateFolder, size: tuple[int, int]
) -> None:
    write_run(state, "succeeded")
    act = page("deploy", ("Done, 9 changed", "Initial setup", "Run done"))
    assert snap_compare(make_app(), terminal_size=size, run_before=act)


@both
def test_finished(snap_compare: Compare, make_app: Make, site: Path, state: StateFolder, size: tuple[int, int]) -> None:
    write_run(state, "succeeded")
    assert snap_compare(make_app(), terminal_size=size, run_before=page("finished", ("Proved, 9 changed",)))


@both
def test_workspaces(snap_compare: Compare, make_app: Make, site: Path, size: tuple[int, int]) -> None:
    act = page("workspaces", ("alice",), "down down", ("look at its log",))
    assert snap_compare(make_app(), terminal_size=size, run_before=act)


@both
def test_workspace_details(snap_compare: Compare, make_app: Make, site: Path, size: tuple[int, int]) -> None:
    act = page("workspaces", ("alice",), "enter", ("On now    nobody",))
    assert snap_compare(make_app(), terminal_size=size, run_before=act)


BY_NAME = "https://code-alice.s2.home.internal:8500/"


@both
@pytest.mark.parametrize(("key", "waits"), [("o", "c copy"), ("enter", "On now    nobody")], ids=["address", "details"])
def test_workspace_with_a_name_that_is_not_found_here(
    snap_compare: Compare, make_app: Make, site: Path, manager: Manager, size: tuple[int, int], key: str, waits: str
) -> None:
    alice = workspace("alice", WorkspaceState.RUNNING, by_name=BY_NAME)
    manager.now = replace(manager.now, workspaces=(alice, *manager.now.workspaces[1:]))
    act = page("workspaces", ("alice",), key, (BY_NAME, waits))
    assert snap_compare(make_app(), terminal_size=size, run_before=act)


@both
@pytest.mark.parametrize(
    ("key", "waits"), [("home", "stop another GPU"), ("o", "http://localhost:8080/")], ids=["list", "address"]
)
def test_workspaces_of_the_cluster(
    snap_compare: Compare, make_app: Make, site: Path, manager: Manager, size: tuple[int, int], key: str, waits: str
) -> None:
    short = {"reason": "no node has room: too few GPUs on 3 of 3 nodes", "whose": "user", "node": "",
             "remedy": "stop another GPU workspace, or take a smaller preset"}  # fmt: skip
    pulling = {"reason": "pulling its image", "node": "n1"}
    of_it = {"template": "code-server", "preset": "standard", "port": None, "address": ""}
    erin = workspace("erin", WorkspaceState.ERROR).model_copy(update={**of_it, **short, "key": Key(user="erin")})
    frank = workspace("frank", WorkspaceState.STARTING).model_copy(
        update={**of_it, **pulling, "key": Key(user="frank")}
    )
    manager.now = replace(manager.now, workspaces=(erin, frank))
    act = page("workspaces", ("erin",), key, (waits,))
    assert snap_compare(make_app(), terminal_size=size, run_before=act)


@both
def test_stopping_says_who_is_on(
    snap_compare: Compare, make_app: Make, site: Path, manager: Manager, size: tuple[int, int]
) -> None:
    from homewright.workspaces.models import Session

    manager.guests = (Session(address="192.168.1.77", connections=2),)
    act = page("workspaces", ("alice",), "x", ("192.168.1.77",))
    assert snap_compare(make_app(), terminal_size=size, run_before=act)


@both
def test_deleting_wants_the_name(snap_compare: Compare, make_app: Make, site: Path, size: tuple[int, int]) -> None:
    act = page("workspaces", ("alice",), "D", ("Type alice/default@s2",), "n o enter", ("that is not",))
    assert snap_compare(make_app(), terminal_size=size, run_before=act)


@both
def test_new_workspace(
    snap_compare: Compare, make_app: Make, site: Path, state: StateFolder, manager: Manager, size: tuple[int, int]
) -> None:
    manager.must_accept = "s3 already has workspaces of bob; until there is a zone they share one address."
    recorded_facts(state, ["s1", "s2", "s3"])
    act = page("workspaces", ("alice",), "n", ("It goes to s3", "To be accepted"))
    assert snap_compare(make_app(), terminal_size=size, run_before=act)


@both
def test_help(snap_compare: Compare, make_app: Make, site: Path, size: tuple[int, int]) -> None:
    act = page("workspaces", ("alice",), "f1", ("Every workspace of the site",))
    assert snap_compare(make_app(), terminal_size=size, run_before=act)


@both
def test_palette(snap_compare: Compare, make_app: Make, site: Path, size: tuple[int, int]) -> None:
    act = page("workspaces", ("alice",), "ctrl+p", ("what to do", "filter"))
    assert snap_compare(make_app(), terminal_size=size, run_before=act)


def test_the_linux_console_gets_ascii_alone(
    snap_compare: Compare, make_app: Make, site: Path, state: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "linux")
    write_run(state, "failed")
    act = page("deploy", ("The disk of a server is full", "Initial setup"))
    assert snap_compare(make_app(Terminal(ascii=True)), terminal_size=(80, 24), run_before=act)


@pytest.mark.parametrize("theme", ["light", "high-contrast", "monochrome"])
def test_themes(snap_compare: Compare, make_app: Make, site: Path, theme: str) -> None:
    app = make_app()
    app.theme = theme
    act = page("workspaces", ("alice",), "down down", ("look at its log",))
    assert snap_compare(app, terminal_size=(80, 24), run_before=act)


def test_too_small_a_terminal(snap_compare: Compare, make_app: Make) -> None:
    assert snap_compare(make_app(), terminal_size=(60, 20), run_before=to(("needs 80x24", "60x20")))
