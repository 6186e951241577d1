"""What a workspace in the cluster is made of."""

from __future__ import annotations

import base64
import random
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from homewright.cluster import certificates
from homewright.cluster.simulated import MARK, TOLERATION
from homewright.lab import kwok
from homewright.site import mirrored
from homewright.site.authority import Authority
from homewright.site.models import MirrorSettings
from homewright.workspaces.backends.kubernetes import intent as intents
from homewright.workspaces.backends.kubernetes import manifests, namespace, prediction
from homewright.workspaces.backends.kubernetes.manifests import Manifest, Surroundings
from homewright.workspaces.errors import NotOurs
from homewright.workspaces.models import Key, Repository, Specification
from homewright.workspaces.template_models import Toleration
from homewright.workspaces.templates import PodTemplate, parse, shipped

UID = "0b9e0a31-0000-4000-8000-000000000001"
PODS = sorted(name for name, template in shipped().items() if isinstance(template, PodTemplate))
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?)?")
_DNS_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
ZONE = Surroundings(zone="home.internal", ingress_class="public", issuer="site-ca")


def pod_template(name: str) -> PodTemplate:
    template = shipped()[name]
    assert isinstance(template, PodTemplate)
    return template


def made(template: PodTemplate, user: str = "alice", name: str = "default", **changes: Any) -> intents.Intent:
    spec = Specification(key=Key(user=user, name=name), template=template.name, preset=template.default_preset)
    return intents.new(spec, template, 1000.0, "root@here").model_copy(update=changes)


def everything(
    template: PodTemplate, intent: intents.Intent, surroundings: Surroundings = ZONE
) -> tuple[Manifest, ...]:
    return (
        manifests.record(template, intent),
        *manifests.claims(template, intent, surroundings),
        manifests.secret(template, intent, UID, manifests.secret_data(template, "word", "$argon2id$x")),
        *manifests.parts(template, intent, UID, surroundings),
    )


def of_kind(found: tuple[Manifest, ...], kind: str) -> Manifest:
    [one] = [one for one in found if one["kind"] == kind]
    return one


STEP = '"init":[{"name":"seed","command":["true"]}]'


def test_the_order_is_that_of_creation() -> None:
    template = pod_template("code-server")
    assert [one["kind"] for one in everything(template, made(template))] == [
        "ConfigMap", "PersistentVolumeClaim", "Secret", "ServiceAccount", "Service", "NetworkPolicy", "Ingress",
        "StatefulSet",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("template", "claims", "host"),
    [
        ("code-server", ["workspace-alice"], "code-alice.home.internal"),
        (
            "devenv",
            ["workspace-devenv-alice", "bash-history-devenv-alice", "claude-config-devenv-alice"],
            "devenv-alice.home.internal",
        ),
    ],
)
def test_names_are_the_product_s(template: str, claims: list[str], host: str) -> None:
    found = everything(pod_template(template), made(pod_template(template)))
    workload = f"{template}-alice"
    assert of_kind(found, "StatefulSet")["metadata"]["name"] == workload
    assert of_kind(found, "Service")["metadata"]["name"] == workload
    assert [one["metadata"]["name"] for one in found if one["kind"] == "PersistentVolumeClaim"] == claims
    assert of_kind(found, "Ingress")["spec"]["rules"][0]["host"] == host
    secrets = [one["metadata"]["name"] for one in found if one["kind"] == "Secret"]
    assert secrets == ([workload, "devenv-secrets-alice"] if template == "devenv" else [workload])


def test_a_pod_tolerates_what_its_template_says() -> None:
    plain = pod_template("code-server")
    told = plain.model_copy(
        update={"tolerations": (Toleration(key=MARK), Toleration(key="a/b", value="c", effect="NoExecute"))}
    )
    pods = [of_kind(everything(one, made(one)), "StatefulSet")["spec"]["template"]["spec"] for one in (plain, told)]
    assert "tolerations" not in pods[0]
    assert pods[1]["tolerations"] == [
        dict(TOLERATION), {"key": "a/b", "operator": "Equal", "value": "c", "effect": "NoExecute"},
    ]  # fmt: skip


SIMULATED = kwok.node(1, "v1.36.3", "198.18.0.1")


