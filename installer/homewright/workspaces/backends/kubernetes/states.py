"""What is seen of a workspace in the cluster, put into a state, a reason in words, whose problem it is, and a remedy.

Pure. The words are Kubernetes' own: kubelet's waiting reasons, the scheduler's and the controllers' events.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from homewright.workspaces.backends.kubernetes import reasons
from homewright.workspaces.backends.kubernetes.observed import Container, Event, Pod, Seen
from homewright.workspaces.backends.kubernetes.reasons import Finding
from homewright.workspaces.backends.kubernetes.reasons import error as _error
from homewright.workspaces.models import WorkspaceState

CUT_OFF_S = 60.0
"""A step that wrote nothing for so long was cut off: an API call takes at most half of that."""
GONE_S = 60.0
"""A pod that should have been gone for so long sits on a node that does not answer."""
_MOUNT_TRIES = 3
"""FailedMount tells of trouble from the third time on: the first are races that end by themselves."""

_IMAGE = {"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "RegistryUnavailable", "ImageInspectError"}
_SIGNALS = {137: "killed (9)", 139: "crashed (11)", 143: "ended (15)"}
_SHORT = re.compile(r"(\d+) Insufficient ([\w./-]*\w)")
_TAINT = re.compile(r"(\d+) node\(s\) had untolerated taint(?:\(s\))? ?(?:\{([^}]*)\})?")
_NODES = re.compile(r"(\d+)/(\d+) nodes are available")
_SECRET = re.compile(r'secret "([^"]+)" not found')
_PUT_OUT_LATELY_S = 600.0
"""How long it counts that its node put a pod of it out."""


def judge(seen: Seen, now: float, start_timeout_s: float) -> Finding:
    """The state of a workspace. `now` is this machine's clock, in Unix seconds."""
    intent, since = seen.intent, now - _last_deed(seen)
    if intent.deleting:
        if since < CUT_OFF_S:
            return Finding(WorkspaceState.STOPPING, "it is being deleted")
        return _error("its deletion was cut off", "homewright", "delete it again to finish that")
    if intent.wanted == "stopped":
        return _stopping(seen, now)
    if seen.workload is None or not seen.workload.ours or seen.workload.replicas == 0:
        if since < CUT_OFF_S:
            return Finding(WorkspaceState.PENDING, "it is being made" if not intent.complete else "it is being started")
        verb = "start it" if intent.complete else "create it again"
        return _error("making it was cut off", "homewright", f"{verb} to finish that: nothing is lost")
    pod = seen.pod
    if pod is None:
        return _no_pod(seen)
    if pod.deleting_since is not None:
        if now - pod.deleting_since > GONE_S:
            return _node_gone(pod)
        return Finding(WorkspaceState.STARTING, "its last pod is ending")
    if pod.running:
        if pod.ready_condition == "False" and (event := _last(seen.events, {"NodeNotReady"}, pod)):
            return _error(f"its node {pod.node} does not answer: {event.message}", "cluster", _NODE_REMEDY)
        return Finding(WorkspaceState.RUNNING, _again(pod))
    return (
        _ended(pod)
        or _unscheduled(seen, pod, now, start_timeout_s)
        or _lost_node(seen, pod)
        or _not_starting(seen, pod)
        or _mounting(seen, pod)
        or _put_out(seen, pod, now)
        or _silent(seen, pod, now, start_timeout_s)
    )


_NODE_REMEDY = "see whether that node is on; once it is back, or removed from the cluster, the workspace goes on"


def _last_deed(seen: Seen) -> float:
    return seen.intent.history[-1].at if seen.intent.history else seen.intent.created_at


def _last(events: Iterable[Event], reasons: set[str], pod: Pod | None = None) -> Event | None:
    """The newest event of these reasons; with a pod, of that very pod."""
    found = [one for one in events if one.reason in reasons and (pod is None or one.uid in ("", pod.uid))]
    return max(found, key=lambda event: event.at, default=None)


def _stopping(seen: Seen, now: float) -> Finding:
    if not seen.pods:
        return Finding(WorkspaceState.STOPPED)
    stuck = next((pod for pod in seen.pods if pod.deleting_since and now - pod.deleting_since > GONE_S), None)
    return _node_gone(stuck) if stuck is not None else Finding(WorkspaceState.STOPPING)


