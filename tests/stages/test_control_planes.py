"""Control planes come and go: none is made beside one that may be there, and the last one does not go by itself.

Servers are stand-ins that tell what they have; what a step does to one is written down, in its order.
"""

from __future__ import annotations

import runpy
from collections.abc import Callable, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from homewright.cluster import snapshots
from homewright.errors import HomewrightError, Unreachable
from homewright.planning.cluster import ClusterPlan, ClusterPlanError, planned
from homewright.site.models import Site
from homewright.stages.cluster import documents, draining, etcd, forming, leaving, renewing, resetting
from homewright.stages.cluster.look import Refused

OURS, OTHER = b"ca", b"another ca"
UNSIGNED = forming.unsigned


@dataclass
class Node:
    """A server: `plane`, `worker`, `half`, `absent`, or `off`."""

    name: str
    state: str
    site: Site
    secrets_file: Path
    done: list[str]
    ca: bytes = OURS
    peers: tuple[Node, ...] = ()
    error: Exception | None = None
    told: list[str] = field(default_factory=list)
    given: dict[str, str] = field(default_factory=dict)
    removed: int = 0

    @contextmanager
    def task(self, name: str) -> Any:
        yield SimpleNamespace(changed=False)
        if name == "No files of flannel":
            self.done.append(f"{self.name} without {self.removed} files")

    def say(self, text: str) -> None:
        self.told.append(text)

    def exists(self, path: str) -> bool:
        self._require()
        return self.state in {forming.SERVES: ("plane",), forming.MEMBER: ("plane", "half")}[path]

    def read(self, path: str) -> bytes | None:
        self._require()
        return {"/etc/kubernetes/pki/ca.crt": self.ca, forming.ADMIN: b"kubeconfig"}.get(path)

    def write(self, path: str, data: bytes) -> None:
        self.done.append(f"{self.name} {data.decode().strip()}")

    def remove(self, path: str) -> bool:
        self.removed += "flannel" in path
        return True

    def _require(self) -> None:
        if self.state == "off":
            raise Unreachable(f"{self.name} cannot be reached.")


Make = Callable[..., tuple[list[Any], ClusterPlan, list[str]]]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Servers of a site by their states, as `s1=plane s2=off`, in the site's order; and what is done to them."""
    done: list[str] = []

    def state(node: Node) -> str:
        node._require()
        return {"plane": "formed", "worker": "formed"}.get(node.state, node.state)

    api = SimpleNamespace(
        config=SimpleNamespace(ca_pem=OURS),
        find=lambda path: {"metadata": {}},
        delete=lambda path: done.append(f"delete {path.rpartition('/')[2]}"),
    )
    monkeypatch.setattr(forming, "state", state)
    monkeypatch.setattr(forming, "connect", lambda node: nullcontext(api))
    monkeypatch.setattr(forming, "_bootstrap", lambda api: "token.secret")
    monkeypatch.setattr(forming, "unsigned", lambda api, token: "")
    monkeypatch.setattr(forming, "_certificates", lambda giver, plan, api: nullcontext("key"))
    monkeypatch.setattr(forming, "_end", lambda api, name: None)
    monkeypatch.setattr(forming, "ready", lambda node: "")
    monkeypatch.setattr(forming, "ca_hash", lambda pem: "sha256:0")
    monkeypatch.setattr(forming, "kubeadm", lambda node, verb, *rest: None)
    monkeypatch.setattr(leaving, "empty", lambda node: done.append(f"{node.name} emptied"))
    monkeypatch.setattr(leaving, "_forget", lambda node: None)
    monkeypatch.setattr(forming.kubeconfig, "read", lambda text: None)
    monkeypatch.setattr(documents, "joining", lambda *rest: "")
    monkeypatch.setattr(documents, "initial", lambda *rest: "")
    monkeypatch.setattr(etcd, "snapshot", lambda node: done.append(f"{node.name} saved"))
    monkeypatch.setattr(etcd, "is_saved", lambda node, now: True)
    monkeypatch.setattr(etcd, "remove", lambda node, name: done.append(f"{node.name} lets {name} go"))
    monkeypatch.setattr(resetting, "reset", lambda node: done.append(f"{node.name} reset"))
    monkeypatch.setattr(resetting, "hollow", lambda node: None)

    def made(states: str, *, shared: bool = True) -> tuple[list[Any], ClusterPlan, list[str]]:
        told = dict(one.split("=") for one in states.split())
        servers = [{"name": name, "address": f"192.168.1.1{name[1]}", "user": "ann"} for name in told]
        answers: dict[str, Any] = {"platform": {"cluster": "kubeadm", "nodes": "servers"}}
        answers |= {"cluster": {"address": "192.168.1.9"}} if shared else {}
        site = Site.model_validate({"name": "attic", "servers": servers, **answers})
        nodes = [Node(name, state, site, tmp_path / "secrets.json", done) for name, state in told.items()]
        for node in nodes:
            node.peers = tuple(one for one in nodes if one is not node)
        return nodes, planned(site, {}), done

    return made


