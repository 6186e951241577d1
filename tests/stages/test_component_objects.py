"""What the components make in the cluster, and how they tell that it is not there: without a cluster."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from cluster_of_paths import ClusterOfPaths

from homewright.cluster import certificates as signed
from homewright.cluster.client import Cluster, ClusterAway, ClusterForbidden
from homewright.cluster.objects import is_of, marked
from homewright.engine.runners.source import loaded
from homewright.errors import HomewrightError
from homewright.lab import kwok
from homewright.planning import zone
from homewright.site import mirrored, mirrors
from homewright.site.authority import Authority
from homewright.site.models import Site
from homewright.stages.components import (
    certificates,
    contour_kinds,
    ingress,
    metrics,
    names,
    page,
    proving,
    storage,
    workloads,
)

SERVERS = [{"name": f"s{n}", "address": f"192.168.1.{10 + n}", "user": "ann"} for n in (1, 2)]
MIRROR = {"images": "mirror.lan:5000", "plain_http": True}
SITE = Site.model_validate(
    {
        "name": "attic", "servers": SERVERS, "zone": "home.internal", "mirror": MIRROR,
        "platform": {"cluster": "kubeadm", "nodes": "servers"},
    }
)  # fmt: skip


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.of(tmp_path_factory.mktemp("site") / "ca", "attic")


@pytest.fixture(scope="module")
def everything(authority: Authority) -> dict[str, dict[str, Any]]:
    """All objects of all components by path."""
    return {
        **storage.wanted(SITE), **storage.proof_claim(SITE), **certificates.wanted(SITE, authority),
        **ingress.wanted(SITE, "192.168.1.11"), **page.wanted(SITE, "contour"), **metrics.wanted(SITE, authority),
    }  # fmt: skip


def pods(everything: dict[str, dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, one in everything.items():
        if one["kind"] in ("Deployment", "DaemonSet"):
            yield path, one["spec"]["template"]["spec"]


def test_every_object_lies_where_it_says_and_is_the_sites(everything: dict[str, dict[str, Any]]) -> None:
    for path, one in everything.items():
        assert path.endswith(f"/{one['metadata']['name']}"), path
        assert path.startswith("/api/v1/" if one["apiVersion"] == "v1" else f"/apis/{one['apiVersion']}/"), path
        namespace = one["metadata"].get("namespace")
        assert (
            (f"/namespaces/{namespace}/" in path)
            if namespace
            else one["kind"] == "Namespace" or ("/namespaces/" not in path)
        ), path
        assert is_of("attic", one), path


def test_a_namespace_comes_before_what_is_in_it(everything: dict[str, dict[str, Any]], authority: Authority) -> None:
    every = (storage.wanted(SITE), certificates.wanted(SITE, authority), metrics.wanted(SITE, authority))
    for made in (*every, page.wanted(SITE, "x")):
        seen: set[str] = {"kube-system"}
        for one in made.values():
            assert one["metadata"].get("namespace", "kube-system") in seen
            seen |= {one["metadata"]["name"]} if one["kind"] == "Namespace" else set()


def test_every_image_comes_from_the_mirror_and_is_in_its_table(everything: dict[str, dict[str, Any]]) -> None:
    known = {mirrors.image(SITE.mirror, image.reference) for image in mirrored.images()}
    found = {
        container["image"]
        for _, pod in pods(everything)
        for container in (*pod.get("initContainers", ()), *pod["containers"])
    }
    assert found <= known and len(found) == 5
    helper = everything["/api/v1/namespaces/local-path-storage/configmaps/local-path-config"]["data"]["helperPod.yaml"]
    assert mirrors.image(SITE.mirror, mirrored.reference("busybox")) in helper


def test_pods_select_themselves_and_ask_for_what_they_need(everything: dict[str, dict[str, Any]]) -> None:
    for path, pod in pods(everything):
        spec = everything[path]["spec"]
        assert spec["selector"]["matchLabels"].items() <= spec["template"]["metadata"]["labels"].items()
        assert all("requests" in container["resources"] for container in pod["containers"]), path
        volumes = {volume["name"] for volume in pod.get("volumes", ())}
        for container in (*pod.get("initContainers", ()), *pod["containers"]):
            assert {mount["name"] for mount in container.get("volumeMounts", ())} <= volumes, path


RESTRICTED = ("homewright-proof", "metrics")


def test_what_is_in_a_restricted_namespace_says_so(everything: dict[str, dict[str, Any]]) -> None:
    found = {
        one["metadata"]["name"]
        for one in everything.values()
        if one["metadata"]["labels"].get("pod-security.kubernetes.io/enforce") == "restricted"
    }
    assert found == {*RESTRICTED, "certificates"}
    inside = [pod for path, pod in pods(everything) if any(f"/{name}/" in path for name in RESTRICTED)]
    inside.append(proving.pod(SITE, "x", "true")["spec"])
    assert len(inside) == 3
    for container in (container for pod in inside for container in pod["containers"]):
        own = container["securityContext"]
        assert (own["runAsNonRoot"], own["allowPrivilegeEscalation"]) == (True, False)
        assert own["capabilities"] == {"drop": ["ALL"]} and own["seccompProfile"] == {"type": "RuntimeDefault"}


def test_contour_and_envoy_speak_where_nobody_listens() -> None:
    pod = ingress.wanted(SITE, "192.168.1.11")[ingress.DAEMONS]["spec"]["template"]["spec"]
    assert not pod.get("hostNetwork"), "the node's loopback is everybody's who is on the node"
    contour = pod["containers"][0]["args"]
    assert "--insecure" in contour and "--xds-address=127.0.0.1" in contour
    assert {port["hostPort"] for port in pod["containers"][1]["ports"]} == {80, 443}


def test_every_kind_that_contour_may_read_is_defined() -> None:
    everything = ingress.wanted(SITE, "x")
    defined = {one["spec"]["names"]["plural"] for path, one in everything.items() if path in contour_kinds.wanted(SITE)}
    rules = everything["/apis/rbac.authorization.k8s.io/v1/clusterroles/contour"]["rules"]
    asked = {kind for rule in rules if rule["apiGroups"] == ["projectcontour.io"] for kind in rule["resources"]}
    assert {kind.removesuffix("/status") for kind in asked} == defined


def made(name: str, *, default: bool = False, ours: bool = False) -> dict[str, Any]:
    annotations = {"storageclass.kubernetes.io/is-default-class": "true", ingress.DEFAULT: "true"} if default else {}
    labels = {"homewright.dev/site": "attic", "app.kubernetes.io/managed-by": "homewright"} if ours else {}
    return {"metadata": {"name": name, "annotations": annotations, "labels": labels}}


@pytest.mark.parametrize(
    ("classes", "of_storage", "of_ingress"),
    [
        ([], None, None),
        ([made("a")], None, "a"),
        ([made("a"), made("b")], None, None),
        ([made("a"), made("b", default=True)], "b", "b"),
        ([made("ours", default=True, ours=True)], None, None),
        ([made("ours", default=True, ours=True), made("b")], None, None),
        ([made("ours", default=True, ours=True), made("b", default=True)], "b", "b"),
    ],
)
def test_a_class_of_the_clusters_own_goes_before_ours(
    classes: list[dict[str, Any]], of_storage: str | None, of_ingress: str | None
) -> None:
    assert storage.foreign_default(classes, "attic") == of_storage
    assert ingress.foreign_default(classes, "attic") == of_ingress


KUBEADMS = """\
.:53 {
    errors
    kubernetes cluster.local in-addr.arpa ip6.arpa {
       pods insecure
    }
    forward . /etc/resolv.conf {
       max_concurrent 1000
    }
    cache 30
    reload
}
"""


@pytest.mark.parametrize("before", [KUBEADMS, f"{KUBEADMS}other.internal:53 {{\n    forward . 192.168.1.1\n}}\n"])
def test_the_zone_is_put_into_corednss_settings_and_taken_out_again(before: str) -> None:
    plan = zone.planned(SITE, {})
    after = names.with_zone(before, plan)
    assert after.startswith(before) and "\nhome.internal:53 {\n" in after and "    forward . 192.168.1.11\n" in after
    assert names.with_zone(after, plan) == after
    assert names.without_zone(after) == before
    moved = Site.model_validate(SITE.model_dump() | {"servers": [{**SERVERS[0], "address": "192.168.1.99"}]})
    other = names.with_zone(after, zone.planned(moved, {}))
    assert "192.168.1.99" in other and "192.168.1.11" not in other and names.without_zone(other) == before


@pytest.mark.parametrize(
    ("settings", "theirs"),
    [
        (KUBEADMS, False),
        ("home.internal:53 {\n}\n", True),
        ("home.internal {\n}\n", True),
        ("a.internal home.internal:53 {\n}\n", True),
        ("other.home.internal:53 {\n}\n", False),
        (".:53 {\n    forward home.internal 192.168.1.1\n}\n", False),
    ],
)
def test_somebodys_own_settings_for_the_zone_are_seen(settings: str, theirs: bool) -> None:
    assert names.serves(settings, "home.internal") is theirs
    assert names.serves(names.with_zone(KUBEADMS, zone.planned(SITE, {})), "home.internal") is False


class CoreDns:
    """An API with the cluster's own CoreDNS: its settings and its Deployment, where it is one and we may touch it."""

    def __init__(self, *, deployed: bool = True, allowed: bool = True, text: str = KUBEADMS) -> None:
        self.config: dict[str, Any] = {"metadata": {"resourceVersion": "7"}, "data": {names.KEY: text}}
        template: dict[str, Any] = {"metadata": {"annotations": {}}}
        self.deployed = {"metadata": {}, "spec": {"template": template}} if deployed else None
        self.annotations = template["metadata"]["annotations"]
        self.allowed = allowed
        self.seen = allowed
        self.cut = False
        """Whether the power goes before the Deployment is written, once."""

    def write(self, text: str) -> None:
        version = str(int(self.config["metadata"]["resourceVersion"]) + 1)
        self.config = {"metadata": {"resourceVersion": version}, "data": {names.KEY: text}}

    def find(self, path: str) -> dict[str, Any] | None:
        if path == names.DEPLOYMENT and not self.seen:
            raise ClusterForbidden("No.", "")
        return self.config if path == names.CONFIG else self.deployed

    def merge(self, path: str, change: dict[str, Any]) -> dict[str, Any]:
        if path == names.CONFIG:
            assert change["metadata"] == self.config["metadata"], "somebody's change is not lost"
            self.write(change["data"][names.KEY])
            return self.config
        if self.cut:
            self.cut = False
            raise ClusterAway("Cut.", "")
        if not self.allowed:
            raise ClusterForbidden("No.", "")
        for name, value in change["spec"]["template"]["metadata"]["annotations"].items():
            self.annotations.pop(name, None)
            if value is not None:
                self.annotations[name] = value
        return self.deployed or {}


