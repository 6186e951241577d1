"""code-server in a real cluster: its terminal, its port, its repository, and data that outlives pods.

A cluster takes minutes to make: HOMEWRIGHT_TEST_SITE and HOMEWRIGHT_TEST_STATE name one that is there already.
"""

from __future__ import annotations

import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster_place import ClusterPlace
from git_server import GitServer, git_server

from homewright.errors import UsageError
from homewright.workspaces.errors import RepositoryDenied
from homewright.workspaces.models import Key, Repository, Specification
from homewright.workspaces.one_manager import OneManager

pytestmark = [pytest.mark.lab, pytest.mark.long]

KEY = Key(user="h-repo")
TOKEN = "s3cret-t0ken/with:signs"
BELOW = "/home/coder/workspace"


@pytest.fixture(scope="module")
def manager(cluster_place: ClusterPlace) -> Iterator[OneManager]:
    with OneManager(cluster_place.site, cluster_place.state) as made:
        yield made


@pytest.fixture(scope="module")
def git(cluster_place: ClusterPlace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitServer]:
    """A git server on this machine, where pods reach it; what is below `h-repo/` is that user's alone."""
    folder = tmp_path_factory.mktemp("git")
    with git_server(folder, cluster_place.gateway, {KEY.user: TOKEN}) as made:
        yield made


@pytest.fixture(scope="module")
def repository(git: GitServer) -> Repository:
    return Repository(url=git.make(f"{KEY.user}/project", "one"), branch="main")


@pytest.fixture(scope="module")
def workspace(manager: OneManager, repository: Repository) -> Iterator[Key]:
    """Its clone fails: nobody has given the user's credentials yet."""
    spec = Specification(key=KEY, template="code-server", preset="standard", repository=repository)
    with pytest.raises(RepositoryDenied, match="would not be cloned"):
        manager.create(spec, print, accept_open_network=True)
    made = manager.create(spec, print, accept_open_network=True, anyway=True)
    assert made.workspace.state == "running", "a failing clone does not keep the editor from starting"
    yield KEY
    manager.give_credentials(KEY.user, repository.url, "", None)
    manager.delete(KEY, with_storage=True, in_cluster=True)
    manager.purge(KEY)


def inside(manager: OneManager, *words: str, stdin: bytes = b"") -> tuple[int, str]:
    """A command in the workspace: its exit code, and what it printed."""
    said = b""
    with manager.shell(KEY, words, terminal=False, stdin=bool(stdin)) as command:
        if stdin:
            command.write(stdin)
            command.end_input()
        while (piece := command.read()) is not None:
            said += piece[1]
    assert command.code is not None and not command.why, command.why
    return command.code, said.decode()


def test_a_clone_that_failed_is_told_and_sync_mends_it(
    manager: OneManager, workspace: Key, git: GitServer, repository: Repository
) -> None:
    [note] = [one for one in manager.show(KEY).notes if "repository" in one]
    assert "was not cloned: access is denied" in note
    assert "access is denied" in manager.sync(KEY)[1].problem
    hosts = manager.give_credentials(KEY.user, repository.url, KEY.user, TOKEN)
    assert hosts == (git.address,) and manager.credentials(KEY.user) == hosts
    limit = time.monotonic() + 240  # kubelet brings a new Secret within a minute or two
    while (synced := manager.sync(KEY)[1]).problem and time.monotonic() < limit:
        time.sleep(3)
    assert synced.cloned and synced.branch == "main" and synced.dirty == 0, synced
    assert inside(manager, "cat", f"{BELOW}/project/README.md") == (0, "one")


def test_the_token_is_in_no_address_argument_variable_or_pod(
    manager: OneManager, workspace: Key, git: GitServer
) -> None:
    there = manager.require_cluster()
    for kind in ("Pod", "StatefulSet", "ConfigMap", "Event", "Service", "Ingress"):
        for one in there.api.list(kind, "codeserver-instances").items:
            assert TOKEN not in repr(one) and "s3cret" not in repr(one), kind
    assert "s3cret" not in inside(manager, "sh", "-c", "env; cat /proc/1/environ; git -C project config --list")[1]
    assert "s3cret" not in inside(manager, "cat", f"{BELOW}/project/.git/config")[1]
    assert not [line for line in git.asked if "s3cret" in line]
    code, said = inside(manager, "ls", "-l", "/etc/homewright-git/..data/credentials")
    assert code == 0 and said.startswith("-r--r-----"), said


