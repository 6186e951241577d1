"""Storage, certificates, the way in and names on a real cluster: proved, damaged, mended and taken back.

A cluster takes minutes to make: HOMEWRIGHT_TEST_SITE and HOMEWRIGHT_TEST_STATE name one that is there already.
"""

from __future__ import annotations

import base64
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from driving import Practice
from practice_lab import own_lab
from stage_on_servers import StageOnServers

from homewright.catalogue import load, shipped
from homewright.cluster import certificates as signed
from homewright.cluster import client, objects
from homewright.cluster.client import Cluster, wait
from homewright.engine.states import Action
from homewright.planning import zone
from homewright.site.authority import Authority
from homewright.site.secrets import Secrets
from homewright.stages.components import certificates, ingress, names, page, proving, storage

pytestmark = [pytest.mark.lab, pytest.mark.long]

STEPS = tuple(f"40/core/{name}/10" for name in ("storage", "dns", "certificates", "ingress"))
WAIT_S = 300.0


@pytest.fixture(scope="module")
def practice(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Practice]:
    """Practice servers that are a cluster with everything on it."""
    work = tmp_path_factory.mktemp("runner")
    site, state = os.environ.get("HOMEWRIGHT_TEST_SITE"), os.environ.get("HOMEWRIGHT_TEST_STATE")
    if site and state:
        yield from held(Practice.of(Path(site), Path(state), work))
        return
    with own_lab("components") as lab:
        for words in (
            ("lab", "up", "--cluster", "--yes"),
            ("trust", "--all", "--practice"),
            ("apply", "--yes", "--plain"),
        ):
            done = lab.run(*words, timeout=3600)
            assert done.returncode == 0, done.stdout[-4000:] + done.stderr
        yield from held(Practice.of(lab.site_file, lab.state.root, work))


def held(practice: Practice) -> Iterator[Practice]:
    practice.hold()
    yield practice
    practice.give_back()


@pytest.fixture(scope="module")
def stage(practice: Practice) -> StageOnServers:
    return StageOnServers(practice, load([shipped()]))


@pytest.fixture(scope="module")
def api(practice: Practice) -> Iterator[Cluster]:
    with closing(Cluster(client.of_site(Secrets(practice.state.secrets)))) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def authority(practice: Practice) -> Authority:
    return Authority.of(practice.state.authority, practice.site.name)


def first(stage: StageOnServers) -> list[str]:
    """The server that these steps are carried out through."""
    return stage.practice.names[:1]


def verdict(stage: StageOnServers, step: str) -> tuple[str, str]:
    return stage.verdicts(step, hosts=first(stage))[first(stage)[0]]


def has_run(stage: StageOnServers, step: str) -> int:
    return stage.run(step, hosts=first(stage)).changed[first(stage)[0]]


@pytest.mark.parametrize("step", STEPS)
def test_a_second_run_changes_nothing(stage: StageOnServers, step: str) -> None:
    has_run(stage, step)
    assert verdict(stage, step)[0] == "proved"
    assert has_run(stage, step) == 0


Damage = Callable[[Cluster, Practice, Authority], None]


def deleted(path: str) -> Damage:
    def act(api: Cluster, practice: Practice, authority: Authority) -> None:
        assert api.delete(path)
        assert not wait(WAIT_S, lambda: "it is still there" if api.find(path) else "")

    return act


def changed(path: str, change: dict[str, Any]) -> Damage:
    return lambda api, practice, authority: void(api.merge(path, change))


def void(_: object) -> None:
    pass


def other_certificate(path: str) -> Damage:
    """Signed by another authority, for the same names."""

    def act(api: Cluster, practice: Practice, authority: Authority) -> None:
        other = Authority.of(practice.work / secrets.token_hex(4), "other")
        leaf = other.issue("x", signed.wanted_names(api.get(path)), ())
        data = {"tls.crt": leaf.chain_pem, "tls.key": leaf.key_pem}
        api.merge(path, {"data": {name: base64.b64encode(value).decode() for name, value in data.items()}})

    return act


def other_names(api: Cluster, practice: Practice, authority: Authority) -> None:
    leaf = authority.issue("x", ("elsewhere.internal",), ())
    data = {"tls.crt": leaf.chain_pem, "tls.key": leaf.key_pem}
    api.merge(certificates.PATH, {"data": {name: base64.b64encode(value).decode() for name, value in data.items()}})


