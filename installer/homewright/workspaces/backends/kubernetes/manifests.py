"""What a workspace in the cluster is made of: a template and an intent in, the objects in their order out. Pure.

The order is that of creation. Every step may be repeated, so a manager that dies after any call is repaired by doing it
again; all but the claims belong to the intent record, and go with it.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from homewright.cluster import certificates
from homewright.site import mirrors
from homewright.site.authority import Authority
from homewright.site.models import MirrorSettings
from homewright.workspaces import naming, repositories
from homewright.workspaces.backends.kubernetes import routes
from homewright.workspaces.backends.kubernetes.intent import DATA, Intent, marks_of, own_name, workload, written
from homewright.workspaces.backends.kubernetes.words import (
    MADE_FOR,
    MANAGER,
    NAMESPACE,
    OWNER,
    PRESET,
    RESTART,
    WORKSPACE,
)
from homewright.workspaces.template_models import FILES, REPOSITORY_STEP, PodPreset, PodTemplate

Manifest: TypeAlias = dict[str, Any]
"""One object as the API server takes it."""

PASSWORD = "password"
"""The key in a workspace's Secret that is shown on demand; the pod does not see it."""
CONTAINER = "workspace"
GPU = "nvidia.com/gpu"
_PROBE_EVERY_S = 2
_LAST_WORDS = "FallbackToLogsOnError"
"""kubelet keeps the end of the output of what fails, where it leaves no message itself: its last line is told."""


@dataclass(frozen=True)
class Surroundings:
    """What the site and its cluster say that templates do not."""

    zone: str | None = None
    """The zone of the addresses; without one there is no route, and a workspace is opened by a port-forward."""
    ingress_class: str | None = None
    issuer: str | None = None
    """The ClusterIssuer of cert-manager that signs the addresses."""
    gateway: str | None = None
    """NAMESPACE/NAME of the Istio Gateway that leads to workspaces, where the cluster has Istio."""
    storage_class: str | None = None
    """By default the cluster's default."""
    mirror: MirrorSettings = field(default_factory=MirrorSettings)


def image(reference: str, surroundings: Surroundings) -> str:
    """Where an image is pulled from. One that was imported on the nodes (localhost/…) is pulled from nowhere."""
    return reference if reference.startswith("localhost/") else mirrors.image(surroundings.mirror, reference)


def host_name(template: PodTemplate, slug: str, zone: str) -> str:
    """One host name a workspace, always: cookies ignore ports."""
    return f"{template.host}-{slug}.{zone}"


def address(template: PodTemplate, slug: str, surroundings: Surroundings) -> str:
    """The URL of a workspace; empty where there is no route to it."""
    return f"https://{host_name(template, slug, surroundings.zone)}/" if surroundings.zone else ""


def quantity(processors: float) -> str:
    """Processors as Kubernetes writes them: 2, 500m."""
    return str(int(processors)) if processors == int(processors) else f"{round(processors * 1000)}m"


def size(text: str) -> str:
    """10GiB as Kubernetes writes it: 10Gi."""
    return text.removesuffix("B")


def labels(template: PodTemplate, intent: Intent) -> dict[str, str]:
    return {
        "app": template.prefix,
        "user": naming.slug(intent.user),
        "app.kubernetes.io/name": template.prefix,
        "app.kubernetes.io/instance": intent.slug,
        "app.kubernetes.io/component": "workspace",
        "app.kubernetes.io/part-of": MANAGER,
        MADE_FOR[0]: MADE_FOR[1],
        WORKSPACE: intent.slug,
        OWNER: naming.slug(intent.user),
    }


def selector(intent: Intent) -> dict[str, str]:
    """What never changes: a StatefulSet's selector cannot."""
    return {WORKSPACE: intent.slug}


def record(template: PodTemplate, intent: Intent) -> Manifest:
    """The intent record: first of all."""
    return _object("v1", "ConfigMap", template, intent, uid=None, data={DATA: written(intent)})


def claims(template: PodTemplate, intent: Intent, surroundings: Surroundings) -> tuple[Manifest, ...]:
    """The storage: it belongs to nobody but its user, so no owner takes it along."""
    found = []
    for volume in template.volumes:
        spec: Manifest = {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": size(volume.size)}},
        }
        if surroundings.storage_class is not None:
            spec["storageClassName"] = surroundings.storage_class
        name = claim_name(template, intent, volume.path)
        found.append(_object("v1", "PersistentVolumeClaim", template, intent, uid=None, name=name, spec=spec))
    return tuple(found)


def claim_name(template: PodTemplate, intent: Intent, path: str) -> str:
    """The claim behind a path: the one that is remembered, whatever the template has become since."""
    known = intent.claims.get(path)
    if known is not None:
        return known
    volume = next(volume for volume in template.volumes if volume.path == path)
    return own_name(volume.claim, template, intent.slug)


def secret(template: PodTemplate, intent: Intent, uid: str, data: dict[str, bytes]) -> Manifest:
    """The password, and the files of the template that hold it."""
    encoded = {key: base64.b64encode(value).decode() for key, value in data.items()}
    return _object("v1", "Secret", template, intent, uid=uid, type="Opaque", data=encoded)


