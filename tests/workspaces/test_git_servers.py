"""What git servers say: whether a repository can be read, and which ones somebody has. git http-backend answers."""

from __future__ import annotations

import json
import shlex
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from api_stand_in import StandIn, stand_in
from git_server import SCOPES, GitServer, git_server

from homewright.cluster.kubeconfig import SECRET
from homewright.errors import UsageError
from homewright.site.models import Site
from homewright.site.paths import StateFolder
from homewright.site.secrets import Secrets
from homewright.workspaces import git_servers
from homewright.workspaces.errors import RepositoryDenied
from homewright.workspaces.git_servers import Answer, SignIn, check, judged, read_refs, told
from homewright.workspaces.models import Key, Repository, Specification
from homewright.workspaces.one_manager import OneManager

TOKEN = "s3cret token/with:signs"
ALICE = SignIn("alice", TOKEN)


@pytest.fixture(scope="module")
def git(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitServer]:
    with git_server(tmp_path_factory.mktemp("git"), users={"alice": TOKEN, "bob": "his"}) as made:
        made.make("alice/project", "one")
        made.make("alice/other", "one")
        made.make("bob/his", "one")
        made.make("open/to-all", "one")
        subprocess.run(["git", "init", "-q", "--bare", str(made.folder / "alice/empty.git")], check=True)
        yield made


@pytest.fixture
def gitea(git: GitServer) -> Iterator[GitServer]:
    """The same, with Gitea's API, as it is at first."""
    git.gitea, git.strict, git.scopes, git.at_once = True, False, SCOPES, 50
    git.answers.clear()
    git.asked.clear()
    yield git
    git.gitea = False
    git.answers.clear()


def at(git: GitServer, path: str, branch: str = "") -> Repository:
    return Repository(url=f"{git.address}/{path}.git", branch=branch)


@pytest.mark.parametrize(("path", "branch", "sign_in", "state", "words"), [
    ("alice/project", "", ALICE, "good", "can be read: branch main"),
    ("alice/project", "main", ALICE, "good", "can be read: branch main"),
    ("alice/project", "none", ALICE, "wrong", "there is no such branch"),
    ("alice/empty", "", ALICE, "good", "is empty"),
    ("alice/empty", "main", ALICE, "wrong", "there is no such branch"),
    ("alice/none", "", ALICE, "wrong", "there is no such repository"),
    ("alice/project", "", None, "wrong", "none of alice are kept for http://127.0.0.1"),
    ("alice/project", "", SignIn("alice", "wrong"), "wrong", "does not accept the credentials of alice"),
    ("bob/his", "", ALICE, "wrong", "there is no such repository, or the user may not see it"),
    ("open/none", "", None, "wrong", "none of alice are kept"),
    ("open/to-all", "", None, "good", "can be read"),
    ("open/to-all", "", SignIn("alice", "wrong"), "good", "can be read"),
])  # fmt: skip
def test_a_repository_is_asked_for_as_git_does(
    git: GitServer, path: str, branch: str, sign_in: SignIn | None, state: str, words: str
) -> None:
    checked = check(at(git, path, branch), "alice", sign_in)
    assert checked.state == state and words in checked.words, checked
    assert bool(checked.do) is (state == "wrong")
    assert TOKEN not in repr((checked, sign_in)) and not [line for line in git.asked if "s3cret" in line]


@pytest.mark.parametrize(("answer", "state", "words"), [
    (Answer(0, why="its server does not answer (refused)"), "unknown", "asked from here, its server does not answer"),
    (Answer(403), "wrong", "do not reach it"),
    (Answer(403, b"Your account is disabled.\n", {"content-type": "text/plain; charset=utf-8"}), "wrong",
     "do not reach it (its server says: Your account is disabled)"),
    (Answer(401, b"Use a token, not a password.", {"content-type": "text/plain;charset=utf-8"}), "wrong",
     "the credentials of alice (its server says: Use a token, not a password)"),
    (Answer(401, b"Unauthorized\n", {"content-type": "text/plain; charset=utf-8"}), "wrong",
     "does not accept the credentials of alice"),
    (Answer(403, b"Off\x1b[2J", {"content-type": "text/plain"}), "wrong", "(its server says: Off"),
    (Answer(410), "wrong", "no such repository"),
    (Answer(200, b"<html>"), "wrong", "not as a git server"),
    (Answer(302), "unknown", "answers 302"),
    (Answer(503), "unknown", "answers 503"),
    (Answer(521, b"error code: 521", {"content-type": "text/plain; charset=UTF-8"}), "unknown", "answers 521"),
])  # fmt: skip
def test_other_answers(answer: Answer, state: str, words: str) -> None:
    checked = judged(answer, Repository(url="https://git.example.org/a/b"), "alice", True)
    assert checked.state == state and words in checked.words and "\x1b" not in checked.words