@pytest.mark.parametrize(
    ("states", "begun", "words"),
    [
        ("s1=absent s2=absent s3=absent", True, ""),
        ("s1=half s2=absent s3=absent", True, ""),
        ("s1=plane s2=plane s3=off", False, ""),
        ("s1=absent s2=plane s3=off", False, "s2 is one"),
        ("s1=absent s2=off s3=off", False, "s2 cannot be reached"),
        ("s1=half s2=absent s3=off", False, "s3 cannot be reached"),
        ("s1=worker s2=plane s3=worker", False, "s1 is a worker of the cluster"),
    ],
)
@pytest.mark.parametrize("shared", [True, False])
def test_a_cluster_is_begun_only_where_there_is_certainly_none(
    make: Make, monkeypatch: pytest.MonkeyPatch, states: str, begun: bool, words: str, shared: bool
) -> None:
    (first, *_), plan, done = make(states, shared=shared)
    monkeypatch.setattr(forming, "_require_endpoint", lambda node, plan: None)
    with pytest.raises(HomewrightError, match=words) if words else nullcontext():
        forming.initialise(first, plan)
    assert ("s1 init" in done) == begun
    assert begun or not done


@pytest.mark.parametrize(
    ("states", "others", "wanted", "words"),
    [
        ("s1=plane s2=plane s3=absent", {}, ["s1 saved", "s1 lets s3 go", "delete s3", "s3 join"], ""),
        ("s1=plane s2=plane s3=half", {}, ["s1 saved", "s1 lets s3 go", "s3 reset", "delete s3", "s3 join"], ""),
        ("s1=plane s2=off s3=plane", {}, [], ""),
        ("s1=plane s2=plane s3=plane", {"s3": OTHER}, [], "s3 is a control plane of another cluster"),
        ("s1=plane s2=plane s3=half", {"s1": OTHER},
         ["s2 saved", "s2 lets s3 go", "s3 reset", "delete s3", "s3 join"], ""),
        ("s1=off s2=off s3=half", {}, [], "no other control plane"),
    ],
)  # fmt: skip
def test_a_control_plane_joins_anew_only_after_etcd_let_it_go(
    make: Make, states: str, others: dict[str, bytes], wanted: Sequence[str], words: str
) -> None:
    nodes, plan, done = make(states)
    for node in nodes:
        node.ca = others.get(node.name, OURS)
    with pytest.raises(HomewrightError, match=words) if words else nullcontext():
        forming.join(nodes[2], plan)
    assert done == wanted


@pytest.mark.parametrize(("looks", "limit_s", "asked"), [(0, 60, 1), (2, 60, 3), (10**6, 0, 1)])
def test_a_node_joins_once_its_token_is_signed_and_kubeadm_tells_where_it_never_is(
    make: Make, monkeypatch: pytest.MonkeyPatch, looks: int, limit_s: float, asked: int
) -> None:
    nodes, plan, done = make("s1=plane s2=absent", shared=False)
    signed = {"jws-kubeconfig-token": "x..y", "jws-kubeconfig-other": "x..y"}

    def find(path: str) -> dict[str, Any] | None:
        if not path.endswith("/kube-public/configmaps/cluster-info"):
            return None
        done.append("look")
        return (
            None if done.count("look") == 1 and looks else {"data": signed if len(done) > looks else {"kubeconfig": ""}}
        )

    api = SimpleNamespace(config=SimpleNamespace(ca_pem=OURS), find=find)
    monkeypatch.setattr(forming, "connect", lambda node: nullcontext(api))
    monkeypatch.setattr(forming, "unsigned", UNSIGNED)
    monkeypatch.setattr(forming, "SIGNED_S", limit_s)
    monkeypatch.setattr(forming, "kubeadm", lambda node, verb, *rest: done.append(f"{node.name} {verb}s"))
    forming.join(nodes[1], plan)
    assert done == [*["look"] * asked, "s2 joins", "s2 join"]