def test_coredns_begins_anew_with_settings_that_were_changed_and_with_no_others() -> None:
    """A pod that runs hears of them up to two minutes later, and of some of before meanwhile."""
    plan = zone.planned(SITE, {})
    there = CoreDns()
    api = cast(Cluster, there)
    assert names.put(api, plan)
    first = dict(there.annotations)
    assert list(first) == [names.RESTARTED]
    assert not names.put(api, plan) and there.annotations == first
    there.write(KUBEADMS)
    assert names.put(api, plan) and there.annotations != first
    first = dict(there.annotations)
    right = there.config["data"][names.KEY]
    there.write(KUBEADMS)
    there.write(right)
    assert names.put(api, plan) and there.annotations != first, "its pods may have read the other text meanwhile"
    assert not names.put(api, plan)
    assert names.take(api)
    assert there.annotations == {} and there.config["data"][names.KEY] == KUBEADMS, "as it was before"
    assert not names.take(api)


def test_a_cut_between_the_settings_and_their_pods_is_made_good() -> None:
    plan = zone.planned(SITE, {})
    there = CoreDns()
    api = cast(Cluster, there)
    there.cut = True
    with pytest.raises(ClusterAway):
        names.put(api, plan)
    assert names.BEGIN in there.config["data"][names.KEY] and there.annotations == {}
    assert names.put(api, plan) and list(there.annotations) == [names.RESTARTED]
    assert not names.put(api, plan)
    there.cut = True
    with pytest.raises(ClusterAway):
        names.take(api)
    assert there.config["data"][names.KEY] == KUBEADMS and there.annotations != {}
    assert names.take(api) and there.annotations == {}
    assert not names.take(api)