@pytest.mark.parametrize(("data", "kind"), [
    (b"Forbidden\n", "text/plain; charset=utf-8"), (b"", "text/plain"), (b"<p>No</p>", "text/html"),
])  # fmt: skip
def test_what_says_nothing_is_not_told(data: bytes, kind: str) -> None:
    checked = judged(Answer(403, data, {"content-type": kind}), Repository(url="https://g.example/a/b"), "alice", True)
    assert checked.words.endswith("do not reach it") and "read:repository" in checked.do


def test_an_account_that_gitea_shows_a_page(gitea: GitServer, monkeypatch: pytest.MonkeyPatch) -> None:
    ask = git_servers.ask
    page = Answer(200, b"<html>", {"content-type": "text/html"})
    monkeypatch.setattr(git_servers, "ask", lambda url, sign_in=None, end=None: page if sign_in else ask(url))
    checked = check(at(gitea, "alice/project"), "alice", ALICE)
    assert (checked.state, "do not reach it (with them its server answers alice with a page" in checked.words) == (
        "wrong",
        True,
    )
    assert "may sign in" in checked.do


def test_a_page_behind_a_password_is_not_called_a_git_server(gitea: GitServer, monkeypatch: pytest.MonkeyPatch) -> None:
    page, stranger = Answer(200, b"<html>", {"content-type": "text/html"}), Answer(401)
    monkeypatch.setattr(git_servers, "ask", lambda url, sign_in=None, end=None: page if sign_in else stranger)
    checked = check(at(gitea, "wiki"), "alice", ALICE)
    assert checked.state == "wrong" and checked.words.endswith("answers alice with a page, not as a git server)")
    assert "git clones from this address" in checked.do


def test_no_branch_is_missed_in_a_list_that_was_cut_off() -> None:
    line = b"a" * 40 + b" refs/heads/main\0symref=HEAD:refs/heads/main\n"
    data = b"001e# service=git-upload-pack\n0000" + f"{len(line) + 4:04x}".encode() + line
    refs = read_refs(data)
    assert refs is not None and (refs.branches, refs.default, refs.whole) == ({"main"}, "main", True)
    cut = read_refs(data + b"00ff" + b"b" * 40)
    assert cut is not None and not cut.whole
    repository = Repository(url="https://git.example.org/a/b", branch="late")
    assert judged(Answer(200, data + b"00ff"), repository, "alice", True).state == "unknown"
    assert judged(Answer(200, data), repository, "alice", True).state == "wrong"


ADVERTISED = b"001e# service=git-upload-pack\n"


@pytest.mark.parametrize("data", [
    b"", b"0000", b"zzzz", b"0005x", b"0004", b"001e# service=git-receive-pack\n",
    ADVERTISED + b"-01e" + b"x" * 10, ADVERTISED + b"+004", ADVERTISED + b" 004", ADVERTISED + b"0_04",
])  # fmt: skip
def test_what_is_no_advertisement(data: bytes) -> None:
    assert read_refs(data) is None


def test_a_server_that_is_not_there_or_not_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "does not answer" in check(Repository(url="http://127.0.0.1:1/a/b"), "alice", None).words
    assert "name is not found" in check(Repository(url="http://nowhere.invalid/a/b"), "alice", None).words
    error = ssl.SSLCertVerificationError(1, "certificate verify failed: self-signed certificate")
    assert git_servers._no_answer(error).startswith("its server's certificate is not trusted")


def test_a_token_follows_no_server_elsewhere(gitea: GitServer) -> None:
    elsewhere = gitea.address.replace("127.0.0.1", "localhost")
    path = "/alice/moved.git/info/refs"
    gitea.answers[path] = (302, {"Location": f"{elsewhere}/alice/project.git/info/refs?service=git-upload-pack"}, b"")
    assert check(at(gitea, "alice/moved"), "alice", ALICE).state == "unknown"
    here = f"{gitea.address}/alice/project.git/info/refs?service=git-upload-pack"
    gitea.answers[path] = (302, {"Location": here}, b"")
    assert check(at(gitea, "alice/moved"), "alice", ALICE).state == "good"


