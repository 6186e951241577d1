"""An upgrade of Kubernetes: what it refuses, its order, and that it goes on wherever it was cut off.

Nodes are stand-ins with the versions that they have; what is done to one changes those, as kubeadm and kubelet would.
"""

from __future__ import annotations

import runpy
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from homewright.cluster import client
from homewright.engine.states import Verdict
from homewright.errors import Cancelled, HomewrightError, Unreachable
from homewright.planning.upgrades import parsed
from homewright.site.models import MirrorSettings, Site
from homewright.stages.cluster import (
    documents,
    draining,
    etcd,
    forming,
    network,
    nodes,
    services,
    upgrading,
    versions,
)
from homewright.stages.cluster.look import Refused
from homewright.stages.cluster.versions import PARTS, Standing

OLD, NEW = "1.35.4", "1.36.3"


class Cut(Exception):
    """The power fails."""


@dataclass
class World:
    """A cluster of stand-ins, and all that is done to it, in its order."""

    site: Site
    nodes: dict[str, Node] = field(default_factory=dict)
    done: list[str] = field(default_factory=list)
    settings: str = OLD
    proxy: str = OLD
    etcd: str = ""
    unready: str = ""
    absent: str = ""
    """A program or images that cannot be had."""
    fails: str = ""
    """The act that fails."""
    cut: int = -1
    """Before which act the power fails."""

    def act(self, name: str) -> None:
        if self.cut == len(self.done):
            self.cut = -1
            raise Cut(name)
        if name == self.fails:
            raise HomewrightError(f"{name} fails.")
        self.done.append(name)

    def check(self) -> None:
        """What must be so at every moment: no kubelet is newer than an API that it may ask, nor two minors older."""
        apis = [parsed(one.parts[PARTS[0]]) for one in self.nodes.values() if one.parts]
        for one in self.nodes.values():
            for kubelet in (one.kubelet, one.programs["kubelet"]):
                assert parsed(kubelet) <= min(apis), (one.name, kubelet, self.done)

    def run(self) -> list[str]:
        """One run of the step on all of them; what was done."""
        begun = len(self.done)
        for one in self.nodes.values():
            one.error = None
        upgrading.upgrade([*self.nodes.values()])  # type: ignore[list-item]
        return self.done[begun:]

    # The API's part.

    def find(self, path: str) -> dict[str, Any] | None:
        if path == upgrading.SETTINGS:
            return {"data": {"ClusterConfiguration": f"dns: {{}}\nkubernetesVersion: v{self.settings}\n"}}
        if path == upgrading.PROXY:
            container = {"name": "kube-proxy", "image": f"registry.k8s.io/kube-proxy:v{self.proxy}"}
            return {"spec": {"template": {"spec": {"containers": [container]}}}}
        return self.nodes[path.rpartition("/")[2]].document

    def list(self, path: str) -> list[dict[str, Any]]:
        return [one.document for one in self.nodes.values()]

    def merge(self, path: str, change: dict[str, Any]) -> None:
        self.act("the cluster's settings")