def lost_data(api: Cluster, practice: Practice, authority: Authority) -> None:
    volume = {"name": "data", "persistentVolumeClaim": {"claimName": storage.CLAIM}}
    mounts = [{"name": "data", "mountPath": "/data"}]
    over = proving.run(api, practice.site, "damage", "rm /data/marks", volumes=[volume], volumeMounts=mounts)
    assert over.code == 0, over.said


def zone_by(make: Callable[[str, Practice], str]) -> Damage:
    def act(api: Cluster, practice: Practice, authority: Authority) -> None:
        text = names.settings(api)["data"][names.KEY]
        api.merge(names.CONFIG, {"data": {names.KEY: make(text, practice)}})

    return act


def named_is_off(api: Cluster, practice: Practice, authority: Authority) -> None:
    practice.on(zone.planned(practice.site, {}).server, "systemctl stop named.service")


def no_coredns(api: Cluster, practice: Practice, authority: Authority) -> None:
    path = "/apis/apps/v1/namespaces/kube-system/deployments/coredns"
    api.merge(path, {"spec": {"replicas": 0}})
    assert not wait(WAIT_S, lambda: "it runs" if (api.get(path).get("status") or {}).get("readyReplicas") else "")


def mend_names(api: Cluster, practice: Practice) -> None:
    """What is not the step's own to mend: the site's DNS server, and how many CoreDNS there are."""
    practice.on(zone.planned(practice.site, {}).server, "systemctl start named.service")
    api.merge("/apis/apps/v1/namespaces/kube-system/deployments/coredns", {"spec": {"replicas": 2}})


