"""Workspaces that are broken for real, each by one cause: what is done to it, and what is expected to be said."""

from __future__ import annotations

import json
import ssl
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from socketserver import BaseRequestHandler, TCPServer
from typing import Any

from cluster_place import ClusterPlace

from homewright.access.connection import Connection, Endpoint
from homewright.cluster.client import Cluster
from homewright.site.authority import Authority
from homewright.workspaces.errors import InstanceFailed
from homewright.workspaces.models import Key, Whose, WorkspaceState
from homewright.workspaces.on_cluster import ClusterWorkspaces

NAMESPACE = "homewright-broken"
TAINT = "homewright.dev/broken"
LIMIT_S = 120.0
DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
SERVES = "mkdir -p /tmp/w && echo ok > /tmp/w/healthz && exec httpd -f -p 8080 -h /tmp/w"
TEMPLATE: dict[str, Any] = {
    "version": 1, "name": "broken", "title": "t", "summary": "s", "backend": "kubernetes", "namespace": NAMESPACE,
    "prefix": "broken", "host": "broken", "policy": "broken-isolation", "image": "busybox:1.36.1",
    "command": ["sh", "-c", SERVES], "default_preset": "small",
    "presets": {"small": {"title": "s", "cpu": 0.5, "memory": "64MiB", "cpu_request": 0.01, "memory_request": "16MiB"}},
    "volumes": [{"claim": "broken-{slug}", "path": "/data", "size": "1MiB"}],
    "ports": [{"name": "http", "service": 80, "container": 8080}], "web": "http", "files": {"password": "{password}"},
}  # fmt: skip


@dataclass
class Scene:
    """One broken workspace and what is around it; what `undo` holds is done at the end."""

    place: ClusterPlace
    cluster: Cluster
    there: ClusterWorkspaces
    key: Key
    undo: ExitStack

    @property
    def name(self) -> str:
        """Of its workload, its Secret and its claim."""
        return f"broken-{self.key.user}"

    def have(self, base: str, manifest: dict[str, Any]) -> None:
        """An object that is there until the end; `base` is where its kind is."""
        self.cluster.create(base, manifest)
        self.undo.callback(self.cluster.delete, f"{base}/{manifest['metadata']['name']}")

    def nodes(self) -> list[str]:
        return [one["metadata"]["name"] for one in self.cluster.list("/api/v1/nodes")]

    def of_node(self, name: str, now: Mapping[str, Any]) -> None:
        """Fields of a node's spec, until the end."""
        path = f"/api/v1/nodes/{name}"
        before = self.cluster.get(path)["spec"]
        self.undo.callback(self.cluster.merge, path, {"spec": {field: before.get(field) for field in now}})
        self.cluster.merge(path, {"spec": now})

    def until(self, what: str, done: Callable[[], bool]) -> None:
        limit = time.monotonic() + LIMIT_S
        while not done():
            assert time.monotonic() < limit, f"waited in vain for {what}"
            time.sleep(0.5)

    def runs(self) -> str:
        """Once it runs: the node that it runs on."""
        self.until("it to run", lambda: self.there.show(self.key).state is WorkspaceState.RUNNING)
        return self.there.show(self.key).node


Ground = Callable[[Scene], dict[str, Any] | None]
"""Done before it is made; what it changes of the template."""


@dataclass(frozen=True)
class Case:
    """What is wrong, and what is expected to be said."""

    name: str
    says: str
    """A pattern of the reason."""
    whose: Whose
    do: str
    """A part of the remedy."""
    template: dict[str, Any] = field(default_factory=dict)
    foreseen: bool | None = False
    """Whether it is said before it is made, in the same words. None: it breaks once it runs, so nobody asks before."""
    before: Ground = lambda _: None
    after: Callable[[Scene], object] = lambda _: None
    """Done once everything of it is in the cluster."""
    storage_class: str | None = None
    mirrored: bool = True
    """Whether images come by the practice site's mirror."""


def preset(**more: Any) -> dict[str, Any]:
    return {"presets": {"small": {**TEMPLATE["presets"]["small"], **more}}}


def sh(script: str) -> dict[str, Any]:
    return {"command": ["sh", "-c", script]}


