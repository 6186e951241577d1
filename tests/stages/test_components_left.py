"""What becomes of the components where a server or a node leaves, and where the cluster is lost: without a cluster."""

from __future__ import annotations

import importlib.util
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from cluster_of_paths import ClusterOfPaths

from homewright import stages
from homewright.access.connection import Completed
from homewright.catalogue import load, shipped
from homewright.cluster.client import ClusterAway
from homewright.cluster.objects import marked
from homewright.engine import remedies
from homewright.engine.states import Verdict
from homewright.site.authority import Authority
from homewright.site.models import Site
from homewright.site.paths import StateFolder
from homewright.site.secrets import Secrets
from homewright.stages.components import api, certificates, ingress, names, proving, storage

SERVERS = [{"name": f"s{n}", "address": f"192.168.1.{10 + n}", "user": "ann"} for n in (1, 2, 3)]
PLATFORM = {"cluster": "kubeadm", "nodes": "servers"}
SITE = Site.model_validate({"name": "attic", "servers": SERVERS, "zone": "home.internal", "platform": PLATFORM})
WITHOUT_S1 = Site.model_validate(
    SITE.model_dump() | {"servers": SERVERS[1:], "leaving": [SERVERS[0]]},
)
COMPONENTS = ("storage", "dns", "certificates", "ingress")
KUBECONFIG = "cluster/kubeconfig"


class Server:
    """A server of a site, and what a step says and does there."""

    def __init__(self, site: Site, name: str, folder: Path) -> None:
        self.site, self.name = site, name
        self.secrets = Secrets(folder / "secrets.json")
        self.secrets_file = folder / "secrets.json"
        self.facts: dict[str, Any] = {}
        self.peers: tuple[Server, ...] = ()
        self.said: list[str] = []
        self.done: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)

    def task(self, name: str) -> Any:
        return nullcontext(SimpleNamespace(changed=False))

    def run(self, command: str, **_: Any) -> Completed:
        self.done.append(command)
        return Completed("", "", 0)


def step(component: str, number: str) -> ModuleType:
    file = Path(stages.__path__[0]) / "40_thinkube/core" / component / f"{number}_{component}.py"
    spec = importlib.util.spec_from_file_location(f"left_{number}_{component}", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("site", "name", "stays"),
    [(SITE, "s1", False), (SITE, "s2", True), (WITHOUT_S1, "s2", False), (WITHOUT_S1.with_back(["s1"]), "s1", True)],
)
def test_the_cluster_stays_where_another_server_is_the_first(
    site: Site, name: str, stays: bool, tmp_path: Path
) -> None:
    host: Any = Server(site, name, tmp_path)
    assert api.stays(host) is stays


def volume(node: str, claim: str = storage.CLAIM, of: str = storage.CLASS) -> dict[str, Any]:
    expression = {"key": storage.HOSTNAME, "operator": "In", "values": [node]}
    return {
        "metadata": {"name": f"pvc-{claim}"},
        "spec": {
            "storageClassName": of,
            "claimRef": {"namespace": proving.NAMESPACE, "name": claim},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}},
        },
    }


def cluster(node: str, *nodes: str, of: str = storage.CLASS) -> ClusterOfPaths:
    """The proof's claim with its volume on a node, and the nodes that there are."""
    bound = {
        "metadata": {"name": storage.CLAIM, "labels": marked("attic", "proof")},
        "spec": {"volumeName": "pvc-mark"},
    }
    names = {f"/api/v1/nodes/{name}": {"metadata": {"name": name}} for name in nodes}
    return ClusterOfPaths(
        {
            **names,
            **storage.wanted(SITE),
            storage.CLAIM_PATH: bound,
            "/api/v1/persistentvolumes/pvc-mark": volume(node, of=of),
            "/api/v1/persistentvolumes/pvc-diary": volume("n9", "diary"),
        }
    )


