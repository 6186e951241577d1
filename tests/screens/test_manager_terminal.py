"""The manager's screen as the real program in a real terminal, over an API server's stand-in: every one of its keys."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from api_stand_in import StandIn, stand_in
from tmux_terminal import TmuxTerminal, homewright

from homewright.cluster.kubeconfig import SECRET
from homewright.screens.workspaces import Workspaces
from homewright.site import files
from homewright.site.models import Site
from homewright.site.paths import StateFolder
from homewright.site.secrets import Secrets
from homewright.workspaces.backends.kubernetes.api import Api
from homewright.workspaces.models import Key, Specification
from homewright.workspaces.on_cluster import ClusterWorkspaces
from homewright.workspaces.templates import shipped

LIMIT_S = 120.0
"""For what takes a second where nothing else goes on: a waiting program starts late on two cores that thirty share."""
COVERED = {
    "n", "enter", "space", "o", "p", "s", "x", "R", "l", "D", "slash", "S", "A", "E", "c", "T",
    "u", "w", "e", "t", "k", "escape", "f1,question_mark",
}  # fmt: skip
"""The keys that are pressed below. A key that is new on the screen belongs here and there."""
ELSEWHERE = {"exclamation_mark", "y"}
"""What leads inside a pod, which a stand-in does not have: test_workspace_inside.py."""


@pytest.fixture
def server() -> Iterator[StandIn]:
    with stand_in() as made:
        yield made


@pytest.fixture
def there(server: StandIn) -> Iterator[ClusterWorkspaces]:
    made = ClusterWorkspaces(
        Site(name="attic"), Api(server.kubeconfig), shipped(), "root@here", lambda _: "$argon2id$x"
    )
    for user in ("alice", "bob@corp.com", "carol"):
        made.create(Specification(key=Key(user=user), template="code-server", preset="standard"), lambda _: None)
    yield made
    made.close()


@pytest.fixture
def terminal(server: StandIn, there: ClusterWorkspaces, tmp_path: Path) -> Iterator[TmuxTerminal]:
    site = tmp_path / "site.yaml"
    files.save(site, Site(name="attic"))
    state = StateFolder(tmp_path / "state", site).create()
    Secrets(state.secrets).set(SECRET, json.dumps(dict(server.kubeconfig().document)))
    own = {f"XDG_{name}_HOME": str(tmp_path / name) for name in ("CONFIG", "STATE", "CACHE")} | {"HOME": str(tmp_path)}
    opened = TmuxTerminal(homewright("--site", str(site), "--state", str(state.root)), own)
    try:
        opened.wait("workspaces", limit=LIMIT_S)
        opened.press("w")
        opened.wait("3 running", limit=LIMIT_S)
        yield opened
    finally:
        opened.close()


def until(done: Callable[[], object]) -> None:
    limit = time.monotonic() + LIMIT_S
    while not done():
        assert time.monotonic() < limit, "waited in vain"
        time.sleep(0.05)


def test_every_key_is_pressed_below() -> None:
    assert {binding.key for binding in Workspaces.BINDINGS} | {"f1,question_mark"} == COVERED | ELSEWHERE  # type: ignore[union-attr]  # all are Bindings


def test_every_key(server: StandIn, there: ClusterWorkspaces, terminal: TmuxTerminal, tmp_path: Path) -> None:
    see, press = partial(terminal.wait, limit=LIMIT_S), terminal.press

    def back(box: str) -> None:
        """Escape, and nothing else before its box is gone: a terminal takes what follows at once for one key."""
        press("Escape")
        see(lambda text: box not in text)

    # looking
    press("F1")
    see("Every workspace of the site")
    back("Every workspace of the site")
    press("Enter")
    see("On now")
    back("On now")
    press("o")
    see("way to alice")
    back("way to alice")
    press("p")
    see("password of alice")
    back("password of")
    press("k")
    see("git credentials of alice")
    back("git credentials of alice")
    press("l")
    see("log of alice")
    back("log of")
    press("E")
    see(lambda text: "events of alice" in text and "created" in text)
    back("events of")
    press("S")
    see("by state")
    press("S", "S", "S", "S", "S")
    see(lambda text: "by " not in text.splitlines()[0])
    press("/")
    see("Shows the rows")
    terminal.type("carol")
    see(lambda text: "bob@corp.com" not in text and "carol" in text)  # as one types
    back("Shows the rows")
    see("bob@corp.com")
    press("e")
    see("Saved in")
    assert len(json.loads((tmp_path / "homewright-attic-workspaces.json").read_text())["workspaces"]) == 3
    press("Home", "w")
    see(lambda text: "homewright-alice.json" in "".join(text.split()))  # a long path wraps
    assert json.loads((tmp_path / "homewright-alice.json").read_text())["kind"] == "List"
    # somebody else's change is here by itself
    there.stop(Key(user="carol"))
    see("2 running")
    # size and title
    press("c")
    see("size of alice")
    press("Right", "Enter")
    see("gets size")
    assert there.show(Key(user="alice")).preset != "standard"
    press("T")
    see("title of alice")
    terminal.type("Numerics")
    press("Enter")
    see("has its new title")
    assert there.show(Key(user="alice")).title == "Numerics"
    # ending what somebody may be on is asked
    press("x")
    see("Stopping ends these sessions")
    back("Stopping ends")
    see("2 running")
    press("R")
    see("Restarting ends these sessions")
    press("Enter")
    see("alice: runs")
    # the marked ones
    press("A")
    see("3 marked")
    press("A")
    see(lambda text: "marked" not in text)
    press("Home", "Space", "Space")
    see("2 marked")
    press("x")
    see("stop 2 workspaces?")
    press("Enter")
    see(lambda text: "0 running" in text and "(2 of 2)" in text)  # until then one of them is still being stopped
    press("s")
    see(lambda text: "2 running" in text and "(2 of 2)" in text)
    press("A", "A")
    see(lambda text: "marked" not in text)
    # its end, and its storage's
    press("Home", "D")
    see("Type alice")
    back("Type alice")
    there.delete(Key(user="carol"), with_storage=True)
    see(lambda text: "carol" not in text)
    press("u")
    see(lambda text: "storage that was given up" in text and "workspace-carol" in text)
    press("u")
    see("is taken back")
    back("storage that was")
    press("Home", "D")
    see("Type alice")
    terminal.type("alice")
    press("Enter")
    see("alice: deleted")
    until(lambda: [str(one.key) for one in there.list()] == ["bob@corp.com"])
    # a new one, foreseen as one types
    see("1 running")
    press("n")
    see("will it do?")
    press("End", "C-u")  # who sits here is proposed, unless that is root
    terminal.type("dora")
    see("It goes to the cluster")
    back("will it do?")
    see("1 running")
    press("t")
    see(lambda text: "workspaces" not in text.splitlines()[0])
    press("Escape")


def test_a_cluster_that_goes_away_keeps_what_was_known_and_says_its_age(
    server: StandIn, terminal: TmuxTerminal
) -> None:
    server.token = "another"  # from now on nobody of ours is let in
    terminal.wait("the cluster does not answer", limit=LIMIT_S)
    text = terminal.wait("seen 1", limit=LIMIT_S)  # over 10 s
    assert "alice" in text and "carol" in text
    server.token = "first"
    terminal.wait(lambda text: "does not answer" not in text and "seen" not in text, limit=LIMIT_S)