def _node_gone(pod: Pod) -> Finding:
    return _error(f"its pod does not end: its node {pod.node} does not answer", "cluster", _NODE_REMEDY)


def _no_pod(seen: Seen) -> Finding:
    """The controller makes no pod: what it was refused stands at the StatefulSet, with no pod to look at."""
    event = _last(seen.events, {"FailedCreate"})
    if event is None:
        return Finding(WorkspaceState.PENDING, "its pod is being made")
    if (full := reasons.quota_in(event.message)) is not None:
        return full
    if "violates PodSecurity" in event.message:
        what = event.message.split("violates PodSecurity", 1)[1].lstrip(' "')
        return _error(
            f"the namespace's Pod Security level refuses its pod: {what}",
            "homewright",
            "correct the template: its pods must fit the level restricted",
        )
    if "denied the request" in event.message or "ValidatingAdmissionPolicy" in event.message:
        return _error(
            f"a policy of the cluster refuses its pod: {_tail(event.message)}",
            "cluster",
            "ask the cluster's administrator what that policy wants",
        )
    if "failed calling webhook" in event.message:
        return _error(
            f"a policy of the cluster does not answer, so no pod is made: {_tail(event.message)}",
            "cluster",
            "see whether the program behind that webhook runs, or have the webhook removed",
        )
    if "persistentvolumeclaim" in event.message and "not found" in event.message:
        return _error("its storage is missing", "cluster", "create it again: what is missing is made")
    return _error(
        f"the cluster makes no pod for it: {_tail(event.message)}", "cluster", "see what it says, then start it again"
    )


def _tail(message: str) -> str:
    """The message without the controllers' own beginning."""
    return message.split(" error: ", 1)[-1].strip()


def _ended(pod: Pod) -> Finding | None:
    if pod.phase != "Failed":
        return None
    if pod.reason == "Evicted":
        return _error(
            f"its node {pod.node} put it out: {pod.message or 'it was short of something'}",
            "cluster",
            "restart it; where that happens again, free disk or memory on that node, or take a smaller preset",
        )
    if pod.reason in ("NodeLost", "NodeShutdown", "Terminated", "Shutdown"):
        return _error(f"its node {pod.node} was shut down", "cluster", "switch that node on, or restart the workspace")
    if pod.reason in ("UnexpectedAdmissionError", "OutOfcpu", "OutOfmemory", "OutOfpods", "NodeAffinity"):
        return _error(f"its node {pod.node} would not have it: {pod.message or pod.reason}", "cluster", "restart it")
    failed = next((one for one in pod.containers if one.exit_code), None)
    return _error(
        _exit(failed) if failed else pod.message or "its pod failed", "user", "look at its log, then restart it"
    )


def _unscheduled(seen: Seen, pod: Pod, now: float, start_timeout_s: float) -> Finding | None:
    if pod.node or not pod.unschedulable:
        return None
    said = pod.unschedulable
    if _last(seen.events, {"TriggeredScaleUp"}, pod):
        return Finding(WorkspaceState.PENDING, "the cluster is getting another node for it")
    missing = re.search(r'persistentvolumeclaim "([^"]+)" (not found|is being deleted)', said)
    if missing:
        return _error(
            f"its storage {missing[1]} is {'missing' if 'not' in missing[2] else 'being deleted'}",
            "cluster",
            "create it again: what is missing is made",
        )
    if "unbound immediate PersistentVolumeClaims" in said or "provisioning failed" in said.lower():
        return _storage(seen, _waits(pod, now) > start_timeout_s)
    # The scheduler of 1.36 says it in the second way.
    if "volume node affinity conflict" in said or "match PersistentVolume's node affinity" in said:
        return _error(
            "its data is on a node that cannot take it now",
            "cluster",
            "see whether that node is on and has room: its storage is bound to it",
        )
    short = _SHORT.findall(said)
    if short:
        nodes = _NODES.search(said)
        total = int(nodes[2]) if nodes else None
        return reasons.no_room([(name, int(count)) for count, name in short], total, _TAINT.search(said) is not None)
    if taint := _TAINT.search(said):
        return reasons.kept_free((taint[2] or "").strip())
    if "were unschedulable" in said:
        return reasons.cordoned()
    if "Too many pods" in said:
        return reasons.too_many_pods()
    if "no nodes available" in said:
        return reasons.no_nodes()
    if "didn't match Pod's node affinity" in said or "node selector" in said:
        return _error("no node is of the kind that it wants", "cluster", "add a node, or change the template")
    return _error(f"no node takes it: {said}", "cluster", "see what the scheduler says")


