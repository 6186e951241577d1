"""Simulated nodes, as far as no kwok is needed: what it is told, what is asked of the cluster, what is said."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from api_stand_in import stand_in
from cluster_of_paths import ClusterOfPaths

from homewright.cli import main
from homewright.cluster.client import Cluster
from homewright.cluster.kubeconfig import SECRET
from homewright.cluster.simulated import MARK, TAINT, TOLERATION, is_simulated, real, tolerates
from homewright.errors import LabError, UsageError
from homewright.lab import cluster, commands, go, kwok, node_objects, practice_site, record, services, simulated_nodes
from homewright.lab.models import LabServer, Place, Record, SimulatedNodes
from homewright.site.secrets import Secrets

LAB = Record(
    phase="up", backend="private", place=Place(number=7), password="x", cluster=True, site_file="/s",
    servers=(LabServer(name="s1", address="198.18.7.11"),),
)  # fmt: skip
NODE = kwok.node(1, "v1.36.3", "198.18.7.1")


def documents() -> list[dict[str, Any]]:
    return [json.loads(text) for text in kwok.configuration().split("\n---\n") if text]


def test_every_stage_says_when_and_what() -> None:
    settings, *stages = documents()
    assert settings["options"]["enableDebuggingHandlers"] is False, "exec over its port would be on this machine"
    kinds = [one["spec"]["resourceRef"]["kind"] for one in stages]
    assert kinds == ["Node", "Pod", "Pod", "Pod"]
    for stage in stages:
        assert all(one["jq"]["key"].startswith(".") for one in stage["spec"]["selector"]["matchExpressions"])
        (step,) = stage["spec"]["steps"]
        if "patch" in step:
            assert step["patch"]["subresource"] == "status" and step["patch"]["type"] == "strategic"
            text = step["patch"]["template"]
            assert text.count("{{ range") + text.count("{{ if") + text.count("{{ with") == text.count("{{ end }}")
        else:
            assert step == {"delete": True}


def test_a_simulated_node_is_marked_and_keeps_pods_away() -> None:
    labels = NODE["metadata"]["labels"]
    assert is_simulated(NODE) and NODE["metadata"]["name"] == "simulated-001"
    assert NODE["spec"]["taints"] == [TAINT] and labels[MARK] == "true"
    assert "node-role.kubernetes.io/simulated" in labels, "kubectl get nodes shows roles"
    assert "kubernetes.io/os" not in labels, "daemon sets for Linux, such as kube-proxy's, go to such nodes"
    assert f"--manage-nodes-with-label-selector {MARK}=true" in " ".join(kwok.arguments("c", "k", "a:1"))
    # kubeadm reads the versions of all kubelets before an upgrade.
    assert NODE["status"]["nodeInfo"]["kubeletVersion"] == "v1.36.3"


@pytest.mark.parametrize(
    ("node", "simulated"),
    [
        (NODE, True),
        ({"metadata": {"name": "x", "annotations": {"kwok.x-k8s.io/node": "fake"}}}, True),
        ({"metadata": {"name": "x", "labels": {MARK: "false"}}}, False),
        ({"metadata": {"name": "simulated-001"}}, False),
        ({}, False),
    ],
)
def test_what_is_simulated_is_told_by_its_marks(node: dict[str, Any], simulated: bool) -> None:
    assert is_simulated(node) is simulated
    assert real([node]) == ([] if simulated else [node])


@pytest.mark.parametrize(
    ("toleration", "there"),
    [
        (TOLERATION, True),
        ({"key": MARK, "operator": "Exists"}, True),
        ({"operator": "Exists"}, True),
        ({"key": MARK, "value": "true"}, True),
        ({"key": MARK, "operator": "Equal", "value": "true", "effect": "NoSchedule"}, True),
        ({"key": MARK}, False),
        ({"key": MARK, "operator": "Exists", "effect": "NoExecute"}, False),
        ({"key": "other", "operator": "Exists"}, False),
        ({"key": "node-role.kubernetes.io/control-plane", "operator": "Exists"}, False),
    ],
)
def test_who_goes_there_is_told_as_the_scheduler_has_it(toleration: dict[str, str], there: bool) -> None:
    assert tolerates([toleration], TAINT) is there
    assert not tolerates([], TAINT)


def volume(*hosts: str) -> dict[str, Any]:
    match = [{"key": "kubernetes.io/hostname", "operator": "In", "values": [*hosts]}]
    return {"spec": {"nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": match}]}}}}


def test_volumes_that_go_with_their_nodes_are_counted() -> None:
    found = [volume("simulated-002"), volume("s1"), volume("s1", "simulated-002"), {"spec": {}}]
    assert node_objects.volumes(found, ["simulated-001", "simulated-002"]) == 1


def test_nodes_are_told_in_few_words() -> None:
    assert node_objects.told(["simulated-002"]) == "simulated-002"
    assert node_objects.told(["simulated-003", "simulated-002"]) == "simulated-002 to simulated-003 (2 nodes)"
    ready = {**NODE, "status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    assert node_objects.waiting([ready], ["simulated-001"]) == ""
    assert "1 of 2 are not, such as simulated-002" in node_objects.waiting([ready], ["simulated-001", "simulated-002"])


@contextmanager
def a_cluster() -> Iterator[tuple[Cluster, str]]:
    with stand_in() as server, Cluster(server.kubeconfig()) as api:
        yield api, json.dumps(dict(api.config.document))


@pytest.mark.parametrize(("pods", "most"), [("10.244.0.0/16", 240), ("10.244.0.0/20", 0), ("10.0.0.0/19", 16)])
def test_real_nodes_keep_networks_for_their_pods(pods: str, most: int) -> None:
    told = {"ClusterConfiguration": f"networking:\n  dnsDomain: cluster.local\n  podSubnet: {pods}\n"}
    api = ClusterOfPaths({"/api/v1/namespaces/kube-system/configmaps/kubeadm-config": {"data": told}})
    node_objects.require_room(api, most)
    with pytest.raises(UsageError, match=f"no room for {most + 1}") as caught:
        node_objects.require_room(api, most + 1)
    assert pods in caught.value.why and f"lab nodes {most}" in caught.value.do[0]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("STATE", "CONFIG", "CACHE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name.lower()))
    return tmp_path


@pytest.mark.parametrize("count", [-1, kwok.MOST_NODES + 1, 10**9])
def test_a_silly_number_is_refused(home: Path, count: int) -> None:
    with pytest.raises(UsageError, match=f"0 to {kwok.MOST_NODES}"):
        simulated_nodes.change(count, say=print)


@pytest.mark.parametrize(
    ("lab", "words"),
    [
        (None, "no practice servers"),
        (LAB.model_copy(update={"phase": "going up"}), "not whole"),
        (LAB.model_copy(update={"cluster": False}), "have no cluster"),
        (LAB, "have no cluster"),
    ],
)
def test_without_a_cluster_there_are_none(home: Path, lab: Record | None, words: str) -> None:
    if lab is not None:
        record.save(lab)
    with pytest.raises(LabError, match=words) as caught:
        simulated_nodes.change(3, say=print)
    assert any("homewright lab up" in step for step in caught.value.do)
    assert record.load() == lab, "nothing is promised that was refused"


def test_to_take_away_what_is_not_there_changes_nothing(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lab", "nodes", "0", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "version": 1, "nodes": 0, "added": [], "removed": [], "changed": False,
    }  # fmt: skip
    # A cluster that was taken back has taken them along.
    record.save(LAB.model_copy(update={"simulated": 5}))
    assert main(["lab", "nodes", "0"]) == 0
    left = record.load()
    assert left is not None and left.simulated == 0


def test_what_the_command_says_of_nonsense(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lab", "nodes", "1000"]) == 2
    assert "0 to 200 simulated nodes" in capsys.readouterr().err
    assert main(["lab", "nodes", "2"]) == 1
    assert "homewright lab up --cluster" in capsys.readouterr().err
    assert main(["lab", "nodes", "many"]) == 2


def test_a_cluster_that_does_not_answer_is_told(home: Path) -> None:
    record.save(LAB)
    with a_cluster() as (_, text):
        Secrets(practice_site.state().secrets).set(SECRET, text)
    assert simulated_nodes.status(LAB) is None
    told = simulated_nodes.status(LAB.model_copy(update={"simulated": 4}))
    assert told == SimulatedNodes(wanted=4, ready=None, kwok="gone")


def test_status_counts_the_ready_ones_and_says_who_is_gone(home: Path) -> None:
    with a_cluster() as (api, text):
        Secrets(practice_site.state().secrets).set(SECRET, text)
        for number in (1, 2, 3):
            ready = {"conditions": [{"type": "Ready", "status": "True" if number < 3 else "Unknown"}]}
            api.create(node_objects.NODES, {**kwok.node(number, "v1", "a"), "status": ready})
        api.create(node_objects.NODES, {"kind": "Node", "metadata": {"name": "s1"}, "status": {}})
        told = simulated_nodes.status(LAB.model_copy(update={"simulated": 3}))
    assert told == SimulatedNodes(wanted=3, ready=2, kwok="gone")
    state, reason = commands.judge(LAB, (), True, played=False)
    assert state == "broken" and "nobody plays their simulated nodes" in (reason or "")


def test_a_kwok_that_does_not_start_is_told_with_its_last_words(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = home / "kwok"
    program.write_text("#!/bin/sh\ncat >&2 < /dev/stdin\necho >&2 no stages found\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setattr(go, "program", lambda build, name: program)
    with pytest.raises(LabError, match="plays simulated nodes did not start") as caught:
        simulated_nodes.ensure(home / "nodes", "127.0.0.1:1", "its kubeconfig\n", 5, print)
    assert "It ended with 3" in caught.value.why and "its kubeconfig | no stages found" in caught.value.why
    assert "homewright lab nodes 5" in caught.value.do[0]


PLAYS = """\
import http.server, sys
host, port = sys.argv[sys.argv.index("--server-address") + 1].split(":")
class Well(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
http.server.HTTPServer((host, int(port)), Well).serve_forever()
"""


@pytest.fixture
def player(home: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A program in kwok's place that only answers; the address where it is to."""
    program = home / "kwok"
    program.write_text(f"#!{sys.executable}\n{PLAYS}")
    program.chmod(0o755)
    commands_of = services.commands
    # A script's command line begins with its interpreter: the words that it was given come after.
    monkeypatch.setattr(services, "is_service", lambda command: b"/kwok\0--config" in command)
    monkeypatch.setattr(services, "commands", lambda at: {pid: words[1:] for pid, words in commands_of(at).items()})
    monkeypatch.setattr(go, "program", lambda build, name: program)
    with socket.create_server(("127.0.0.1", 0)) as free:
        return f"127.0.0.1:{free.getsockname()[1]}"


def test_it_is_started_anew_for_another_cluster_only(home: Path, player: str) -> None:
    place = home / "nodes"
    try:
        assert simulated_nodes.ensure(place, player, "one", 5, print)
        first = services.running(place)
        assert not simulated_nodes.ensure(place, player, "one", 6, print)
        assert services.running(place) == first
        assert simulated_nodes.ensure(place, player, "its secret", 5, print)
        assert len(services.running(place)) == 1 and services.running(place) != first
        assert [file.suffix for file in sorted(place.iterdir())] == [".yaml", ".log"]
        assert not any(b"its secret" in file.read_bytes() for file in place.iterdir())
    finally:
        services.stop(place)


def test_down_ends_what_a_lost_lab_has_left(home: Path, player: str) -> None:
    assert simulated_nodes.ensure(simulated_nodes.folder(), player, "one", 5, print)
    assert commands.down(say=print)
    assert services.running(simulated_nodes.folder()) == []
    assert not simulated_nodes.folder().exists()
    assert not commands.down(say=print)


@pytest.mark.parametrize(
    ("command", "ours"),
    [
        (b"/cache/builds/kwok-0.8.0-x/kwok\0--config\0/lab/nodes/kwok-1.yaml\0", True),
        (b"/usr/bin/kwok\0--help\0", False),
        (b"less\0kwok.log\0", False),
    ],
)
def test_only_what_was_started_as_kwok_is_ended(command: bytes, ours: bool) -> None:
    assert services.is_service(command) is ours


def test_kwok_is_built_where_it_is_used_alone(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []
    monkeypatch.setattr(go, "ensure", lambda builds, say: asked.append([one.name for one in builds]))
    cluster.build([], say=print)
    cluster.build(["kwok"], say=print)
    assert "kwok" not in asked[0] and "kubernetes" in asked[0] and asked[1] == ["kwok"]
    assert "kwok" not in cluster.BUILDS