@dataclass
class Node:
    """A server of that cluster; `kubelet` is the version of the one that runs."""

    name: str
    world: World
    programs: dict[str, str]
    parts: dict[str, str]
    kubelet: str
    kept: str
    emptied: bool = False
    error: Exception | None = None
    peers: tuple[Node, ...] = ()
    told: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def site(self) -> Site:
        return self.world.site

    @property
    def document(self) -> dict[str, Any]:
        conditions = [{"type": "Ready", "status": "True"}]
        return {
            "metadata": {"name": self.name, "annotations": {draining.EMPTIED: "true"} if self.emptied else {}},
            "spec": {"unschedulable": True} if self.emptied else {},
            "status": {"nodeInfo": {"kubeletVersion": f"v{self.kubelet}"}, "conditions": conditions},
        }

    @contextmanager
    def task(self, name: str, *, now: bool = False) -> Iterator[SimpleNamespace]:
        if self.world.fails == f"cancel before {name} of {self.name}" and not now:
            raise Cancelled("Cancelled.")
        yield SimpleNamespace(changed=False)

    def say(self, text: str) -> None:
        self.told.append(text)

    def run(self, command: Any, **_: Any) -> Any:
        if command == ["uname", "-m"]:
            return SimpleNamespace(stdout="x86_64\n")
        if command.startswith(f"mkdir -p -m 700 {upgrading.BESIDE} "):
            return None
        assert command == "systemctl restart kubelet.service"
        self.world.act(f"{self.name} kubelet")
        alone = sum(not one.emptied for one in self.world.nodes.values() if one is not self) == 0
        assert self.emptied or alone, "no kubelet is replaced below pods that could be elsewhere"
        self.kubelet = self.programs["kubelet"]
        return None

    def remove(self, path: str) -> bool:
        return path == upgrading.BESIDE

    def write(self, path: str, data: bytes) -> bool:
        assert path == versions.VERSION
        before, self.kept = self.kept, data.decode().strip()
        return before != self.kept


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A cluster by its nodes' versions, as `s1=1.35.4 s2=1.36.3`; the first so many are control planes."""

    def made(states: str, *, planes: int = 1, wanted: str = NEW) -> World:
        told = dict(one.split("=") for one in states.split())
        servers = [{"name": name, "address": f"192.168.1.1{name[1]}", "user": "ann"} for name in told]
        answers: dict[str, Any] = {"platform": {"cluster": "kubeadm", "nodes": "servers"}}
        answers["cluster"] = {"version": wanted} | ({"address": "192.168.1.9"} if planes > 1 else {})
        world = World(Site.model_validate({"name": "attic", "servers": servers, **answers}))
        for number, (name, version) in enumerate(told.items()):
            parts = dict.fromkeys(PARTS, version) if number < planes else {}
            programs = dict.fromkeys(versions.PROGRAMS, version)
            world.nodes[name] = Node(name, world, programs, parts, version, version)
        for one in world.nodes.values():
            one.peers = tuple(other for other in world.nodes.values() if other is not one)
        world.settings = world.proxy = told["s1"]
        return world

    def look(host: Node, *, programs: bool = True) -> Standing:
        stale = host.kubelet != host.programs["kubelet"]
        return Standing(host.name, True, host.kept, dict(host.programs), dict(host.parts), stale)

    def kubeadm(host: Node, verb: str, config: str, limit_s: float, *, program: str = "kubeadm") -> None:
        if verb == "config images pull":
            assert NEW in config and host.world.absent != "images", "refused"
            return
        host.world.act(f"{host.name} {verb}")
        version = host.programs["kubeadm"]
        assert f'"kubernetesVersion": "v{version}"' in config or verb == "upgrade node"
        for part in host.parts:
            host.parts[part] = version
            host.world.check()
        if verb.startswith("upgrade apply"):
            host.world.settings = version
        if all({*one.parts.values()} <= {version} for one in host.world.nodes.values()):
            host.world.proxy = version

    def pulled(host: Node, verb: str, config: str, limit_s: float, *, program: str = "kubeadm") -> None:
        if verb == "config images pull" and host.world.absent == "images":
            raise HomewrightError("kubeadm config images pull did not come to its end.", "not found")
        kubeadm(host, verb, config, limit_s, program=program)

    def checksums(host: Node, machine: str, wanted: dict[str, str]) -> dict[str, Any]:
        if host.world.absent == "programs":
            raise HomewrightError(f"{host.name} cannot fetch kubeadm.", "nothing there", ["try it"])
        return {name: (SimpleNamespace(archive=False), version) for name, version in wanted.items()}

    def link(host: Node, wanted: dict[str, Any]) -> bool:
        changed = False
        for name, (_, version) in wanted.items():
            if host.programs[name] != version:
                host.world.act(f"{host.name} links {name}")
                host.programs[name], changed = version, True
                host.world.check()
        return changed

    def drain(world: World, name: str) -> int:
        world.act(f"{name} emptied")
        world.nodes[name].emptied = True
        return 1

    def open_again(world: World, name: str) -> bool:
        if not world.nodes[name].emptied:
            return False
        world.act(f"{name} takes pods")
        world.nodes[name].emptied = False
        return True

    monkeypatch.setattr(versions, "look", look)
    monkeypatch.setattr(forming, "connect", lambda host: nullcontext(host.world))
    monkeypatch.setattr(forming, "kubeadm", pulled)
    monkeypatch.setattr(forming, "keep_kubeconfig", lambda host, plan: None)
    monkeypatch.setattr(forming, "ready", lambda host: "")
    monkeypatch.setattr(nodes, "checksums", checksums)
    monkeypatch.setattr(nodes, "fetch", lambda host, wanted: False)
    monkeypatch.setattr(nodes, "link", link)
    monkeypatch.setattr(draining, "drain", drain)
    monkeypatch.setattr(draining, "open_again", open_again)
    monkeypatch.setattr(etcd, "unwell", lambda host: host.world.etcd)
    monkeypatch.setattr(etcd, "snapshot", lambda host: host.world.act(f"{host.name} saved"))
    monkeypatch.setattr(network, "unready", lambda world, name: world.unready)
    monkeypatch.setattr(services, "reach", lambda host: None)
    for name in ("WELL_S", "READY_S"):
        monkeypatch.setattr(upgrading, name, -1)
    monkeypatch.setattr(client, "_LOOK_UP_S", 0)
    return made


