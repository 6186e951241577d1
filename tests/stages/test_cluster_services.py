"""A node that reaches no Service is told as broken, and kube-proxy is begun anew on it, once it had its time."""

from __future__ import annotations

import os
import runpy
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from ipaddress import IPv4Network
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from homewright.access.remote import Completed
from homewright.cluster import client
from homewright.engine.runners.host import Proof
from homewright.engine.states import Verdict
from homewright.errors import HomewrightError
from homewright.stages.cluster import forming, network, services

STEPS = Path(forming.__file__).parents[1] / "40_thinkube/core/cluster"
PLAN: Any = SimpleNamespace(services=IPv4Network("10.152.0.0/16"))


class Server:
    """Its shell is this machine's, with a curl that fails so many times first."""

    name = "s2"

    def __init__(self, folder: Path, failures: int) -> None:
        self.folder = folder
        (folder / "left").write_text("x" * failures)
        curl = folder / "curl"
        curl.write_text(
            f'#!/bin/sh\necho "$@" >>{folder}/asked\n[ -s {folder}/left ] || exit 0\n'
            f'left=$(cat {folder}/left); printf %s "${{left#?}}" >{folder}/left\n'
            "echo 'curl: (7) Connection refused' >&2\nexit 7\n"
        )
        curl.chmod(0o755)

    def run(self, command: str, *, check: bool = True) -> Completed:
        path = f"{self.folder}:{os.environ['PATH']}"
        done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, env={"PATH": path})
        assert not check
        return Completed(done.stdout, done.stderr, done.returncode)

    @property
    def asked(self) -> list[str]:
        return (self.folder / "asked").read_text().splitlines()


@pytest.mark.parametrize(("failures", "asked"), [(0, 1), (1, 2), (services.TRIES - 1, services.TRIES)])
def test_an_api_that_answers_in_the_end_is_reached(tmp_path: Path, failures: int, asked: int) -> None:
    """One of several control planes may be without power."""
    server: Any = Server(tmp_path, failures)
    assert services.unreached(server, PLAN) == ""
    assert len(server.asked) == asked
    assert "https://10.152.0.1/livez" in server.asked[0] and "--cacert /etc/kubernetes/pki/ca.crt" in server.asked[0]


def test_what_curl_says_last_is_told(tmp_path: Path) -> None:
    server: Any = Server(tmp_path, services.TRIES)
    told = services.unreached(server, PLAN)
    assert told == "s2 does not reach 10.152.0.1, the API as a Service: curl: (7) Connection refused"


class Api:
    """Of an API server: a kube-proxy in each of these states on a node."""

    def __init__(self, *states: str) -> None:
        self.states = states
        self.asked: list[dict[str, str]] = []
        self.deleted: list[str] = []

    def list(self, path: str, **query: str) -> list[dict[str, Any]]:
        self.asked.append(query)
        return [
            {"metadata": {"name": f"kube-proxy-{number}"}, "status": {"containerStatuses": [{"state": {state: {}}}]}}
            for number, state in enumerate(self.states)
        ]

    def delete(self, path: str) -> bool:
        self.deleted.append(path)
        return True


@pytest.mark.parametrize(
    ("states", "says"),
    [(("running",), ""), (("waiting",), "does not run on s2"), ((), "does not run on s2"),
     (("terminated", "running"), "")],
)  # fmt: skip
def test_whether_kube_proxy_has_started(states: tuple[str, ...], says: str) -> None:
    api: Any = Api(*states)
    assert says in services.starting(api, "s2") and bool(services.starting(api, "s2")) is bool(says)


def test_kube_proxy_of_that_node_alone_begins_anew() -> None:
    api: Any = Api("running")
    services.begin_anew(api, "s2")
    assert api.asked == [{"labelSelector": "k8s-app=kube-proxy", "fieldSelector": "spec.nodeName=s2"}]
    assert api.deleted == ["/api/v1/namespaces/kube-system/pods/kube-proxy-0"]


@pytest.mark.parametrize(
    ("looks", "begun", "changed"),
    [([True], False, False), ([False, True], False, True), ([False, False, True], True, True), ([False], True, True)],
    ids=["reached", "kube-proxy had only to start", "begun anew", "never"],
)
def test_kube_proxy_is_begun_anew_where_its_time_is_over(
    monkeypatch: pytest.MonkeyPatch, looks: list[bool], begun: bool, changed: bool
) -> None:
    """The last look is the answer to all that come after it."""
    told: list[str] = []
    left = list(looks)
    monkeypatch.setattr(forming, "plan_of", lambda host: PLAN)
    monkeypatch.setattr(forming, "connect", lambda host: nullcontext())
    monkeypatch.setattr(services, "starting", lambda api, name: "")
    monkeypatch.setattr(services, "begin_anew", lambda api, name: told.append(name))
    monkeypatch.setattr(
        services, "unreached", lambda host, plan: "" if (left.pop(0) if len(left) > 1 else left[0]) else "refused"
    )
    task = SimpleNamespace(changed=False)

    @contextmanager
    def tasks(name: str) -> Iterator[SimpleNamespace]:
        yield task

    reaches: Callable[[Any], None] = services.reach
    monkeypatch.setattr(services, "READY_S", -1)
    monkeypatch.setattr(services, "SETTLES_S", -1)
    host = SimpleNamespace(name="s2", task=tasks)
    if looks[-1]:
        reaches(host)
    else:
        with pytest.raises(HomewrightError, match="s2 reaches nothing that is behind a Service") as caught:
            reaches(host)
        assert caught.value.why == "refused"
    assert (told, task.changed) == (["s2"] if begun else [], changed)


@pytest.mark.parametrize(
    ("looks", "settles", "verdict"),
    [([False], -1, Verdict.BROKEN), ([False, True], 60, Verdict.PROVED)],
    ids=["never", "kube-proxy only starts"],
)
def test_a_node_that_reaches_no_service_is_broken_once_kube_proxy_had_its_time(
    monkeypatch: pytest.MonkeyPatch, looks: list[bool], settles: int, verdict: Verdict
) -> None:
    """After a quick restart the node is called ready, and has no rules yet. The last look answers all after it."""
    left = list(looks)
    monkeypatch.setattr(services, "SETTLES_S", settles)
    monkeypatch.setattr(client, "_LOOK_UP_S", 0)
    monkeypatch.setattr(forming, "plan_of", lambda host: PLAN)
    monkeypatch.setattr(network, "objects", lambda site, plan: {})
    monkeypatch.setattr(network, "unready", lambda api, name: "")
    monkeypatch.setattr(
        services,
        "unreached",
        lambda host, plan: "" if (left.pop(0) if len(left) > 1 else left[0]) else "s2 does not reach it",
    )
    seen: Callable[[object, object], Proof] = runpy.run_path(str(STEPS / "38_network.py"))["_seen"]
    monkeypatch.setitem(seen.__globals__, "_takes_pods", lambda host, api: True)
    proof = seen(SimpleNamespace(name="s2", site=None), SimpleNamespace(get=lambda path: {"spec": {}}))
    assert proof.verdict == verdict
    assert proof.verdict == Verdict.PROVED or proof.reason == "s2 does not reach it"