@pytest.mark.parametrize(("asked_for", "at_once", "strict"), [
    (50, 50, False), (1, 1, False), (50, 2, False), (2, 50, False), (50, 2, True),
])  # fmt: skip
def test_gitea_lists_what_somebody_has(
    gitea: GitServer, asked_for: int, at_once: int, strict: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(git_servers, "_PAGE", asked_for)
    gitea.at_once, gitea.strict = at_once, strict
    said = told(gitea.address, ALICE)
    assert (said.kind, said.accepted, said.login) == ("gitea", True, "alice")
    assert [(one.name, one.marks) for one in said.repositories] == [
        ("alice/empty", "private, empty"), ("alice/other", "private"), ("alice/project", "private"),
    ]  # fmt: skip
    assert said.repositories[2].url == f"{gitea.address}/alice/project.git", "not the one of its own wrong settings"
    assert not [line for line in gitea.asked if "s3cret" in line]


def test_what_gitea_says_else(gitea: GitServer) -> None:
    for gitea.strict in (True, False):
        refused = told(gitea.address, SignIn("alice", "wrong"))
        assert (refused.kind, refused.accepted, refused.repositories) == ("gitea", False, ())
    gitea.scopes = SCOPES[:1]
    narrow = told(gitea.address, ALICE)
    assert narrow.accepted and "read:user and read:repository" in narrow.words and narrow.login == "alice"
    gitea.scopes = SCOPES[1:]
    narrow = told(gitea.address, ALICE)
    assert narrow.accepted and "read:user and read:repository" in narrow.words and narrow.login == ""
    for path in ("/api/v1/user", "/api/v1/user/repos"):
        gitea.answers[path] = (403, {}, b'{"message": "This account is prohibited from signing in."}')
    closed = told(gitea.address, ALICE)
    assert closed.accepted is None and "scope" not in closed.words
    assert closed.words == "it answers 403: This account is prohibited from signing in."
    gitea.answers["/api/v1/user/repos"] = (500, {}, b"\x1b[2J")
    assert told(gitea.address, ALICE).accepted is None
    gitea.answers["/api/v1/user/repos"] = (
        200, {}, b'[{"full_name": "a/\\u001b[2Jb"}, {"full_name": 7}, 8, {"full_name": "a/../../b c"}, {}]',
    )  # fmt: skip
    assert told(gitea.address, ALICE).repositories == ()


def test_gitea_s_answers_may_be_anything(gitea: GitServer) -> None:
    gitea.answers["/api/v1/user"] = (200, {}, b'{"login": {"a": "b"}}')
    gitea.answers["/api/v1/user/repos"] = (200, {"X-Total-Count": "\u00b2"}, b'[{"full_name": "a/b"}]')
    said = told(gitea.address, ALICE)
    assert (said.accepted, said.login, [one.name for one in said.repositories]) == (True, "", ["a/b"])
    gitea.answers["/api/v1/user/repos"] = (200, {}, b"[" * 200_000)
    assert told(gitea.address, ALICE).repositories == ()


def test_an_empty_repository_has_no_branch(gitea: GitServer) -> None:
    empty, other, _ = told(gitea.address, ALICE).repositories
    assert (empty.empty, empty.branch) == (True, "") and (other.empty, other.branch) == (False, "main")
    assert "leave the branch out" in check(at(gitea, "alice/empty", "main"), "alice", ALICE).do
    assert check(at(gitea, "alice/project", "none"), "alice", ALICE).do == "name one that is there: main"


def test_a_remedy_is_a_command_that_a_shell_takes() -> None:
    said = judged(Answer(401), Repository(url="https://[2001:db8::1]/a/b"), "o'hara; ls", True)
    words = shlex.split(said.do.partition(": ")[2])
    assert words == ["homewright", "workspace", "credentials", "o'hara; ls", "--server", "https://[2001:db8::1]"]


@pytest.fixture
def dripping() -> Iterator[Callable[[bytes], str]]:
    """A server that says so much at once, and after that a byte now and then, for ever; its address."""
    with ExitStack() as stack:

        def listening(said: bytes) -> str:
            over = threading.Event()
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))

            def drip(caller: socket.socket) -> None:
                with caller, suppress(OSError):
                    caller.recv(4096)
                    caller.sendall(said)
                    while not over.wait(0.02):
                        caller.sendall(b"x")

            def serve() -> None:
                with suppress(OSError):  # closed under it
                    while True:
                        threading.Thread(target=drip, args=(listener.accept()[0],), daemon=True).start()

            threading.Thread(target=serve, daemon=True).start()
            stack.callback(listener.shutdown, socket.SHUT_RDWR)
            stack.callback(over.set)
            return "http://{}:{}".format(*listener.getsockname())

        yield listening