@pytest.mark.parametrize("case", ["no Deployment", "not written", "not seen"])
def test_a_coredns_that_cannot_begin_anew_reads_its_settings_in_its_own_time(case: str) -> None:
    there = CoreDns(deployed=case != "no Deployment", allowed=case == "no Deployment")
    there.seen = case != "not seen"
    api = cast(Cluster, there)
    plan = zone.planned(SITE, {})
    assert names.put(api, plan) and there.annotations == {}
    assert names.BEGIN in there.config["data"][names.KEY]
    assert not names.put(api, plan)
    if case != "not written":
        assert names.unread(api) == ""
    assert names.take(api) and not names.take(api)


@pytest.mark.parametrize(
    ("status", "says"),
    [
        ({"replicas": 3, "updatedReplicas": 2, "availableReplicas": 3, "observedGeneration": 2}, "settings of before"),
        ({"replicas": 2, "updatedReplicas": 2, "availableReplicas": 2, "observedGeneration": 1}, "not been looked at"),
        ({"replicas": 2, "updatedReplicas": 2, "availableReplicas": 2, "observedGeneration": 2}, ""),
        (None, ""),
    ],
    ids=["an old one runs", "told a moment ago", "all anew", "no Deployment"],
)
def test_settings_are_read_when_all_of_coredns_has_begun_anew(status: dict[str, Any] | None, says: str) -> None:
    found = deployment(**status or {})
    found["spec"]["replicas"] = 2

    class Api:
        def find(self, path: str) -> dict[str, Any] | None:
            return None if status is None else found

        def list(self, path: str, **asked: str) -> list[dict[str, Any]]:
            return []

    found["metadata"]["namespace"] = "kube-system"
    found["spec"]["selector"] = {"matchLabels": {"k8s-app": "kube-dns"}}
    told = names.unread(cast(Cluster, Api()))
    assert says in told and bool(told) is bool(says)