@pytest.mark.parametrize(
    ("tolerates", "alone", "said"),
    [
        (True, True, "1 of 1 node has room, 1 of them simulated: nothing runs there"),
        (True, False, "2 of 2 nodes have room, 1 of them simulated: nothing runs there"),
        (False, False, "1 of 2 nodes has room"),
        (False, True, "every node is kept free by a taint"),
    ],
)
def test_a_simulated_node_is_foreseen_for_who_tolerates_it(tolerates: bool, alone: bool, said: str) -> None:
    template = pod_template("code-server")
    if tolerates:
        template = template.model_copy(update={"tolerations": (Toleration(key=MARK),)})
    room = {"cpu": "4", "memory": "8Gi", "pods": "110"}
    real = {"metadata": {"name": "s1"}, "spec": {}, "status": {"allocatable": room}}
    nodes = prediction.nodes([SIMULATED] if alone else [SIMULATED, real], [])
    found = prediction.foresee(prediction.Ground(nodes=nodes), everything(template, made(template)))
    assert [*found.good, *(one.reason for one in found.problems)] == [said]


@pytest.mark.parametrize("name", PODS)
def test_every_pod_fits_the_level_restricted_and_more(name: str) -> None:
    template = pod_template(name)
    assert ("no registry" in template.warning) is template.image.startswith("localhost/")
    stateful = of_kind(everything(template, made(template)), "StatefulSet")["spec"]
    pod = stateful["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False and pod["enableServiceLinks"] is False
    assert pod["securityContext"] == {
        "runAsNonRoot": True, "runAsUser": 1000, "runAsGroup": 1000, "fsGroup": 1000,
        "fsGroupChangePolicy": "OnRootMismatch", "seccompProfile": {"type": "RuntimeDefault"},
    }  # fmt: skip
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
    for container in (*pod["containers"], *pod.get("initContainers", ())):
        context = container["securityContext"]
        assert context["allowPrivilegeEscalation"] is False and context["privileged"] is False
        assert context["capabilities"] == {"drop": ["ALL"]} and context["runAsNonRoot"] is True
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container["imagePullPolicy"] == ("Never" if template.image.startswith("localhost/") else "IfNotPresent")
        assert {"cpu", "memory"} <= set(container["resources"]["limits"])
    assert not any("hostPath" in volume for volume in pod["volumes"])
    assert stateful["updateStrategy"] == {"type": "OnDelete"}
    account = of_kind(everything(template, made(template)), "ServiceAccount")
    assert account["automountServiceAccountToken"] is False
    assert pod["serviceAccountName"] == account["metadata"]["name"]


def test_sizes_probes_and_ports_are_the_product_s() -> None:
    template = pod_template("code-server")
    found = everything(template, made(template))
    container = of_kind(found, "StatefulSet")["spec"]["template"]["spec"]["containers"][0]
    assert container["resources"] == {
        "requests": {"cpu": "500m", "memory": "1Gi"},
        "limits": {"cpu": "2", "memory": "4Gi"},
    }
    startup = container["startupProbe"]
    assert startup["httpGet"]["path"] == container["readinessProbe"]["httpGet"]["path"] == "/healthz"
    assert startup["periodSeconds"] * startup["failureThreshold"] == 300
    assert "livenessProbe" not in container
    [port] = of_kind(found, "Service")["spec"]["ports"]
    assert port["port"] == 80 and container["ports"][0]["containerPort"] == 8080
    claim = of_kind(found, "PersistentVolumeClaim")["spec"]
    assert claim["resources"]["requests"]["storage"] == "10Gi" and "storageClassName" not in claim


def test_gpus_are_asked_for_whole() -> None:
    template = pod_template("code-server")
    found = everything(template, made(template, preset="gpu"))
    resources = of_kind(found, "StatefulSet")["spec"]["template"]["spec"]["containers"][0]["resources"]
    assert resources["limits"]["nvidia.com/gpu"] == resources["requests"]["nvidia.com/gpu"] == "1"


@pytest.mark.parametrize("name", PODS)
def test_all_but_the_claims_belong_to_the_record(name: str) -> None:
    template = pod_template(name)
    for one in everything(template, made(template)):
        owners = one["metadata"].get("ownerReferences", [])
        if one["kind"] in ("ConfigMap", "PersistentVolumeClaim"):
            assert owners == []
        else:
            [owner] = owners
            assert owner == {"apiVersion": "v1", "kind": "ConfigMap", "name": f"{name}-alice", "uid": UID}
        assert one["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "homewright"
        assert intents.belongs_to(one, Key(user="alice")) and not intents.belongs_to(one, Key(user="alic"))


@pytest.mark.parametrize("name", PODS)
def test_a_password_is_in_the_secret_alone(name: str) -> None:
    template = pod_template(name)
    found = everything(template, made(template))
    secret = found[1 + len(template.volumes)]
    assert base64.b64decode(secret["data"]["password"]) == b"word"
    rest = repr([one for one in found if one is not secret])
    assert "word" not in rest.replace("password", "") and "argon2id" not in rest
    volume = next(
        one for one in of_kind(found, "StatefulSet")["spec"]["template"]["spec"]["volumes"] if "secret" in one
    )
    assert volume["secret"]["secretName"] == secret["metadata"]["name"]
    keys = {item["key"] for item in volume["secret"]["items"]}
    assert keys <= set(secret["data"]) and "password" not in keys, "the pod sees the template's files alone"


@pytest.mark.parametrize(
    ("changes", "replicas"),
    [({}, 1), ({"wanted": "stopped"}, 0), ({"deleting": "keep"}, 0), ({"deleting": "with-storage"}, 0)],
)
def test_what_is_wanted_decides_the_replicas(changes: dict[str, Any], replicas: int) -> None:
    template = pod_template("code-server")
    found = everything(template, made(template, **changes))
    assert of_kind(found, "StatefulSet")["spec"]["replicas"] == replicas


def test_the_claim_that_is_remembered_is_used_whatever_the_template_says_now() -> None:
    template = pod_template("code-server")
    before = made(template)
    volumes = tuple(volume.model_copy(update={"claim": "other-{slug}"}) for volume in template.volumes)
    later = template.model_copy(update={"volumes": volumes})
    found = everything(later, before)
    assert of_kind(found, "PersistentVolumeClaim")["metadata"]["name"] == "workspace-alice"
    pod = of_kind(found, "StatefulSet")["spec"]["template"]["spec"]
    assert pod["volumes"][0]["persistentVolumeClaim"]["claimName"] == "workspace-alice"


@pytest.mark.parametrize(
    ("reference", "mirror", "pulled"),
    [
        ("codercom/code-server:4.139.1", None, f"{mirrored.DOCKER}/codercom/code-server:4.139.1"),
        ("a/b:1", "registry.lan:5000", f"registry.lan:5000/{mirrored.DOCKER}/a/b:1"),
        ("localhost/homewright/devenv:1", "registry.lan:5000", "localhost/homewright/devenv:1"),
    ],
)
def test_images_come_from_the_mirror_where_there_is_one(reference: str, mirror: str | None, pulled: str) -> None:
    assert manifests.image(reference, Surroundings(mirror=MirrorSettings(images=mirror))) == pulled


def test_without_a_zone_there_is_no_route() -> None:
    template = pod_template("code-server")
    found = everything(template, made(template), Surroundings())
    assert "Ingress" not in {one["kind"] for one in found}
    assert manifests.address(template, "alice", Surroundings()) == ""
    assert manifests.address(template, "alice", ZONE) == "https://code-alice.home.internal/"


HARD = [
    ("a.b", "default"), ("a_b", "default"), ("a@b", "default"), ("a-b", "default"), ("a", "b"), ("A.B", "default"),
    ("u" * 200, "default"), ("u" * 199 + "v", "default"), ("日本", "default"), ("日本語", "default"),
    ("..\u2044x", "default"), ("..", "x"), ("alice", "default"), ("alice", "train"), ("Alice", "default"),
]  # fmt: skip


def _people() -> Iterator[tuple[str, str]]:
    yield from HARD
    chance = random.Random(20261121)
    for _ in range(200):
        letters = "ab.-_@Zü9日 "
        user = "".join(chance.choice(letters) for _ in range(chance.randint(1, 60)))
        yield user, chance.choice(["default", "train", "a.b", "a_b"])


def _shared(found: tuple[Manifest, ...]) -> set[tuple[str, ...]]:
    """Everything by which two workspaces could meet: names, addresses, selectors, claims."""
    met: set[tuple[str, ...]] = set()
    for one in found:
        met.add((one["kind"], one["metadata"]["namespace"], one["metadata"]["name"]))
        spec = one.get("spec", {})
        if one["kind"] == "Ingress":
            met |= {("host", rule["host"]) for rule in spec["rules"]}
            met |= {("tls", entry["secretName"]) for entry in spec["tls"]}
        if one["kind"] in ("Service", "NetworkPolicy"):
            chosen = spec["selector"] if one["kind"] == "Service" else spec["podSelector"]["matchLabels"]
            met |= {("selector", one["metadata"]["namespace"], *sorted(chosen.values()))}
        if one["kind"] == "StatefulSet":
            for volume in spec["template"]["spec"]["volumes"]:
                if volume["name"] == "git":
                    continue  # a person's own, the same in all of their workspaces: the next test
                met.add(("volume", one["metadata"]["namespace"], str(volume.get("persistentVolumeClaim", volume))))
    return met


def test_no_two_people_share_credentials_for_git() -> None:
    users = {user for user, _ in _people()}
    names = {manifests.git_secret(user) for user in users}
    assert len(names) == len(users) and all(_DNS_LABEL.fullmatch(name) and len(name) <= 63 for name in names)


def test_a_repository_is_cloned_before_the_editor_starts_and_no_secret_is_in_the_pod() -> None:
    template = pod_template("code-server")
    repository = Repository(url="https://git.example.org/team/project.git", branch="main")
    stateful = of_kind(everything(template, made(template, repository=repository)), "StatefulSet")
    pod = stateful["spec"]["template"]["spec"]
    [step] = pod["initContainers"]
    assert step["image"] == pod["containers"][0]["image"] and step["command"][-5:] == [
        "/home/coder/workspace/project", "https://git.example.org/team/project.git", "main", "shallow", "180",
    ]  # fmt: skip
    mount = {"name": "git", "mountPath": "/etc/homewright-git", "readOnly": True}
    assert mount in step["volumeMounts"] and mount in pod["containers"][0]["volumeMounts"]
    assert {"secretName": "homewright-git-alice", "optional": True, "defaultMode": 0o440} in [
        volume.get("secret") for volume in pod["volumes"]
    ]
    without = of_kind(everything(template, made(template)), "StatefulSet")["spec"]["template"]["spec"]
    assert "initContainers" not in without


def test_a_certificate_is_signed_by_the_site_for_the_address_alone(tmp_path: Path) -> None:
    template, authority = pod_template("code-server"), Authority.of(tmp_path / "ca", "attic")
    intent = made(template)
    secret = manifests.certificate(template, intent, UID, "home.internal", authority)
    ingress = of_kind(everything(template, intent), "Ingress")
    assert secret["metadata"]["name"] == ingress["spec"]["tls"][0]["secretName"]
    assert secret["type"] == "kubernetes.io/tls"
    assert certificates.wanted_names(secret) == ("code-alice.home.internal",)
    assert certificates.due(secret, ["code-alice.home.internal"], authority, datetime.now(UTC)) == ""
    assert secret["metadata"]["ownerReferences"][0]["uid"] == UID and intents.belongs_to(secret, intent.key)


@pytest.mark.parametrize("name", PODS)
def test_no_two_people_share_anything(name: str) -> None:
    template = pod_template(name)
    owners: dict[tuple[str, ...], tuple[str, str]] = {}
    for person in sorted(set(_people())):
        found = everything(template, made(template, *_unchecked(person)))
        for thing in _shared(found):
            assert owners.setdefault(thing, person) == person, thing
        for one in found:
            assert len(one["metadata"]["name"]) <= (52 if one["kind"] == "StatefulSet" else 253)
            assert all(_DNS_LABEL.fullmatch(part) for part in one["metadata"]["name"].split("."))
            for value in one["metadata"]["labels"].values():
                assert len(value) <= 63 and _LABEL_VALUE.fullmatch(value), value
        host = of_kind(found, "Ingress")["spec"]["rules"][0]["host"]
        assert (
            all(len(part) <= 63 for part in host.split("."))
            and len(of_kind(found, "Service")["metadata"]["name"]) <= 63
        )


def _unchecked(person: tuple[str, str]) -> tuple[str, str]:
    user, name = person
    return user.strip() or "x", name


def test_the_user_s_own_pods_reach_each_other_and_nobody_else() -> None:
    template = pod_template("devenv")
    policy = of_kind(everything(template, made(template, "a.b")), "NetworkPolicy")["spec"]
    [allowed] = policy["ingress"][0]["from"]
    own = allowed["podSelector"]["matchLabels"]
    assert allowed["namespaceSelector"], "pods of other namespaces may carry any label"
    for user, name, reached in (("a.b", "train", True), ("a_b", "default", False), ("a@b", "default", False)):
        pod = of_kind(everything(template, made(template, user, name)), "StatefulSet")["spec"]["template"]["metadata"]
        assert (own.items() <= pod["labels"].items()) is reached


def test_a_namespace_is_restricted_and_its_pods_reach_the_internet_alone() -> None:
    template = pod_template("devenv")
    found = namespace.objects(template, namespace.Walls(site_ranges=("192.168.1.0/24", "198.18.0.0/15")))
    assert [one["kind"] for one in found] == ["Namespace", "ServiceAccount", "Role", "RoleBinding", "NetworkPolicy"]
    assert found[0]["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    policy = found[-1]
    assert policy["metadata"]["name"] == "devenv-isolation" and policy["spec"]["podSelector"] == {}
    [internet] = [peer["ipBlock"] for rule in policy["spec"]["egress"] for peer in rule["to"] if "ipBlock" in peer]
    refused = [ip_network(text) for text in internet["except"]]
    for place in ("192.168.1.7/32", "10.1.2.3/32", "169.254.169.254/32", "198.18.3.4/32", "127.0.0.1/32"):
        assert any(ip_network(place).subnet_of(network) for network in refused), place
    assert not any(ip_network("9.9.9.9/32").subnet_of(network) for network in refused)
    [ingress] = policy["spec"]["ingress"]
    assert ingress["ports"] == [{"protocol": "TCP", "port": 8080}], "no SSH from outside of the cluster"


def test_the_rights_are_a_role_s_and_never_the_cluster_s() -> None:
    kinds = {one["kind"] for one in namespace.rights("devenv")}
    assert kinds == {"ServiceAccount", "Role", "RoleBinding"}
    assert not any("*" in (*resources, *verbs) for _, resources, verbs in namespace.RIGHTS)
    secrets = next(verbs for _, resources, verbs in namespace.RIGHTS if "secrets" in resources)
    assert "list" not in secrets and "watch" not in secrets, "only a password that somebody asks for by name"


def test_a_record_is_read_as_it_was_written() -> None:
    template = pod_template("code-server")
    intent = made(template, "bob@corp.com", "train")
    assert intents.read(manifests.record(template, intent)) == intent
    for number in range(30):
        intent = intent.with_deed(float(number), "root@here", "started")
    assert len(intent.history) == 20 and intent.history[-1].at == 29


@pytest.mark.parametrize(
    "change",
    [
        {"data": {}}, {"data": {"intent.json": "{"}}, {"data": None},
        {"metadata": {"name": "x", "namespace": "y", "labels": {}, "annotations": {}}},
    ],
)  # fmt: skip
def test_what_is_no_record_of_ours_is_refused(change: Manifest) -> None:
    template = pod_template("code-server")
    with pytest.raises(NotOurs):
        intents.read({**manifests.record(template, made(template)), **change})


def test_init_steps_have_the_walls_too() -> None:
    template = pod_template("code-server")
    own = parse(template.model_dump_json().replace('"init":[]', STEP), "own.yaml")
    assert isinstance(own, PodTemplate)
    pod = of_kind(everything(own, made(own)), "StatefulSet")["spec"]["template"]["spec"]
    [step] = pod["initContainers"]
    assert step["command"] == ["true"] and step["securityContext"] == pod["containers"][0]["securityContext"]


def test_the_last_words_of_whatever_fails_are_kept() -> None:
    own = parse(pod_template("code-server").model_dump_json().replace('"init":[]', STEP), "own.yaml")
    assert isinstance(own, PodTemplate)
    pod = of_kind(everything(own, made(own)), "StatefulSet")["spec"]["template"]["spec"]
    for one in (*pod["initContainers"], *pod["containers"]):
        assert one["terminationMessagePolicy"] == "FallbackToLogsOnError", one["name"]