def test_a_control_plane_that_etcd_cannot_spare_is_not_reset(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    nodes, plan, done = make("s1=plane s2=plane s3=half")

    def unhealthy(node: Any, name: str) -> None:
        raise HomewrightError("etcd says: unhealthy cluster")

    monkeypatch.setattr(etcd, "remove", unhealthy)
    with pytest.raises(HomewrightError, match="unhealthy"):
        forming.join(nodes[2], plan)
    assert done == ["s1 saved"]


@pytest.mark.parametrize(
    ("states", "leaves", "wanted"),
    [
        ("s2=worker s3=worker s1=plane", "s1", None),
        ("s2=off s3=worker s1=plane", "s1", None),
        ("s1=plane s3=worker s2=worker", "s2", ["s2 emptied", "s2 reset"]),
        ("s2=plane s3=plane s1=plane", "s1", ["s1 emptied", "s2 saved", "s2 lets s1 go", "s1 reset"]),
        ("s2=absent s3=plane s1=plane", "s1", ["s1 emptied", "s3 saved", "s3 lets s1 go", "s1 reset"]),
    ],
)
@pytest.mark.parametrize("shared", [True, False])
def test_the_last_control_plane_does_not_leave_a_cluster_that_stays(
    make: Make, states: str, leaves: str, wanted: Sequence[str] | None, shared: bool
) -> None:
    nodes, plan, done = make(states, shared=shared)
    host = next(node for node in nodes if node.name == leaves)
    if wanted is None:
        with pytest.raises(Refused, match="s1 is the cluster's only control plane that can be reached"):
            leaving.leave(host, plan)
        assert done == [], "its pods are where they were"
        leaving.leave(host, plan, ends=True)
        assert done == ["s1 reset"]
    else:
        leaving.leave(host, plan)
        assert done == wanted


def test_certificates_that_have_ended_are_renewed_on_all_before_one_is_waited_for(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes, plan, done = make("s1=plane s2=plane s3=plane s4=worker s5=absent")
    monkeypatch.setattr(forming, "plan_of", lambda node: plan)
    monkeypatch.setattr(renewing, "revive", lambda node, save: done.append(f"{node.name} revived"))
    monkeypatch.setattr(forming, "initialise", lambda node, plan: done.append(f"{node.name} waited for"))
    monkeypatch.setattr(forming, "join", lambda node, plan: None)
    monkeypatch.setattr(forming, "as_planned", lambda node, plan: None)
    forming.form(nodes)
    assert sorted(done[:3]) == ["s1 revived", "s2 revived", "s3 revived"] and done[3:] == ["s1 waited for"]


@pytest.mark.parametrize(
    ("states", "wanted"),
    [
        ("s1=plane s2=plane s3=half", ["s1 saved", "s1 lets s3 go", "s3 reset"]),
        ("s1=half s2=absent s3=absent", ["s1 reset"]),
        ("s1=plane s2=worker s3=absent", []),
    ],
)
def test_what_was_cut_off_is_put_back_after_etcd_let_it_go(
    make: Make, monkeypatch: pytest.MonkeyPatch, states: str, wanted: Sequence[str]
) -> None:
    nodes, plan, done = make(states)
    monkeypatch.setattr(forming, "plan_of", lambda node: plan)
    runpy.run_path(str(NETWORK.with_name("27_kubeadm.py")))["recover_all"](nodes)
    assert done == wanted and not any(node.error for node in nodes)


NETWORK = Path(forming.__file__).parents[1] / "40_thinkube/core/cluster/39_network.py"


def test_the_last_control_plane_keeps_its_pods_and_its_network(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    step = runpy.run_path(str(NETWORK))
    nodes, plan, done = make("s2=worker s3=worker s1=plane")
    monkeypatch.setattr(forming, "plan_of", lambda node: plan)
    step["rollback_all"](nodes[2:])
    assert isinstance(nodes[2].error, Refused) and done == []
    step["rollback_all"](nodes[1:2])
    assert done == ["s3 emptied", "s3 without 2 files"]


def test_a_network_is_taken_back_where_the_plan_is_none_any_more(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    step = runpy.run_path(str(NETWORK))
    nodes, _, done = make("s1=plane s2=worker")

    def gone(node: Any) -> ClusterPlan:
        raise ClusterPlanError("There is no room for the cluster's addresses.", "", [])

    monkeypatch.setattr(forming, "plan_of", gone)
    step["rollback_all"](nodes)
    assert sorted(done) == ["s1 without 2 files", "s2 without 2 files"]


def test_a_node_that_etcd_does_not_let_go_gets_pods_again(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    nodes, plan, done = make("s1=plane s2=plane s3=plane")

    def unhealthy(node: Any, name: str) -> None:
        raise HomewrightError("etcd says: unhealthy cluster")

    monkeypatch.setattr(etcd, "remove", unhealthy)
    monkeypatch.setattr(draining, "open_again", lambda api, name: done.append(f"{name} gets pods again"))
    with pytest.raises(HomewrightError, match="unhealthy"):
        leaving.leave(nodes[0], plan)
    assert done == ["s1 emptied", "s2 saved", "s1 gets pods again"]


@pytest.mark.parametrize(
    ("states", "names", "wanted"),
    [
        ("s1=plane s2=plane s3=plane", "s3", ["s3 emptied", "s1 saved", "s1 lets s3 go", "s3 reset"]),
        ("s1=plane s2=worker s3=worker", "s3", ["s3 emptied", "s3 reset"]),
        ("s1=plane s2=worker s3=worker", "s1", None),
        ("s1=plane s2=off s3=off", "s1", None),
        ("s1=plane s2=absent s3=absent", "s1", ["s1 reset", "kubeconfig forgotten"]),
        ("s1=plane s2=worker s3=worker", "s1 s2 s3", ["s2 reset", "s3 reset", "s1 reset", "kubeconfig forgotten"]),
    ],
)
def test_without_a_plan_a_cluster_ends_only_with_its_last_node(
    make: Make, monkeypatch: pytest.MonkeyPatch, states: str, names: str, wanted: Sequence[str] | None
) -> None:
    nodes, _, done = make(states)

    def gone(node: Any) -> ClusterPlan:
        raise ClusterPlanError("There is no room for the cluster's addresses.", "", [])

    monkeypatch.setattr(forming, "plan_of", gone)
    monkeypatch.setattr(leaving, "forget_cluster", lambda node: done.append("kubeconfig forgotten"))
    hosts = [node for node in nodes if node.name in names.split()]
    runpy.run_path(str(NETWORK.with_name("29_kubeadm.py")))["rollback_all"](hosts)
    if wanted is None:
        assert isinstance(hosts[0].error, Refused) and done == []
    else:
        assert not any(host.error for host in hosts)
        assert done == wanted or (len(hosts) > 1 and sorted(done) == sorted(wanted))


@pytest.mark.parametrize(
    ("given", "saved", "wanted"),
    [({}, True, []), ({}, False, ["s1 saved"]), ({snapshots.SAVE: "now"}, True, ["s1 saved"])],
)
def test_a_state_is_saved_once_a_day_and_when_it_was_asked_for(
    make: Make, monkeypatch: pytest.MonkeyPatch, given: dict[str, str], saved: bool, wanted: Sequence[str]
) -> None:
    nodes, plan, done = make("s1=plane s2=worker")
    nodes[0].given = given
    for name in ("initialise", "join", "as_planned", "revive"):
        monkeypatch.setattr(forming, name, lambda *rest: None)
    monkeypatch.setattr(forming, "plan_of", lambda node: plan)
    monkeypatch.setattr(etcd, "is_saved", lambda node, now: saved)
    forming.form(nodes)
    assert done == wanted
