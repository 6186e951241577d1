"""A user's credentials and repositories, by the command line: set, unset, tested, listed, looked at before create."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from api_stand_in import StandIn, stand_in
from git_server import GitServer, git_server

from homewright.cli import main
from homewright.cluster.kubeconfig import SECRET
from homewright.site.paths import StateFolder
from homewright.site.secrets import Secrets
from homewright.workspaces.models import CredentialsDocument, PreviewDocument, RepositoriesDocument

Captured = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def git(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitServer]:
    with git_server(tmp_path_factory.mktemp("git"), users={"alice": "s3cret"}) as made:
        made.gitea = True
        made.make("alice/project", "one")
        yield made


@pytest.fixture
def options(tmp_path: Path) -> Iterator[list[str]]:
    """Those of a site with a cluster."""
    site = tmp_path / "site.yaml"
    site.write_text("version: 1\nname: attic\n")
    with stand_in() as server:
        state = StateFolder(tmp_path / "state", site).create()
        Secrets(state.secrets).set(SECRET, json.dumps(dict(server.kubeconfig().document)))
        assert isinstance(server, StandIn)
        yield ["--site", str(site), "--state", str(tmp_path / "state"), "workspace"]


def give(options: list[str], git: GitServer, token: str, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{token}\n"))
    return main([*options, "credentials", "alice", "--server", git.address])


@pytest.mark.parametrize(("token", "code", "accepted"), [("s3cret", 0, True), ("wrong", 1, False)])
def test_credentials_are_set_tested_and_unset(
    options: list[str], git: GitServer, token: str, code: int, accepted: bool, capsys: Captured,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    assert give(options, git, token, monkeypatch) == 0
    assert f"alice: {git.address}" in capsys.readouterr().out
    assert main([*options, "credentials", "alice", "--test"]) == code
    assert ("accepts them: alice there" if accepted else "does not accept") in capsys.readouterr().out
    assert main([*options, "credentials", "alice", "--test", "--json"]) == code
    document = CredentialsDocument.model_validate_json(capsys.readouterr().out)
    assert document.servers == (git.address,) and document.tested[0].accepted is accepted
    assert not document.tested[0].repositories
    assert main([*options, "credentials", "alice", "--server", git.address, "--forget", "--json"]) == 0
    told = "".join(capsys.readouterr())
    assert json.loads(told)["servers"] == [] and token not in told
    assert main([*options, "credentials", "alice", "--server", git.address, "--test"]) == 2
    assert "No credentials of alice" in capsys.readouterr().err


def test_repositories_are_listed_and_looked_at(
    options: list[str], git: GitServer, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"{git.address}/alice/project.git"
    assert main([*options, "repositories", "alice"]) == 0
    assert "no credentials for git are kept" in capsys.readouterr().out
    assert main([*options, "repositories", "alice", "--check", url]) == 1
    assert "homewright workspace credentials alice --server" in capsys.readouterr().out
    give(options, git, "s3cret", monkeypatch)
    capsys.readouterr()
    assert main([*options, "repositories", "alice"]) == 0
    assert f"  alice/project  {url}  (private)" in capsys.readouterr().out
    assert main([*options, "repositories", "alice", "--json"]) == 0
    document = RepositoriesDocument.model_validate_json(capsys.readouterr().out)
    assert [one.url for one in document.servers[0].repositories] == [url]
    assert main([*options, "repositories", "alice", "--check", url, "--branch", "main", "--json"]) == 0
    checked = RepositoriesDocument.model_validate_json(capsys.readouterr().out).checked
    assert checked is not None and checked.state == "good"
    assert main([*options, "repositories", "alice", "--check", url, "--branch", "none"]) == 1
    assert "There is no such branch" in capsys.readouterr().out


def test_create_says_before_what_it_would_miss(options: list[str], git: GitServer, capsys: Captured) -> None:
    words = ["create", "alice", "--template", "code-server", "--repo", f"{git.address}/alice/project.git"]
    assert main([*options, *words, "--dry-run", "--json"]) == 1
    document = PreviewDocument.model_validate_json(capsys.readouterr().out)
    assert document.starts and "would not be cloned" in document.misses[0].reason
    assert main([*options, *words, "--dry-run"]) == 1
    assert "would start" in (told := capsys.readouterr().out) and "✗ its repository would not be cloned" in told
    assert main([*options, *words]) == 2
    assert "--anyway" in capsys.readouterr().err
    assert main([*options, *words, "--anyway"]) == 0
    assert "its repository would not be cloned" in "".join(capsys.readouterr())
