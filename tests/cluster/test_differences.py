"""What sort of cluster one is, and what is said of how it differs: MicroK8s, kubeadm, kind, OpenShift and others."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from api_stand_in import StandIn, stand_in

from homewright.cli.cluster import told
from homewright.cluster import differences
from homewright.cluster.report import DEFAULT_CLASS, ClusterDocument, Found, judge
from homewright.site.models import Site
from homewright.workspaces.backends.kubernetes.api import Api
from homewright.workspaces.models import Key, Specification
from homewright.workspaces.on_cluster import ClusterWorkspaces
from homewright.workspaces.templates import shipped


def node(labels: tuple[str, ...] = (), marks: tuple[str, ...] = (), provider: str = "") -> dict[str, Any]:
    metadata = {"name": "n1", "labels": dict.fromkeys(labels, "x"), "annotations": dict.fromkeys(marks, "x")}
    ready = {"conditions": [{"type": "Ready", "status": "True"}]}
    return {"metadata": metadata, "spec": {"providerID": provider} if provider else {}, "status": ready}


def storage(name: str, provisioner: str, default: bool = True) -> dict[str, Any]:
    marks = {DEFAULT_CLASS: "true"} if default else {}
    return {"metadata": {"name": name, "annotations": marks}, "provisioner": provisioner}


KUBEADM = node(marks=("kubeadm.alpha.kubernetes.io/cri-socket",))
MICROK8S = node(labels=("microk8s.io/cluster", "node.kubernetes.io/microk8s-controlplane"))
OPENSHIFT = ("apps", "config.openshift.io", "security.openshift.io")
BALANCED = {"spec": {"type": "LoadBalancer"}, "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.9"}]}}}
PENDING = {"spec": {"type": "LoadBalancer"}, "status": {"loadBalancer": {}}}


@pytest.mark.parametrize(("found", "sort", "apart", "balancer", "notes"), [
    pytest.param(
        Found(version="v1.36.1", nodes=[MICROK8S], daemons=["calico-node"],
              storage=[storage("microk8s-hostpath", "microk8s.io/hostpath")]),
        "microk8s", True, "", ["MicroK8s' hostpath", "its size is not kept to", "load balancers"], id="microk8s",
    ),
    pytest.param(
        Found(version="v1.36.1", nodes=[MICROK8S], daemons=["calico-node", "speaker"], groups=["metallb.io"],
              storage=[storage("ceph-rbd", "rook-ceph.rbd.csi.ceph.com")]),
        "microk8s", True, "MetalLB", [], id="microk8s with ceph and metallb",
    ),
    pytest.param(
        Found(version="v1.36.3", nodes=[KUBEADM], daemons=["kube-proxy", "kube-flannel-ds"],
              storage=[storage("local-path", "rancher.io/local-path")]),
        "kubeadm", False, "", ["(local-path) is each node's own disk", "load balancers"], id="kubeadm with flannel",
    ),
    pytest.param(
        Found(version="v1.36.3", nodes=[KUBEADM], daemons=["kube-proxy", "cilium"],
              storage=[storage("longhorn", "driver.longhorn.io")], services=[PENDING, BALANCED]),
        "kubeadm", True, "something that gave one", [], id="kubeadm with cilium",
    ),
    pytest.param(
        Found(version="v1.36.0", nodes=[node(provider="kind://docker/kind/kind-worker",
                                             marks=("kubeadm.alpha.kubernetes.io/cri-socket",))],
              daemons=["kindnet", "kube-proxy"], storage=[storage("standard", "rancher.io/local-path")]),
        "kind", True, "", ["each node's own disk", "load balancers"], id="kind",
    ),
    pytest.param(
        Found(version="v1.34.2", nodes=[node(labels=("node.openshift.io/os_id",), provider="aws:///eu-west-1a/i-1")],
              daemons=["ovnkube-node", "dns-default"], groups=OPENSHIFT, storage=[storage("gp3", "ebs.csi.aws.com")]),
        "openshift", True, "its cloud (aws)", ["SecurityContextConstraints", "nonroot-v2"], id="openshift on aws",
    ),
    pytest.param(
        Found(version="v1.35.4+k3s1", nodes=[node(provider="k3s://n1")], daemons=["svclb-traefik-0a1b"],
              storage=[storage("local-path", "rancher.io/local-path")]),
        "k3s", None, "ServiceLB", ["each node's own disk", "cannot be told"], id="k3s",
    ),
    pytest.param(
        Found(version="v1.35.4+rke2r1", nodes=[node()], daemons=["rke2-canal"], storage=[]),
        "rke2", True, "", ["load balancers"], id="rke2",
    ),
    pytest.param(
        Found(version="v1.36.0", nodes=[node(labels=("minikube.k8s.io/name",))], daemons=["kindnet"],
              storage=[storage("standard", "k8s.io/minikube-hostpath")]),
        "minikube", True, "", ["minikube's hostpath", "load balancers"], id="minikube",
    ),
    pytest.param(
        Found(version="v1.35.1-gke.1", nodes=[node(provider="gce://project/zone/vm")], daemons=["anetd"],
              storage=[storage("standard-rwo", "pd.csi.storage.gke.io")]),
        "other", True, "its cloud (gce)", [], id="a cloud's",
    ),
    pytest.param(
        Found(version="v1.36.3", nodes=[KUBEADM], daemons=["kube-router", "kube-vip-ds"],
              storage=[storage("topolvm-provisioner", "topolvm.io"), storage("x", "microk8s.io/hostpath", False)]),
        "kubeadm", True, "kube-vip", ["TopoLVM) is each node's own disk"], id="kubeadm with topolvm and kube-vip",
    ),
])  # fmt: skip
def test_a_cluster_is_known_by_what_it_shows(
    found: Found, sort: str, apart: bool | None, balancer: str, notes: list[str]
) -> None:
    seen = report(found)
    assert (seen.sort, seen.enforces_policies) == (sort, apart)
    assert balancer in seen.load_balancer and bool(balancer) is bool(seen.load_balancer)
    assert seen.constraints is (sort == "openshift")
    text = " ".join(seen.notes)
    assert all(word in text for word in notes) and (notes or not text), text
    said = "\n".join(told(seen))
    assert differences.SORTS[seen.sort] in said and all(note in said for note in seen.notes)


def report(found: Found) -> ClusterDocument:
    return judge(found, context="x", server="https://192.0.2.1", user="u", program="", unverified=False, until=None,
                 now=datetime(2026, 11, 22, tzinfo=UTC))  # fmt: skip


def test_only_a_size_that_is_not_kept_to_is_said() -> None:
    kept = report(Found(storage=[storage("a", "topolvm.io")])).notes
    loose = report(Found(storage=[storage("a", "rancher.io/local-path")])).notes
    assert "not kept to" not in " ".join(kept) and "not kept to" in " ".join(loose)


def test_services_that_may_not_be_looked_at_say_nothing_of_balancers() -> None:
    hidden = report(Found(hidden={"services": "forbidden"}))
    assert not hidden.load_balancer and "load balancers" not in " ".join(hidden.notes)


# OpenShift's rules for pods


@pytest.fixture
def server() -> Iterator[StandIn]:
    with stand_in() as made:
        yield made


@pytest.mark.parametrize("constraints", [True, False])
def test_accounts_are_bound_where_the_cluster_has_constraints(server: StandIn, constraints: bool) -> None:
    server.constraints = constraints
    there = ClusterWorkspaces(
        Site(name="attic"), Api(server.kubeconfig, patience_s=2.0), shipped(), "root@here", lambda _: "$x"
    )
    for backend in there._backends.values():
        backend.pause_s = 0.01
    there.create(Specification(key=Key(user="alice"), template="code-server", preset="standard"), lambda _: None)
    bound = [one for one in server.all("RoleBinding") if one["roleRef"]["kind"] == "ClusterRole"]
    assert len(bound) == constraints
    for one in bound:
        assert one["roleRef"]["name"] == "system:openshift:scc:nonroot-v2"
        assert [each["name"] for each in one["subjects"]] == ["system:serviceaccounts:codeserver-instances"]
    names = [one["metadata"]["name"] for one in there.setup() if one["kind"] == "RoleBinding"]
    assert names.count("homewright-workspaces-nonroot-v2") == 2 * constraints, "one a template"