@pytest.mark.parametrize("component", COMPONENTS)
def test_a_server_that_leaves_takes_nothing_from_the_cluster(
    component: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = cluster("s2", "s1", "s2", "s3")
    before = dict(there.kept)
    monkeypatch.setattr(api, "connect", lambda _: there)
    host: Any = Server(WITHOUT_S1.with_back(["s1"]), "s1", tmp_path)
    host.peers = (Server(host.site, "s2", tmp_path),)
    host.secrets.set(KUBECONFIG, "{}")
    step(component, "19").rollback(host)
    assert there.kept == before and there.deleted == []
    assert api.KEPT in host.said
    assert [len(one.done) for one in (host, *host.peers)] == ([1, 0] if component == "storage" else [0, 0])
    proof = step(component, "18").verify(host)
    assert (proof.verdict, proof.idle) == (Verdict.PROVED, True)


def test_the_proofs_claim_goes_from_a_server_that_leaves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = cluster("s1", "s1", "s2", "s3")
    monkeypatch.setattr(api, "connect", lambda _: there)
    monkeypatch.setattr(storage.objects, "GONE_S", 0.0)
    host: Any = Server(WITHOUT_S1.with_back(["s1"]), "s1", tmp_path)
    host.secrets.set(KUBECONFIG, "{}")
    step("storage", "19").rollback(host)
    assert there.deleted == [storage.CLAIM_PATH, "/api/v1/persistentvolumes/pvc-mark"]


@pytest.mark.parametrize(
    ("there", "goes"),
    [
        (cluster("n1", "n1", "n2"), []),
        (cluster("gone", "n1", "n2"), [storage.CLAIM_PATH, "/api/v1/persistentvolumes/pvc-mark"]),
        (cluster("gone", "n1", of="other"), [storage.CLAIM_PATH]),
    ],
)
def test_a_claim_whose_node_is_no_more_is_made_anew(there: ClusterOfPaths, goes: list[str]) -> None:
    assert storage.let_go(there, SITE, print) is bool(goes)
    assert there.deleted == goes
    assert storage.let_go(cluster("n1", "n1"), SITE, print) is False


def test_a_volume_that_names_no_node_is_anywhere() -> None:
    assert storage.reachable({"spec": {}}, set())
    assert not storage.reachable(volume("n1"), {"n2"})
    labelled = {"/api/v1/nodes/i-1": {"metadata": {"name": "i-1", "labels": {storage.HOSTNAME: "gone"}}}}
    there = cluster("gone")
    there.kept |= labelled
    assert storage.let_go(there, SITE, print) is False


@pytest.mark.parametrize("component", COMPONENTS)
def test_what_somebody_has_put_beside_a_component_stays(
    component: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host: Any = Server(SITE, "s1", tmp_path)
    host.secrets.set(KUBECONFIG, "{}")
    own = Authority.of(StateFolder(tmp_path).authority, "attic")
    ours: dict[str, Any] = {
        **proving.namespace(SITE),
        **storage.wanted(SITE),
        **certificates.wanted(SITE, own),
        certificates.PATH: {"metadata": {"name": "platform-tls", "labels": marked("attic", "certificates")}},
        **ingress.wanted(SITE, "192.168.1.11"),
        names.CONFIG: {"metadata": {"resourceVersion": "1"}, "data": {names.KEY: ""}},
    }
    namespaces = [path for path, one in ours.items() if one.get("kind") == "Namespace"]
    theirs = {f"{path}/secrets/door": {"metadata": {"name": "door"}} for path in namespaces}
    there = ClusterOfPaths(ours | theirs)
    monkeypatch.setattr(api, "connect", lambda _: there)
    step(component, "19").rollback(host)
    assert theirs.items() <= there.kept.items() and len(namespaces) == 4
    assert [said for said in host.said if said.endswith("stays: secrets/door in it is not ours")]
    assert (certificates.PATH in there.kept) == (component != "certificates")


@pytest.mark.parametrize("component", COMPONENTS)
def test_a_lost_cluster_can_be_taken_back(component: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host: Any = Server(SITE, "s1", tmp_path)
    host.secrets.set(KUBECONFIG, "{}")
    lost = ClusterOfPaths({})
    lost.away = ClusterAway("The cluster's API does not answer at s1.", "No route.", ["try again"])
    monkeypatch.setattr(api, "connect", lambda _: lost)
    with pytest.raises(ClusterAway) as caught:
        step(component, "19").rollback(host)
    way_out = "homewright site secret unset cluster/kubeconfig, then: homewright retry"
    assert caught.value.do[-1] == f"where it does not come back: {way_out}"
    [declared] = [one for one in load([shipped()]).steps() if one.id == f"40/core/{component}/10"]
    remedy = remedies.match(declared.remedies, [f"{caught.value.what} {caught.value.why}"])
    assert remedy is not None and remedy.do[-1].endswith(way_out)

    host.secrets.delete(KUBECONFIG)
    step(component, "19").rollback(host)
    assert "the cluster is gone already" in host.said


def test_a_cluster_of_somebody_elses_is_not_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host: Any = Server(Site.model_validate(SITE.model_dump() | {"platform": {"cluster": "existing"}}), "s1", tmp_path)
    host.secrets.set(KUBECONFIG, "{}")
    lost = ClusterOfPaths({})
    lost.away = ClusterAway("It does not answer.", "No route.", ["try again"])
    monkeypatch.setattr(api, "connect", lambda _: lost)
    with pytest.raises(ClusterAway) as caught:
        step("dns", "19").rollback(host)
    assert list(caught.value.do) == ["try again"]