def secret_data(template: PodTemplate, password: str, password_hash: str) -> dict[str, bytes]:
    """What the Secret holds: the template's files with the password in them, and the password."""
    filled = {
        name: text.replace("{password_hash}", password_hash).replace("{password}", password).encode()
        for name, text in template.files.items()
    }
    return {**{f"file.{name}": text for name, text in filled.items()}, PASSWORD: password.encode()}


def git_secret(user: str) -> str:
    """The Secret of a user's own credentials for git, in each namespace that has workspaces of theirs."""
    return f"homewright-git-{naming.slug(user)}"


def certificate(template: PodTemplate, intent: Intent, uid: str, zone: str, authority: Authority) -> Manifest:
    """The certificate of its address, signed by the site's authority; an issuer makes it where there is one."""
    host = host_name(template, intent.slug, zone)
    signed = certificates.secret(authority, template.namespace, certificate_name(template, intent), [host], {})
    return _object(
        "v1", "Secret", template, intent, uid=uid, name=signed["metadata"]["name"], type=signed["type"],
        marks=signed["metadata"]["annotations"], data=signed["data"],
    )  # fmt: skip


def certificate_name(template: PodTemplate, intent: Intent) -> str:
    return f"{workload(template, intent.slug)}-tls"


def parts(
    template: PodTemplate, intent: Intent, uid: str, surroundings: Surroundings, way: str = routes.INGRESS
) -> tuple[Manifest, ...]:
    """What comes after record, claims and password, the workload last. `uid` is the intent record's, `way` the kind of
    its route."""
    name = workload(template, intent.slug)
    found: list[Manifest] = []
    if template.credentials is not None:
        # Without keys: what its user or an administrator puts there is theirs, and never applied away.
        own = own_name(template.credentials, template, intent.slug)
        found.append(_object("v1", "Secret", template, intent, uid=uid, name=own, type="Opaque"))
    found.append(_object("v1", "ServiceAccount", template, intent, uid=uid, automountServiceAccountToken=False))
    ports = [
        {"name": port.name, "port": port.service, "targetPort": port.name, "protocol": "TCP"} for port in template.ports
    ]
    service = {"type": "ClusterIP", "selector": selector(intent), "ports": ports}
    found.append(_object("v1", "Service", template, intent, uid=uid, spec=service))
    found.append(
        _object("networking.k8s.io/v1", "NetworkPolicy", template, intent, uid=uid, spec=_own_pods_policy(intent))
    )
    leads = route(template, intent, uid, surroundings, way)
    if leads is not None:
        found.append(leads)
    spec = {
        "replicas": 1 if intent.wanted == "running" and not intent.deleting else 0,
        "serviceName": name,
        "selector": {"matchLabels": selector(intent)},
        # Never rolled: the next pod of a volume that one node has waits for ever beside the last (Multi-Attach).
        "updateStrategy": {"type": "OnDelete"},
        "podManagementPolicy": "Parallel",
        "revisionHistoryLimit": 1,
        "template": _pod(template, intent, surroundings),
    }
    found.append(_object("apps/v1", "StatefulSet", template, intent, uid=uid, spec=spec))
    return tuple(found)


def _own_pods_policy(intent: Intent) -> Manifest:
    """The user's own pods, wherever they are; what all workspaces may is the namespace's policy."""
    own = {
        "namespaceSelector": {"matchLabels": {NAMESPACE: "true"}},
        "podSelector": {"matchLabels": {OWNER: naming.slug(intent.user)}},
    }
    return {
        "podSelector": {"matchLabels": selector(intent)},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [{"from": [own]}],
        "egress": [{"to": [own]}],
    }


def route(template: PodTemplate, intent: Intent, uid: str, surroundings: Surroundings, kind: str) -> Manifest | None:
    """What leads to it from outside, of one of `routes.KINDS`; None without a zone."""
    zone = surroundings.zone
    if zone is None:
        return None
    name, host = workload(template, intent.slug), host_name(template, intent.slug, zone)
    port = next(port for port in template.ports if port.name == template.web)
    version = routes.VERSIONS[kind]
    if kind == routes.VIRTUAL_SERVICE:
        spec = routes.virtual_service(host, name, port.service, surroundings.gateway or "")
        return _object(version, kind, template, intent, uid=uid, spec=spec)
    spec = routes.ingress(host, name, port.name, certificate_name(template, intent), surroundings.ingress_class)
    marks = routes.ingress_marks(surroundings.issuer)
    return _object(version, kind, template, intent, uid=uid, marks=marks, spec=spec)


def _pull(reference: str) -> str:
    """No registry is called localhost: such an image was imported on the nodes, or nothing can bring it."""
    return "Never" if reference.startswith("localhost/") else "IfNotPresent"


