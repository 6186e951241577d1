"""What is done on a server before it is given back. The server's answers are given."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from homewright.access import known_hosts
from homewright.access.connection import CommandFailed, Completed
from homewright.access.endpoint import Endpoint
from homewright.access.known_hosts import HostKey
from homewright.engine import fence
from homewright.engine.fence import Fences, Retired
from homewright.engine.journal.writer import Writer
from homewright.errors import Unreachable
from homewright.site.models import Server, Site
from homewright.site.paths import StateFolder

SITE = Site(name="attic", servers=tuple(Server(name=n, address=f"10.0.0.{i}", user="a") for i, n in enumerate("xy", 1)))


class Answers:
    """A connection to a server that gives its fence to everybody, and keeps what it was asked."""

    asked: list[tuple[str, str]]
    stuck: bool
    alive = True

    def __init__(self, host: str) -> None:
        self.host = host

    @classmethod
    def open(cls, endpoint: Any, below: Any = None) -> Answers:
        return cls(endpoint.name)

    def close(self) -> None:
        self.alive = False

    def __enter__(self) -> Answers:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def run(self, command: str, **_: object) -> Completed:
        sweep = "kill -$s" in command
        kind = "sweep" if sweep else "release" if '"released": true' in command else "take"
        self.asked.append((self.host, kind))
        if sweep and self.stuck:
            raise CommandFailed(self.host, "sweep", Completed("", "still there: 7", 1))
        if sweep:
            assert "HOMEWRIGHT_FENCE=2" in command  # every mark but that: ours, 1, too
        return Completed(json.dumps({"taken": True, "before": None}), "", 0)


@pytest.mark.parametrize("stuck", [False, True])
def test_what_a_failed_step_left_on_a_server_is_ended_before_it_is_given_back(
    state: StateFolder, writer: Writer, monkeypatch: pytest.MonkeyPatch, stuck: bool
) -> None:
    Answers.asked, Answers.stuck = [], stuck
    monkeypatch.setattr(fence, "Connection", Answers)
    fences = Fences(SITE, state, writer, "us")
    began = time.time()
    assert asyncio.run(fences.hold(["x", "y"])) == {}
    fences.unclean.add("y")
    assert asyncio.run(fences.release()) == (["y"] if stuck else [])
    assert [kind for host, kind in Answers.asked if host == "x"] == ["take", "release"]
    assert [kind for host, kind in Answers.asked if host == "y"] == ["take", "sweep", *([] if stuck else ["release"])]
    given = dict(writer.query("SELECT host, released FROM fences"))
    assert given["x"] >= began
    assert (given["y"] is None) is stuck


@pytest.mark.parametrize("brief", [False, True])
def test_who_gives_back_soon_signs_in_once_and_hangs_up(
    state: StateFolder, writer: Writer, monkeypatch: pytest.MonkeyPatch, brief: bool
) -> None:
    opened: list[Answers] = []

    class Counted(Answers):
        def __init__(self, host: str) -> None:
            super().__init__(host)
            opened.append(self)

        def __exit__(self, *_: object) -> None:
            self.close()

    Answers.asked, Answers.stuck = [], False
    monkeypatch.setattr(fence, "Connection", Counted)
    fences = Fences(SITE, state, writer, "us", brief=brief)
    assert asyncio.run(fences.hold(["x", "y"])) == {}
    opened[0].alive = False  # one that was lost meanwhile is opened anew
    assert asyncio.run(fences.release()) == []
    assert len(opened) == (3 if brief else 4)
    assert not any(one.alive for one in opened)


def test_who_gives_back_soon_does_not_wait_for_a_silent_server_step_by_step(
    state: StateFolder, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []

    class Silent(Answers):
        @classmethod
        def open(cls, endpoint: Any, below: Any = None) -> Answers:
            tried.append(endpoint.name)
            if endpoint.name == "y":
                raise Unreachable("y does not answer.")
            return cls(endpoint.name)

    Answers.asked, Answers.stuck = [], False
    monkeypatch.setattr(fence, "Connection", Silent)
    fences = Fences(SITE, state, writer, "us", brief=True)
    for _ in range(3):
        assert list(asyncio.run(fences.hold(["x", "y"]))) == ["y"]
    assert tried == ["x", "y"]
    monkeypatch.setattr(fence, "AWAY_S", 0.0)
    assert list(asyncio.run(fences.hold(["y"]))) == ["y"] and tried == ["x", "y", "y"]


@pytest.mark.parametrize(("taken_away", "left"), [(True, []), (False, ["x-node"])])
def test_an_instance_that_a_step_took_away_need_not_be_given_back(
    state: StateFolder, writer: Writer, monkeypatch: pytest.MonkeyPatch, taken_away: bool, left: list[str]
) -> None:
    def place(host: str, *_: object) -> Endpoint:
        return Endpoint(host, "10.0.0.9" if host == "x-node" else "10.0.0.1", 22, "a", state.key, state.known_hosts)

    class Going(Answers):
        def run(self, command: str, **words: object) -> Completed:
            if self.host == "x-node" and '"released": true' in command:
                self.asked.append((self.host, "release"))
                raise Unreachable("x-node does not answer.")
            return super().run(command, **words)

    Answers.asked, Answers.stuck = [], False
    monkeypatch.setattr(fence, "Connection", Going)
    monkeypatch.setattr(fence, "endpoint", place)
    fences = Fences(SITE, state, writer, "us")
    known_hosts.record(state.known_hosts, "10.0.0.9", 22, [HostKey.from_blob("ssh-ed25519", b"\0\0\0\x0bssh-ed25519")])
    assert asyncio.run(fences.hold(["x", "x-node"])) == {}
    if taken_away:
        known_hosts.forget(state.known_hosts, "10.0.0.9", 22)
    assert fences.gone(["x", "x-node"]) == (["x-node"] if taken_away else [])
    writer.change(writer.set_machine("x-node", "m1"))
    assert asyncio.run(fences.release()) == left
    assert fences.was_there("x-node") is not taken_away
    released = [host for host, kind in Answers.asked if kind == "release"]
    assert sorted(released) == ["x", *left], "a server is asked whatever is on record"


def ask(file: Path, **record: object) -> dict[str, Any]:
    """What a server's side of the fence answers, run here on a file of the test's."""
    wanted = {"controller": "us", "fence": 5, "released": False, "retired": [], **record}
    words = [sys.executable, "-c", fence._TAKE, json.dumps(wanted), str(file)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


@pytest.mark.programs
@pytest.mark.parametrize(
    ("held", "wanted", "taken"),
    [
        (None, {}, True),
        ({"controller": "us", "fence": 4, "released": False}, {}, True),
        ({"controller": "us", "fence": 5, "released": True}, {}, False),
        ({"controller": "old", "fence": 4, "released": True}, {}, True),
        ({"controller": "old", "fence": 4, "released": False}, {}, False),
        ({"controller": "old", "fence": 4, "released": False}, {"retired": ["old"]}, True),
        ({"controller": "old", "fence": 6, "released": False}, {"retired": ["old"]}, False),
        ({"controller": "new", "fence": 4, "released": True, "retired": ["us"]}, {}, False),
        ({"controller": "new", "fence": 4, "released": True, "retired": ["us"]}, {"retired": ["new"]}, False),
        ({"controller": "us", "fence": 5, "released": False}, {"released": True}, True),
        ({"controller": "old", "fence": 5, "released": False}, {"released": True, "retired": ["old"]}, True),
    ],
)
def test_who_gets_a_servers_fence(
    tmp_path: Path, held: dict[str, object] | None, wanted: dict[str, object], taken: bool
) -> None:
    file = tmp_path / "fence.json"
    if held is not None:
        file.write_text(json.dumps(held))
    answer = ask(file, **wanted)
    assert (answer["taken"], answer["before"]) == (taken, held)
    if taken:
        assert json.loads(file.read_text())["controller"] == "us"


def test_who_was_retired_once_stays_retired(tmp_path: Path) -> None:
    file = tmp_path / "fence.json"
    assert ask(file, controller="new", retired=["old", "older"])["taken"]
    assert ask(file, controller="new", fence=6)["taken"], "a record without them forgets nobody"
    assert json.loads(file.read_text())["retired"] == ["old", "older"]
    assert ask(file, controller="newest", fence=7, retired=["new"])["taken"]
    assert json.loads(file.read_text())["retired"] == ["new", "old", "older"]


def test_a_controller_that_was_replaced_is_told_by_whom(
    state: StateFolder, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = {"controller": "new", "fence": 9, "host": "tower", "since": 0, "released": True, "retired": ["us"]}

    class Refuses(Answers):
        def run(self, command: str, **_: object) -> Completed:
            return Completed(json.dumps({"taken": False, "before": held}), "", 0)

    monkeypatch.setattr(fence, "Connection", Refuses)
    errors = asyncio.run(Fences(SITE, state, writer, "us").hold(["x"]))
    assert isinstance(errors["x"], Retired) and errors["x"].exit_code == 3
    assert "taken over by tower" in errors["x"].why


def test_a_server_that_is_lost_while_numbers_rise_is_not_the_failure_of_who_asked_for_another(
    state: StateFolder, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    off: set[str] = set()

    class Rising(Answers):
        """y was held by a run of ours with a higher number; x goes off in that moment."""

        def run(self, command: str, **_: object) -> Completed:
            if self.host in off:
                raise Unreachable(f"{self.host} does not answer.")
            if self.host == "y" and '"fence": 1,' in command:
                off.add("x")
                held = {"controller": "us", "fence": 6, "released": True}
                return Completed(json.dumps({"taken": False, "before": held}), "", 0)
            return Completed(json.dumps({"taken": True, "before": None}), "", 0)

    monkeypatch.setattr(fence, "Connection", Rising)
    fences = Fences(SITE, state, writer, "us")

    async def hold(*hosts: str) -> set[str]:
        return set(await fences.hold(hosts))

    assert asyncio.run(hold("x")) == set()
    assert asyncio.run(hold("y")) == set(), "nobody asked for x"
    assert fences.number == 7
    assert asyncio.run(hold("x")) == {"x"}, "its own step meets that"
