"""What our code asks of a real Gitea, and what its git clones there; workspaces and credentials on a real API server.

A machine that is new builds Gitea first, and etcd and Kubernetes. No node is there: what a pod's init container would
run is run on this machine, in the words in which the API server has it.
"""

from __future__ import annotations

import base64
import io
import json
import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from control_plane import ControlPlane, control_plane
from gitea_server import ROOT, Gitea, gitea
from kubelet_stand_in import NODE, kubelet
from tmux_terminal import TmuxTerminal, homewright

from homewright.cli import main
from homewright.cluster.kubeconfig import SECRET
from homewright.site import files
from homewright.site.models import Site
from homewright.site.paths import StateFolder
from homewright.site.secrets import Secrets
from homewright.workspaces import repositories
from homewright.workspaces.backends.kubernetes.manifests import REPOSITORY_STEP
from homewright.workspaces.errors import RepositoryDenied
from homewright.workspaces.git_servers import SignIn, check, told
from homewright.workspaces.models import Key, Repository, Specification
from homewright.workspaces.one_manager import OneManager
from homewright.workspaces.repositories import Mode, Synced, read_synced, why

pytestmark = [pytest.mark.lab, pytest.mark.long]
PLACE = "codeserver-instances"
BELOW = "/home/coder/workspace"
READS = ("read:user", "read:repository")
MANY = 53
"""More repositories than Gitea gives at once."""
CLASS = {
    "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "provisioner": "example.org/none",
    "metadata": {"name": "none", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
    "volumeBindingMode": "WaitForFirstConsumer",
}  # fmt: skip


@dataclass(frozen=True)
class Hosted:
    """A Gitea with people, and what they sign in with."""

    gitea: Gitea
    sign_ins: dict[str, SignIn | None]

    def repository(self, path: str, branch: str = "", *, full: bool = False) -> Repository:
        return repositories.parse(f"{self.gitea.address}/{path}.git", branch, full=full)


@pytest.fixture(scope="module")
def hosted() -> Iterator[Hosted]:
    with gitea() as made:
        for name in ("alice", "bob", "carol", "dora"):
            made.user(name)
        for name in ("project", "before", "kept"):
            made.repository("alice", name)
        made.commit("alice", "project", "topic.txt", "of a topic", "team/topic")
        made.repository("alice", "empty", empty=True)
        made.repository("alice", "open", private=False)
        made.api("PATCH", "/repos/alice/before", "alice", {"name": "after"})
        made.api("PATCH", "/repos/alice/kept", "alice", {"archived": True})
        made.repository("bob", "his")
        made.repository("bob", "shared")
        made.api("PUT", "/repos/bob/shared/collaborators/alice", "bob", {"permission": "read"})
        made.api("POST", "/orgs", "alice", {"username": "team", "visibility": "private"})
        made.api("POST", "/orgs/team/repos", "alice", {"name": "plans", "private": True, "auto_init": True})
        made.repository("dora", "notes", private=False)
        for number in range(MANY):
            made.repository("carol", f"r{number:02}", empty=True)
        revoked = made.token("alice", *READS)
        listed = made.api("GET", "/users/alice/tokens", "alice")
        made.api("DELETE", f"/users/alice/tokens/{listed[0]['id']}", "alice")
        yield Hosted(made, {
            "nobody": None,
            "alice": SignIn("alice", made.token("alice", *READS, "write:repository")),
            "by password": SignIn("alice", made.passwords["alice"]),
            "wrong": SignIn("alice", "wrong"),
            "revoked": SignIn("alice", revoked),
            "elsewhere": SignIn("alice", made.token("alice", "read:issue")),
            "repositories alone": SignIn("alice", made.token("alice", "read:repository")),
            "public alone": SignIn("alice", made.token("alice", "public-only", *READS)),
            "carol": SignIn("carol", made.token("carol", *READS)),
        })  # fmt: skip


# In git's own protocol


@pytest.mark.parametrize(("path", "branch", "who", "state", "words"), [
    ("alice/project", "", "alice", "good", "can be read: branch main"),
    ("alice/project", "", "by password", "good", "can be read: branch main"),
    ("alice/project", "", "repositories alone", "good", "can be read: branch main"),
    ("alice/project", "team/topic", "alice", "good", "can be read: branch team/topic"),
    ("alice/project", "team", "alice", "wrong", "there is no such branch"),
    ("alice/Project", "", "alice", "good", "can be read: branch main"),
    ("alice/empty", "", "alice", "good", "is empty"),
    ("alice/empty", "main", "alice", "wrong", "there is no such branch"),
    ("alice/before", "", "alice", "good", "can be read: branch main"),
    ("alice/kept", "", "alice", "good", "can be read: branch main"),
    ("alice/open", "", "nobody", "good", "can be read: branch main"),
    ("alice/open", "", "wrong", "good", "can be read: branch main"),
    ("bob/shared", "", "alice", "good", "can be read: branch main"),
    ("team/plans", "", "alice", "good", "can be read: branch main"),
    ("alice/none", "", "alice", "wrong", "there is no such repository"),
    ("nobody/none", "", "alice", "wrong", "there is no such repository"),
    ("bob/his", "", "alice", "wrong", "or the user may not see it"),
    ("team/plans", "", "carol", "wrong", "or the user may not see it"),
    ("alice/project", "", "nobody", "wrong", "none of alice are kept for http://127.0.0.1"),
    ("alice/project", "", "wrong", "wrong", "does not accept the credentials of alice"),
    ("alice/project", "", "revoked", "wrong", "does not accept the credentials of alice"),
    ("alice/project", "", "elsewhere", "wrong", "do not reach it"),
    ("alice/project", "", "public alone", "wrong", "do not reach it"),
])  # fmt: skip
def test_a_repository_is_asked_for(hosted: Hosted, path: str, branch: str, who: str, state: str, words: str) -> None:
    checked = check(hosted.repository(path, branch), "alice", hosted.sign_ins[who])
    assert checked.state == state and words in checked.words, checked
    assert bool(checked.do) is (state == "wrong")


def test_what_a_user_was_called_before_leads_on(hosted: Hosted) -> None:
    hosted.gitea.api("POST", "/admin/users/dora/rename", ROOT, {"new_username": "dorothea"})
    assert check(hosted.repository("dora/notes"), "alice", None).state == "good"


# By its API


def test_what_somebody_has(hosted: Hosted) -> None:
    sign_in = hosted.sign_ins["alice"]
    assert sign_in is not None
    said = told(hosted.gitea.address, sign_in)
    assert (said.kind, said.accepted, said.login) == ("gitea", True, "alice")
    assert {one.name: (one.branch, one.marks) for one in said.repositories} == {
        "alice/after": ("main", "private"), "alice/empty": ("", "private, empty"),
        "alice/kept": ("main", "private, archived"), "alice/open": ("main", ""), "alice/project": ("main", "private"),
        "bob/shared": ("main", "private"), "team/plans": ("main", "private"),
    }  # fmt: skip
    for one in said.repositories:
        assert check(repositories.parse(one.url, one.branch), "alice", sign_in).state == "good", one


@pytest.mark.parametrize(("who", "accepted", "words", "login"), [
    ("by password", True, "it accepts them: alice there", "alice"),
    ("wrong", False, "does not accept the credentials", ""),
    ("revoked", False, "does not accept the credentials", ""),
    ("elsewhere", True, "read:user and read:repository", ""),
    ("repositories alone", True, "read:user and read:repository", ""),
    ("public alone", True, "it accepts them: alice there", "alice"),
])  # fmt: skip
def test_what_a_token_may(hosted: Hosted, who: str, accepted: bool, words: str, login: str) -> None:
    sign_in = hosted.sign_ins[who]
    assert sign_in is not None
    said = told(hosted.gitea.address, sign_in)
    assert (said.kind, said.accepted, said.login) == ("gitea", accepted, login)
    assert words in said.words and sign_in.token not in repr(said)
    names = {one.name for one in said.repositories}
    assert names >= {"alice/open"} if login else not names
    assert ("alice/project" in names) is (who == "by password")


def test_more_than_one_page(hosted: Hosted) -> None:
    assert [one.name for one in _of_carol(hosted)] == [f"carol/r{number:02}" for number in range(MANY)]


def _of_carol(hosted: Hosted) -> tuple[Any, ...]:
    carol = hosted.sign_ins["carol"]
    assert carol is not None
    return told(hosted.gitea.address, carol).repositories


@pytest.mark.parametrize(("name", "change", "api", "git"), [
    ("erin", {"prohibit_login": True}, "prohibited from signing in", "answers erin with a page"),
    ("fay", {"must_change_password": True}, "You must change your password", "not accept the credentials of fay"),
])  # fmt: skip
def test_an_account_that_may_not_sign_in(
    hosted: Hosted, name: str, change: dict[str, bool], api: str, git: str
) -> None:
    made = hosted.gitea
    made.user(name)
    sign_in = SignIn(name, made.token(name, *READS))
    made.api("PATCH", f"/admin/users/{name}", ROOT, {"login_name": name, "source_id": 0, **change})
    said = told(made.address, sign_in)
    assert (said.kind, said.accepted) == ("gitea", None) and api in said.words and "scope" not in said.words
    checked = check(hosted.repository("alice/project"), name, sign_in)
    assert checked.state == "wrong" and "access is denied" in checked.words and git in checked.words, checked


@pytest.fixture
def strict(hosted: Hosted) -> Iterator[Hosted]:
    """It tells strangers nothing, and a few repositories at once alone."""
    hosted.gitea.stop()
    hosted.gitea.start(strict=True, at_once=20)
    yield hosted
    hosted.gitea.stop()
    hosted.gitea.start()


def test_a_gitea_that_wants_everybody_signed_in(strict: Hosted) -> None:
    assert len(_of_carol(strict)) == MANY, "each page has what its server gives"
    alice, wrong = strict.sign_ins["alice"], strict.sign_ins["wrong"]
    assert alice is not None and wrong is not None
    said = told(strict.gitea.address, alice)
    assert (said.kind, said.accepted, said.login, len(said.repositories)) == ("gitea", True, "alice", 7)
    refused = told(strict.gitea.address, wrong)
    assert (refused.kind, refused.accepted) == ("gitea", False) and "does not accept" in refused.words
    assert check(strict.repository("alice/open"), "alice", None).state == "wrong"
    assert check(strict.repository("alice/open"), "alice", alice).state == "good"


# With credentials that the cluster keeps


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    with control_plane(tmp_path_factory.mktemp("plane")) as made:
        made.api.create("/apis/storage.k8s.io/v1/storageclasses", CLASS)
        made.stop("scheduler")  # what it says of claims that nobody provides is no matter here
        made.node(NODE)
        with kubelet(made.kubeconfig(), PLACE):
            yield made


@pytest.fixture(scope="module")
def options(plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Those of a site with that cluster."""
    folder = tmp_path_factory.mktemp("site")
    files.save(folder / "site.yaml", Site(name="attic"))
    state = StateFolder(folder / "state", folder / "site.yaml").create()
    Secrets(state.secrets).set(SECRET, json.dumps(plane.document))
    return ["--site", str(folder / "site.yaml"), "--state", str(state.root)]


@pytest.fixture(scope="module")
def manager(options: list[str]) -> Iterator[OneManager]:
    state = StateFolder(Path(options[3]), Path(options[1]))
    with OneManager(files.load(Path(options[1])), state) as made:
        yield made


def spec(user: str, repository: Repository) -> Specification:
    return Specification(key=Key(user=user), template="code-server", preset="standard", repository=repository)


class Inside:
    """A pod's git on this machine: its folders are below one of the test's, its credentials the Secret's."""

    def __init__(self, plane: ControlPlane, user: str, folder: Path) -> None:
        self.home, self.git, self.told = folder / "home", folder / "git", folder / "told"
        self.home.mkdir(parents=True)
        self.git.mkdir(exist_ok=True)
        secret = plane.api.get(f"/api/v1/namespaces/{PLACE}/secrets/homewright-git-{user}")
        for name, data in secret["data"].items():
            (self.git / name).write_bytes(base64.b64decode(data))
        self.places = {BELOW: str(self.home), repositories.CREDENTIALS: str(self.git),
                       "/dev/termination-log": str(self.told)}  # fmt: skip

    def here(self, text: str) -> str:
        for there, place in self.places.items():
            text = text.replace(there, place)
        return text

    def run(self, *words: str, environment: dict[str, str] | None = None) -> str:
        given = {name: self.here(value) for name, value in (environment or repositories.ENVIRONMENT).items()}
        done = subprocess.run(
            [self.here(word) for word in words], env={"PATH": os.environ["PATH"], "HOME": str(self.home), **given},
            capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    def clone(self, repository: Repository) -> str:
        """What the init container leaves as its last words; empty where all went well."""
        self.told.write_text("")
        self.run(*repositories.clone_step(BELOW, repository))
        return self.told.read_text()

    def sync(self, repository: Repository, mode: Mode = "pull") -> Synced:
        return read_synced(self.run(*repositories.sync_command(BELOW, repository, mode)))


def test_a_workspace_s_repository(hosted: Hosted, plane: ControlPlane, manager: OneManager, tmp_path: Path) -> None:
    project, alice = hosted.repository("alice/project", "team/topic"), hosted.sign_ins["alice"]
    assert alice is not None
    with pytest.raises(RepositoryDenied, match="would not be cloned"):
        manager.create(spec("alice", project), print)
    manager.give_credentials("alice", hosted.gitea.address, "alice", alice.token)
    seen = manager.preview(spec("alice", project))
    assert not seen.misses and any("can be read: branch team/topic" in one for one in seen.good), seen
    assert manager.create(spec("alice", project), print).workspace.state == "running"
    pod = plane.api.get(f"/api/v1/namespaces/{PLACE}/pods/code-server-alice-0")
    assert alice.token not in json.dumps(pod)
    [step] = [one for one in pod["spec"]["initContainers"] if one["name"] == REPOSITORY_STEP]
    environment = {one["name"]: one["value"] for one in step["env"] if one["name"].startswith("GIT_")}
    inside = Inside(plane, "alice", tmp_path)
    inside.told.write_text("")
    inside.run(*step["command"], environment=environment)
    assert inside.told.read_text() == ""
    there = inside.home / "project"
    assert (there / "topic.txt").read_text() == "of a topic"
    assert alice.token not in (there / ".git/config").read_text()
    assert inside.run("git", "-C", str(there), "rev-list", "--count", "HEAD").strip() == "1", "the newest alone"

    # sync: what somebody else did there is here, and what was done here goes there
    hosted.gitea.commit("alice", "project", "more.txt", "more", "team/topic")
    assert inside.sync(project, "look").behind == 0
    pulled = inside.sync(project)
    assert (pulled.pulled, pulled.branch, pulled.problem) == (1, "team/topic", ""), pulled
    (there / "own.txt").write_text("mine")
    own = ("git", "-C", str(there), "-c", "user.name=alice", "-c", "user.email=alice@example.org")
    inside.run(*own, "add", "own.txt")
    inside.run(*own, "commit", "-q", "-m", "mine")
    assert inside.sync(project).ahead == 1
    inside.run(*own, "push", "-q")
    names = {one["name"] for one in hosted.gitea.api("GET", "/repos/alice/project/contents?ref=team/topic", "alice")}
    assert {"own.txt", "more.txt"} <= names


@pytest.mark.parametrize(("path", "branch", "file"), [
    ("alice/project", "", "README.md"), ("alice/before", "main", "README.md"), ("alice/kept", "", "README.md"),
    ("bob/shared", "", "README.md"), ("team/plans", "main", "README.md"), ("alice/empty", "", ".git"),
])  # fmt: skip
def test_what_can_be_read_is_cloned(
    hosted: Hosted, plane: ControlPlane, given: str, tmp_path: Path, path: str, branch: str, file: str
) -> None:
    repository, inside = hosted.repository(path, branch, full=True), Inside(plane, given, tmp_path)
    assert inside.clone(repository) == ""
    assert (inside.home / path.partition("/")[2] / file).exists()
    assert inside.sync(repository).problem == ""


@pytest.fixture
def given(hosted: Hosted, manager: OneManager) -> str:
    """A user whose credentials the cluster keeps."""
    alice = hosted.sign_ins["alice"]
    assert alice is not None
    manager.give_credentials("alice", hosted.gitea.address, alice.name, alice.token)
    return "alice"


@pytest.mark.parametrize(("path", "branch", "who", "words"), [
    ("bob/his", "", "alice", "there is no such repository, or the user may not see it"),
    ("alice/none", "", "alice", "there is no such repository"),
    ("alice/project", "none", "alice", "there is no such branch"),
    ("alice/project", "", "revoked", "access is denied"),
    ("alice/project", "", "wrong", "access is denied"),
    ("alice/project", "", "elsewhere", "credentials do not reach it"),
    ("alice/project", "", "public alone", "credentials do not reach it"),
])  # fmt: skip
def test_why_a_clone_fails_is_said_before_and_after_in_the_same_words(
    hosted: Hosted, plane: ControlPlane, manager: OneManager, tmp_path: Path, path: str, branch: str, who: str,
    words: str,
) -> None:  # fmt: skip
    sign_in, repository = hosted.sign_ins[who], hosted.repository(path, branch)
    assert sign_in is not None
    manager.give_credentials("alice", hosted.gitea.address, sign_in.name, sign_in.token)
    assert words in manager.check_repository("alice", repository).words
    said = why(Inside(plane, "alice", tmp_path).clone(repository))
    assert words in said and sign_in.token not in said


def test_a_token_that_is_revoked_later(
    hosted: Hosted, plane: ControlPlane, manager: OneManager, tmp_path: Path
) -> None:
    made = hosted.gitea
    token = made.token("alice", *READS)
    manager.give_credentials("alice", made.address, "alice", token)
    repository, inside = hosted.repository("alice/project"), Inside(plane, "alice", tmp_path)
    assert inside.clone(repository) == ""
    newest = max(made.api("GET", "/users/alice/tokens", "alice"), key=lambda one: one["id"])
    made.api("DELETE", f"/users/alice/tokens/{newest['id']}", "alice")
    assert "access is denied" in inside.sync(repository).problem
    assert inside.sync(repository, "look").problem == "", "which asks no server"
    [said] = manager.repositories_of("alice")
    assert said.accepted is False


# By the command line and the screens


def test_the_command_line(
    hosted: Hosted, options: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    carol, address = hosted.sign_ins["carol"], hosted.gitea.address
    assert carol is not None
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{carol.token}\n"))
    words = [*options, "workspace"]
    assert main([*words, "credentials", "carol", "--server", address]) == 0
    assert main([*words, "credentials", "carol", "--test"]) == 0
    assert "it accepts them: carol there" in capsys.readouterr().out
    assert main([*words, "repositories", "carol"]) == 0
    listed = capsys.readouterr().out.splitlines()
    assert f"  carol/r52  {address}/carol/r52.git  (private, empty)" in listed
    assert len([line for line in listed if line.startswith("  carol/")]) == MANY
    assert main([*words, "repositories", "carol", "--check", f"{address}/alice/open.git", "--branch", "main"]) == 0
    assert main([*words, "repositories", "carol", "--check", f"{address}/alice/project.git"]) == 1
    assert "or the user may not see it" in (said := "".join(capsys.readouterr())) and carol.token not in said
    create = ["create", "carol", "--template", "code-server", "--repo", f"{address}/alice/project.git", "--dry-run"]
    assert main([*words, *create]) == 1
    assert "would not be cloned" in capsys.readouterr().out


def test_one_is_chosen_on_new_workspace(
    hosted: Hosted, manager: OneManager, options: list[str], tmp_path: Path
) -> None:
    alice, user = hosted.sign_ins["alice"], Key(user="frank")
    assert alice is not None
    own = {f"XDG_{name}_HOME": str(tmp_path / name) for name in ("CONFIG", "STATE", "CACHE")} | {"HOME": str(tmp_path)}
    terminal = TmuxTerminal(homewright(*options), own, size=(120, 40))
    try:
        terminal.wait("workspaces")
        terminal.press("w")
        terminal.wait("running")
        terminal.press("n")
        terminal.wait("will it do?")
        terminal.press("End", "C-u")
        terminal.type("frank")
        terminal.wait("It goes to the cluster")
        terminal.press("C-r")
        terminal.wait("No credentials are kept")
        terminal.press("C-t")
        terminal.wait("git credentials of frank")
        terminal.press("a")
        terminal.wait("Token")
        terminal.type(hosted.gitea.address)
        terminal.press("Enter", "Enter")
        terminal.type_secret(alice.token)
        assert alice.token not in terminal.text()
        terminal.press("Enter")
        terminal.wait("it accepts them: alice there")
        terminal.press("Escape")
        terminal.wait(lambda text: "bob/shared" in text and "private, archived" in text)
        terminal.type("proj")
        terminal.wait(lambda text: "alice/project" in text and "bob/shared" not in text)
        terminal.press("Enter")
        terminal.wait("can be read: branch main")
        terminal.press("C-s")
        limit = time.monotonic() + 60
        while (found := next((one for one in manager.list().workspaces if one.key == user), None)) is None:
            assert time.monotonic() < limit, terminal.text()
            time.sleep(0.2)
        assert found.repository == hosted.repository("alice/project", "main")
    finally:
        terminal.close()
