"""Storage in the cluster that was given up by a deletion: kept for seven days, taken back, or removed."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from homewright.workspaces.backends.kubernetes import intent as intents
from homewright.workspaces.backends.kubernetes.api import Api, Conflict
from homewright.workspaces.backends.kubernetes.index import OURS
from homewright.workspaces.backends.kubernetes.manifests import Manifest
from homewright.workspaces.backends.kubernetes.observed import Claim
from homewright.workspaces.backends.kubernetes.verbs import ClusterBackend
from homewright.workspaces.backends.kubernetes.words import NAME, USER
from homewright.workspaces.errors import InstanceNotFound
from homewright.workspaces.models import GivenUp, Key
from homewright.workspaces.ordering import natural

KEPT_S = 7 * 86400.0
"""How long storage that was given up is kept before `purge` removes it."""


@dataclass(frozen=True)
class Purged:
    """What `purge` did: claims, each as NAMESPACE/NAME."""

    removed: tuple[str, ...]
    kept: tuple[str, ...]
    """Given up, and not due yet."""


def listed(backends: Iterable[ClusterBackend]) -> tuple[GivenUp, ...]:
    """All of it, what is due first."""
    found: dict[tuple[str, str], list[Claim]] = {}
    for _, manifest in _claims(backends):
        marks = manifest["metadata"].get("annotations") or {}
        found.setdefault((marks.get(USER, ""), marks.get(NAME, "")), []).append(Claim.of(manifest))
    every = (
        GivenUp(
            key=Key.model_construct(user=user, name=name, node=None),
            claims=tuple(claim.name for claim in claims),
            at=max(claim.deleted_at or 0.0 for claim in claims),
            due=max(claim.deleted_at or 0.0 for claim in claims) + KEPT_S,
        )
        for (user, name), claims in found.items()
    )
    return tuple(sorted(every, key=lambda one: (one.at, natural(one.key.user), natural(one.key.name))))


def take_back(backends: Iterable[ClusterBackend], key: Key) -> tuple[str, ...]:
    """Take back that of a key, for the next workspace of this name. The claims' names."""
    found = [(backend, claim) for backend, claim in _claims(backends) if intents.belongs_to(claim, key)]
    if not found:
        raise InstanceNotFound(
            f"No storage of {key} was given up.", "", ["what there is: homewright workspace undelete"]
        )
    for backend, claim in found:
        backend.give_up(claim, None)
    return tuple(claim["metadata"]["name"] for _, claim in found)


def purge(api: Api, backends: Iterable[ClusterBackend], key: Key | None) -> Purged:
    """Remove what was given up seven days ago; with a key that one's, however long ago."""
    removed, kept = [], []
    for _, claim in _claims(backends):
        name = f"{claim['metadata']['namespace']}/{claim['metadata']['name']}"
        if key is not None and not intents.belongs_to(claim, key):
            continue
        due = (Claim.of(claim).deleted_at or 0.0) + KEPT_S
        if key is None and due > time.time():
            kept.append(name)
            continue
        try:
            api.delete(claim, claim["metadata"]["resourceVersion"])
        except Conflict:
            kept.append(name)  # somebody took it back meanwhile
        else:
            removed.append(name)
    return Purged(tuple(removed), tuple(kept))


def _claims(backends: Iterable[ClusterBackend]) -> Iterator[tuple[ClusterBackend, Manifest]]:
    for backend in backends:
        for claim in backend.api.list("PersistentVolumeClaim", backend.template.namespace, OURS).items:
            if Claim.of(claim).deleted_at is not None:
                yield backend, claim