def _waits(pod: Pod, now: float) -> float:
    return now - (pod.created_at or now)


def _storage(seen: Seen, too_long: bool) -> Finding:
    pending = [claim for claim in seen.claims if claim.phase != "Bound"]
    event = _last(seen.events, {"ProvisioningFailed", "FailedBinding"})
    names = ", ".join(claim.name for claim in pending) or "its storage"
    if event is not None and "no storage class is set" in event.message:
        return reasons.no_default_class(names)
    if event is not None and "not found" in event.message:
        return reasons.missing_class(names, event.message)
    if event is not None:
        return _error(f"{names} gets no volume: {event.message}", "cluster", "see what the provisioner says")
    if any(claim.phase == "Lost" for claim in pending):
        return _error(f"the volume behind {names} is lost", "cluster", "bring the volume back from a backup")
    if too_long:
        asked = _last(seen.events, {"ExternalProvisioning"})
        return _error(
            f"{names} still has no volume: {asked.message if asked is not None else 'nothing brings one'}",
            "cluster",
            "see whether the provisioner of that storage class runs, or name another class: workspaces.storage_class",
        )
    return Finding(WorkspaceState.PENDING, f"{names} is getting its volume")


def _lost_node(seen: Seen, pod: Pod) -> Finding | None:
    event = _last(seen.events, {"NodeNotReady", "TaintManagerEviction"}, pod)
    if event is None or pod.ready_condition != "False" or not any(one.running_since for one in pod.containers):
        return None
    return _error(f"its node {pod.node} does not answer", "cluster", _NODE_REMEDY)


def _not_starting(seen: Seen, pod: Pod) -> Finding | None:
    """What kubelet says of a container that does not start, or does not stay."""
    for one in pod.containers:
        step = f"its init step {one.name}" if one.init else "it"
        if one.waiting in _IMAGE:
            event = _last(seen.events, {"Failed"}, pod)
            own = one.waiting in ("ErrImagePull", "ErrImageNeverPull")  # its message says why, the event only that
            said = one.message if own or event is None else event.message
            return _image(one, said)
        if one.waiting == "InvalidImageName":
            return _error(f"its image has a name that is none: {one.message}", "homewright", "correct the template")
        if one.waiting == "CreateContainerConfigError":
            return _error(
                f"{step} lacks what it is configured by: {one.message}",
                "cluster",
                "create it again: what is missing is made",
            )
        # Between its tries such a container waits like one that ended by itself.
        never_began = one.ended in ("StartError", "ContainerCannotRun") and bool(one.waiting)
        if never_began or one.waiting in ("CreateContainerError", "RunContainerError", "PostStartHookError"):
            said = one.ended_message if never_began else one.message or one.ended_message
            return _error(f"{step} cannot be started: {said}", "homewright", "correct the template")
        if one.waiting == "CrashLoopBackOff" or (one.restarts and one.waiting and one.ended):
            return _error(
                f"{step} keeps ending: {_exit(one)}, {one.restarts} times so far",
                "user",
                "look at its log; where memory was short, take a larger preset" if one.ended == "OOMKilled"
                else "look at its log, mend what it says, then restart it",
            )  # fmt: skip
    return None


def _image(one: Container, said: str) -> Finding:
    lower = said.lower()
    if "unauthorized" in lower or "authentication required" in lower or "denied" in lower:
        why, remedy = "the registry wants a sign-in for it", "have the image made public, or the nodes signed in there"
    elif one.waiting == "ErrImageNeverPull":
        return reasons.image_nowhere(said)
    elif "not found" in lower or "manifest unknown" in lower:
        why, remedy = "there is no such image", "correct the image in the template, or bring it to the registry"
    elif "x509:" in lower or "certificate" in lower:
        why, remedy = "the nodes do not trust its registry's certificate", "have the nodes trust that authority"
    elif "no such host" in lower or "dial tcp" in lower or "timeout" in lower or "connection refused" in lower:
        why, remedy = "the registry does not answer", "see whether the nodes reach it, or use a mirror of it"
    else:
        why, remedy = "it cannot be pulled", "see what its node says"
    return reasons.image(why, said, remedy)


