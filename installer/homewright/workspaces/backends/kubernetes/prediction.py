"""Whether a workspace would start, before anything is made: the rules of scheduler and quota on what the cluster has.

Pure. What is foreseen here is said in the very words in which `states` says it afterwards, because both take them from
`reasons`. It is a look at one moment: somebody else may be faster, and an autoscaler may bring what is missing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from homewright.cluster import simulated
from homewright.cluster.report import DEFAULT_CLASS
from homewright.workspaces.backends.kubernetes import reasons
from homewright.workspaces.backends.kubernetes.quantities import amount, total, written
from homewright.workspaces.backends.kubernetes.reasons import Finding

if TYPE_CHECKING:
    from homewright.workspaces.backends.kubernetes.manifests import Manifest

IMAGES_TOLD = 50
"""A kubelet names at most so many images of its node (nodeStatusMaxImages): what a full list lacks may be there."""
_OVER = {"Succeeded", "Failed"}
_KEEPS_AWAY = {"NoSchedule", "NoExecute"}

Amounts = Mapping[str, Decimal]


@dataclass(frozen=True)
class Node:
    """A node, as far as a pod's place depends on it."""

    name: str
    free: Amounts
    """What it can still promise of each resource: allocatable, less what its pods have been promised."""
    taints: tuple[Mapping[str, str], ...] = ()
    """Those that keep pods away."""
    cordoned: bool = False
    images: frozenset[str] = frozenset()
    tells_all_images: bool = True
    simulated: bool = False
    """Nothing runs there: kwok says that it does."""


@dataclass(frozen=True)
class Quota:
    """A ResourceQuota that counts workspaces: each amount as the server writes it."""

    name: str
    hard: Mapping[str, str]
    used: Mapping[str, str]


@dataclass(frozen=True)
class Ground:
    """What a cluster has, at one moment. What could not be looked at is None, and why stands in `hidden`."""

    nodes: tuple[Node, ...] | None = None
    quotas: tuple[Quota, ...] | None = None
    classes: tuple[str, ...] | None = None
    default_class: str | None = None
    hidden: tuple[str, ...] = ()


@dataclass(frozen=True)
class Foresight:
    """What would become of a workspace."""

    problems: tuple[Finding, ...] = ()
    """In the order in which the cluster would meet them."""
    good: tuple[str, ...] = ()
    unknown: tuple[str, ...] = field(default=())


