"""The intent record of a workspace in the cluster: a ConfigMap, written first and removed last."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, ValidationError

from homewright.workspaces import naming
from homewright.workspaces.backends.kubernetes.words import MADE_FOR, MANAGER, NAME, TEMPLATE, USER
from homewright.workspaces.errors import NotOurs
from homewright.workspaces.models import Key, Repository, Specification, WorkspaceModel
from homewright.workspaces.template_models import PodTemplate
from homewright.workspaces.templates import digest

DATA = "intent.json"
HISTORY = 20
"""Deeds that are remembered."""


class Deed(WorkspaceModel):
    """Who did what."""

    at: float
    """Unix seconds."""
    who: str
    what: str


class Intent(WorkspaceModel):
    """What is wanted of one workspace. What is, is computed from the cluster at each look."""

    model_config = ConfigDict(frozen=True, extra="ignore")  # a newer Homewright may have written more

    version: Literal[1] = 1
    user: str
    name: str
    slug: str
    template: str
    digest: str
    """The version of its template."""
    preset: str
    title: str = ""
    """What people call it; empty where they call it by its name."""
    wanted: Literal["running", "stopped"] = "running"
    deleting: Literal["", "keep", "with-storage"] = ""
    """A deletion that has begun, and what becomes of the storage."""
    complete: bool = False
    """It has answered once."""
    repository: Repository | None = None
    restarts: Annotated[int, Field(ge=0)] = 0
    """Restarts that were asked for: a pod that has another number is of before."""
    claims: dict[str, str] = {}
    """Of each volume's path the claim that holds it: a change of the template detaches nobody from their data."""
    created_at: float
    history: tuple[Deed, ...] = ()

    @property
    def key(self) -> Key:
        return Key.model_construct(user=self.user, name=self.name, node=None)

    def with_deed(self, at: float, who: str, what: str, **changes: Any) -> Intent:
        """The next record: changed, with one more deed."""
        deed = Deed(at=at, who=who, what=what)
        return self.model_copy(update={**changes, "history": (*self.history, deed)[-HISTORY:]})


def workload(template: PodTemplate, slug: str) -> str:
    """The name of a workspace's workload, its Service and every other part but its claims."""
    return f"{template.prefix}-{slug}"


def own_name(pattern: str, template: PodTemplate, slug: str) -> str:
    """A name of the template's with its placeholders filled."""
    return pattern.replace("{workload}", workload(template, slug)).replace("{slug}", slug)


def new(spec: Specification, template: PodTemplate, at: float, who: str) -> Intent:
    """The record of a workspace that is to be."""
    slug = naming.slug(spec.key.user, spec.key.name)
    return Intent(
        user=spec.key.user,
        name=spec.key.name,
        slug=slug,
        template=template.name,
        digest=digest(template),
        preset=spec.preset,
        repository=spec.repository,
        claims={volume.path: own_name(volume.claim, template, slug) for volume in template.volumes},
        created_at=at,
        history=(Deed(at=at, who=who, what="created"),),
    )


def marks_of(intent: Intent) -> dict[str, str]:
    """The true id, which need not be a legal label: what proves whose an object is."""
    return {USER: intent.user, NAME: intent.name, TEMPLATE: intent.template}


def belongs_to(manifest: Mapping[str, Any], key: Key) -> bool:
    """Whether an object was made by Homewright for this very workspace."""
    metadata = manifest.get("metadata", {})
    marks, labels = metadata.get("annotations") or {}, metadata.get("labels") or {}
    return labels.get(MADE_FOR[0]) == MANAGER and (marks.get(USER), marks.get(NAME)) == (key.user, key.name)


def read(manifest: Mapping[str, Any]) -> Intent:
    """The record in a ConfigMap. Raises NotOurs where it holds none, or one of somebody else than it says."""
    metadata = manifest.get("metadata", {})
    namespace, name = metadata.get("namespace", ""), metadata.get("name", "")
    place = f"{namespace}/{name}"
    try:
        intent = Intent.model_validate_json((manifest.get("data") or {})[DATA])
    except (KeyError, ValidationError) as error:
        raise NotOurs(
            f"The ConfigMap {place} is no record of a workspace.",
            "Something else made it, or it was changed by hand.",
            [f"look at it: kubectl -n {namespace} get configmap {name} -o yaml"],
        ) from error
    if not belongs_to(manifest, intent.key):
        raise NotOurs(
            f"The ConfigMap {place} says that it belongs to somebody else than its record does.",
            "Its labels or annotations were changed by hand, or two ids met in one name.",
            ["nothing was done to it: look at it before anything else"],
        )
    return intent


def written(intent: Intent) -> str:
    """The record as the ConfigMap holds it."""
    return json.dumps(intent.model_dump(mode="json"), ensure_ascii=False, sort_keys=True)
