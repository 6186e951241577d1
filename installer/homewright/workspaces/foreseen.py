"""What would become of a workspace in the cluster if it were made now. Looks, and makes nothing."""

from __future__ import annotations

import time

from homewright.workspaces.backends.kubernetes import intent as intents
from homewright.workspaces.backends.kubernetes import manifests
from homewright.workspaces.backends.kubernetes.prediction import Foresight, foresee
from homewright.workspaces.backends.kubernetes.verbs import ClusterBackend, foreign
from homewright.workspaces.foresight import Lookout
from homewright.workspaces.models import Specification


def of(backend: ClusterBackend, lookout: Lookout, spec: Specification) -> Foresight:
    """For one that is not there yet. Raises NotOurs where something else has a name of its, StorageFailed where its
    storage was given up."""
    template = backend.template
    intent = intents.new(spec, template, time.time(), backend.who)
    backend.require_no_tombstones(intent)
    parts = (
        manifests.record(template, intent),
        *manifests.claims(template, intent, backend.surroundings),
        manifests.secret(template, intent, "", {}),
        *manifests.parts(template, intent, "", backend.surroundings, backend.way()),
    )
    there = set()
    for part in parts:
        kind, name = part["kind"], part["metadata"]["name"]
        found = backend.api.get(kind, template.namespace, name)
        if found is not None:
            if not intents.belongs_to(found, spec.key):
                raise foreign(found)
            there.add((kind, name))
    return foresee(lookout.ground(template.namespace), parts, frozenset(there))