SAID = """\
= s1.home.internal.
Server:\t\t10.152.0.10
Address:\t10.152.0.10:53

Name:\ts1.home.internal
Address: 192.168.1.11

= gone.home.internal.
Server:\t\t10.152.0.10
Address:\t10.152.0.10:53

** server can't find gone.home.internal: NXDOMAIN

= old.home.internal.
Server:    10.152.0.10
Address 1: 10.152.0.10 kube-dns.kube-system.svc.cluster.local

Name:      old.home.internal
Address 1: 192.168.1.12 old.home.internal
"""


def test_each_resolver_is_asked_and_told_apart() -> None:
    """One of them may not have read its settings yet, while the other one has."""
    said = SAID.replace("= s1.home.internal.", "= s1.home.internal. 10.1.0.7").replace("= gone.", "= s1.") + "\n"
    found = names.answers(said)
    assert found["s1.home.internal. 10.1.0.7"] == ("192.168.1.11",) and found["s1.home.internal."] == ()

    class Api:
        def list(self, path: str, **asked: str) -> list[dict[str, Any]]:
            assert asked == {"labelSelector": "k8s-app=kube-dns"}
            going = {"deletionTimestamp": "2026-01-02T12:00:00Z"}
            return [
                {"metadata": {}, "status": {"podIP": "10.1.0.9"}}, {"metadata": {}, "status": {}},
                {"metadata": going, "status": {"podIP": "10.1.0.8"}}, {"metadata": {}, "status": {"podIP": "10.1.0.7"}},
            ]  # fmt: skip

    assert names.resolvers(cast(Cluster, Api())) == ["10.1.0.7", "10.1.0.9"]