def test_sync_keeps_what_is_not_committed(manager: OneManager, workspace: Key, git: GitServer) -> None:
    git.commit(f"{KEY.user}/project", "README.md", "two")
    inside(manager, "sh", "-c", f"echo mine > {BELOW}/project/README.md; echo new > {BELOW}/project/notes")
    synced = manager.sync(KEY)[1]
    assert (synced.dirty, synced.ahead, synced.behind, synced.pulled) == (2, 0, 1, 0)
    assert inside(manager, "cat", f"{BELOW}/project/README.md") == (0, "mine\n")
    inside(manager, "git", "-C", f"{BELOW}/project", "checkout", "-q", "README.md")
    inside(manager, "rm", f"{BELOW}/project/notes")
    assert manager.sync(KEY)[1].pulled == 1
    assert inside(manager, "cat", f"{BELOW}/project/README.md") == (0, "two")
    pushed = "echo three > three && git add . && git -c user.name=a -c user.email=a@b commit -qm three && git push -q"
    assert inside(manager, "sh", "-c", f"cd {BELOW}/project && {pushed}") == (0, ""), "by the same credentials"


def test_a_command_has_its_input_its_output_and_its_exit_code(manager: OneManager, workspace: Key) -> None:
    assert inside(manager, "sh", "-c", "cat; exit 7", stdin=b"x" * 100_000) == (7, "x" * 100_000)
    assert inside(manager, "id", "-u") == (0, "1000\n")
    with manager.shell(KEY, ["/nowhere"], terminal=False, stdin=False) as command:
        while command.read() is not None:
            pass
        assert command.code != 0


def test_a_terminal_has_a_size_that_can_be_changed(manager: OneManager, workspace: Key) -> None:
    said = b""
    with manager.shell(KEY, (), terminal=True, stdin=True) as command:
        command.resize(101, 33)
        command.write(b"tty; stty size\r")
        while b"33 101" not in said:
            piece = command.read()
            assert piece is not None, said
            said += piece[1]
        command.resize(77, 22)
        command.write(b"sleep 1; stty size; exit 5\r")
        while (piece := command.read()) is not None:
            said += piece[1]
    assert b"/dev/pts/" in said and b"22 77" in said and command.code == 5


def get(port: int, path: str, data: bytes | None = None) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://localhost:{port}{path}", data=data, timeout=30) as answer:
            return answer.status, answer.url
    except urllib.error.HTTPError as error:
        return error.code, ""


def test_a_port_leads_to_the_editor_which_asks_for_the_password(manager: OneManager, workspace: Key) -> None:
    with manager.forwarder(KEY) as way:
        threading.Thread(target=way.serve, daemon=True).start()
        assert get(way.port, "/healthz")[0] == 200
        assert get(way.port, "/") == (200, f"http://localhost:{way.port}/login")
        answers: list[int] = []
        threads = [threading.Thread(target=lambda: answers.append(get(way.port, "/healthz")[0])) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert answers == [200] * 8, "several at a time"
    with pytest.raises(OSError):
        urllib.request.urlopen(f"http://localhost:{way.port}/healthz", timeout=5)


def test_data_outlives_stop_start_and_the_pod(manager: OneManager, workspace: Key, tmp_path: Path) -> None:
    inside(manager, "sh", "-c", f"echo kept > {BELOW}/kept")
    there = manager.require_cluster()
    [pod] = there.api.list("Pod", "codeserver-instances", f"homewright.dev/workspace={KEY.user}").items
    there.api.delete(pod)
    limit = time.monotonic() + 300
    while time.monotonic() < limit:
        pods = there.api.list("Pod", "codeserver-instances", f"homewright.dev/workspace={KEY.user}").items
        fresh = [one for one in pods if one["metadata"]["uid"] != pod["metadata"]["uid"]]
        if fresh and manager.show(KEY).state == "running":
            break
        time.sleep(1)
    assert inside(manager, "cat", f"{BELOW}/kept") == (0, "kept\n")
    assert manager.stop(KEY, in_cluster=True).state == "stopped"
    with pytest.raises(UsageError, match="does not run now"):
        manager.shell(KEY, (), terminal=False, stdin=False)
    assert manager.start(KEY, in_cluster=True).state == "running"
    assert inside(manager, "cat", f"{BELOW}/kept") == (0, "kept\n")
    assert not [one for one in manager.show(KEY).notes if "was not cloned" in one]