SCALED = {"spec": {"replicas": 0}}
RBAC = "/apis/rbac.authorization.k8s.io/v1"
DAMAGES: dict[str, tuple[str, Damage]] = {
    "storage: no provisioner": ("storage", deleted(storage.DEPLOYMENT)),
    "storage: told to run nothing": ("storage", changed(storage.DEPLOYMENT, SCALED)),
    "storage: no default class": (
        "storage",
        changed(
            f"{storage.CLASSES}/{storage.CLASS}",
            {"metadata": {"annotations": {"storageclass.kubernetes.io/is-default-class": "false"}}},
        ),
    ),
    "storage: another folder": (
        "storage",
        changed(
            f"/api/v1/namespaces/{storage.NAMESPACE}/configmaps/local-path-config", {"data": {"config.json": "{}"}}
        ),
    ),
    "storage: data lost": ("storage", lost_data),
    "certificates: no Secret": ("certificates", deleted(certificates.PATH)),
    "certificates: no authority": ("certificates", deleted(certificates.AUTHORITY_PATH)),
    "certificates: another authority's": ("certificates", other_certificate(certificates.PATH)),
    "certificates: other names": ("certificates", other_names),
    "certificates: no key": ("certificates", changed(certificates.PATH, {"data": {"tls.key": "YQ=="}})),
    "ingress: no Envoy": ("ingress", deleted(ingress.DAEMONS)),
    "ingress: no class": ("ingress", deleted(f"{ingress.CLASSES}/{ingress.CLASS}")),
    "ingress: Contour may read nothing": ("ingress", deleted(f"{RBAC}/clusterrolebindings/contour")),
    "ingress: another authority's certificate": ("ingress", other_certificate(page.SECRET_PATH)),
    "ingress: nobody behind the page": (
        "ingress",
        changed(f"/api/v1/namespaces/{proving.NAMESPACE}/services/page", {"spec": {"selector": {"a": "b"}}}),
    ),
    "dns: no zone": ("dns", zone_by(lambda text, practice: names.without_zone(text))),
    "dns: another server asked": (
        "dns",
        zone_by(lambda text, practice: text.replace(zone.planned(practice.site, {}).address, "192.0.2.1")),
    ),
    "dns: another zone": (
        "dns", zone_by(lambda text, practice: text.replace(str(practice.site.zone), "other.internal")),
    ),
    "dns: the site's server is off": ("dns", named_is_off),
    "dns: no CoreDNS": ("dns", no_coredns),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_seen_and_mended(stage: StageOnServers, api: Cluster, authority: Authority, damage: str) -> None:
    component, act = DAMAGES[damage]
    step = f"40/core/{component}/10"
    act(api, stage.practice, authority)
    assert not wait(WAIT_S, lambda: "it is not seen" if verdict(stage, step)[0] != "broken" else "")
    if component == "dns":
        mend_names(api, stage.practice)
    if damage == "storage: data lost":
        # Lost data comes back by nothing: the operator takes the claim away, and the proof begins anew.
        assert objects.remove(api, stage.practice.site.name, {storage.CLAIM_PATH: {}}, say=print)
    has_run(stage, step)
    assert verdict(stage, step)[0] == "proved"


def test_somebody_elses_object_is_left_alone(stage: StageOnServers, api: Cluster) -> None:
    path = f"/api/v1/namespaces/{storage.NAMESPACE}/serviceaccounts/local-path-provisioner"
    api.merge(path, {"metadata": {"labels": {objects.SITE: "cabin"}}})
    api.delete(storage.DEPLOYMENT)
    try:
        stage.assert_refused("40/core/storage/10", "it is that of the site cabin", first(stage))
        assert api.find(storage.DEPLOYMENT) is None, "nothing is made beside it"
    finally:
        api.merge(path, {"metadata": {"labels": {objects.SITE: stage.practice.site.name}}})
    has_run(stage, "40/core/storage/10")
    assert verdict(stage, "40/core/storage/10")[0] == "proved"


def everything(api: Cluster) -> set[str]:
    """Every object with our mark that is in the cluster, and CoreDNS' settings."""
    selector = "app.kubernetes.io/managed-by=homewright"
    kinds = (
        "/api/v1/namespaces", "/api/v1/secrets", "/api/v1/configmaps", "/api/v1/serviceaccounts", "/api/v1/services",
        "/apis/apps/v1/deployments", "/apis/apps/v1/daemonsets", f"{RBAC}/clusterroles", f"{RBAC}/clusterrolebindings",
        f"{RBAC}/roles", f"{RBAC}/rolebindings", storage.CLASSES, ingress.CLASSES,
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", "/apis/apiregistration.k8s.io/v1/apiservices",
        "/api/v1/persistentvolumeclaims",
    )  # fmt: skip
    found = {
        f"{kind} {one['metadata'].get('namespace', '')}/{one['metadata']['name']}"
        for kind in kinds
        for one in api.list(kind, labelSelector=selector)
        if one["metadata"].get("namespace") != "kube-flannel" and "flannel" not in one["metadata"]["name"]
    }
    return found | {f"corefile {line}" for line in names.settings(api)["data"][names.KEY].splitlines()}


def test_a_claim_of_somebodys_keeps_storage_where_it_is(stage: StageOnServers, api: Cluster) -> None:
    inside = "/api/v1/namespaces/default"
    claim = {
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "diary"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}},
    }  # fmt: skip
    pod = proving.pod(stage.practice.site, "writer", "echo hello >/data/diary")
    pod["metadata"] = {"name": "writer"}
    pod["spec"]["volumes"] = [{"name": "data", "persistentVolumeClaim": {"claimName": "diary"}}]
    pod["spec"]["containers"][0]["volumeMounts"] = [{"name": "data", "mountPath": "/data"}]
    api.create(f"{inside}/persistentvolumeclaims", claim)
    api.create(f"{inside}/pods", pod)
    try:
        ended = ("Succeeded", "Failed")
        assert not wait(
            WAIT_S, lambda: "" if api.get(f"{inside}/pods/writer")["status"].get("phase") in ended else "it runs"
        )
        outcome = stage.carry_out("40/core/storage/10", Action.ROLLBACK, hosts=first(stage))
        assert "default/diary" in next(iter(outcome.reasons.values()))
        assert verdict(stage, "40/core/storage/10")[0] == "proved"
    finally:
        api.delete(f"{inside}/pods/writer")
        api.delete(f"{inside}/persistentvolumeclaims/diary")
    assert not wait(WAIT_S, lambda: "its volume is there" if storage.users(api, stage.practice.site) else "")


def test_taken_back_the_cluster_is_as_it_was(stage: StageOnServers, api: Cluster) -> None:
    plain = [line for line in everything(api) if line.startswith("corefile ")]
    for step in reversed(STEPS):
        outcome = stage.carry_out(step, Action.ROLLBACK, hosts=first(stage))
        assert set(outcome.states.values()) == {"succeeded"}, outcome.reasons
        assert set(outcome.changed.values()) != {0}, step
        assert verdict(stage, step)[0] == "broken"
        assert set(stage.carry_out(step, Action.ROLLBACK, hosts=first(stage)).changed.values()) == {0}, step
    left = everything(api)
    assert {line for line in left if not line.startswith("corefile ")} == set()
    assert not any(names.BEGIN in line for line in left) and any(names.BEGIN in line for line in plain)
    control = stage.practice.names[0]  # on the other nodes it goes with the node
    assert stage.practice.on(control, f"ls -d {storage.FOLDER} 2>/dev/null || echo gone").strip() == "gone"
    for step in STEPS:
        has_run(stage, step)
        assert verdict(stage, step)[0] == "proved"
