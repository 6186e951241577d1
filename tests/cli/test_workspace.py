"""`homewright workspace` as far as no server is needed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from homewright.cli import main
from homewright.workspaces.manager import Created, Manager
from homewright.workspaces.models import Key, Session, Workspace, WorkspaceDocument, WorkspaceState


@pytest.fixture
def options(tmp_path: Path) -> list[str]:
    (tmp_path / "site.yaml").write_text("version: 1\nname: attic\n")
    return ["--site", str(tmp_path / "site.yaml"), "--state", str(tmp_path / "state")]


def test_a_log_is_json_with_and_without_what_comes(
    options: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def logs(*_: object) -> Iterator[str]:
        yield from ('one "line"', "another")

    monkeypatch.setattr(Manager, "logs", logs)
    assert main([*options, "workspace", "logs", "alice", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["lines"] == ['one "line"', "another"]
    assert main([*options, "workspace", "logs", "alice", "--json", "--follow"]) == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["line"] for one in told] == ['one "line"', "another"]


@pytest.mark.parametrize(
    "words",
    [
        [], ["create"], ["show"], ["create", ""], ["create", "ann/"], ["create", "ann", "--template", "nix"],
        ["create", "ann", "--preset", "vast"], ["show", "ann/a@s1", "--node", "s2"], ["logs", "ann", "-n", "few"],
        ["stop", "ann", "--node", "s9"], ["create", "ann", "--node", "s9"], ["create", "ann\x1b[2J"], ["mend", "ann"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_wrong_arguments_end_with_2_and_say_what_to_do(
    options: list[str], words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*options, "workspace", *words]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ") and "\n  do:  " in said and "\x1b" not in said


def test_show_says_who_is_on(
    options: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = Workspace(
        key=Key(user="alice", node="s2"), slug="alice", template="node", preset="small", state=WorkspaceState.RUNNING,
        connections=3,
    )  # fmt: skip
    sessions = (Session(address="192.168.1.77", connections=3),)
    monkeypatch.setattr(Manager, "show", lambda *_: workspace)
    monkeypatch.setattr(Manager, "sessions", lambda *_: sessions)
    assert main([*options, "workspace", "show", "alice"]) == 0
    assert "open on      192.168.1.77 (connections: 3)" in capsys.readouterr().out
    assert main([*options, "workspace", "show", "alice", "--json"]) == 0
    assert WorkspaceDocument.model_validate_json(capsys.readouterr().out).sessions == sessions


@pytest.mark.parametrize("existed", [False, True])
def test_a_warning_is_said_once(
    options: list[str], existed: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = Workspace(
        key=Key(user="alice", node="s2"), slug="alice", template="node", preset="small", state=WorkspaceState.RUNNING
    )

    def create(_: Manager, spec: object, say: Callable[[str], None], accept_shared_node: bool) -> Created:
        if not existed:
            say("warning: it shares a node")
        return Created(workspace, existed, ("it shares a node", "it does not answer from here"))

    monkeypatch.setattr(Manager, "create", create)
    assert main([*options, "workspace", "create", "alice"]) == 0
    said = "".join(capsys.readouterr())
    assert said.count("warning: it shares a node") == 1
    assert said.count("warning: it does not answer from here") == 1


@pytest.mark.parametrize("found", [False, True])
def test_open_says_last_what_opens_here_and_the_name_for_others(
    options: list[str], found: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    by_name, by_address = "https://code-alice.s2.home.internal:8500/", "https://192.168.1.12:8500/"
    workspace = Workspace(
        key=Key(user="alice", node="s2"), slug="alice", template="node", preset="small", state=WorkspaceState.RUNNING,
        address=by_name if found else by_address, by_name=by_name,
    )  # fmt: skip
    monkeypatch.setattr(Manager, "show", lambda *_: workspace)
    monkeypatch.setattr(Manager, "forward", lambda *_: ("https://localhost:8500/", ("ssh", "s2")))
    assert main([*options, "workspace", "open", "alice"]) == 0
    said = capsys.readouterr().out
    assert said.splitlines()[-1] == (by_name if found else by_address)
    assert said.count(by_name) == 1
    assert main([*options, "workspace", "open", "alice", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["address"], told["by_name"]) == (said.splitlines()[-1], by_name)