def assert_new(world: World) -> None:
    for one in world.nodes.values():
        assert {*one.programs.values(), *one.parts.values(), one.kubelet, one.kept} == {NEW}, one
        assert (one.emptied, one.error) == (False, None)
    assert (world.settings, world.proxy) == (NEW, NEW)


def test_the_control_plane_goes_first_and_each_node_is_emptied(make: Any) -> None:
    world = make(f"s1={OLD} s2={OLD}")
    assert world.run() == [
        "s1 saved",
        "s1 links kubeadm", "s1 upgrade apply --yes", "s1 emptied", "s1 links kubelet", "s1 links kubectl",
        "s1 kubelet", "s1 takes pods",
        "s2 links kubeadm", "s2 upgrade node", "s2 emptied", "s2 links kubelet", "s2 links kubectl",
        "s2 kubelet", "s2 takes pods",
    ]  # fmt: skip
    assert_new(world)
    assert world.run() == []
    assert all("there is nothing to upgrade" in one.told[-1] for one in world.nodes.values())


def test_control_planes_come_before_other_nodes_whatever_their_order(make: Any) -> None:
    world = make(f"s1={OLD} s2={OLD} s3={OLD} s4={OLD}", planes=3)
    world.nodes = {name: world.nodes[name] for name in ("s4", "s3", "s1", "s2")}
    done = world.run()
    assert [one for one in done if "upgrade" in one] == [
        "s1 upgrade apply --yes", "s3 upgrade node", "s2 upgrade node", "s4 upgrade node",
    ]  # fmt: skip
    assert done.index("s1 kubelet") > done.index("s2 upgrade node"), "it may be answered by any of the APIs"
    assert_new(world)


@pytest.mark.parametrize(("states", "planes"), [(f"s1={OLD} s2={OLD}", 1), (f"s1={OLD} s2={OLD} s3={OLD}", 3)])
def test_it_goes_on_wherever_it_was_cut_off(make: Any, states: str, planes: int) -> None:
    acts = len(make(states, planes=planes).run())
    for cut in range(acts):
        world = make(states, planes=planes)
        world.cut = cut
        with suppress(Cut):
            world.run()
        assert len(world.done) == cut, "nothing was done after the cut"
        world.run()
        assert_new(world)
        assert world.run() == [], world.done


def test_a_cluster_of_one_server_keeps_its_pods(make: Any) -> None:
    world = make(f"s1={OLD}")
    assert not [one for one in world.run() if "emptied" in one]
    assert any("they stay" in line for line in world.nodes["s1"].told)
    assert_new(world)


@pytest.mark.parametrize(
    ("wanted", "change", "said"),
    [
        ("1.36.3", {"states": "s1=1.34.4 s2=1.34.4"}, "one minor version at a time"),
        ("1.36.3", {"states": "s1=1.36.3 s2=1.34.4"}, "one minor version at a time"),
        ("1.35.4", {"states": "s1=1.36.3 s2=1.36.3"}, "no way back"),
        ("1.35.4", {"states": "s1=1.36.3 s2=1.35.4"}, "no way back"),
        ("1.36.3", {"unready": "s2 is not ready: it has not reported yet"}, "s2 is not ready"),
        ("1.36.3", {"etcd": "etcd on s1 is not well: unhealthy cluster"}, "etcd on s1 is not well"),
        ("1.36.3", {"absent": "programs"}, "cannot fetch kubeadm"),
        ("1.36.3", {"absent": "images"}, "images of Kubernetes v1.36.3 cannot be had on s1. not found"),
    ],
)
def test_what_speaks_against_it_is_told_before_any_change(
    make: Any, wanted: str, change: dict[str, str], said: str
) -> None:
    world = make(change.get("states", f"s1={OLD} s2={OLD}"), wanted=wanted)
    for name in change.keys() - {"states"}:
        setattr(world, name, change[name])
    with pytest.raises(HomewrightError) as caught:
        world.run()
    assert said in f"{caught.value.what} {caught.value.why}" and caught.value.do
    assert world.done == []


