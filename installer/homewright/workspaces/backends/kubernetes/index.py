"""What is known of a cluster's objects, put together by workspace, and what has changed since somebody looked.

Of each object only what a state depends on is kept: the JSON of 5,000 pods takes 400 MB, what is read of it 20.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from homewright.errors import HomewrightError
from homewright.workspaces.backends.kubernetes import intent as intents
from homewright.workspaces.backends.kubernetes.observed import Claim, Event, Pod, Seen, Workload
from homewright.workspaces.backends.kubernetes.words import MADE_FOR, NAME, USER, WORKSPACE
from homewright.workspaces.template_models import PodTemplate

if TYPE_CHECKING:
    from homewright.workspaces.backends.kubernetes.intent import Intent
    from homewright.workspaces.backends.kubernetes.manifests import Manifest

OURS = f"{MADE_FOR[0]}={MADE_FOR[1]},{WORKSPACE}"
KINDS = {"ConfigMap": OURS, "Pod": WORKSPACE, "StatefulSet": OURS, "PersistentVolumeClaim": OURS, "Event": ""}
"""What is listed or followed of each namespace, and by which labels."""

Place: TypeAlias = tuple[str, str]
"""Namespace and slug."""


@dataclass(frozen=True)
class _Record:
    intent: Intent
    uid: str


@dataclass(frozen=True)
class _Owned:
    """A claim, and whose it says that it is."""

    claim: Claim
    user: str
    name: str


@dataclass
class _Parts:
    """The objects of one slug, each kind by name."""

    records: dict[str, _Record] = field(default_factory=dict)
    workloads: dict[str, Manifest] = field(default_factory=dict)
    pods: dict[str, Pod] = field(default_factory=dict)
    claims: dict[str, _Owned] = field(default_factory=dict)

    def forget(self, kind: str, name: str) -> None:
        if kind == "ConfigMap":
            self.records.pop(name, None)
        elif kind == "StatefulSet":
            self.workloads.pop(name, None)
        elif kind == "Pod":
            self.pods.pop(name, None)
        else:
            self.claims.pop(name, None)


class Index:
    """Objects in, workspaces out. Not for several threads at once."""

    def __init__(self, templates: Mapping[str, PodTemplate]) -> None:
        self._templates = templates
        self._parts: dict[Place, _Parts] = {}
        self._slugs: dict[tuple[str, str, str], str] = {}
        """Of each object, by kind, namespace and name, the slug that it had when it came."""
        self._about: dict[tuple[str, str], str] = {}
        """Of what events may be about, by namespace and name, the slug."""
        self._events: dict[tuple[str, str], dict[str, Event]] = {}
        """Events by namespace and the name of what they are about."""
        self._told: dict[tuple[str, str], str] = {}
        """Of each event what it is about."""
        self._changed: set[Place] = set()

    @property
    def namespaces(self) -> tuple[str, ...]:
        """Where to look."""
        return tuple(dict.fromkeys(template.namespace for template in self._templates.values()))

    def put(self, kind: str, namespace: str, manifest: Manifest) -> None:
        """There is a new one, or it has changed. One that cannot be read belongs to nobody's workspace."""
        metadata = manifest["metadata"]
        name = metadata["name"]
        if kind == "Event":
            self._put_event(namespace, name, Event.of(manifest))
            return
        slug = (metadata.get("labels") or {}).get(WORKSPACE, "")
        if self._slugs.get((kind, namespace, name), slug) != slug:
            self.remove(kind, namespace, name)
        self._slugs[kind, namespace, name] = slug
        parts = self._parts.setdefault((namespace, slug), _Parts())
        if kind == "ConfigMap":
            try:
                parts.records[name] = _Record(intents.read(manifest), metadata["uid"])
            except HomewrightError:
                parts.records.pop(name, None)
        elif kind == "StatefulSet":
            owners, spec = metadata.get("ownerReferences") or (), manifest.get("spec") or {}
            parts.workloads[name] = {
                "metadata": {
                    "uid": metadata.get("uid"),
                    "ownerReferences": [{"uid": one.get("uid")} for one in owners],
                },
                "spec": {"replicas": spec.get("replicas")},
            }
            self._about[namespace, name] = self._about[namespace, f"{name}-0"] = slug
        elif kind == "Pod":
            parts.pods[name] = Pod.of(manifest)
        else:
            marks = metadata.get("annotations") or {}
            parts.claims[name] = _Owned(Claim.of(manifest), marks.get(USER, ""), marks.get(NAME, ""))
            self._about[namespace, name] = slug
        self._changed.add((namespace, slug))

    def remove(self, kind: str, namespace: str, name: str) -> None:
        """It is gone."""
        if kind == "Event":
            about = self._told.pop((namespace, name), "")
            events = self._events.get((namespace, about), {})
            events.pop(name, None)
            if not events:
                self._events.pop((namespace, about), None)
            return  # that the cluster forgets what it said an hour ago changes no state
        slug = self._slugs.pop((kind, namespace, name), None)
        if slug is None:
            return
        place = (namespace, slug)
        self._parts[place].forget(kind, name)
        if self._parts[place] == _Parts():
            del self._parts[place]
        self._changed.add(place)

    def touch(self, namespace: str, pod: str) -> None:
        """Something else about a pod has changed."""
        slug = self._slugs.get(("Pod", namespace, pod))
        if slug is not None:
            self._changed.add((namespace, slug))

    def take_changed(self) -> set[Place]:
        """The places where something has changed since this was asked last."""
        changed, self._changed = self._changed, set()
        return changed

    def seen(self, place: Place) -> tuple[tuple[Seen, PodTemplate], ...]:
        """The workspaces of a place: none, or one; more only where templates share a namespace."""
        parts = self._parts.get(place)
        if parts is None:
            return ()
        return tuple(
            found for record in parts.records.values() if (found := self._seen(place[0], record, parts)) is not None
        )

    def _put_event(self, namespace: str, name: str, event: Event) -> None:
        about = event.about[1]
        self._told[namespace, name] = about
        self._events.setdefault((namespace, about), {})[name] = event
        slug = self._about.get((namespace, about))
        if slug is not None:
            self._changed.add((namespace, slug))

    def _seen(self, namespace: str, record: _Record, parts: _Parts) -> tuple[Seen, PodTemplate] | None:
        intent = record.intent
        template = self._templates.get(intent.template)
        if template is None or template.namespace != namespace:
            return None  # of a template that is no more, or is elsewhere by now
        name = intents.workload(template, intent.slug)
        claims = [
            owned.claim for owned in parts.claims.values() if (owned.user, owned.name) == (intent.user, intent.name)
        ]
        told = [
            event
            for about in (name, f"{name}-0", *(claim.name for claim in claims))
            for event in self._events.get((namespace, about), {}).values()
        ]
        workload = parts.workloads.get(name)
        return (
            Seen(
                intent,
                Workload.of(workload, record.uid) if workload is not None else None,
                tuple(parts.pods.values()),
                tuple(claims),
                tuple(sorted(told, key=lambda event: event.at)),
            ),
            template,
        )
