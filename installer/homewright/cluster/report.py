"""A cluster as it is found: its version, its nodes, what we may do there, and what the platform lacks in it. Pure.

Of an existing cluster this is all that is asked before anybody has said yes: nothing is changed by looking.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from homewright.cluster import differences, simulated
from homewright.cluster.differences import Sort

SUPPORTED = (34, 36)
"""The oldest and the newest minor version that Homewright supports."""
SOON_DAYS = 30
DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"

NEEDED: tuple[tuple[str, str, tuple[str, ...], str], ...] = (
    ("", "namespaces", ("get", "list", "create", "delete"), "a namespace for the workspaces"),
    ("apps", "deployments", ("get", "list", "watch", "create", "patch", "delete"), "services"),
    ("apps", "statefulsets", ("get", "list", "watch", "create", "patch", "delete"), "workspaces"),
    ("", "services", ("get", "list", "create", "patch", "delete"), "addresses inside the cluster"),
    ("", "persistentvolumeclaims", ("get", "list", "create", "patch", "delete"), "storage"),
    ("", "secrets", ("get", "create", "patch", "delete"), "passwords of workspaces"),
    ("", "configmaps", ("get", "create", "patch", "delete"), "settings"),
    ("", "serviceaccounts", ("create", "patch", "delete"), "accounts of services"),
    ("", "pods", ("get", "list", "watch"), "their state"),
    ("", "pods/log", ("get",), "logs"),
    ("", "pods/exec", ("create",), "shells"),
    ("", "events", ("list", "watch"), "why something does not start"),
    ("", "nodes", ("get", "list"), "where there is room"),
    ("networking.k8s.io", "ingresses", ("get", "list", "create", "patch", "delete"), "addresses from outside"),
    ("networking.k8s.io", "networkpolicies", ("get", "create", "patch", "delete"), "keeping workspaces apart"),
    ("networking.k8s.io", "ingressclasses", ("list",), "the way in"),
    ("storage.k8s.io", "storageclasses", ("list",), "the kind of storage"),
)
"""API group, resource, verbs, and what for: what the platform does in a cluster."""


@dataclass(frozen=True)
class Found:
    """What a cluster has told."""

    version: str = ""
    nodes: Sequence[Mapping[str, Any]] = ()
    storage: Sequence[Mapping[str, Any]] = ()
    ingress: Sequence[Mapping[str, Any]] = ()
    daemons: Sequence[str] = ()
    """Names of its DaemonSets."""
    groups: Sequence[str] = ()
    """Its API groups."""
    services: Sequence[Mapping[str, Any]] = ()
    rules: Sequence[Mapping[str, Any]] = ()
    """What SelfSubjectRulesReview says that we may do."""
    incomplete: bool = False
    """Whether it says that it does not know everything."""
    hidden: Mapping[str, str] = field(default_factory=dict)
    """What could not be looked at, and why."""


class Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class NodeFound(Document):
    """One node."""

    name: str
    ready: bool
    version: str
    control_plane: bool
    gpus: int
    simulated: bool = False
    """Whether nothing runs on it: kwok says what its kubelet would say."""


class Lack(Document):
    """Something that is in the way, or missing."""

    what: str
    why: str
    do: tuple[str, ...] = ()
    grave: bool
    """Whether the platform cannot work without it."""


class ClusterDocument(Document):
    """The site's cluster as it is."""

    version: Literal[1] = 1
    context: str
    server: str
    """The address of its API."""
    user: str
    """Who we are there, as the kubeconfig calls it."""
    signed_in_by: Literal["certificate", "program", "token"]
    until: str | None
    """When our certificate ends; None where we have none."""
    kubernetes: str
    """Its version."""
    sort: Sort
    """What made it, as far as it shows."""
    nodes: tuple[NodeFound, ...]
    storage_classes: tuple[str, ...]
    default_storage: str | None
    ingress_classes: tuple[str, ...]
    enforces_policies: bool | None
    """Whether NetworkPolicy is honoured; None where that cannot be told."""
    load_balancer: str
    """What gives Services of type LoadBalancer an address; empty where nothing is known to."""
    istio: bool
    """Whether it knows VirtualServices."""
    constraints: bool
    """Whether SecurityContextConstraints decide whose account pods run as (OpenShift)."""
    forbidden: tuple[str, ...]
    """What we may not do there and need: verb and resource."""
    lacks: tuple[Lack, ...]
    notes: tuple[str, ...]
    """How it differs from others, where that matters to workspaces."""


