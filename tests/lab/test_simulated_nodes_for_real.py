"""Simulated nodes with the real kwok, on a real control plane: who goes there, what becomes of it, and the end."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from control_plane import ControlPlane, control_plane

from homewright.cluster import simulated
from homewright.cluster.client import wait
from homewright.lab import go, kwok, node_objects, services, simulated_nodes
from homewright.lab.programs import named
from homewright.site.models import Site
from homewright.stages.components import storage
from homewright.workspaces.backends.kubernetes.api import Api
from homewright.workspaces.models import Key, Specification, WorkspaceState
from homewright.workspaces.on_cluster import ClusterWorkspaces
from homewright.workspaces.template_models import Toleration
from homewright.workspaces.templates import PodTemplate, shipped

# A machine that is new builds etcd, Kubernetes and kwok first.
pytestmark = [pytest.mark.lab, pytest.mark.long]
COUNT = 5
LIMIT_S = 60.0
EVERYWHERE = [{"operator": "Exists"}]
MINE = [dict(simulated.TOLERATION)]


@dataclass(frozen=True)
class Played:
    """A control plane whose nodes are all simulated."""

    plane: ControlPlane
    folder: Path
    address: str

    def ensure(self) -> bool:
        return simulated_nodes.ensure(self.folder, self.address, json.dumps(self.plane.document), COUNT, print)

    def put(self, count: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
        done = node_objects.put(self.plane.api, count, "127.0.0.1", print)
        return done.added, done.removed

    def nodes(self) -> list[dict[str, Any]]:
        return sorted(self.plane.api.list(node_objects.NODES), key=lambda one: str(one["metadata"]["name"]))

    def pods(self, **labels: str) -> list[dict[str, Any]]:
        selector = ",".join(f"{name}={value}" for name, value in labels.items())
        return list(self.plane.api.list("/api/v1/namespaces/default/pods", labelSelector=selector))

    def make(self, kind: str, name: str, spec: dict[str, Any]) -> None:
        group, plural = {"Pod": ("api/v1", "pods"), "Job": ("apis/batch/v1", "jobs")}.get(
            kind, ("apis/apps/v1", f"{kind.lower()}s")
        )
        self.plane.api.create(
            f"/{group}/namespaces/default/{plural}",
            {"apiVersion": group.partition("/")[2], "kind": kind, "metadata": {"name": name}, "spec": spec},
        )

    def until(self, done: Any) -> None:
        assert (held := wait(LIMIT_S, done)) == "", held


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    go.ensure([named("kwok")], say=print)
    go.verify(named("kwok"))
    folder = tmp_path_factory.mktemp("played")
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with control_plane(folder / "plane", of_nodes=True) as plane:
        made = Played(plane, folder / "nodes", address)
        accounts = "/api/v1/namespaces/default/serviceaccounts/default"
        made.until(lambda: "" if plane.api.find(accounts) else "no account yet")
        try:
            assert made.ensure()
            assert len(made.put(COUNT)[0]) == COUNT
            yield made
        finally:
            services.stop(made.folder)
    assert services.running(made.folder) == []


def template(name: str, tolerations: list[dict[str, str]], **more: Any) -> dict[str, Any]:
    spec = {"containers": [{"name": "c", "image": "example.org/none:1"}], "tolerations": tolerations, **more}
    return {"metadata": {"labels": {"app": name}}, "spec": spec}


def workload(name: str, tolerations: list[dict[str, str]], **more: Any) -> dict[str, Any]:
    return {"selector": {"matchLabels": {"app": name}}, "template": template(name, tolerations, **more)}


def test_they_are_ready_marked_and_given_networks(played: Played) -> None:
    found = played.nodes()
    assert [one["metadata"]["name"] for one in found] == [kwok.name(number) for number in range(1, COUNT + 1)]
    assert all(simulated.is_simulated(one) and node_objects.is_ready(one) for one in found)
    # The controllers of nodes run: what they do of themselves to one that is not ready is undone by now.
    played.until(lambda: "" if all(taints(one) == [simulated.TAINT] for one in played.nodes()) else "other taints")
    assert len({one["spec"]["podCIDR"] for one in played.nodes()}) == COUNT
    leases = {one["metadata"]["name"] for one in played.plane.api.list(
        "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
    )}  # fmt: skip
    assert leases >= {one["metadata"]["name"] for one in found}
    said = subprocess.run(
        [played.plane.kubectl, "--kubeconfig", played.plane.folder / "admin.kubeconfig", "get", "nodes"],
        capture_output=True, text=True, check=True, timeout=60,
    ).stdout.splitlines()  # fmt: skip
    assert [line.split()[1:3] for line in said[1:]] == [["Ready", "simulated"]] * COUNT


def taints(node: dict[str, Any]) -> list[dict[str, str]]:
    return list(node["spec"].get("taints") or ())


def test_to_ask_for_as_many_again_changes_nothing(played: Played) -> None:
    before = services.running(played.folder), [one["metadata"]["uid"] for one in played.nodes()]
    assert not played.ensure()
    assert played.put(COUNT) == ((), ())
    assert (services.running(played.folder), [one["metadata"]["uid"] for one in played.nodes()]) == before


def test_a_pod_goes_there_only_if_it_says_so(played: Played) -> None:
    played.make("Deployment", "tolerates", {"replicas": 12, **workload("tolerates", MINE)})
    played.make("Deployment", "plain", {"replicas": 2, **workload("plain", [])})
    control = [{"key": "node-role.kubernetes.io/control-plane", "operator": "Exists"}]
    played.make("DaemonSet", "ways-in", workload("ways-in", control))
    linux = {"nodeSelector": {"kubernetes.io/os": "linux"}}
    played.make("DaemonSet", "proxies", workload("proxies", EVERYWHERE, **linux))
    # That the two above are nowhere has another reason than that daemon sets never get there.
    played.make("DaemonSet", "anywhere", workload("anywhere", EVERYWHERE))
    played.until(lambda: "" if len(running(played, "tolerates")) == 12 else "not all run")
    played.until(lambda: "" if len(running(played, "anywhere")) == COUNT else "not all run")
    assert {one["spec"]["nodeName"] for one in running(played, "anywhere")} == {
        one["metadata"]["name"] for one in played.nodes()
    }
    addresses = [one["status"]["podIP"] for one in running(played, "tolerates") + running(played, "anywhere")]
    assert len({*addresses}) == len(addresses), "each pod has an address of its own"
    played.until(lambda: "" if all(map(refused, played.pods(app="plain"))) else "not looked at yet")
    assert len(played.pods(app="plain")) == 2
    for name in ("ways-in", "proxies"):
        status = played.plane.api.get(f"/apis/apps/v1/namespaces/default/daemonsets/{name}")["status"]
        assert (status["observedGeneration"], status["desiredNumberScheduled"]) == (1, 0), name


def running(played: Played, name: str) -> list[dict[str, Any]]:
    """Those that the cluster calls running and ready; what the scheduler has said of them is still there."""
    found = []
    for pod in played.pods(app=name):
        conditions = {one["type"]: one["status"] for one in pod["status"].get("conditions", ())}
        if pod["status"]["phase"] == "Running" and conditions.get("Ready") == "True":
            assert conditions.get("PodScheduled") == "True"
            found.append(pod)
    return found


def placed(played: Played, prefix: str) -> list[str]:
    """Pods that are said to be on a node whose name begins so."""
    every = played.plane.api.list("/api/v1/pods")
    return [one["metadata"]["name"] for one in every if (one["spec"].get("nodeName") or "").startswith(prefix)]


def refused(pod: dict[str, Any]) -> bool:
    assert "nodeName" not in pod["spec"]
    conditions = {one["type"]: one for one in pod["status"].get("conditions", ())}
    return "untolerated taint" in conditions.get("PodScheduled", {}).get("message", "")


def test_what_is_meant_to_end_has_ended_well(played: Played) -> None:
    pod = template("once", MINE, restartPolicy="Never")
    played.make("Job", "once", {"template": pod})
    played.make("Pod", "alone", pod["spec"])
    job, alone = "/apis/batch/v1/namespaces/default/jobs/once", "/api/v1/namespaces/default/pods/alone"
    played.until(lambda: "" if played.plane.api.get(job)["status"].get("succeeded") == 1 else "the job goes on")
    played.until(lambda: "" if played.plane.api.get(alone)["status"]["phase"] == "Succeeded" else "it goes on")


def test_a_workspace_whose_template_says_so_is_called_running_there(played: Played, tmp_path: Path) -> None:
    """With storage of the stages' own kind: the real provisioner, whose helpers run on simulated nodes as well."""
    site = Site.model_validate({"name": "attic", "platform": {"cluster": "kubeadm", "nodes": "servers"}})
    api = played.plane.api
    for path, body in storage.wanted(site).items():
        api.apply(path, body)
    provisioner = named("local-path-provisioner")
    go.ensure([provisioner], say=print)
    settings = storage.wanted(site)[f"/api/v1/namespaces/{storage.NAMESPACE}/configmaps/local-path-config"]["data"]
    for name, text in settings.items():
        (tmp_path / name).write_text(text)
    with (tmp_path / "provisioner.log").open("wb") as log, subprocess.Popen(
        ["setpriv", "--pdeathsig", "KILL", go.program(provisioner, "local-path-provisioner"), "start",
         "--config", tmp_path / "config.json", "--kubeconfig", played.plane.folder / "admin.kubeconfig",
         "--namespace", storage.NAMESPACE, "--service-account-name", "local-path-provisioner"],
        stdout=log, stderr=log, cwd=tmp_path,
    ) as process:  # fmt: skip
        try:
            workspace_runs(played, site)
        except AssertionError as error:
            raise AssertionError((tmp_path / "provisioner.log").read_text()[-3000:]) from error
        finally:
            process.kill()


