"""What kwok is told, and what a simulated node is: documents only. Pure.

kwok answers for nodes as their kubelets would, and says of their pods what a kubelet would say. Its stages are written
here: a node becomes ready, a pod runs, a pod that is meant to end has ended well, a pod that is to go is gone.
https://kwok.sigs.k8s.io/docs/user/stages-configuration/
"""

from __future__ import annotations

import json
from typing import Any

from homewright.cluster.simulated import MARK, TAINT

PREFIX = "simulated-"
MOST_NODES = 200
"""Each node takes one of the 256 networks of a pod range of /16, and the real ones need some."""
CPU, MEMORY, PODS = "64", "256Gi", "110"
"""What a simulated node has: a large server; as many pods as a kubelet takes by default."""
PORT = 10247
"""Where kwok says on the lab's bridge that it is well; its own default."""
LEASE_S = 40
"""How long a node counts as alive without news, as kubelets have it; renewed four times in that time."""
ELSEWHERE = "198.19.0.0/16"
"""Addresses of pods on nodes that no controller has given a network (RFC 2544; the lab itself is in 198.18.0.0/16)."""

_NODE = """\
{{ $now := Now }}
phase: Running
conditions:
- {type: Ready, status: "True", reason: Simulated, message: "kwok plays this node: nothing runs here",
   lastHeartbeatTime: {{ $now | Quote }}, lastTransitionTime: {{ $now | Quote }}}
- {type: NetworkUnavailable, status: "False", reason: Simulated, message: "kwok plays this node: it has no network",
   lastHeartbeatTime: {{ $now | Quote }}, lastTransitionTime: {{ $now | Quote }}}
"""
_RUNS = """\
{{ $now := Now }}
{{ $own := PodIPsWith .spec.nodeName (or .spec.hostNetwork false) .metadata.uid .metadata.name .metadata.namespace }}
phase: Running
startTime: {{ $now | Quote }}
{{ with NodeIPsWith .spec.nodeName }}
hostIP: {{ index . 0 | Quote }}
hostIPs: [{ip: {{ index . 0 | Quote }}}]
{{ end }}
{{ with $own }}
podIP: {{ index . 0 | Quote }}
podIPs: [{ip: {{ index . 0 | Quote }}}]
{{ end }}
conditions:
{{ range $index, $type := list "PodReadyToStartContainers" "Initialized" "ContainersReady" "Ready" }}
- {type: {{ $type }}, status: "True", lastTransitionTime: {{ $now | Quote }}}
{{ end }}
initContainerStatuses:
{{ range .spec.initContainers }}
- name: {{ .name }}
  image: {{ .image | Quote }}
  imageID: simulated
  ready: true
  restartCount: 0
  {{ if eq (or .restartPolicy "") "Always" }}
  started: true
  state: {running: {startedAt: {{ $now | Quote }}}}
  {{ else }}
  started: false
  state: {terminated: {exitCode: 0, reason: Completed, startedAt: {{ $now | Quote }}, finishedAt: {{ $now | Quote }}}}
  {{ end }}
{{ end }}
containerStatuses:
{{ range .spec.containers }}
- name: {{ .name }}
  image: {{ .image | Quote }}
  imageID: simulated
  ready: true
  started: true
  restartCount: 0
  state: {running: {startedAt: {{ $now | Quote }}}}
{{ end }}
"""
_ENDED = """\
{{ $now := Now }}
phase: Succeeded
conditions:
{{ range $index, $type := list "ContainersReady" "Ready" }}
- {type: {{ $type }}, status: "False", reason: PodCompleted, lastTransitionTime: {{ $now | Quote }}}
{{ end }}
containerStatuses:
{{ range .spec.containers }}
- name: {{ .name }}
  image: {{ .image | Quote }}
  imageID: simulated
  ready: false
  started: false
  restartCount: 0
  state: {terminated: {exitCode: 0, reason: Completed, startedAt: {{ $now | Quote }}, finishedAt: {{ $now | Quote }}}}
{{ end }}
"""
_GOING = ".metadata.deletionTimestamp"
_PHASE = ".status.phase"