def nodes(found: Iterable[Manifest], pods: Iterable[Manifest]) -> tuple[Node, ...]:
    """Nodes with what their pods leave free. `pods` are those of the whole cluster."""
    promised: dict[str, dict[str, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    for pod in pods:
        where, status = (pod.get("spec") or {}).get("nodeName"), pod.get("status") or {}
        if where and status.get("phase") not in _OVER:
            for name, value in requests(pod["spec"]).items():
                promised[where][name] += value
            promised[where]["pods"] += 1
    return tuple(_node(one, promised[one["metadata"]["name"]]) for one in found)


def _node(manifest: Manifest, promised: Amounts) -> Node:
    spec, status = manifest.get("spec") or {}, manifest.get("status") or {}
    has = {name: amount(str(value)) for name, value in (status.get("allocatable") or {}).items()}
    images = status.get("images") or ()
    return Node(
        name=manifest["metadata"]["name"],
        free={name: value - promised.get(name, Decimal(0)) for name, value in has.items()},
        taints=tuple(taint for taint in spec.get("taints") or () if taint.get("effect") in _KEEPS_AWAY),
        cordoned=bool(spec.get("unschedulable")),
        images=frozenset(name for image in images for name in image.get("names") or ()),
        tells_all_images=len(images) < IMAGES_TOLD,
        simulated=simulated.is_simulated(manifest),
    )


def requests(spec: Mapping[str, Any]) -> dict[str, Decimal]:
    """What the scheduler keeps free for a pod: its containers together, or its largest init step where that is more.

    An init container that is restarted always is a container that begins earlier.
    """
    together: dict[str, Decimal] = defaultdict(Decimal)
    largest: dict[str, Decimal] = defaultdict(Decimal)
    for one in spec.get("initContainers") or ():
        if one.get("restartPolicy") == "Always":
            _add(together, one)
            continue
        for name, value in _requests(one).items():
            largest[name] = max(largest[name], value + together[name])
    for one in spec.get("containers") or ():
        _add(together, one)
    found = {name: max(together[name], largest[name]) for name in together.keys() | largest.keys()}
    for name, value in (spec.get("overhead") or {}).items():
        found[name] = found.get(name, Decimal(0)) + amount(str(value))
    return found


def _add(together: dict[str, Decimal], container: Mapping[str, Any]) -> None:
    for name, value in _requests(container).items():
        together[name] += value


def _requests(container: Mapping[str, Any]) -> dict[str, Decimal]:
    resources = container.get("resources") or {}
    # The API server fills in a limit where a request is missing.
    wanted = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
    return {name: amount(str(value)) for name, value in wanted.items()}


def quotas(found: Iterable[Manifest]) -> tuple[Quota, ...]:
    """Those that count a pod which runs until it is stopped and has requests and limits."""
    counting = {"NotTerminating", "NotBestEffort"}
    counts = []
    for one in found:
        spec, status = one.get("spec") or {}, one.get("status") or {}
        if set(spec.get("scopes") or ()) <= counting and not spec.get("scopeSelector"):
            counts.append(Quota(one["metadata"]["name"], spec.get("hard") or {}, status.get("used") or {}))
    return tuple(counts)


def classes(found: Iterable[Manifest]) -> tuple[tuple[str, ...], str | None]:
    """The storage classes, and the one that claims get which name none."""
    names, default = [], None
    for one in found:
        metadata = one["metadata"]
        names.append(metadata["name"])
        if (metadata.get("annotations") or {}).get(DEFAULT_CLASS) == "true":
            default = metadata["name"]
    return tuple(names), default


def foresee(ground: Ground, parts: Sequence[Manifest], there: frozenset[tuple[str, str]] = frozenset()) -> Foresight:
    """What would become of these objects, the last of which is the workload. `there`: kind and name of what exists."""
    *others, workload = parts
    spec = workload["spec"]["template"]["spec"]
    new = [one for one in others if (one["kind"], one["metadata"]["name"]) not in there]
    claims = [one for one in new if one["kind"] == "PersistentVolumeClaim"]
    problems: list[Finding] = []
    good: list[str] = []
    if ground.quotas is not None:
        short = [*_short_of_objects(ground.quotas, [*new, workload], claims), *_short_of_pods(ground.quotas, spec)]
        problems += short
        if ground.quotas and not short:
            good.append("the namespace's quota has room")
    if ground.classes is not None and claims:
        lacking = _without_class(ground, claims)
        problems += lacking
        if not lacking:
            chosen = claims[0]["spec"].get("storageClassName") or ground.default_class
            good.append(f"its storage comes from the class {chosen}")
    if ground.nodes is not None:
        finding, fitting = _placed(ground.nodes, requests(spec), spec.get("tolerations") or ())
        if finding is not None:
            problems.append(finding)
        else:
            played = sum(node.simulated for node in fitting)
            only = f", {played} of them simulated: nothing runs there" if played else ""
            have = "has" if len(fitting) == 1 else "have"
            good.append(f"{len(fitting)} of {_many(len(ground.nodes), 'node')} {have} room{only}")
            problems += _images(fitting, spec)
    return Foresight(tuple(problems), tuple(good), ground.hidden)


def _many(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def _short_of_objects(found: Iterable[Quota], new: Sequence[Manifest], claims: Sequence[Manifest]) -> list[Finding]:
    """Quotas of storage and of numbers of objects."""
    sizes = [one["spec"]["resources"]["requests"]["storage"] for one in claims]
    wanted: dict[str, str] = {}
    if sizes:
        wanted["requests.storage"] = written(total(sizes), sizes[0])
    for one in new:
        group = one["apiVersion"].partition("/")[0] if "/" in one["apiVersion"] else ""
        plural = _PLURALS[one["kind"]]
        for name in (f"count/{plural}{f'.{group}' if group else ''}", *([plural] if not group else [])):
            wanted[name] = str(int(wanted.get(name, "0")) + 1)
    return [finding for one in found if (finding := _over(one, wanted)) is not None]


_PLURALS = {
    "ConfigMap": "configmaps", "Secret": "secrets", "ServiceAccount": "serviceaccounts", "Service": "services",
    "PersistentVolumeClaim": "persistentvolumeclaims", "NetworkPolicy": "networkpolicies", "Ingress": "ingresses",
    "StatefulSet": "statefulsets",
}  # fmt: skip


def _short_of_pods(found: Iterable[Quota], spec: Mapping[str, Any]) -> list[Finding]:
    """Quotas of what pods are promised and may take at most."""
    asked: dict[str, str] = {}
    for name, value in requests(spec).items():
        text = written(value, _like(spec, "requests", name))
        asked |= {f"requests.{name}": text, **({name: text} if name in ("cpu", "memory") else {})}
    limits: dict[str, list[str]] = defaultdict(list)
    for container in spec.get("containers") or ():
        for name, text in ((container.get("resources") or {}).get("limits") or {}).items():
            limits[name].append(str(text))
    asked |= {f"limits.{name}": written(total(texts), texts[0]) for name, texts in limits.items()}
    asked |= {"pods": "1", "count/pods": "1"}
    return [finding for one in found if (finding := _over(one, asked)) is not None]


def _like(spec: Mapping[str, Any], which: str, name: str) -> str:
    containers: Sequence[Mapping[str, Any]] = spec.get("containers") or ({},)
    return str(((containers[0].get("resources") or {}).get(which) or {}).get(name, ""))


def _over(quota: Quota, wanted: Mapping[str, str]) -> Finding | None:
    """What a quota has no room for, in the order and the form of the API server's own refusal."""
    short = [
        name for name in sorted(wanted.keys() & quota.hard.keys())
        if amount(wanted[name]) + amount(quota.used.get(name, "0")) > amount(quota.hard[name])
    ]  # fmt: skip
    if not short:
        return None
    words = (
        ",".join(f"{name}={values.get(name, '0')}" for name in short) for values in (wanted, quota.used, quota.hard)
    )
    return reasons.quota(quota.name, *words)


def _without_class(ground: Ground, claims: Sequence[Manifest]) -> list[Finding]:
    names = ", ".join(one["metadata"]["name"] for one in claims)
    named = claims[0]["spec"].get("storageClassName")
    assert ground.classes is not None
    if named is not None and named not in ground.classes:
        return [reasons.missing_class(names, f'storageclass.storage.k8s.io "{named}" not found')]
    if named is None and ground.default_class is None:
        return [reasons.no_default_class(names)]
    return []


def _placed(
    found: Sequence[Node], wanted: Amounts, tolerations: Sequence[Mapping[str, Any]] = ()
) -> tuple[Finding | None, tuple[Node, ...]]:
    """What the scheduler would say: each node is refused by the first of its rules, but of resources by all."""
    if not found:
        return reasons.no_nodes(), ()
    fitting: list[Node] = []
    cordoned: list[Node] = []
    tainted: list[Node] = []
    short: dict[str, int] = defaultdict(int)
    full = 0
    for node in found:
        lacks = [name for name, value in wanted.items() if value and value > node.free.get(name, Decimal(0))]
        if node.cordoned:
            cordoned.append(node)
        elif any(not simulated.tolerates(tolerations, taint) for taint in node.taints):
            tainted.append(node)
        elif lacks or node.free.get("pods", Decimal(1)) < 1:
            full += node.free.get("pods", Decimal(1)) < 1
            for name in lacks:
                short[name] += 1
        else:
            fitting.append(node)
    if fitting:
        return None, tuple(fitting)
    if short:
        return reasons.no_room(sorted(short.items()), len(found), bool(tainted)), ()
    if full:
        return reasons.too_many_pods(), ()
    if tainted:
        return reasons.kept_free(""), ()  # which taint it is the scheduler of 1.36 does not say either
    return reasons.cordoned(), ()


def _images(fitting: Sequence[Node], spec: Mapping[str, Any]) -> list[Finding]:
    """Images that are pulled from nowhere have to be on a node already; of others only a registry knows."""
    for container in spec["containers"]:
        image = container["image"]
        if container.get("imagePullPolicy") != "Never":
            continue
        # A simulated node calls a pod running, whatever its image is.
        if all(node.tells_all_images and image not in node.images and not node.simulated for node in fitting):
            return [reasons.image_nowhere(f'Container image "{image}" is not present with pull policy of Never')]
    return []