def workspace_runs(played: Played, site: Site) -> None:
    plain = shipped()["code-server"]
    assert isinstance(plain, PodTemplate)
    tolerant = plain.model_copy(update={"tolerations": (Toleration(key=simulated.MARK),)})
    there = ClusterWorkspaces(
        site, Api(played.plane.kubeconfig), {tolerant.name: tolerant}, "root@here", lambda _: "$argon2id$x"
    )
    spec = Specification(key=Key(user="alice"), template=tolerant.name, preset="standard")
    there._prepare(tolerant, print)
    assert f"{COUNT} of {COUNT} nodes have room, {COUNT} of them simulated: nothing runs there" in (
        there.foresee(spec).good
    )
    there.create(spec, print)
    (found,) = there.list()
    assert found.state is WorkspaceState.RUNNING, found
    assert (found.node or "").startswith(kwok.PREFIX)
    there.close()


def test_kwok_that_was_killed_is_started_again_and_goes_on(played: Played) -> None:
    (pid,) = services.running(played.folder)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert services.running(played.folder) == []
    played.make("Deployment", "later", {"replicas": 1, **workload("later", MINE)})
    assert played.ensure()
    assert len(services.running(played.folder)) == 1
    played.until(lambda: "" if len(running(played, "later")) == 1 else "it does not run")
    assert played.put(COUNT) == ((), ())


def test_fewer_and_none(played: Played) -> None:
    said: list[str] = []
    before = {one["metadata"]["uid"] for one in played.nodes()}
    done = node_objects.put(played.plane.api, 2, "127.0.0.1", said.append)
    assert done.removed == tuple(kwok.name(number) for number in range(3, COUNT + 1)) and done.added == ()
    assert len(played.nodes()) == 2 and {one["metadata"]["uid"] for one in played.nodes()} < before
    # What ran on those that went is on the others; nothing is left that no node has.
    played.until(lambda: "" if len(running(played, "tolerates")) == 12 else "not all run")
    names = {one["metadata"]["name"] for one in played.nodes()}
    assert {one["spec"]["nodeName"] for one in running(played, "tolerates")} <= names
    assert played.put(3) == ((kwok.name(3),), ())
    assert len(played.put(0)[1]) == 3
    assert played.nodes() == []
    played.until(lambda: ", ".join(placed(played, kwok.PREFIX)))
    assert played.put(0) == ((), ())
