"""What a cluster says of a workspace, put into words. The objects are shaped as API servers of 1.36 return them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from homewright.cluster.kubeconfig import read
from homewright.workspaces.backends.kubernetes import intent as intents
from homewright.workspaces.backends.kubernetes import reasons
from homewright.workspaces.backends.kubernetes.api import Api
from homewright.workspaces.backends.kubernetes.observed import Claim, Event, Pod, Seen, Workload, moment
from homewright.workspaces.backends.kubernetes.states import judge
from homewright.workspaces.errors import StorageFailed
from homewright.workspaces.models import Key, Specification
from homewright.workspaces.templates import PodTemplate, shipped

NOW = 1_800_000_000.0
UID, POD_UID, SET_UID = "record-1", "pod-1", "set-1"


def stamp(before: float) -> str:
    return datetime.fromtimestamp(NOW - before, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def record(**changes: Any) -> intents.Intent:
    template = shipped()["code-server"]
    assert isinstance(template, PodTemplate)
    spec = Specification(key=Key(user="alice"), template="code-server", preset="standard")
    made = intents.new(spec, template, NOW - 3600, "root@here").model_copy(update={"complete": True})
    return made.model_copy(update=changes)


def stateful(replicas: int = 1, owner: str = UID) -> Workload:
    manifest = {
        "metadata": {"name": "code-server-alice", "uid": SET_UID, "ownerReferences": [{"uid": owner}]},
        "spec": {"replicas": replicas},
    }  # fmt: skip
    return Workload.of(manifest, UID)


def pod(
    *, node: str = "n1", phase: str = "Pending", waiting: str = "", message: str = "",
    ended: dict[str, Any] | None = None, ready: bool = False, running: float | None = None, started: bool = False,
    restarts: int = 0, unschedulable: str = "", deleting: float | None = None, init: bool = False, reason: str = "",
    age: float = 60,
) -> Pod:  # fmt: skip
    state: dict[str, Any] = {}
    if waiting:
        state = {"waiting": {"reason": waiting, "message": message}}
    elif running is not None:
        state = {"running": {"startedAt": stamp(running)}}
    container = {
        "name": "seed" if init else "workspace", "ready": ready, "started": started, "restartCount": restarts,
        "image": "images.example/codercom/code-server:4.139.1", "state": state,
        "lastState": {"terminated": ended} if ended else {},
    }  # fmt: skip
    conditions: list[dict[str, Any]] = [{"type": "Ready", "status": "True" if ready else "False"}]
    if unschedulable:
        conditions.append(
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": unschedulable}
        )
    else:
        conditions.append({"type": "PodScheduled", "status": "True"})
    metadata = {"name": "code-server-alice-0", "uid": POD_UID, "creationTimestamp": stamp(age)}
    if deleting is not None:
        metadata["deletionTimestamp"] = stamp(deleting)
    kind = "initContainerStatuses" if init else "containerStatuses"
    return Pod.of(
        {
            "metadata": metadata,
            "spec": {"nodeName": node} if node else {},
            "status": {
                "phase": phase, "conditions": conditions, kind: [container] if state or ended else [],
                "podIP": "10.1.0.7" if phase == "Running" else "", "reason": reason,
                "message": "" if waiting else message,
            },
        }
    )  # fmt: skip


def event(reason: str, message: str, about: str = "Pod", count: int = 1, series: int = 0, ago: float = 5) -> Event:
    uid = {"Pod": POD_UID, "StatefulSet": SET_UID}.get(about, "claim-1")
    manifest: dict[str, Any] = {
        "metadata": {"name": "e", "creationTimestamp": stamp(ago)},
        "involvedObject": {"kind": about, "name": "x", "uid": uid}, "reason": reason, "message": message,
        "type": "Warning", "lastTimestamp": stamp(ago), "count": count,
    }  # fmt: skip
    if series:
        manifest |= {"series": {"count": series, "lastObservedTime": stamp(ago)}, "count": None, "lastTimestamp": None}
    return Event.of(manifest)


def put_out(uid: str, ago: float = 60) -> Event:
    return replace(event("Evicted", "too much disk", ago=ago), uid=uid)


def claim(phase: str = "Bound") -> Claim:
    manifest = {
        "metadata": {"name": "workspace-alice"},
        "spec": {"storageClassName": "local"},
        "status": {"phase": phase},
    }
    return Claim.of(manifest)


def seen(
    *pods: Pod, intent: intents.Intent | None = None, workload: Workload | None = stateful(),  # noqa: B008 - frozen
    events: tuple[Event, ...] = (), claims: tuple[Claim, ...] = (),
) -> Seen:  # fmt: skip
    return Seen(intent or record(), workload, pods, claims or (claim(),), events)


def deed(ago: float) -> tuple[intents.Deed, ...]:
    return (intents.Deed(at=NOW - ago, who="x", what="y"),)


UP = pod(phase="Running", ready=True, running=60, started=True)
CRASH = {"reason": "Error", "exitCode": 1, "message": "listen EACCES\n"}
QUOTA = (
    'create Pod code-server-alice-0 in StatefulSet code-server-alice failed error: pods "code-server-alice-0" is '
    "forbidden: exceeded quota: team, requested: limits.cpu=2, used: limits.cpu=9, limited: limits.cpu=10"
)
SECURITY = (
    'create Pod code-server-alice-0 in StatefulSet code-server-alice failed error: pods "code-server-alice-0" is '
    'forbidden: violates PodSecurity "restricted:latest": runAsNonRoot != true'
)
WEBHOOK = (
    "create Pod code-server-alice-0 in StatefulSet code-server-alice failed error: admission webhook "
    '"validate.kyverno.svc" denied the request: only images of registry.lan'
)
ADMISSION = (
    "create Pod code-server-alice-0 in StatefulSet code-server-alice failed error: pods "
    "\"code-server-alice-0\" is forbidden: ValidatingAdmissionPolicy 'images' with binding 'images' denied request: no"
)
AWAY = (
    "create Pod code-server-alice-0 in StatefulSet code-server-alice failed error: Internal error occurred: failed "
    'calling webhook "w.example.org": failed to call webhook: service "w" not found'
)
GPUS = (
    "0/3 nodes are available: 3 Insufficient nvidia.com/gpu. preemption: 0/3 nodes are available: 3 No preemption "
    "victims found for incoming pod."
)
MIXED = (
    "0/3 nodes are available: 1 node(s) had untolerated taint {node-role.kubernetes.io/control-plane: }, 2 "
    "Insufficient cpu, 2 Insufficient memory."
)
STARTED = {"phase": "Running", "running": 400.0, "started": False}

CASES = [
    ("running", seen(UP), "running", "", None),
    ("running again", seen(pod(phase="Running", ready=True, running=60, started=True, restarts=2, ended=CRASH)),
     "running", "started again 2 times", None),
    ("stopped", seen(intent=record(wanted="stopped"), workload=stateful(0)), "stopped", "", None),
    ("stopping", seen(pod(phase="Running", deleting=-20), intent=record(wanted="stopped")), "stopping", "", None),
    ("stopping, node gone", seen(pod(phase="Running", deleting=400), intent=record(wanted="stopped")),
     "error", "its node n1 does not answer", "cluster"),
    ("restarting", seen(pod(phase="Running", deleting=-20)), "starting", "last pod is ending", None),
    ("restarting, node gone", seen(pod(phase="Running", deleting=400)), "error", "n1 does not answer", "cluster"),
    ("deleting", seen(intent=record(deleting="keep", history=deed(5))), "stopping", "being deleted", None),
    ("deletion cut off", seen(intent=record(deleting="keep", history=deed(500))), "error", "cut off", "homewright"),
    ("being made", seen(intent=record(history=deed(5), complete=False), workload=None), "pending", "being made", None),
    ("making it cut off", seen(intent=record(history=deed(500), complete=False), workload=None),
     "error", "cut off", "homewright"),
    ("start cut off", seen(intent=record(history=deed(500)), workload=stateful(0)), "error", "cut off", "homewright"),
    ("workload of an older record", seen(UP, intent=record(history=deed(500)), workload=stateful(owner="older")),
     "error", "cut off", "homewright"),
    ("no pod yet", seen(), "pending", "pod is being made", None),
    ("quota", seen(events=(event("FailedCreate", QUOTA, "StatefulSet"),)),
     "error", "the quota team has no room: it needs limits.cpu=2, and limits.cpu=9 of limits.cpu=10 are used", "user"),
    ("pod security", seen(events=(event("FailedCreate", SECURITY, "StatefulSet"),)),
     "error", "Pod Security level refuses its pod: restricted:latest", "homewright"),
    ("webhook", seen(events=(event("FailedCreate", WEBHOOK, "StatefulSet"),)),
     "error", "a policy of the cluster refuses its pod", "cluster"),
    ("policy of the API server itself", seen(events=(event("FailedCreate", ADMISSION, "StatefulSet"),)),
     "error", "a policy of the cluster refuses its pod", "cluster"),
    ("a webhook that is away", seen(events=(event("FailedCreate", AWAY, "StatefulSet"),)),
     "error", "does not answer, so no pod is made: Internal error occurred: failed calling webhook", "cluster"),
    ("no pod, otherwise", seen(events=(event("FailedCreate", "create Pod x failed error: what?", "StatefulSet"),)),
     "error", "makes no pod for it: what?", "cluster"),
    ("gpus", seen(pod(node="", unschedulable=GPUS)), "error", "too few GPUs on 3 of 3 nodes", "user"),
    ("cpu, memory and a taint", seen(pod(node="", unschedulable=MIXED)),
     "error", "too few processors on 2 of 3 nodes, memory on 2 of 3 nodes; others have a taint", "user"),
    ("autoscaler", seen(pod(node="", unschedulable=GPUS), events=(event("TriggeredScaleUp", "1->2"),)),
     "pending", "another node", None),
    ("taint alone", seen(pod(node="", unschedulable="0/1 nodes are available: 1 node(s) had untolerated taint "
                             "{node.kubernetes.io/not-ready: }.")), "error", "kept free by a taint", "cluster"),
    ("affinity of its data", seen(pod(node="", unschedulable="0/2 nodes are available: 2 node(s) had volume node "
                                      "affinity conflict.")), "error", "its data is on a node", "cluster"),
    ("affinity of its data, in 1.36", seen(pod(node="", unschedulable="0/3 nodes are available: 1 node(s) were "
     "unschedulable, 2 node(s) didn't match PersistentVolume's node affinity.")), "error", "its data is on a node",
     "cluster"),
    ("too many pods", seen(pod(node="", unschedulable="0/1 nodes are available: 1 Too many pods.")),
     "error", "as many pods", "cluster"),
    ("claim missing", seen(pod(node="", unschedulable='0/1 nodes are available: persistentvolumeclaim '
                               '"workspace-alice" not found.')), "error", "workspace-alice is missing", "cluster"),
    ("no default class", seen(pod(node="", unschedulable="pod has unbound immediate PersistentVolumeClaims"),
     claims=(claim("Pending"),), events=(event("FailedBinding", "no persistent volumes available for this claim and no "
     "storage class is set", "PersistentVolumeClaim"),)), "error", "no default storage class", "cluster"),
    ("class unknown", seen(pod(node="", unschedulable="pod has unbound immediate PersistentVolumeClaims"),
     claims=(claim("Pending"),), events=(event("ProvisioningFailed", 'storageclass.storage.k8s.io "fast" not found',
     "PersistentVolumeClaim"),)), "error", "storage class does not exist", "cluster"),
    ("being provisioned", seen(pod(node="", unschedulable="pod has unbound immediate PersistentVolumeClaims"),
     claims=(claim("Pending"),)), "pending", "getting its volume", None),
    ("a provisioner that nobody runs", seen(pod(node="", unschedulable="pod has unbound immediate "
     "PersistentVolumeClaims", age=400), claims=(claim("Pending"),), events=(event("ExternalProvisioning",
     "Waiting for a volume", "PersistentVolumeClaim"),)),
     "error", "workspace-alice still has no volume: Waiting for a volume", "cluster"),
    ("a provisioner that nobody runs, asked late", seen(pod(node="", age=400), claims=(claim("Pending"),)),
     "error", "workspace-alice still has no volume: nothing brings one", "cluster"),
    ("waits for a consumer", seen(pod(node=""), claims=(claim("Pending"),)),
     "pending", "a node is being looked for", None),
    ("pulling", seen(pod(waiting="ContainerCreating"), events=(event("Pulling", "Pulling image"),)),
     "starting", "pulling its image", None),
    ("image unknown", seen(pod(waiting="ImagePullBackOff", message="Back-off pulling"), events=(event("Failed",
     'Failed to pull image "x:1": rpc error: code = NotFound desc = not found'),)),
     "error", "there is no such image", "cluster"),
    ("image private", seen(pod(waiting="ErrImagePull", message="pull access denied, authorization failed")),
     "error", "wants a sign-in", "cluster"),
    ("registry away", seen(pod(waiting="ErrImagePull", message="dial tcp: lookup r.lan: no such host")),
     "error", "registry does not answer", "cluster"),
    ("registry of another authority", seen(pod(waiting="ErrImagePull", message="tls: failed to verify certificate: "
     "x509: certificate signed by unknown authority")), "error", "do not trust its registry's certificate", "cluster"),
    ("image never pulled", seen(pod(waiting="ErrImageNeverPull", message="is not present with pull policy of Never"),
     events=(event("Failed", "Error: ErrImageNeverPull"),)),
     "error", "its node does not have it, and no registry does (is not present with pull policy of Never)", "cluster"),
    ("image's name", seen(pod(waiting="InvalidImageName", message="couldn't parse")), "error", "none", "homewright"),
    ("secret missing", seen(pod(waiting="CreateContainerConfigError", message='secret "x" not found')),
     "error", "lacks what it is configured by", "cluster"),
    ("command missing", seen(pod(waiting="RunContainerError", message='exec: "code-server": not found')),
     "error", "cannot be started", "homewright"),
    ("crash loop", seen(pod(waiting="CrashLoopBackOff", phase="Running", restarts=4, ended=CRASH)),
     "error", "keeps ending: it ended with exit code 1: listen EACCES, 4 times", "user"),
    ("out of memory", seen(pod(waiting="CrashLoopBackOff", phase="Running", restarts=2,
     ended={"reason": "OOMKilled", "exitCode": 137})), "error", "more memory than its preset allows", "user"),
    ("init crash", seen(pod(waiting="CrashLoopBackOff", init=True, restarts=3, ended=CRASH)),
     "error", "its init step seed keeps ending", "user"),
    ("a program that is not there, between two tries", seen(pod(waiting="CrashLoopBackOff", restarts=3, ended={
        "reason": "StartError", "exitCode": 128, "message": "exec: no such file"})),
     "error", "it cannot be started: exec: no such file", "homewright"),
    ("mount, twice", seen(pod(waiting="ContainerCreating"), events=(event("FailedMount", "timed out", count=2),)),
     "starting", "", None),
    ("mount, from the third", seen(pod(waiting="ContainerCreating"),
     events=(event("FailedMount", "timed out", count=3),)),
     "error", "cannot be mounted: timed out", "cluster"),
    ("its Secret is gone", seen(pod(waiting="ContainerCreating"), events=(event("FailedMount",
     'MountVolume.SetUp failed for volume "files" : secret "code-server-alice" not found', count=3),)),
     "error", "its Secret code-server-alice is missing", "cluster"),
    ("put out once", seen(pod(waiting="ContainerCreating"), events=(put_out("older"),)),
     "starting", "its node put it out: too much disk", None),
    ("put out twice", seen(pod(phase="Running", running=20), events=(put_out("older"), put_out("oldest"))),
     "error", "puts it out again and again: too much disk", "cluster"),
    ("put out long ago", seen(pod(waiting="ContainerCreating"), events=(put_out("a", ago=700), put_out("b", ago=800))),
     "starting", "", None),
    ("mount, counted in a series", seen(pod(waiting="ContainerCreating"),
     events=(event("FailedMount", "timed out", series=5),)), "error", "cannot be mounted", "cluster"),
    ("multi-attach", seen(pod(waiting="ContainerCreating"), events=(event("FailedAttachVolume",
     "Multi-Attach error for volume pvc-1"),)), "error", "still held by another node", "cluster"),
    ("answers not yet", seen(pod(phase="Running", running=20), events=(event("Unhealthy", "Startup probe failed"),)),
     "starting", "Startup probe failed", None),
    ("never answers", seen(pod(**STARTED), events=(event("Unhealthy", "Startup probe failed: refused"),)),
     "error", "runs for 400 s and does not answer: Startup probe failed", "user"),
    ("answers no more", seen(pod(phase="Running", running=50, started=True), events=(
        event("Unhealthy", "Readiness probe failed: Get \"http://10.1.2.3:8080/healthz\": connection refused"),)),
     "error", "does not answer: Readiness probe failed", "user"),
    ("is asked for readiness next", seen(pod(phase="Running", running=4, started=True)), "starting",
     "does not answer yet", None),
    ("evicted", seen(pod(phase="Failed", reason="Evicted", message="The node was low on resource: memory.")),
     "error", "n1 put it out: The node was low on resource: memory.", "cluster"),
    ("shut down", seen(pod(phase="Failed", reason="Terminated", message="Pod was terminated")),
     "error", "n1 was shut down", "cluster"),
    ("not admitted", seen(pod(phase="Failed", reason="OutOfcpu", message="Node didn't have enough resource")),
     "error", "would not have it", "cluster"),
    ("node lost", seen(pod(phase="Running", running=400, started=True), events=(event("NodeNotReady",
     "Node is not ready"),)), "error", "its node n1 does not answer", "cluster"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("what", "state", "says", "whose"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_a_state_has_reason_owner_and_remedy(what: Seen, state: str, says: str, whose: str | None) -> None:
    finding = judge(what, NOW, 300.0)
    assert finding.state == state, finding
    assert says in finding.reason, finding
    assert finding.whose == whose, finding
    assert bool(finding.remedy) == (state == "error")
    assert not says or finding.reason


def test_an_event_of_an_older_pod_is_no_reason() -> None:
    older = event("NodeNotReady", "Node is not ready")
    other = Event(older.reason, older.message, older.about, "another", 1, older.at, True)
    finding = judge(seen(pod(phase="Running", running=20), events=(other,)), NOW, 300.0)
    assert finding.state == "starting"


def test_words_of_a_pod_reach_no_terminal() -> None:
    evil = {"reason": "Error", "exitCode": 1, "message": "\x1b]0;root\x07\x1b[2Jended"}
    finding = judge(seen(pod(waiting="CrashLoopBackOff", restarts=1, ended=evil)), NOW, 300.0)
    assert "ended" in finding.reason and finding.reason.isprintable()


def test_times_without_a_zone_or_none_at_all_do_no_harm() -> None:
    assert moment(None) is None and moment("yesterday") is None
    assert moment("2027-01-15T08:00:00Z") == moment("2027-01-15T08:00:00.000000Z") == 1_800_000_000.0


def test_a_refusal_by_a_quota_is_told_as_it_is_foreseen() -> None:
    said = (
        'persistentvolumeclaims "workspace-alice" is forbidden: exceeded quota: team, requested: '
        "requests.storage=10Gi, used: requests.storage=95Gi, limited: requests.storage=100Gi"
    )
    refused = Api(lambda: read(""))._failure(403, {"message": said}, "apply", "PersistentVolumeClaim", "space")
    ahead = reasons.quota("team", "requests.storage=10Gi", "requests.storage=95Gi", "requests.storage=100Gi")
    assert isinstance(refused, StorageFailed)
    assert refused.why == f"T{ahead.reason[1:]}." and list(refused.do) == [ahead.remedy]
