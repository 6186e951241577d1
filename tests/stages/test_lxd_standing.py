"""What is looked at on a server to see how it stands to LXD: the script as it runs there, and an LXD that answers."""

from __future__ import annotations

import dataclasses
import json
import os
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from homewright.errors import Unreachable
from homewright.lxd.client import LxdAway, LxdError
from homewright.stages.lxd import cluster, instances, standing
from homewright.stages.lxd.standing import Lxd

ANSWERS: dict[str, Any] = {
    "/1.0": {"environment": {"server_version": "5.21.3"}, "config": {}, "api_extensions": ["storage_buckets"]},
    "/1.0/storage-pools?recursion=1": [
        {"name": "default", "config": {}, "status": "Created"},
        {"name": "half", "config": {}, "status": "Pending"},
    ],
    "/1.0/instances?recursion=1&all-projects=true": [],
    "/1.0/projects?recursion=1": [{"name": "default"}, {"name": "photos"}],
    "/1.0/storage-pools/default/volumes/custom?recursion=1&project=default": [{"name": "data"}, {"name": "data"}],
    "/1.0/storage-pools/default/volumes/custom?recursion=1&project=photos": [{"name": "2024"}],
    "/1.0/storage-pools/default/buckets?recursion=1&project=default": [],
    "/1.0/storage-pools/default/buckets?recursion=1&project=photos": [{"name": "b"}],
    "/1.0/networks?recursion=1": [],
}


class Daemon(BaseHTTPRequestHandler):
    """What LXD says of itself."""

    def do_GET(self) -> None:
        told = ANSWERS.get(self.path)
        body = {"type": "error", "error": "Not Found"} if told is None else {"type": "sync", "metadata": told}
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def address_string(self) -> str:
        return "here"

    def log_message(self, *_: object) -> None:
        """No line for each question."""


class Listener(socketserver.ThreadingUnixStreamServer):
    """On a socket of its own."""

    daemon_threads = True


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    with Listener(str(tmp_path / "unix.socket"), Daemon) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield tmp_path
        server.shutdown()
        thread.join()


def look(folder: Path) -> Lxd:
    programs = folder / "bin"
    programs.mkdir()
    for name, said in (("dpkg-query", "install ok installed"), ("apt-cache", "")):
        (programs / name).write_text(f"#!/bin/sh\necho {said}\n")
        (programs / name).chmod(0o755)
    script = standing._LOOK.replace('"/var/lib/lxd"', f'"{folder}"')
    environment = {"PATH": f"{programs}:{os.environ['PATH']}"}
    done = subprocess.run(
        [sys.executable, "-"], input=script, capture_output=True, text=True, check=True, env=environment
    )
    return Lxd(**{name: tuple(one) if isinstance(one, list) else one for name, one in json.loads(done.stdout).items()})


def test_volumes_and_buckets_of_all_projects_are_seen(folder: Path) -> None:
    found = look(folder)
    assert (found.answers, found.why_not, found.version) == (True, "", "5.21.3")
    assert found.volumes == ("default/2024", "default/b", "default/data")


def test_an_lxd_without_buckets_is_not_asked_for_them(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ANSWERS, "/1.0", {**ANSWERS["/1.0"], "api_extensions": []})
    monkeypatch.delitem(ANSWERS, "/1.0/storage-pools/default/buckets?recursion=1&project=default")
    found = look(folder)
    assert (found.answers, found.volumes) == (True, ("default/2024", "default/data"))