def _pod(template: PodTemplate, intent: Intent, surroundings: Surroundings) -> Manifest:
    preset = template.preset(intent.preset)
    mounts: list[Manifest] = [
        {"name": f"volume-{number}", "mountPath": volume.path} for number, volume in enumerate(template.volumes)
    ]
    files = {"name": "files", "mountPath": FILES, "readOnly": True}
    environment = dict(template.environment)
    if template.repositories is not None:
        environment |= repositories.ENVIRONMENT
        mounts.append({"name": "git", "mountPath": repositories.CREDENTIALS, "readOnly": True})
    probe = {"path": template.probe.path, "port": template.web}
    container: Manifest = {
        "name": CONTAINER,
        "image": image(template.image, surroundings),
        "imagePullPolicy": _pull(template.image),
        "env": [{"name": name, "value": value} for name, value in environment.items()],
        "ports": [{"name": port.name, "containerPort": port.container, "protocol": "TCP"} for port in template.ports],
        "resources": _resources(preset),
        "securityContext": _unprivileged(),
        "terminationMessagePolicy": _LAST_WORDS,
        "volumeMounts": [*mounts, files],
        # No liveness probe: it would end somebody's session because a build kept the editor busy.
        "startupProbe": {
            "httpGet": probe,
            "periodSeconds": _PROBE_EVERY_S,
            "failureThreshold": max(1, template.probe.start_timeout_s // _PROBE_EVERY_S),
        },
        "readinessProbe": {"httpGet": probe, "periodSeconds": 5, "timeoutSeconds": 5},
    }
    if template.command:
        container["command"] = list(template.command)
    if template.credentials is not None:
        own = own_name(template.credentials, template, intent.slug)
        container["envFrom"] = [{"secretRef": {"name": own, "optional": True}}]
    steps = [(step.name, step.command) for step in template.init]
    if template.repositories is not None and intent.repository is not None:
        steps.append((REPOSITORY_STEP, repositories.clone_step(template.repositories, intent.repository)))
    init = [
        {
            "name": step,
            "image": container["image"],
            "imagePullPolicy": _pull(template.image),
            "command": list(command),
            "env": container["env"],
            "resources": container["resources"],
            "securityContext": _unprivileged(),
            "terminationMessagePolicy": _LAST_WORDS,
            "volumeMounts": [*mounts, files],
        }
        for step, command in steps
    ]
    volumes: list[Manifest] = [
        {
            "name": f"volume-{number}",
            "persistentVolumeClaim": {"claimName": claim_name(template, intent, volume.path)},
        }
        for number, volume in enumerate(template.volumes)
    ]
    items = [{"key": f"file.{name}", "path": name} for name in template.files]
    volumes.append(
        {
            "name": "files",
            "secret": {"secretName": workload(template, intent.slug), "items": items, "defaultMode": 0o440},
        }
    )
    if template.repositories is not None:
        # Whoever has none yet gets them without a restart: kubelet brings a Secret that is made later.
        secret = {"secretName": git_secret(intent.user), "optional": True, "defaultMode": 0o440}
        volumes.append({"name": "git", "secret": secret})
    spec: Manifest = {
        "serviceAccountName": workload(template, intent.slug),
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,  # else every workspace of the namespace stands in every other's environment
        "shareProcessNamespace": True,  # the pause process reaps what terminals leave behind
        "terminationGracePeriodSeconds": 30,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": template.user,
            "runAsGroup": template.user,
            "fsGroup": template.user,
            "fsGroupChangePolicy": "OnRootMismatch",  # a recursive chown at every start took minutes elsewhere
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": volumes,
    }
    if init:
        spec["initContainers"] = init
    if template.tolerations:
        spec["tolerations"] = [
            {"key": one.key, "effect": one.effect}
            | ({"operator": "Exists"} if one.value is None else {"operator": "Equal", "value": one.value})
            for one in template.tolerations
        ]
    marks = {**marks_of(intent), PRESET: intent.preset, RESTART: str(intent.restarts)}
    carried = labels(template, intent)
    if surroundings.gateway is not None:
        # Istio's own container beside ours wants to change the pod's network, which the level restricted forbids.
        carried[routes.NO_SIDECAR] = "false"
    return {"metadata": {"labels": carried, "annotations": marks}, "spec": spec}


def _unprivileged() -> Manifest:
    return {
        "allowPrivilegeEscalation": False,
        "privileged": False,
        "capabilities": {"drop": ["ALL"]},
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def _resources(preset: PodPreset) -> Manifest:
    requests = {"cpu": quantity(preset.cpu_request), "memory": size(preset.memory_request)}
    limits = {"cpu": quantity(preset.cpu), "memory": size(preset.memory)}
    if preset.gpus:
        limits[GPU] = requests[GPU] = str(preset.gpus)
    return {"requests": requests, "limits": limits}


def _object(
    version: str, kind: str, template: PodTemplate, intent: Intent, *, uid: str | None, name: str | None = None,
    marks: dict[str, str] | None = None, **rest: Any,
) -> Manifest:  # fmt: skip
    metadata: Manifest = {
        "name": name or workload(template, intent.slug),
        "namespace": template.namespace,
        "labels": labels(template, intent),
        "annotations": {**marks_of(intent), **(marks or {})},
    }
    if uid is not None:
        owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": workload(template, intent.slug), "uid": uid}
        metadata["ownerReferences"] = [owner]
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **rest}
