"""Repositories: which addresses are taken, what git's words mean, and the real scripts on real repositories."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from homewright.errors import UsageError
from homewright.workspaces import repositories
from homewright.workspaces.models import Repository
from homewright.workspaces.repositories import Synced, done, folder_name, parse, read_synced, why, words


@pytest.mark.parametrize(("url", "folder"), [
    ("https://git.example.org/team/project.git", "project"), ("https://git.example.org/team/project/", "project"),
    ("http://198.18.0.1:3000/a/b.c", "b.c"), ("https://git.example.org/x_1-2", "x_1-2"),
])  # fmt: skip
def test_addresses_that_are_taken(url: str, folder: str) -> None:
    assert parse(url, "main") == Repository(url=url, branch="main", shallow=True)
    assert folder_name(url) == folder
    assert not parse(url, full=True).shallow


@pytest.mark.parametrize(("url", "says"), [
    ("https://alice:token@git.example.org/a/b", "holds a name or a password"),
    ("https://token@git.example.org/a/b", "holds a name or a password"),
    ("git@git.example.org:a/b.git", "cannot be cloned"), ("ssh://git.example.org/a/b", "cannot be cloned"),
    ("file:///etc", "cannot be cloned"), ("https://git.example.org/", "cannot be cloned"),
    ("https://git.example.org/..", "cannot be cloned"), ("https://git.example.org/.git", "cannot be cloned"),
    ("https://git.example.org/-x", "cannot be cloned"), ("https://git.example.org/a b", "cannot be cloned"),
    ("https://git.example.org/a?token=x", "cannot be cloned"), ("https://git.example.org:x/a", "cannot be cloned"),
    ("--upload-pack=x", "cannot be cloned"), ("", "cannot be cloned"),
    ("https://[", "cannot be cloned"), ("https://exam\u2100ple/x", "cannot be cloned"),
    ("HTTPS://git.example.org/a/b", "cannot be cloned"), ("https://git.example.org/@a/b", "cannot be cloned"),
    pytest.param("https://git.example.org" + "/b" * 300, "cannot be cloned", id="long"),
    ("https://token@[/a", "holds a name or a password"),
    ("bob:token@git.example.org/a/b", "holds a name or a password"),
    ("https://bob:to/token@git.example.org/a", "holds a name or a password"),
])  # fmt: skip
def test_addresses_that_are_not(url: str, says: str) -> None:
    with pytest.raises(UsageError, match=says) as refused:
        parse(url)
    assert refused.value.do and "token@" not in refused.value.as_text()


@pytest.mark.parametrize("branch", ["-x", "a..b", "a b", "a~1", "x/", "a:b", "a\x1bb", "@{u}", "a" * 201])
def test_branches_that_are_none(branch: str) -> None:
    with pytest.raises(UsageError, match="no name of a branch"):
        parse("https://git.example.org/a/b", branch)


@pytest.mark.parametrize(("said", "means"), [
    ("fatal: could not read Username for 'http://x': terminal prompts disabled", "access is denied"),
    ("remote: HTTP Basic: Access denied\nfatal: Authentication failed for 'http://x/'", "access is denied"),
    ("fatal: unable to access 'http://x/': The requested URL returned error: 403", "credentials do not reach it"),
    ("fatal: repository 'http://x/' not found", "no such repository"),
    ("warning: Could not find remote branch b to clone.\nfatal: Remote branch b not found in upstream origin",
     "no such branch"),
    ("fatal: http://x/info/refs not valid: could not determine hash algorithm; is this a git repository?",
     "not as a git server"),
    ("fatal: unable to access 'https://x/': Could not resolve host: x", "name is not found"),
    ("fatal: unable to access 'http://x/': Failed to connect to x port 1", "does not answer"),
    ("it took longer than 180 seconds", "does not answer"),
    ("fatal: unable to access 'https://x/': SSL certificate problem: unable to get local issuer", "not trusted"),
    ("fatal: write error: No space left on device", "disk is full"),
    ("fatal: something new", "something new"), ("", "no reason is told"),
    ("fatal: \x1b[2Jgone", "gone"),
])  # fmt: skip
def test_what_git_complains_of(said: str, means: str) -> None:
    assert means in why(said) and "\x1b" not in why(said)


@pytest.mark.parametrize(("synced", "is_", "did"), [
    (Synced(missing=True), "not cloned", "There is nothing"),
    (Synced("main", ahead=0, behind=0), "main, clean", "up to date"),
    (Synced("main", ahead=0, behind=0, pulled=2), "main, clean", "Commits pulled: 2."),
    (Synced("main", dirty=3, ahead=0, behind=2), "main, dirty: 3 files, 2 behind", "not committed"),
    (Synced("main", ahead=1, behind=2), "main, clean, 1 ahead, 2 behind", "merging them is the user's"),
    (Synced("topic"), "topic, clean, its branch follows none on the server", "nothing that could"),
    (Synced("", ahead=None), "no branch, clean", "nothing that could"),
    (Synced(problem="access is denied (x)"), "no branch", "Nothing was changed: access is denied (x)."),
    (Synced("main", cloned=True, ahead=0, behind=0), "main, clean", "It was cloned."),
])  # fmt: skip
def test_words(synced: Synced, is_: str, did: str) -> None:
    assert words(synced).startswith(is_) and did in done(synced)


def test_what_is_printed_there_is_not_believed() -> None:
    found = read_synced("branch=\x1b]0;x\x07main\ndirty=99999999999999\nahead=-1\nbehind=two\nnoise\n")
    assert "\x1b" not in found.branch and (found.dirty, found.ahead, found.behind) == (0, None, None)


# The scripts themselves, by this machine's git


def git(folder: Path, *arguments: str) -> str:
    words = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(folder), *arguments]
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def run(command: tuple[str, ...]) -> tuple[int, str]:
    ended = subprocess.run(command, capture_output=True, text=True)
    assert not ended.stderr, ended.stderr
    return ended.returncode, ended.stdout


@pytest.fixture
def upstream(tmp_path: Path) -> Path:
    """A repository with one commit, and a clone through which it gets more."""
    bare, work = tmp_path / "project.git", tmp_path / "work"
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(bare)], check=True)
    subprocess.run(["git", "clone", "-q", str(bare), str(work)], check=True, capture_output=True)
    commit(work, "one")
    return bare


def commit(work: Path, text: str) -> None:
    (work / "file").write_text(text)
    git(work, "add", "file")
    git(work, "commit", "-q", "-m", text)
    git(work, "push", "-q", "origin", "HEAD:main")


def of(url: Path | str, **options: object) -> Repository:
    return Repository.model_construct(url=str(url), **{"branch": "", "shallow": False, **options})


def cloned(home: Path, repository: Repository) -> str:
    """The step as the pod runs it, with its termination message in a file here."""
    told = home / "told"
    home.mkdir(exist_ok=True)
    told.write_text("")
    command = [
        word.replace("/dev/termination-log", str(told)) for word in repositories.clone_step(str(home), repository)
    ]
    assert run(tuple(command))[0] == 0, "it always ends well"
    return told.read_text()


def synced(home: Path, repository: Repository, mode: repositories.Mode = "pull") -> Synced:
    code, said = run(repositories.sync_command(str(home), repository, mode))
    assert code == 0
    return read_synced(said)


def test_a_clone_is_whole_or_not_there(upstream: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert cloned(home, of(upstream)) == "" and (home / "project" / "file").read_text() == "one"
    (home / "project" / "file").write_text("mine")
    assert cloned(home, of(upstream)) == "" and (home / "project" / "file").read_text() == "mine", "it is left alone"
    other = tmp_path / "other"
    (other / ".project.cloning").mkdir(parents=True)
    (other / ".project.cloning" / "half").write_text("x")
    assert cloned(other, of(upstream, branch="main")) == ""
    assert sorted(path.name for path in other.iterdir()) == ["project", "told"]


def test_a_clone_takes_nothing_from_another_that_is_at_work(upstream: Path, tmp_path: Path) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    alive, dead = tmp_path / f".project.cloning.{os.getpid()}", tmp_path / f".project.cloning.{ended.pid}"
    alive.mkdir(), dead.mkdir()
    assert cloned(tmp_path, of(upstream)) == "" and (tmp_path / "project" / "file").exists()
    assert alive.exists() and not dead.exists()


def test_a_clone_goes_into_no_folder_that_was_made_meanwhile(
    upstream: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, hooks = tmp_path / "home", tmp_path / "template" / "hooks"
    hooks.mkdir(parents=True)
    # It runs when the clone is whole and has not its name yet: another clone is the faster one.
    (hooks / "post-checkout").write_text(f"#!/bin/sh\ncp -R . {home}/project\n")
    (hooks / "post-checkout").chmod(0o755)
    monkeypatch.setenv("GIT_TEMPLATE_DIR", str(hooks.parent))
    assert cloned(home, of(upstream)) == ""
    assert sorted(path.name for path in (home / "project").iterdir()) == [".git", "file"]
    assert sorted(path.name for path in home.iterdir()) == ["project", "told"]


def test_a_clone_that_fails_says_why_and_leaves_what_is_there(upstream: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert "no such repository" in why(cloned(home, of(tmp_path / "nothing.git")))
    assert "no such branch" in why(cloned(home, of(upstream, branch="absent")))
    assert sorted(path.name for path in home.iterdir()) == ["told"], "nothing half-made"
    (home / "project").mkdir()
    (home / "project" / "notes").write_text("mine")
    assert "is no repository" in cloned(home, of(upstream))
    assert (home / "project" / "notes").read_text() == "mine"


def test_sync_pulls_what_can_be_pulled_and_destroys_nothing(upstream: Path, tmp_path: Path) -> None:
    home, work = tmp_path / "home", tmp_path / "work"
    home.mkdir()
    repository = of(upstream)
    assert synced(home, repository, "look").missing
    assert synced(home, repository) == Synced("main", cloned=True, ahead=0, behind=0)
    commit(work, "two")
    assert synced(home, repository, "look").behind == 0, "a look asks no server"
    assert synced(home, repository) == Synced("main", pulled=1, ahead=0, behind=0)
    assert (home / "project" / "file").read_text() == "two"

    commit(work, "three")
    (home / "project" / "file").write_text("mine")
    (home / "project" / "new").write_text("mine too")
    assert synced(home, repository) == Synced("main", dirty=2, ahead=0, behind=1)
    assert (home / "project" / "file").read_text() == "mine"

    git(home / "project", "add", ".")
    git(home / "project", "commit", "-q", "-m", "mine")
    assert synced(home, repository) == Synced("main", ahead=1, behind=1)
    assert (home / "project" / "file").read_text() == "mine"

    git(home / "project", "checkout", "-q", "--detach")
    assert synced(home, repository) == Synced("", ahead=None)
    git(home / "project", "checkout", "-q", "main")
    upstream.rename(tmp_path / "away")
    assert "no such repository" in synced(home, repository).problem
    assert (home / "project" / "file").read_text() == "mine"


def test_sync_keeps_the_commits_of_a_branch_that_is_gone_from_the_server(upstream: Path, tmp_path: Path) -> None:
    home, work = tmp_path / "home", tmp_path / "work"
    home.mkdir()
    git(work, "push", "-q", "origin", "HEAD:topic")
    synced(home, of(upstream))
    git(work, "push", "-q", "origin", ":topic")
    commit(work, "two")
    assert synced(home, of(upstream)).pulled == 1
    assert "origin/topic" in git(home / "project", "branch", "-r")


def test_a_sync_that_cannot_fetch_changes_nothing(upstream: Path, tmp_path: Path) -> None:
    home, work = tmp_path / "home", tmp_path / "work"
    home.mkdir()
    synced(home, of(upstream))
    commit(work, "two")
    git(home / "project", "fetch", "-q")
    upstream.rename(tmp_path / "away")
    found = synced(home, of(upstream))
    assert (found.pulled, found.behind) == (0, 1) and done(found).startswith("Nothing was changed: there is no such")
    assert (home / "project" / "file").read_text() == "one"


def test_an_ignored_file_is_not_overwritten_by_a_pull(upstream: Path, tmp_path: Path) -> None:
    home, work = tmp_path / "home", tmp_path / "work"
    home.mkdir()
    repository = of(upstream)
    synced(home, repository)
    (work / "notes").write_text("theirs")
    git(work, "add", "notes")
    commit(work, "with notes")
    (home / "project" / ".git" / "info" / "exclude").write_text("notes\n")
    (home / "project" / "notes").write_text("mine, and ignored")
    found = synced(home, repository)
    assert (home / "project" / "notes").read_text() == "mine, and ignored"
    assert found.pulled == 0 and found.behind == 1 and found.problem


def test_a_shallow_clone_is_one_commit_and_can_be_synced(upstream: Path, tmp_path: Path) -> None:
    home, work = tmp_path / "home", tmp_path / "work"
    commit(work, "two")
    repository = of(f"file://{upstream}", shallow=True)
    assert cloned(home, repository) == ""
    assert git(home / "project", "rev-list", "--count", "HEAD").strip() == "1"
    commit(work, "three")
    assert synced(home, repository).pulled == 1
    assert (home / "project" / "file").read_text() == "three"


def test_git_finds_credentials_in_the_file_and_nowhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host, line = repositories.credentials_line("https://git.example.org", "alice@corp", "to:k/en")
    assert host == "https://git.example.org" and "to:k/en" not in line
    file = tmp_path / "credentials"
    file.write_text(line + "\n")
    for name, value in repositories.ENVIRONMENT.items():
        monkeypatch.setenv(name, value.replace(repositories.CREDENTIALS, str(tmp_path)))
    monkeypatch.setenv("HOME", str(tmp_path))
    asked = subprocess.run(
        ["git", "credential", "fill"], input="protocol=https\nhost=git.example.org\n\n", capture_output=True, text=True
    )
    assert "username=alice@corp\npassword=to:k/en\n" in asked.stdout
    monkeypatch.setenv("GIT_TERMINAL_PROMPT", "0")
    other = subprocess.run(
        ["git", "credential", "fill"], input="protocol=https\nhost=evil.example.org\n\n", capture_output=True, text=True
    )
    assert other.returncode != 0 and "to:k/en" not in other.stdout
    said = subprocess.run(
        ["git", "credential", "approve"], input=asked.stdout, capture_output=True, text=True, check=True
    )
    assert said.stderr == "" and file.read_text() == line + "\n", "nothing is written there"


def test_credentials_of_several_servers() -> None:
    host, line = repositories.credentials_line("git.example.org", "alice", "one")
    other, second = repositories.credentials_line("http://198.18.0.1:3000", "alice", "two")
    lines = repositories.with_credentials(repositories.with_credentials((), host, line), other, second)
    assert repositories.hosts(lines) == ("https://git.example.org", "http://198.18.0.1:3000")
    again = repositories.with_credentials(lines, host, repositories.credentials_line(host, "alice", "three")[1])
    assert len(again) == 2 and "three" in again[1]
    assert repositories.hosts(repositories.with_credentials(again, host, None)) == (other,)
    for url, name, token in (("ftp://x", "a", "b"), ("https://[", "a", "b"), ("https://x", "", "b"),
                             ("https://x", "a", "b\nc")):  # fmt: skip
        with pytest.raises(UsageError):
            repositories.credentials_line(url, name, token)


@pytest.mark.parametrize("url", [
    "https://bob:secrettoken@git.example.org", "bob:secrettoken@git.example.org", "https://secrettoken@[",
    "https:/bob:secrettoken@git.example.org",
])  # fmt: skip
def test_a_token_in_a_servers_address_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(UsageError, match="holds a name or a password") as refused:
        repositories.credentials_line(url, "bob", "x")
    assert "secrettoken" not in refused.value.as_text()