@pytest.mark.parametrize("said", [
    b"", b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 404 No\r\nContent-Length: 9999999\r\n\r\n",
])  # fmt: skip
def test_an_answer_that_never_ends_is_given_up(
    dripping: Callable[[bytes], str], said: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(git_servers, "ANSWER_S", 0.3)
    answer = git_servers.ask(dripping(said))
    assert answer.status == 0 and answer.why == "its server does not answer (timed out)"


def test_all_that_a_server_tells_has_one_end(gitea: GitServer, monkeypatch: pytest.MonkeyPatch) -> None:
    gitea.answers["/api/v1/user/repos"] = (200, {"X-Total-Count": "99999"}, b'[{"full_name": "a/b"}]')
    ask, ends = git_servers.ask, []

    def fourth_is_late(url: str, sign_in: SignIn | None = None, end: float | None = None) -> Answer:
        ends.append(end)
        return ask(url, sign_in, time.monotonic() if len(ends) == 4 else end)

    monkeypatch.setattr(git_servers, "ask", fourth_is_late)
    said = told(gitea.address, ALICE)
    assert said.accepted is None and said.words == "its server does not answer (timed out)"
    assert len(ends) == 4 and len(set(ends)) == 1 and ends[0] is not None
    assert len(gitea.asked) == 3, "nothing is asked after it"


def test_a_server_that_is_no_gitea(git: GitServer) -> None:
    assert told(git.address, ALICE).kind == "other"
    assert told("http://127.0.0.1:1", ALICE).kind == "unknown"


# With the credentials that the cluster keeps


@pytest.fixture
def server() -> Iterator[StandIn]:
    with stand_in() as made:
        yield made


@pytest.fixture
def manager(server: StandIn, tmp_path: Path) -> Iterator[OneManager]:
    state = StateFolder(tmp_path / "state", tmp_path / "site.yaml").create()
    Secrets(state.secrets).set(SECRET, json.dumps(dict(server.kubeconfig().document)))
    with OneManager(Site(name="attic"), state) as made:
        yield made


def spec(repository: Repository) -> Specification:
    return Specification(key=Key(user="alice"), template="code-server", preset="standard", repository=repository)


def test_a_repository_is_looked_at_before_create(manager: OneManager, gitea: GitServer) -> None:
    project = at(gitea, "alice/project")
    seen = manager.preview(spec(project))
    [miss] = seen.misses
    assert not seen.problems and "access is denied" in miss.reason and miss.whose == "user"
    assert "homewright workspace credentials alice --server" in miss.remedy
    with pytest.raises(RepositoryDenied, match="would not be cloned"):
        manager.create(spec(project), print)
    assert not manager.list().workspaces, "nothing was made"
    manager.give_credentials("alice", gitea.address, "alice", TOKEN)
    seen = manager.preview(spec(project))
    assert not seen.misses and any("can be read: branch main" in one for one in seen.good)
    assert manager.create(spec(project), print).workspace.state == "running"
    assert not manager.preview(spec(at(gitea, "alice/none"))).misses, "it is there already: nothing is made"


def test_it_is_made_all_the_same_where_that_is_wanted(manager: OneManager, gitea: GitServer) -> None:
    created = manager.create(spec(at(gitea, "alice/project")), print, anyway=True)
    assert any("its repository would not be cloned" in one for one in created.warnings)


def test_a_server_that_is_not_seen_from_here_refuses_nothing(manager: OneManager) -> None:
    away = spec(Repository(url="http://127.0.0.1:1/a/b"))
    seen = manager.preview(away)
    assert not seen.misses and any("asked from here" in one for one in seen.unknown)
    assert manager.create(away, print).workspace.state == "running"


def test_an_answer_serves_for_a_while(manager: OneManager, gitea: GitServer) -> None:
    repository = at(gitea, "open/to-all")
    for _ in range(3):
        assert manager.check_repository("alice", repository).state == "good"
    assert len(gitea.asked) == 1


def test_what_a_user_has(manager: OneManager, gitea: GitServer) -> None:
    assert manager.repositories_of("alice") == ()
    with pytest.raises(UsageError, match="No credentials of alice"):
        manager.repositories_of("alice", gitea.address)
    manager.give_credentials("alice", gitea.address, "alice", TOKEN)
    for server in (None, gitea.address):
        [said] = manager.repositories_of("alice", server)
        assert said.server == gitea.address and len(said.repositories) == 3