def judge(
    found: Found, *, context: str, server: str, user: str, program: str, unverified: bool, until: datetime | None,
    now: datetime,
) -> ClusterDocument:  # fmt: skip
    """The report on what was found, for this context of the kubeconfig."""
    default = next((name(one) for one in found.storage if _annotations(one).get(DEFAULT_CLASS) == "true"), None)
    forbidden = tuple(missing_rights(found.rules)) if not found.incomplete else ()
    enforces = differences.honours_policies(found.daemons)
    constraints = differences.CONSTRAINTS in found.groups
    istio = "networking.istio.io" in found.groups
    nodes = tuple(_node(one) for one in found.nodes)
    lacks = [
        *_signing_in(until, now, unverified),
        *_version(found.version),
        *(Lack(what=f"{one} cannot be looked at.", why=why, grave=False) for one, why in found.hidden.items()),
        *_rights(forbidden, found.incomplete),
        *_nodes(nodes, "nodes" in found.hidden),
    ]
    if not found.storage and "storage classes" not in found.hidden:
        do = ("install one, or let Homewright bring local-path when it can",)
        lacks.append(Lack(what="It has no storage class.", why="Claims would wait for ever.", do=do, grave=True))
    elif default is None and found.storage:
        do = ("mark one as the default: kubectl annotate storageclass NAME " + DEFAULT_CLASS + "=true",)
        lacks.append(Lack(what="No storage class is the default.", why="Claims name none.", do=do, grave=False))
    if not found.ingress and "ingress classes" not in found.hidden:
        why = "Nothing leads in from outside."
        if istio:
            why = "Only Istio leads in from outside: to workspaces by the gateway that workspaces.istio_gateway names."
        lacks.append(Lack(what="It has no ingress class.", why=why, grave=False))
    if enforces is False:
        why = "Its network, flannel, honours no NetworkPolicy: workspaces can reach one another."
        lacks.append(Lack(what="Workspaces are not kept apart.", why=why, grave=False))
    balancer = differences.load_balancer(found.daemons, found.groups, found.nodes, found.services)
    notes = differences.notes(
        found.storage, default, enforces, balancer or ("?" if "services" in found.hidden else ""), constraints
    )
    return ClusterDocument(
        context=context,
        server=server,
        user=user,
        signed_in_by="program" if program else "certificate" if until else "token",
        until=until.isoformat() if until else None,
        kubernetes=found.version,
        nodes=nodes,
        storage_classes=tuple(name(one) for one in found.storage),
        default_storage=default,
        ingress_classes=tuple(name(one) for one in found.ingress),
        enforces_policies=enforces,
        sort=differences.sort(found.version, found.nodes, found.groups),
        load_balancer=balancer,
        istio=istio,
        constraints=constraints,
        forbidden=forbidden,
        lacks=tuple(lacks),
        notes=notes,
    )


