"""What the pods use now, as the cluster's metrics API tells it. Pure but for asking."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from homewright.workspaces.backends.kubernetes.api import LOOK_S, Api
from homewright.workspaces.backends.kubernetes.quantities import amount
from homewright.workspaces.backends.kubernetes.words import WORKSPACE
from homewright.workspaces.errors import NoMetrics, Refused

if TYPE_CHECKING:
    from homewright.workspaces.backends.kubernetes.manifests import Manifest

EVERY_S = 15.0
"""metrics-server measures every 15 seconds (its --metric-resolution): asking more often brings nothing."""


@dataclass(frozen=True)
class Usage:
    """Processors and bytes of memory that all containers of a pod use."""

    cpu: float
    memory: int


def of_pods(api: Api, namespaces: Iterable[str]) -> dict[tuple[str, str], Usage]:
    """Of each workspace's pod, by namespace and name. Raises NoMetrics where the cluster measures nothing."""
    found = {}
    for namespace in namespaces:
        try:
            items = api.list("PodMetrics", namespace, WORKSPACE, patience_s=LOOK_S).items
        except Refused as error:
            raise NoMetrics(
                "The cluster does not measure what pods use.",
                "It has no metrics API (metrics.k8s.io).",
                ["install metrics-server, then wait half a minute"],
            ) from error
        for manifest in items:
            found[namespace, manifest["metadata"]["name"]] = usage(manifest)
    return found


def usage(manifest: Manifest) -> Usage:
    """The usage in a PodMetrics."""
    parts = [container.get("usage") or {} for container in manifest.get("containers") or ()]
    return Usage(
        cpu=float(sum((amount(part.get("cpu", "0")) for part in parts), Decimal(0))),
        memory=int(sum((amount(part.get("memory", "0")) for part in parts), Decimal(0))),
    )