def test_what_nslookup_prints_is_read() -> None:
    assert names.answers(SAID) == {
        "s1.home.internal.": ("192.168.1.11",),
        "gone.home.internal.": (),
        "old.home.internal.": ("192.168.1.12",),
    }


def deployment(**status: Any) -> dict[str, Any]:
    return {"kind": "Deployment", "metadata": {"name": "d", "generation": 2}, "spec": {"replicas": 1}, "status": status}


def daemons(**status: Any) -> dict[str, Any]:
    return {"kind": "DaemonSet", "metadata": {"name": "d", "generation": 2}, "spec": {}, "status": status}


HELD = {
    "status": {
        "containerStatuses": [
            {"name": "c", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no image"}}}
        ]
    }
}
UNPLACED = {"status": {"conditions": [{"type": "PodScheduled", "status": "False", "message": "no free ports"}]}}
WHOLE = {"updatedReplicas": 1, "availableReplicas": 1, "observedGeneration": 2}


@pytest.mark.parametrize(
    ("found", "pods", "said"),
    [
        (deployment(**WHOLE), [], ""),
        (deployment(**{**WHOLE, "observedGeneration": 1}), [], "has not been looked at"),
        (deployment(observedGeneration=2), [HELD], "0 of 1 pods of d are ready: c: ImagePullBackOff: no image."),
        (deployment(**{**WHOLE, "updatedReplicas": 0}), [], "0 of 1"),
        ({**deployment(**WHOLE), "spec": {"replicas": 0}}, [], "run nothing"),
        (daemons(observedGeneration=2, desiredNumberScheduled=0), [], "run nothing"),
        (daemons(observedGeneration=2, desiredNumberScheduled=2, updatedNumberScheduled=2, numberAvailable=2), [], ""),
        (daemons(observedGeneration=2, desiredNumberScheduled=2), [UNPLACED], "no free ports"),
    ],
)  # fmt: skip
def test_whether_something_is_up_is_told_with_its_reason(
    found: dict[str, Any], pods: list[dict[str, Any]], said: str
) -> None:
    told = workloads.judged(found, pods)
    assert said in told if said else told == ""


@pytest.mark.parametrize(
    ("cluster", "network", "leads_to"),
    [
        ("kubeadm", {}, "192.168.1.11"),
        ("kubeadm", {"load_balancer": "192.168.1.224/28"}, "192.168.1.224"),
        ("microk8s", {}, "192.168.1.224"),
    ],
)
def test_the_zone_leads_to_what_answers(cluster: str, network: dict[str, str], leads_to: str) -> None:
    known = {"lan": "192.168.1.0/24", "gateway": "192.168.1.1", **network}
    answers = SITE.model_dump() | {"network": known, "platform": {"cluster": cluster, "nodes": "servers"}}
    assert zone.planned(Site.model_validate(answers), {}).ingress == leads_to


KUBELETS = """\
# TYPE node_memory_working_set_bytes gauge
node_memory_working_set_bytes {bytes} 1774137600000
node_cpu_usage_seconds_total 12.5 1774137600000
"""
CONTAINERS = """\
container_memory_working_set_bytes{{container="etcd",namespace="kube-system",pod="a}} 5"}} {etcd} 1774137600000
container_memory_working_set_bytes{{container="coredns",namespace="kube-system",pod="b"}} {coredns}
"""


@pytest.mark.parametrize(
    ("text", "measures"),
    [
        (KUBELETS.format(bytes="1.5e+09"), True),
        (KUBELETS.format(bytes="1.5e+09") + CONTAINERS.format(etcd="0", coredns="3.1e+07"), True),
        (KUBELETS.format(bytes="1.5e+09") + CONTAINERS.format(etcd="0", coredns="0"), False),
        (KUBELETS.format(bytes="0"), False),
        ("node_cpu_usage_seconds_total 12.5\n", False),
        ("", False),
    ],
)
def test_a_kubelet_that_measures_no_memory_is_told(text: str, measures: bool) -> None:
    assert metrics.measures(text) is measures


def test_where_metrics_would_never_have_anything_to_tell_it_is_said_of_which(monkeypatch: pytest.MonkeyPatch) -> None:
    step = loaded(Path(metrics.__file__).parents[1] / "40_thinkube/core/metrics/10_metrics.py")
    monkeypatch.setattr(step, "MEASURED_S", 0)
    api = ClusterOfPaths({"/api/v1/nodes/s1": {"metadata": {"name": "s1"}}})
    measured = KUBELETS.format(bytes="1.5e+09") + CONTAINERS.format(etcd="0", coredns="0")
    monkeypatch.setattr(api, "text", lambda path: measured, raising=False)
    with pytest.raises(
        HomewrightError, match=r"The kernel of s1 accounts no memory, or none of containers\."
    ) as caught:
        step._require_measured(api)
    assert "names memory where it does" in caught.value.do[0], "its node is measured: the kernel may well have it"


def test_metrics_are_proved_by_what_every_node_uses(authority: Authority, tmp_path: Path) -> None:
    secret = signed.secret(authority, metrics.NAMESPACE, metrics.SECRET, metrics.names(), marked("attic", "x"))
    every = metrics.wanted(SITE, authority) | {metrics.SECRET_PATH: secret}
    status = {"replicas": 1, "updatedReplicas": 1, "availableReplicas": 1}
    every[metrics.DEPLOYMENT] = every[metrics.DEPLOYMENT] | {"status": status}
    nodes = {f"/api/v1/nodes/{name}": {"metadata": {"name": name}} for name in ("s1", "s2")}
    used = {"cpu": "120m", "memory": "900Mi"}

    def told(*names: str, usage: dict[str, str] = used) -> dict[str, Any]:
        return {f"{metrics.NODES}/{name}": {"metadata": {"name": name}, "usage": usage} for name in names}

    def proof(**kept: Any) -> tuple[str, str]:
        found = metrics.prove(ClusterOfPaths({**every, **nodes, **kept}), SITE, authority)
        return found.verdict, found.reason

    assert proof(**told("s1", "s2")) == ("proved", "The cluster tells what every node uses.")
    assert proof(**told("s1")) == ("broken", "Nothing is told of what s2 uses.")
    simulated = kwok.node(1, "v1.36.3", "198.18.0.1")
    with_simulated = told("s1", "s2") | {"/api/v1/nodes/simulated-001": simulated}
    assert proof(**with_simulated)[0] == "proved", "nothing runs there, so nothing is used"
    assert proof(**told("s1", "s2", usage={"cpu": "1"}))[0] == "broken"
    other = Authority.of(tmp_path / "ca", "other")
    stranger = signed.secret(other, metrics.NAMESPACE, metrics.SECRET, metrics.names(), marked("attic", "x"))
    assert "has not signed" in proof(**told("s1", "s2"), **{metrics.SECRET_PATH: stranger})[1]
    theirs = {**every[metrics.SERVED], "metadata": {"name": "v1beta1.metrics.k8s.io"}}
    kept = {metrics.SERVED: theirs, **nodes, **told("s1", "s2")}
    assert "of its own" in metrics.prove(ClusterOfPaths(kept), SITE, authority).reason