def missing_rights(rules: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """What we need and may not do: `create deployments.apps` and the like."""
    for group, resource, verbs, _ in NEEDED:
        for verb in verbs:
            if not allowed(rules, verb, group, resource):
                yield f"{verb} {resource}{f'.{group}' if group else ''}"


def allowed(rules: Iterable[Mapping[str, Any]], verb: str, group: str, resource: str) -> bool:
    """Whether one of the rules allows this for every object; a rule for named ones alone does not."""
    whole, _, part = resource.partition("/")
    kinds = {"*", resource} | ({f"*/{part}", f"{whole}/*"} if part else set())
    return any(
        {"*", verb} & set(rule.get("verbs") or ())
        and {"*", group} & set(rule.get("apiGroups") or ())
        and kinds & set(rule.get("resources") or ())
        and not rule.get("resourceNames")
        for rule in rules
    )


def name(one: Mapping[str, Any]) -> str:
    return str(one["metadata"]["name"])


def _annotations(one: Mapping[str, Any]) -> Mapping[str, str]:
    return one["metadata"].get("annotations") or {}


def _node(one: Mapping[str, Any]) -> NodeFound:
    status = one.get("status") or {}
    conditions = {each["type"]: each["status"] for each in status.get("conditions") or ()}
    gpus = (status.get("capacity") or {}).get("nvidia.com/gpu", "0")
    return NodeFound(
        name=name(one),
        ready=conditions.get("Ready") == "True",
        version=(status.get("nodeInfo") or {}).get("kubeletVersion", ""),
        control_plane="node-role.kubernetes.io/control-plane" in (one["metadata"].get("labels") or {}),
        gpus=int(gpus) if str(gpus).isdigit() else 0,
        simulated=simulated.is_simulated(one),
    )


def _signing_in(until: datetime | None, now: datetime, unverified: bool) -> Iterator[Lack]:
    if unverified:
        do = ("take the cluster's CA into the kubeconfig: certificate-authority-data",)
        why = "Whoever answers at its address is believed, and gets every secret."
        yield Lack(what="The kubeconfig checks no certificate.", why=why, do=do, grave=True)
    if until is not None and until < now:
        do = ("get a new one: homewright site secret set cluster/kubeconfig",)
        yield Lack(what="The kubeconfig has expired.", why=f"It ended on {until:%Y-%m-%d}.", do=do, grave=True)
    elif until is not None and (until - now).days < SOON_DAYS:
        yield Lack(what="The kubeconfig expires soon.", why=f"It ends on {until:%Y-%m-%d}.", grave=False)


def _version(version: str) -> Iterator[Lack]:
    match = re.match(r"v1\.(\d+)", version)
    low, high = SUPPORTED
    if match and not low <= int(match[1]) <= high:
        why = f"Homewright is made for Kubernetes 1.{low} to 1.{high}."
        yield Lack(what=f"It is Kubernetes {version}.", why=why, do=("upgrade it first",), grave=int(match[1]) < low)


def _rights(forbidden: Sequence[str], incomplete: bool) -> Iterator[Lack]:
    if incomplete:
        why = "It decides by something that cannot be asked beforehand (a webhook)."
        yield Lack(what="The cluster does not tell all that we may do.", why=why, grave=False)
    elif forbidden:
        shown = ", ".join(forbidden[:4]) + (f" and {len(forbidden) - 4} more" if len(forbidden) > 4 else "")
        do = ("use an account that may", "or have it allowed; all of it is listed by: homewright cluster --json")
        yield Lack(what="We may not do all that is needed there.", why=f"Not allowed: {shown}.", do=do, grave=True)


def _nodes(nodes: Sequence[NodeFound], hidden: bool) -> Iterator[Lack]:
    real = [node for node in nodes if not node.simulated]
    away = [node.name for node in real if not node.ready]
    if not real and not hidden:
        what = "It has only simulated nodes." if nodes else "It has no node."
        yield Lack(what=what, why="Nothing can run.", grave=True)
    elif away:
        grave = len(away) == len(real)
        yield Lack(what=f"Not every node is ready: {', '.join(away)}.", why="Nothing is given to them.", grave=grave)
    silent = sum(node.simulated and not node.ready for node in nodes)
    if silent:
        what = f"{silent} simulated node{'s are' if silent > 1 else ' is'} not ready."
        yield Lack(what=what, why="Nobody plays them, or not yet.", do=("homewright lab status",), grave=False)