def test_a_node_that_fails_holds_up_those_behind_it(make: Any) -> None:
    world = make(f"s1={OLD} s2={OLD} s3={OLD}")
    world.fails = "s2 upgrade node"
    world.run()
    errors = {name: one.error and str(one.error) for name, one in world.nodes.items()}
    assert (
        errors["s1"] is None and "fails" in str(errors["s2"]) and "s3 was not upgraded to its end" in str(errors["s3"])
    )
    assert world.nodes["s3"].programs == dict.fromkeys(versions.PROGRAMS, OLD)
    world.fails = ""
    world.run()
    assert_new(world)


def test_a_cancel_is_heard_before_a_node_and_not_while_it_is_empty(make: Any) -> None:
    world = make(f"s1={OLD} s2={OLD}")
    world.fails = "cancel before kubelet of s1"
    world.run()
    assert_new(world)
    world = make(f"s1={OLD} s2={OLD}")
    world.fails = "cancel before kubeadm upgrade of s2"
    world.run()
    assert world.nodes["s1"].kubelet == NEW and not world.nodes["s1"].emptied
    assert isinstance(world.nodes["s2"].error, Cancelled)


def test_a_worker_alone_waits_for_a_control_plane_that_was_not_asked_for(make: Any) -> None:
    world = make(f"s1={OLD} s2={OLD}")
    with pytest.raises(Refused, match="s1 is a control plane that may be of an older version"):
        upgrading.upgrade([world.nodes["s2"]])
    assert world.done == []