def quota(**hard: str) -> Ground:
    def lay(scene: Scene) -> None:
        base = f"/api/v1/namespaces/{NAMESPACE}/resourcequotas"
        limits = {name.replace("_", "."): value for name, value in hard.items()}
        scene.have(base, {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "team"},
                          "spec": {"hard": limits}})  # fmt: skip
        scene.until(
            "the quota to be counted", lambda: "used" in (scene.cluster.get(f"{base}/team").get("status") or {})
        )

    return lay


def limits(**container: Any) -> Ground:
    def lay(scene: Scene) -> None:
        manifest = {"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "team"},
                    "spec": {"limits": [{"type": "Container", **container}]}}  # fmt: skip
        scene.have(f"/api/v1/namespaces/{NAMESPACE}/limitranges", manifest)

    return lay


def tainted(scene: Scene) -> None:
    for name in scene.nodes():
        scene.of_node(name, {"taints": [{"key": TAINT, "effect": "NoSchedule"}]})


def cordoned(scene: Scene) -> None:
    for name in scene.nodes():
        scene.of_node(name, {"unschedulable": True})


def no_default_class(scene: Scene) -> None:
    base = "/apis/storage.k8s.io/v1/storageclasses"
    for one in [*scene.cluster.list(base)]:
        marks = one["metadata"].get("annotations") or {}
        if marks.get(DEFAULT_CLASS) == "true":
            path = f"{base}/{one['metadata']['name']}"
            scene.undo.callback(scene.cluster.merge, path, {"metadata": {"annotations": {DEFAULT_CLASS: "true"}}})
            scene.cluster.merge(path, {"metadata": {"annotations": {DEFAULT_CLASS: None}}})


def class_of(name: str, provisioner: str) -> Ground:
    def lay(scene: Scene) -> None:
        manifest = {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": name},
                    "provisioner": provisioner, "volumeBindingMode": "Immediate"}  # fmt: skip
        scene.have("/apis/storage.k8s.io/v1/storageclasses", manifest)

    return lay


def volume_that_is_not_there(scene: Scene) -> None:
    class_of("broken-by-hand", "kubernetes.io/no-provisioner")(scene)
    spec = {"storageClassName": "broken-by-hand", "capacity": {"storage": "1Mi"}, "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain",
            "hostPath": {"path": "/nowhere-at-all", "type": "Directory"}}  # fmt: skip
    manifest = {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "broken-by-hand"}, "spec": spec}
    scene.have("/api/v1/persistentvolumes", manifest)


ADMISSION = "/apis/admissionregistration.k8s.io/v1"
_PODS = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
_HERE = {"matchLabels": {"kubernetes.io/metadata.name": NAMESPACE}}


def policy(scene: Scene) -> None:
    metadata = {"metadata": {"name": "homewright-broken"}, "apiVersion": "admissionregistration.k8s.io/v1"}
    spec = {"failurePolicy": "Fail", "matchConstraints": {"resourceRules": [_PODS], "namespaceSelector": _HERE},
            "validations": [{"expression": "false", "message": "only images of the house"}]}  # fmt: skip
    binding = {"policyName": "homewright-broken", "validationActions": ["Deny"]}
    kind = "ValidatingAdmissionPolicy"
    scene.have(f"{ADMISSION}/validatingadmissionpolicies", {**metadata, "kind": kind, "spec": spec})
    kind = "ValidatingAdmissionPolicyBinding"
    scene.have(f"{ADMISSION}/validatingadmissionpolicybindings", {**metadata, "kind": kind, "spec": binding})
    scene.until("the policy to be in force", lambda: "only images of the house" in refusal(scene))


def webhook(scene: Scene) -> None:
    hook = {"name": "broken.homewright.dev", "failurePolicy": "Fail", "sideEffects": "None", "timeoutSeconds": 2,
            "admissionReviewVersions": ["v1"], "rules": [_PODS], "namespaceSelector": _HERE,
            "clientConfig": {"service": {"namespace": NAMESPACE, "name": "nobody"}}}  # fmt: skip
    manifest = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
                "metadata": {"name": "homewright-broken"}, "webhooks": [hook]}  # fmt: skip
    scene.have(f"{ADMISSION}/validatingwebhookconfigurations", manifest)
    scene.until("the webhook to be asked", lambda: "failed calling webhook" in refusal(scene))


