"""`homewright workspace` as far as no server is needed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from api_stand_in import StandIn

from homewright.cli import main
from homewright.workspaces.manager import Created, Manager
from homewright.workspaces.models import EventsDocument, Key, Session, Workspace, WorkspaceDocument, WorkspaceState
from homewright.workspaces.templates import shipped


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


@pytest.mark.parametrize("named", ["ada lovelace", "ann/my train"])
def test_none_with_a_space_in_it_is_made(options: list[str], named: str, capsys: pytest.CaptureFixture[str]) -> None:
    for more in ([], ["--count", "2"], ["--dry-run"]):
        assert main([*options, "workspace", "create", named, *more]) == 2
        assert "must not contain a space" in capsys.readouterr().err


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


def test_the_verbs_reach_the_cluster(options: list[str], cluster: StandIn, capsys: pytest.CaptureFixture[str]) -> None:
    def homewright(*words: str) -> str:
        assert main([*options, "workspace", *words]) == 0
        return capsys.readouterr().out

    made = WorkspaceDocument.model_validate_json(homewright("create", "alice", "--template", "code-server", "--json"))
    assert made.workspace.state is WorkspaceState.RUNNING and made.existed is False
    assert "code-server" in homewright("list") and "✓ running" in homewright("list")
    assert json.loads(homewright("list", "--json"))["workspaces"][0]["template"] == "code-server"
    assert len(json.loads(homewright("show", "alice", "--password", "--json"))["password"]) > 20
    assert "--forward" in json.loads(homewright("open", "alice", "--json"))["forward"]["command"]
    assert "created" in homewright("events", "alice")
    assert EventsDocument.model_validate_json(homewright("events", "alice", "--json")).events[0].what == "created"
    assert json.loads(homewright("export", "alice"))["kind"] == "List"
    assert "Role" in {one["kind"] for one in json.loads(homewright("export", "--setup"))["items"]}
    assert "running" in homewright("restart", "alice", "--yes")
    assert "· stopped" in homewright("stop", "alice", "--yes")
    assert "✓ running" in homewright("start", "alice")
    assert "workspace-alice" in homewright("delete", "alice", "--with-storage", "--yes")
    assert "not due yet: codeserver-instances/workspace-alice" in homewright("purge", "--yes")
    assert "is taken back: workspace-alice" in homewright("undelete", "alice")
    assert json.loads(homewright("purge", "alice", "--yes", "--json"))["removed"] == []
    assert json.loads(homewright("list", "--json"))["workspaces"] == []


def test_a_token_in_a_servers_address_is_told_nobody(
    options: list[str], cluster: StandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*options, "workspace", "credentials", "alice", "--server", "https://bob:secrettoken@git.example.org"]
    for more in ([], ["--json"], ["--forget"]):
        assert main([*words, *more]) == 2, "before a token is asked for: there is no input here"
        told = "".join(capsys.readouterr())
        assert "holds a name or a password" in told and "secrettoken" not in told


def test_a_cluster_that_does_not_answer_is_one_place_of_several(
    options: list[str], cluster: StandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.token = "withdrawn"
    assert main([*options, "workspace", "list", "--json"]) == 5, "it is the only place of this site"
    told = json.loads(capsys.readouterr().out)["unreachable"]
    assert "does not accept who we are" in told["the cluster"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["create", "ann", "--template", "code-server"], "This site has no cluster"),
        (["undelete", "ann"], "This site has no cluster"), (["export"], "What is to be exported?"),
        (["restart", "ann"], "say --yes"), (["purge"], "say --yes"), (["events", "ann"], "This site has no cluster"),
    ],
)  # fmt: skip
def test_verbs_of_the_cluster_say_what_they_need(
    options: list[str], words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*options, "workspace", *words]) == 2
    assert says in capsys.readouterr().err


def test_templates_are_told_with_those_of_the_site(
    options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*options, "workspace", "templates", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["templates"]
    assert [one["name"] for one in told] == ["code-server", "devenv", "node"]
    own = shipped()["code-server"].model_dump(mode="json") | {"name": "own", "prefix": "own", "host": "own"}
    own["volumes"][0]["claim"] = "own-{slug}"
    (tmp_path / "workspace-templates").mkdir()
    (tmp_path / "workspace-templates" / "own.yaml").write_text(json.dumps(own))
    assert main([*options, "workspace", "templates"]) == 0
    assert "own: VS Code in the cluster" in capsys.readouterr().out
    (tmp_path / "workspace-templates" / "own.yaml").write_text(json.dumps(own | {"image": "editor"}))
    assert main([*options, "workspace", "templates"]) == 2
    said = capsys.readouterr().err
    assert "own.yaml, line 1, column " in said and "image" in said and "needs a tag" in said