def test_a_control_plane_that_cannot_be_looked_at_holds_the_others_up(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make(f"s1={NEW} s2={OLD} s3={NEW} s4={OLD}", planes=3)
    look = versions.look

    def silent(host: Any, **more: Any) -> Standing:
        if host.name == "s2":
            raise Unreachable("s2 cannot be reached.")
        return look(host, **more)

    monkeypatch.setattr(versions, "look", silent)
    with pytest.raises(Refused, match="s2 is a control plane that may be of an older version"):
        upgrading.upgrade([world.nodes["s4"]])
    assert world.done == []


@pytest.mark.parametrize(("change", "acts"), [({"settings": OLD}, True), ({"proxy": OLD}, True), ({}, False)])
def test_objects_of_a_saved_state_are_brought_forward(make: Any, change: dict[str, str], acts: bool) -> None:
    world = make(f"s1={NEW} s2={NEW}")
    for name, value in change.items():
        setattr(world, name, value)
    assert world.run() == (["s1 saved", "s1 upgrade apply --yes"] if acts else [])
    assert_new(world)


@pytest.mark.parametrize(
    ("text", "mirror", "after"),
    [
        ("imageRepository: registry.k8s.io\ndns: {}\n", MirrorSettings(), None),
        ("dns: {}\n", MirrorSettings(), None),
        ("imageRepository: lan:5000/registry.k8s.io\ndns:\n  imageRepository: lan:5000/registry.k8s.io/coredns\n",
         MirrorSettings(images="lan:5000"), None),
        ("imageRepository: lan:5000/registry.k8s.io\ndns:\n  imageRepository: lan:5000/registry.k8s.io/coredns\n",
         MirrorSettings(images="nas:5000"),
         "imageRepository: nas:5000/registry.k8s.io\ndns:\n  imageRepository: nas:5000/registry.k8s.io/coredns\n"),
        ("imageRepository: lan:5000/registry.k8s.io\ndns:\n  imageRepository: x\netcd:\n  local:\n    dataDir: /e\n",
         MirrorSettings(), "imageRepository: registry.k8s.io\ndns: {}\netcd:\n  local:\n    dataDir: /e\n"),
    ],
)  # fmt: skip
def test_images_come_from_where_the_site_has_them_now(text: str, mirror: MirrorSettings, after: str | None) -> None:
    assert upgrading.sources(text, mirror) == after


@pytest.mark.parametrize("text", ["", "a: [", "just words"])
def test_settings_that_cannot_be_read_are_told(text: str) -> None:
    with pytest.raises(HomewrightError, match="kubeadm knows of the cluster cannot be read"):
        upgrading.sources(text, MirrorSettings())


@pytest.mark.parametrize(
    ("node", "takes"),
    [
        ({"status": {"conditions": [{"type": "Ready", "status": "True"}]}}, True),
        ({"status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}}, False),
        ({"status": {"conditions": [{"type": "Ready", "status": "True"}]}, "spec": {"unschedulable": True}}, False),
        ({}, False),
    ],
)
def test_which_node_takes_pods(node: dict[str, Any], takes: bool) -> None:
    assert upgrading.takes_pods(node) is takes


def test_what_kubeadm_is_told(make: Any) -> None:
    world = make(f"s1={OLD} s2={OLD}")
    plan = forming.plan_of(world.nodes["s1"])  # type: ignore[arg-type]
    first = documents.upgrading(world.site, plan, first=True)
    assert '"kind": "UpgradeConfiguration"' in first and f'"kubernetesVersion": "v{NEW}"' in first
    other = documents.upgrading(world.site, plan, first=False)
    assert '"node"' in other and "kubernetesVersion" not in other and "apply" not in other
    pulled = documents.pulling(world.site, plan, plan.nodes[1])
    assert f'"kubernetesVersion": "v{NEW}"' in pulled and "192.168.1.12" in pulled


PROOF = Path(forming.__file__).parents[1] / "40_thinkube/core/cluster/48_upgrade.py"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, ""),
        ({"kept": OLD}, f"s1 keeps {OLD} as its Kubernetes, not {NEW}"),
        ({"kept": ""}, "s1 keeps no version"),
        ({"kubelet": OLD}, "The kubelet that runs on s1 is not the one that is installed"),
        ({"parts": {"kube-scheduler": OLD}}, f"kube-scheduler on s1 is {OLD}, not {NEW}"),
        ({"emptied": True}, "s1 was emptied, and gets no pods yet"),
        ({"settings": OLD}, f"settings are of v{OLD}, not of v{NEW}"),
        ({"proxy": OLD}, f"kube-proxy is v{OLD}, not v{NEW}"),
    ],
)
def test_the_proof_sees_what_is_not_there_yet(
    make: Any, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], said: str
) -> None:
    world = make(f"s1={NEW} s2={NEW}")
    for name, value in change.items():
        setattr(world if hasattr(world, name) else world.nodes["s1"], name, value)
    monkeypatch.setattr(forming, "connected", lambda host: nullcontext(world))
    proof = runpy.run_path(str(PROOF))["verify"](world.nodes["s1"])
    assert proof.verdict is (Verdict.BROKEN if said else Verdict.PROVED), proof
    assert said in proof.reason
    if not said:
        assert proof.reason == f"All of Kubernetes on s1 is v{NEW}."


def test_there_is_no_way_back_and_that_is_said(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    world = make(f"s1={NEW}")
    node = world.nodes["s1"]
    gone: list[str] = []
    monkeypatch.setattr(Node, "remove", lambda self, path: gone.append(path) is None)
    monkeypatch.setattr(forming, "state", lambda host: "formed")
    runpy.run_path(str(PROOF.with_name("49_upgrade.py")))["rollback"](node)
    assert gone == [versions.VERSION] and f"stays {NEW}: it knows no way back" in node.told[0]
    assert world.done == []


@pytest.mark.parametrize(
    ("said", "code", "words"),
    [
        ("", 0, ""),
        ("etcd does not run here", 3, "etcd on s1 is not well: etcd does not run here"),
        ("memberID:1 alarm:NOSPACE", 0, "has raised an alarm: memberID:1 alarm:NOSPACE"),
    ],
)
def test_etcd_says_how_it_is(said: str, code: int, words: str) -> None:
    host: Any = SimpleNamespace(
        name="s1",
        run=lambda command, **_: SimpleNamespace(
            exit_code=code, stdout="" if code else f"https://127.0.0.1:2379 is healthy\n{said}\n", stderr=said
        ),
    )
    assert words in etcd.unwell(host) and bool(etcd.unwell(host)) is bool(words)