def refusal(scene: Scene) -> str:
    """What the API server would say to a pod that nothing is wrong with."""
    security = {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}}
    container = {"name": "c", "image": "busybox:1.36.1", "securityContext": {
        "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}}  # fmt: skip
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "asked"},
           "spec": {"securityContext": security, "containers": [container]}}  # fmt: skip
    answer = scene.cluster.send("POST", f"/api/v1/namespaces/{NAMESPACE}/pods", {"dryRun": "All"}, pod)
    return str(json.loads(answer.data).get("message", ""))


def untrusted_registry(scene: Scene) -> dict[str, Any]:
    """A registry on this machine whose certificate nobody knows."""
    folder = Path(scene.undo.enter_context(tempfile.TemporaryDirectory()))
    leaf = Authority.of(folder / "authority", "nobody").issue("registry", [], [scene.place.gateway])
    (folder / "leaf.pem").write_bytes(leaf.chain_pem + leaf.key_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "leaf.pem")
    server = TCPServer((scene.place.gateway, 0), BaseRequestHandler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()
    scene.undo.callback(server.server_close)
    scene.undo.callback(server.shutdown)
    return {"image": f"{scene.place.gateway}:{server.server_address[1]}/nobody/page:1"}


def without(plural: str) -> Callable[[Scene], None]:
    """A part of it is taken away, and its pod comes anew."""

    def take(scene: Scene) -> None:
        scene.runs()
        scene.cluster.delete(f"/api/v1/namespaces/{NAMESPACE}/{plural}/{scene.name}")
        scene.cluster.delete(f"/api/v1/namespaces/{NAMESPACE}/pods/{scene.name}-0")

    return take


def its_node_takes_nothing(scene: Scene) -> None:
    node = scene.runs()
    scene.there.stop(scene.key)
    scene.of_node(node, {"unschedulable": True})
    with suppress(InstanceFailed):
        scene.there.start(scene.key, print)


def its_node_is_silent(scene: Scene) -> None:
    """Its kubelet is stopped: to the cluster the node is gone."""
    server = scene.place.site.server(scene.runs())
    with Connection.open(Endpoint.of(server, scene.place.state)) as connection:
        scene.undo.callback(lambda: _systemctl(scene, server.name, "start"))
        connection.run("systemctl stop kubelet", sudo=True)


def _systemctl(scene: Scene, server: str, verb: str) -> None:
    endpoint = Endpoint.of(scene.place.site.server(server), scene.place.state)
    with Connection.open(endpoint) as connection:
        connection.run(f"systemctl {verb} kubelet", sudo=True)
    scene.until(f"{server} to be ready", lambda: any(
        one["type"] == "Ready" and one["status"] == "True"
        for one in scene.cluster.get(f"/api/v1/nodes/{server}")["status"]["conditions"]
    ))  # fmt: skip


_SHORT = {"probe": {"start_timeout_s": 10}}
_LOG = "look at its log"
CASES = (
    Case("image absent", "its image does not come: there is no such", "cluster", "bring it to the registry",
         {"image": "absent:1"}),
    Case("tag absent", "its image does not come: there is no such", "cluster", "bring it to the registry",
         {"image": "busybox:0.0"}),
    Case("never imported", "its node does not have it", "cluster", "import it on every node",
         {"image": "localhost/nobody/made:1"}, foreseen=True),
    Case("registry unknown", "its image does not come: the registry does not answer", "cluster", "use a mirror",
         {"image": "registry.invalid/nobody/page:1"}, mirrored=False),
    Case("registry untrusted", "do not trust its registry's certificate", "cluster", "trust that authority",
         before=untrusted_registry, mirrored=False),
    Case("no program", "it cannot be started", "homewright", "correct the template", {"command": ["/nowhere"]}),
    Case("no program in a step", "its init step seed cannot be started", "homewright", "correct the template",
         {"init": [{"name": "seed", "command": ["/nowhere"]}]}),
    Case("ends at once", "keeps ending: .*exit code 3", "user", _LOG, sh("exit 3")),
    Case("last words", "keeps ending: it ended with exit code 4: the licence has expired", "user", _LOG,
         sh("echo starting; echo the licence has expired >&2; exit 4")),
    Case("killed", r"keeps ending: killed \(9\)", "user", _LOG, sh("kill -9 $$$$")),
    Case("crashes", r"keeps ending: crashed \(11\)", "user", _LOG, sh("kill -SEGV $$$$")),
    Case("says nothing", "does not answer: Startup probe", "user", _LOG, {**sh("sleep 1000"), **_SHORT}),
    Case("wrong answer", "does not answer", "user", _LOG,
         {**sh("mkdir /tmp/w && exec httpd -f -p 8080 -h /tmp/w"), **_SHORT}),
    Case("answers no more", "does not answer: Readiness probe failed", "user", _LOG,
         sh(f"(sleep 20; rm /tmp/w/healthz) & {SERVES}"), foreseen=None),
    Case("init ends", "init step seed keeps ending", "user", _LOG, {"init": [{"name": "seed", "command": ["false"]}]}),
    Case("too many processors", "no node has room: too few processors on 3 of 3", "user", "smaller preset",
         preset(cpu=900, cpu_request=900), foreseen=True),
    Case("too much memory", "no node has room: too few memory on 3 of 3", "user", "smaller preset",
         preset(memory="900GiB", memory_request="900GiB"), foreseen=True),
    Case("no GPU", "no node has room: too few GPUs on 3 of 3", "user", "stop another GPU workspace", preset(gpus=2),
         foreseen=True),
    Case("quota", "the quota team has no room: it needs requests.memory", "user", "have the quota raised",
         before=quota(requests_memory="8Mi"), foreseen=True),
    Case("quota of pods", "the quota team has no room: it needs pods=1", "user", "have the quota raised",
         before=quota(pods="0"), foreseen=True),
    Case("limit range", "makes no pod for it: .*maximum memory usage per Container is 8Mi", "cluster",
         "see what it says", before=limits(max={"memory": "8Mi"})),
    Case("policy", "a policy of the cluster refuses its pod: .*only images of the house", "cluster",
         "ask the cluster's administrator", before=policy),
    Case("policy away", "a policy of the cluster does not answer, so no pod is made", "cluster", "behind that webhook",
         before=webhook),
    Case("no such storage class", "its storage class does not exist", "cluster", "make that storage class",
         storage_class="absent", foreseen=True),
    Case("no default storage class", "the cluster has no default storage class", "cluster", "make one the default",
         before=no_default_class, foreseen=True),
    Case("no provisioner", "still has no volume: .*example.org/nobody", "cluster", "see whether the provisioner",
         _SHORT, before=class_of("broken-nobody", "example.org/nobody"), storage_class="broken-nobody"),
    Case("volume not there", "its storage cannot be mounted: .*/nowhere-at-all is not a directory", "cluster",
         "see what its node says", before=volume_that_is_not_there, storage_class="broken-by-hand"),
    Case("Secret gone", "its Secret broken-h-secret-gone is missing", "cluster", "create it again",
         after=without("secrets"), foreseen=None),
    Case("claim gone", "its storage broken-h-claim-gone is (missing|being deleted)", "cluster", "create it again",
         after=without("persistentvolumeclaims"), foreseen=None),
    Case("put out", "its node puts it out again and again: .*ephemeral", "cluster", "have the limit",
         sh("dd if=/dev/zero of=/tmp/big bs=1M count=30; sleep 1000"), foreseen=None,
         before=limits(default={"ephemeral-storage": "1Mi"}, defaultRequest={"ephemeral-storage": "1Mi"})),
    Case("its node cordoned", "its data is on a node that cannot take it now", "cluster", "storage is bound to it",
         after=its_node_takes_nothing, foreseen=None),
    Case("every node cordoned", "every node is cordoned", "cluster", "kubectl uncordon", before=cordoned,
         foreseen=True),
    Case("every node tainted", "every node is kept free by a taint", "cluster", "take the taint", before=tainted,
         foreseen=True),
    Case("node gone", "its node .* does not answer", "cluster", "see whether that node is on",
         after=its_node_is_silent, foreseen=None),
)  # fmt: skip
"""What touches the nodes of others too comes last."""