def _exit(one: Container) -> str:
    if one.ended == "OOMKilled":
        return "it used more memory than its preset allows"
    code = one.exit_code
    if code is None:
        return one.ended or "for no reason that is told"
    words = _SIGNALS.get(code, f"it ended with exit code {code}")
    last = next((line for line in reversed(one.ended_message.splitlines()) if line.strip()), "")
    return f"{words}: {last.strip()[:200]}" if last else words


def _mounting(seen: Seen, pod: Pod) -> Finding | None:
    if any(one.running_since or one.ended for one in pod.containers):
        return None
    attach = _last(seen.events, {"FailedAttachVolume"}, pod)
    if attach is not None and "Multi-Attach" in attach.message:
        return _error(
            "its storage is still held by another node",
            "cluster",
            "see whether the node that had it before is on: it lets go once that node answers, or is removed",
        )
    mount = _last(seen.events, {"FailedMount"}, pod) or attach
    if mount is not None and mount.count >= _MOUNT_TRIES:
        if missing := _SECRET.search(mount.message):
            return _error(f"its Secret {missing[1]} is missing", "cluster", "create it again: what is missing is made")
        return _error(f"its storage cannot be mounted: {mount.message}", "cluster", "see what its node says")
    return None


def _put_out(seen: Seen, pod: Pod, now: float) -> Finding | None:
    """A pod that is put out is made anew at once: only events tell of it, and those of the last pods say how often."""
    put_out = [
        one for one in seen.events
        if one.reason == "Evicted" and one.about[0] == "Pod" and one.uid != pod.uid and now - one.at < _PUT_OUT_LATELY_S
    ]  # fmt: skip
    if not put_out:
        return None
    why = put_out[-1].message
    if len({one.uid for one in put_out}) == 1:
        return Finding(WorkspaceState.STARTING, f"it starts again: its node put it out: {why}")
    return _error(
        f"its node puts it out again and again: {why}",
        "cluster",
        "free disk or memory on that node, have the limit that it names raised, or take a smaller preset",
    )


def _silent(seen: Seen, pod: Pod, now: float, start_timeout_s: float) -> Finding:
    """A pod that is on its way, or was for too long."""
    running = [one for one in pod.containers if one.running_since is not None and not one.init]
    probe = _last(seen.events, {"Unhealthy", "ProbeWarning"}, pod)
    if running:
        age = now - min(one.running_since or now for one in running)
        why = probe.message if probe is not None else "it does not answer yet"
        # Between the last startup probe and the first that asks for readiness nothing is wrong: that takes seconds.
        fell_silent = all(one.started for one in running) and probe is not None and "Readiness probe" in probe.message
        if age > start_timeout_s or fell_silent:
            return _error(
                f"it runs for {round(age)} s and does not answer: {why}", "user", "look at its log, then restart it"
            )
        return Finding(WorkspaceState.STARTING, why)
    too_long = _waits(pod, now) > start_timeout_s
    waits_for_storage = any(claim.phase != "Bound" for claim in seen.claims)
    if not pod.node and not (too_long and waits_for_storage):
        return Finding(WorkspaceState.PENDING, "a node is being looked for")
    if waits_for_storage:
        storage = _storage(seen, too_long)
        if storage.state is WorkspaceState.ERROR:
            return storage
    newest = max((one for one in seen.events if one.uid == pod.uid), key=lambda event: event.at, default=None)
    words = {"Pulling": "pulling its image", "Pulled": "its image is there"}
    return Finding(WorkspaceState.STARTING, words.get(newest.reason, "") if newest is not None else "")


def _again(pod: Pod) -> str:
    """What a workspace that runs should be known for."""
    ended = [one for one in pod.containers if not one.init and one.restarts and one.ended]
    return f"it was started again {ended[0].restarts} times: {_exit(ended[0])}" if ended else ""
