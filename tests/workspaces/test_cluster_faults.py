"""What an API server does besides answering: busy, without an answer, changed by somebody else, signed in anew."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from api_stand_in import StandIn, stand_in
from cluster_verbs import ALICE, VERBS, kinds, manager, running

from homewright.errors import Unreachable
from homewright.workspaces.backends.kubernetes.api import Api
from homewright.workspaces.errors import ChangedMeanwhile


@pytest.fixture
def server() -> Iterator[StandIn]:
    with stand_in() as made:
        yield made


def test_a_busy_server_is_asked_again(server: StandIn) -> None:
    server.faults = [
        (429, "busy", {"Retry-After": "0"}),
        (503, "starting", {}),
        (500, "etcdserver: leader changed", {}),
    ]
    assert manager(server).list() == ()
    assert server.faults == []


@pytest.mark.parametrize(
    ("name", "method", "part"),
    [
        ("create", "POST", "/configmaps"), ("create", "PATCH", "/configmaps/"), ("create", "PATCH", "/statefulsets/"),
        ("create", "PATCH", "/persistentvolumeclaims/"), ("stop", "PATCH", "/configmaps/"),
        ("stop", "PATCH", "/statefulsets/"), ("start", "PATCH", "/configmaps/"), ("restart", "PATCH", "/configmaps/"),
        ("delete", "PATCH", "/configmaps/"), ("delete", "DELETE", "/configmaps/"),
        ("delete with storage", "PATCH", "/persistentvolumeclaims/"),
    ],
)  # fmt: skip
def test_a_write_whose_answer_was_lost_is_not_somebody_else_s(
    server: StandIn, name: str, method: str, part: str
) -> None:
    before, verb, expected = VERBS[name]
    before(server)
    server.lose = (method, part)
    verb(manager(server))
    assert server.lose is None and kinds(server) == expected


def test_a_record_that_somebody_else_changed_is_not_ours(server: StandIn) -> None:
    """Also where both wanted the same: its moment and its author are another's."""
    running(server)
    one, other = manager(server), manager(server)
    backend, held = one._require(ALICE)
    theirs = other._require(ALICE)[0]
    theirs.who = "root@there"
    theirs.change(held, "stopped", wanted="stopped")
    with pytest.raises(ChangedMeanwhile):
        backend.change(held, "stopped", wanted="stopped")
    claim = server.all("PersistentVolumeClaim")[0]
    theirs.give_up(claim, "1000")
    with pytest.raises(ChangedMeanwhile):
        backend.give_up(claim, "2000")


def test_a_server_that_stays_busy_is_said(server: StandIn) -> None:
    server.faults = [(503, "no endpoints", {})] * 100
    with pytest.raises(Unreachable) as busy:
        manager(server).show(ALICE)
    assert "503" in busy.value.why and "no endpoints" in busy.value.why


def test_a_token_that_was_renewed_is_taken_up(server: StandIn) -> None:
    tokens = iter(["first", "second"])
    api = Api(lambda: server.kubeconfig(next(tokens)), patience_s=1.0)
    assert api.get("ConfigMap", "x", "y") is None
    server.token = "second"
    assert api.get("ConfigMap", "x", "y") is None


def test_a_token_that_has_expired_is_said(server: StandIn) -> None:
    server.token = "another"
    with pytest.raises(Unreachable, match="does not accept who we are") as refused:
        manager(server).list()
    assert refused.value.exit_code == 5


def test_no_server_at_all_is_said() -> None:
    with stand_in() as gone:
        there = manager(gone)
    there.api.patience_s = 0.3
    with pytest.raises(Unreachable, match="does not answer"):
        there.list()


def test_a_list_comes_in_pages(server: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("homewright.workspaces.backends.kubernetes.api.CHUNK", 3)
    for number in range(10):
        server.put({"kind": "ConfigMap", "metadata": {"name": f"c{number}", "namespace": "x"}})
    listed = Api(server.kubeconfig).list("ConfigMap", "x")
    assert [one["metadata"]["name"] for one in listed.items] == [f"c{number}" for number in range(10)]
    assert {one["kind"] for one in listed.items} == {"ConfigMap"}


def test_a_credential_program_is_run_and_its_failure_told(server: StandIn, tmp_path: Path) -> None:
    program = tmp_path / "sign-in"
    program.write_text(
        '#!/bin/sh\necho \'{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential",'
        '"status":{"token":"first"}}\'\n'
    )
    program.chmod(0o755)
    plain = server.kubeconfig()

    def config(command: str) -> Any:
        executed = {"apiVersion": "client.authentication.k8s.io/v1", "command": command, "interactiveMode": "Never"}
        users = [{"name": "u", "user": {"exec": executed}}]
        return dataclasses.replace(
            plain, document={**plain.document, "users": users}, program=command, execution=executed
        )

    assert Api(lambda: config(str(program))).get("ConfigMap", "x", "y") is None
    with pytest.raises(Unreachable) as failed:
        Api(lambda: config(str(tmp_path / "missing"))).get("ConfigMap", "x", "y")
    assert "missing" in failed.value.what and "No such file" in failed.value.why


def test_a_silent_node_is_seen_though_its_containers_are_said_to_run(server: StandIn) -> None:
    running(server)
    [pod] = server.all("Pod")
    not_ready = {"type": "Ready", "status": "False", "reason": "KubeletNotReady"}
    server.put({**pod, "status": {**pod["status"], "conditions": [not_ready]}})
    about = {"kind": "Pod", "name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"]}
    server.put({
        "kind": "Event", "metadata": {"name": "e", "namespace": pod["metadata"]["namespace"]}, "involvedObject": about,
        "reason": "NodeNotReady", "message": "Node is not ready", "type": "Warning",
    })  # fmt: skip
    found = manager(server).show(ALICE)
    assert found.state == "error" and "its node n1 does not answer" in found.reason and found.whose == "cluster"