def test_a_member_that_has_just_joined_is_waited_for_until_it_trusts_us(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[LxdError | None] = [LxdError("s2 does not trust Homewright."), None]

    class Api:
        def __enter__(self) -> Api:
            return self

        def __exit__(self, *_: object) -> None:
            return None

        def get(self, path: str) -> list[str]:
            assert path == "cluster/members"
            answer = answers.pop(0)
            if answer is not None:
                raise answer
            return []

    monkeypatch.setattr(cluster, "connect", lambda host: Api())
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    cluster.heard(SimpleNamespace(name="s2"))  # type: ignore[arg-type]  # nothing but its name is used
    assert answers == []
    answers += [LxdError("never")]
    with pytest.raises(LxdError, match="never"):
        cluster.heard(SimpleNamespace(name="s2"), limit=-1.0)  # type: ignore[arg-type]  # nor here


@pytest.mark.parametrize("away", ["", "get", "put"])
def test_the_site_s_certificate_is_set_to_what_it_is_and_a_cluster_that_will_not_have_it_joins_too(away: str) -> None:
    known = {"name": "homewright", "type": "client", "restricted": False, "projects": [], "certificate": "PEM"}
    told: list[object] = []

    class Api:
        def get(self, path: str) -> dict[str, object]:
            if away == "get":
                raise LxdError("nobody is there")
            return {**known, "fingerprint": path.rpartition("/")[2]}

        def put(self, path: str, body: dict[str, object]) -> None:
            if away == "put":
                raise LxdError("not now")
            told.append((path, body))

    cluster.retell(Api(), SimpleNamespace(fingerprint="ab12"))  # type: ignore[arg-type]  # nothing else of them is used
    assert told == ([] if away else [("certificates/ab12", known)])


@dataclasses.dataclass
class Member:
    """A member's API that answers, or fails, as it is told."""

    answers: list[Any]
    closed: int = 0

    def __enter__(self) -> Member:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.closed += 1

    def get(self, path: str) -> Any:
        answer = self.answers.pop(0)
        if isinstance(answer, LxdError):
            raise answer
        return answer


NO_LEADER = LxdAway("LXD cannot tell.", "LXD says: no available dqlite leader server found.")


def test_a_cluster_whose_members_come_back_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    member = Member([NO_LEADER, NO_LEADER, []])
    monkeypatch.setattr(cluster, "everyone", lambda hosts: hosts)
    monkeypatch.setattr(cluster, "connect", lambda host: member)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    hosts: list[Any] = [SimpleNamespace(name="s1")]
    assert cluster.any_member(hosts) is member
    assert (member.answers, member.closed) == ([], 2)
    member.answers += [NO_LEADER]
    with pytest.raises(LxdAway):
        cluster.any_member(hosts, limit=-1.0)
    member.answers += [LxdError("It does not trust us.")]
    with pytest.raises(LxdError, match="trust"):
        cluster.any_member(hosts)


def test_what_is_lost_with_a_server_that_went_away_is_waited_for_as_it_is() -> None:
    """The engine goes by this kind of error, and by its code: 0027."""
    assert isinstance(NO_LEADER, Unreachable)
    assert (NO_LEADER.code, NO_LEADER.exit_code) == (Unreachable.code, Unreachable.exit_code)
    assert not isinstance(LxdError("no"), Unreachable)


def test_a_member_that_was_started_is_waited_for_until_its_cluster_hears_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    offline = {"status": "Offline", "message": "No heartbeat for 31 s"}
    member = Member([NO_LEADER, offline, {"status": "Online", "message": ""}])
    monkeypatch.setattr(cluster, "connect", lambda host: member)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    host: Any = SimpleNamespace(name="s2")
    cluster.online(host)
    assert member.answers == []
    member.answers += [offline]
    with pytest.raises(LxdError, match="does not hear of s2"):
        cluster.online(host, limit=-1.0)


def test_an_instance_whose_member_is_away_is_nobodys_until_it_is_back() -> None:
    """LXD lists it without its settings, as seen after all members had lost power."""
    with pytest.raises(LxdAway, match="whose s2-node is"):
        instances.is_ours({"name": "s2-node", "config": None}, "home/1")
    assert instances.is_ours({"name": "s2-node", "config": {standing.OWNER: "home/1"}}, "home/1")
    assert not instances.is_ours({"name": "s2-node", "config": {}}, "home/1")
