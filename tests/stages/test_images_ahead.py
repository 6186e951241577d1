"""A node's first images are pulled while the control plane is made, and nothing depends on that they are."""

from __future__ import annotations

import threading
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from folder_server import FolderServer

from homewright.cluster import snapshots
from homewright.errors import HomewrightError, Unreachable
from homewright.planning.cluster import ClusterPlan, planned
from homewright.site.models import Site
from homewright.stages.cluster import documents, etcd, forming, images, network
from homewright.stages.cluster.look import Refused

SITE = Site.model_validate(
    {
        "name": "attic",
        "servers": [{"name": f"s{n}", "address": f"192.168.1.1{n}", "user": "ann"} for n in (1, 2, 3)],
        "platform": {"cluster": "kubeadm", "nodes": "servers"},
        "mirror": {"images": "mirror.lan:5000", "plain_http": True},
    }
)
PLAN = planned(SITE, {})
LIMIT_S = 30


def server(folder: Path, ctr: str) -> Any:
    """A server with a containerd whose `ctr` does this."""
    made = FolderServer(folder, SITE, "s2")
    made.tools({"timeout": '#!/bin/sh\nshift; exec "$@"\n'})
    made.at(f"{documents.PROGRAMS}/bin/ctr", f"#!/bin/sh\n{ctr}\n").chmod(0o755)
    return made


def test_a_node_starts_with_what_kubeadm_and_flannel_name() -> None:
    worker, plane = images.wanted(SITE, PLAN.node("s2")), images.wanted(SITE, PLAN.first)
    assert set(worker) < set(plane) and not any("apiserver" in one or "etcd" in one for one in worker)
    repository = "mirror.lan:5000/registry.k8s.io"
    assert f"{repository}/kube-proxy:{PLAN.version}" in worker
    assert f"{repository}/etcd:3.6.8-0" in plane, "as kubeadm's own constants name it"
    daemons = str(network.objects(SITE, PLAN))
    assert all(one in daemons for one in worker if "flannel" in one)


def test_they_are_pulled_as_kubelet_would(tmp_path: Path) -> None:
    there = server(tmp_path, f'echo "$*" >>{tmp_path}/said')
    assert images.pull(there, PLAN) and not there.told
    said = (tmp_path / "said").read_text().splitlines()
    assert [line.split()[-1] for line in said] == list(images.wanted(SITE, PLAN.node("s2")))
    assert all(f"-n k8s.io images pull --hosts-dir {tmp_path}{documents.REGISTRIES} " in line for line in said)


def test_one_that_cannot_be_had_is_no_failure(tmp_path: Path) -> None:
    there = server(tmp_path, "echo 'ctr: mirror.lan:5000: no such host' >&2; exit 1")
    assert not images.pull(there, PLAN)
    assert there.told == [
        "not all images are pulled ahead, and kubelet does it later: ctr: mirror.lan:5000: no such host"
    ]


class Formed:
    """Stand-ins for three servers, and what `form` does to them, in its order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **states: str) -> None:
        self.done: list[str] = []
        self.states = states
        self.begun = threading.Event()
        self.held = threading.Event()
        self.cancel = SimpleNamespace(asked=False)
        self.hosts: Any = [
            SimpleNamespace(name=name, error=None, peers=(), given={snapshots.SAVE: ""}, cancel=self.cancel,
                            exists=lambda path: False, task=self.task, say=lambda text: None)
            for name in states
        ]  # fmt: skip
        for name in ("join", "as_planned", "revive"):
            monkeypatch.setattr(forming, name, lambda host, *rest, name=name: self.done.append(f"{name} {host.name}"))
        monkeypatch.setattr(forming, "plan_of", lambda host: PLAN)
        monkeypatch.setattr(forming, "state", self.state)
        monkeypatch.setattr(forming, "initialise", self.initialise)
        monkeypatch.setattr(images, "pull", self.pull)
        monkeypatch.setattr(etcd, "snapshot", lambda host: "")

    def task(self, name: str) -> Any:
        return nullcontext(SimpleNamespace(changed=False))

    def state(self, host: Any) -> str:
        told = self.states[host.name]
        if told == "off":
            raise Unreachable(f"{host.name} cannot be reached.")
        return told

    def initialise(self, host: Any, plan: ClusterPlan) -> None:
        if "absent" in list(self.states.values())[1:] and self.states["s1"] == "absent":
            assert self.begun.wait(LIMIT_S), "nothing is pulled beside it"
        self.done.append("init")
        self.held.set()

    def pull(self, host: Any, plan: ClusterPlan) -> bool:
        self.begun.set()
        self.held.wait(LIMIT_S)
        self.done.append(f"pull {host.name}")
        return False


def test_images_come_while_the_control_plane_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    formed = Formed(monkeypatch, s1="absent", s2="absent", s3="off")
    forming.form(formed.hosts)
    done = [one for one in formed.done if one.split()[0] in ("init", "pull", "join")]
    assert done[:2] == ["init", "pull s2"] and sorted(done[2:]) == ["join s2", "join s3"]


@pytest.mark.parametrize("states", [{"s1": "formed", "s2": "absent"}, {"s1": "absent", "s2": "formed"}])
def test_a_cluster_that_is_there_and_a_node_that_is_one_pull_nothing_ahead(
    monkeypatch: pytest.MonkeyPatch, states: dict[str, str]
) -> None:
    formed = Formed(monkeypatch, **states)
    forming.form(formed.hosts)
    assert "init" in formed.done and "join s2" in formed.done and "pull s2" not in formed.done


def test_where_the_control_plane_fails_nobody_waits_for_images(monkeypatch: pytest.MonkeyPatch) -> None:
    formed = Formed(monkeypatch, s1="absent", s2="absent")

    def fail(host: Any, plan: ClusterPlan) -> None:
        assert formed.begun.wait(LIMIT_S)
        raise Refused("s1 is somebody else's.")

    monkeypatch.setattr(forming, "initialise", fail)
    with pytest.raises(HomewrightError, match="somebody else's"):
        forming.form(formed.hosts)
    assert not any(one.startswith(("pull", "join")) for one in formed.done)
    formed.held.set()


def test_whoever_cancels_does_not_wait_for_images(monkeypatch: pytest.MonkeyPatch) -> None:
    formed = Formed(monkeypatch, s1="absent", s2="absent")

    def cancelled(host: Any, plan: ClusterPlan) -> None:
        assert formed.begun.wait(LIMIT_S)
        formed.cancel.asked = True

    monkeypatch.setattr(forming, "initialise", cancelled)
    forming.form(formed.hosts)
    assert "join s2" in formed.done and "pull s2" not in formed.done, "its task is what tells of the cancel"
    formed.held.set()


def test_a_pull_that_stalls_keeps_nobody_from_joining(monkeypatch: pytest.MonkeyPatch) -> None:
    formed = Formed(monkeypatch, s1="absent", s2="absent")
    stalled = threading.Event()

    def stall(host: Any, plan: ClusterPlan) -> bool:
        formed.begun.set()
        stalled.wait(LIMIT_S)
        formed.done.append(f"pull {host.name}")
        return False

    monkeypatch.setattr(images, "pull", stall)
    monkeypatch.setattr(forming, "AHEAD_S", 0.2)
    forming.form(formed.hosts)
    assert "join s2" in formed.done and "pull s2" not in formed.done
    stalled.set()