def configuration() -> str:
    """All that kwok is told by file, as the YAML documents that it reads."""
    settings = {
        "apiVersion": "config.kwok.x-k8s.io/v1alpha1", "kind": "KwokConfiguration", "metadata": {"name": "kwok"},
        "options": {
            # Nobody may have it run commands, or profile it, over its port.
            "enableDebuggingHandlers": False, "enableProfilingHandler": False, "cidr": ELSEWHERE,
            # Its own defaults, which it leaves out as soon as it is told anything.
            "podPlayStageParallelism": 4, "nodePlayStageParallelism": 4, "nodeLeaseParallelism": 4,
            "podsOnNodeSyncParallelism": 1, "enablePodsOnNodeSyncListPager": True,
        },
    }  # fmt: skip
    ready = '.status.conditions.[] | select(.type == "Ready") | .status'
    stages = (
        _stage("node-is-ready", "Node", [(ready, "NotIn", ["True"])], _NODE),
        _stage("pod-runs", "Pod", [(_GOING, "DoesNotExist", []), (_PHASE, "In", ["Pending"])], _RUNS),
        _stage(
            "pod-has-ended", "Pod",
            [(_GOING, "DoesNotExist", []), (_PHASE, "In", ["Running"]),
             (".spec.restartPolicy", "In", ["Never", "OnFailure"])],
            _ENDED,
        ),
        _stage("pod-is-gone", "Pod", [(_GOING, "Exists", [])], None),
    )  # fmt: skip
    return "".join(f"{json.dumps(one)}\n---\n" for one in (settings, *stages))


def _stage(name: str, kind: str, when: list[tuple[str, str, list[str]]], status: str | None) -> dict[str, Any]:
    """What becomes of objects of this kind that are so: they get this status, or are deleted."""
    asked = [
        {"jq": {"key": key, "operator": operator, **({"values": values} if values else {})}}
        for key, operator, values in when
    ]
    # Conditions that others have set (PodScheduled) stay.
    patch = {"subresource": "status", "root": "status", "template": status, "type": "strategic"}
    step: dict[str, Any] = {"delete": True} if status is None else {"patch": patch}
    return {
        "apiVersion": "kwok.x-k8s.io/v1alpha1", "kind": "Stage", "metadata": {"name": name},
        "spec": {
            "resourceRef": {"apiGroup": "v1", "kind": kind},
            "selector": {"matchExpressions": asked},
            "steps": [step],
        },
    }  # fmt: skip


def arguments(configuration_file: str, kubeconfig_file: str, address: str) -> tuple[str, ...]:
    """How kwok is started; `address` is HOST:PORT of its own."""
    return (
        "--config", configuration_file, "--kubeconfig", kubeconfig_file, "--server-address", address,
        "--manage-nodes-with-label-selector", f"{MARK}=true", "--node-lease-duration-seconds", str(LEASE_S),
        "--v", "WARN",
    )  # fmt: skip


def name(number: int) -> str:
    """The name of the simulated node of this number, counted from 1."""
    return f"{PREFIX}{number:03}"


def node(number: int, version: str, address: str) -> dict[str, Any]:
    """A simulated node; `version` is what its kubelet would be, `address` this machine's among the nodes.

    It has no kubernetes.io/os: daemon sets that want Linux, such as kube-proxy's and flannel's, leave it out, and
    nothing counts their pods there. Its zone is its own: what the cluster does when half of a zone's nodes are lost
    is decided by the real ones alone.
    """
    has = {"cpu": CPU, "memory": MEMORY, "pods": PODS, "ephemeral-storage": "1Ti"}
    labels = {
        MARK: "true", "kubernetes.io/hostname": name(number), "node-role.kubernetes.io/simulated": "",
        "topology.kubernetes.io/zone": "simulated",
    }  # fmt: skip
    told = {
        "architecture": "amd64", "operatingSystem": "linux", "osImage": "simulated", "kernelVersion": "simulated",
        "containerRuntimeVersion": "kwok://simulated", "kubeletVersion": version, "kubeProxyVersion": "",
        "bootID": "", "machineID": "", "systemUUID": "",
    }  # fmt: skip
    addresses = [{"type": "InternalIP", "address": address}, {"type": "Hostname", "address": name(number)}]
    return {
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name(number), "labels": labels, "annotations": {"kwok.x-k8s.io/node": "fake"}},
        "spec": {"taints": [dict(TAINT)]},
        "status": {"capacity": has, "allocatable": has, "addresses": addresses, "nodeInfo": told},
    }  # fmt: skip
