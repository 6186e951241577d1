"""Nodes that only say that they are nodes: how they are marked, and what has to be tolerated there. Pure.

Pods on them are real objects of the API, and no container of theirs runs anywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

MARK = "homewright.dev/simulated"
"""The label of simulated nodes, and the key of their taint; both have the value "true"."""
TAINT: Mapping[str, str] = {"key": MARK, "value": "true", "effect": "NoSchedule"}
"""What keeps every pod away that does not ask for such a node."""
TOLERATION: Mapping[str, str] = {"key": MARK, "operator": "Exists", "effect": "NoSchedule"}
"""What a pod says that may be there."""
SELECTOR = f"{MARK}=true"
_KWOKS = "kwok.x-k8s.io/node"
"""The annotation by which kwok's own tools mark the nodes that they play."""


def is_simulated(node: Mapping[str, Any]) -> bool:
    """Whether nothing runs on this node of the API, whoever has made it."""
    metadata = node.get("metadata") or {}
    return (metadata.get("labels") or {}).get(MARK) == "true" or _KWOKS in (metadata.get("annotations") or {})


def real(nodes: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those on which containers run."""
    return [node for node in nodes if not is_simulated(node)]


def tolerates(tolerations: Sequence[Mapping[str, Any]], taint: Mapping[str, Any]) -> bool:
    """Whether a pod with these goes where this taint is, as the scheduler has it."""
    return any(
        one.get("effect") in (None, "", taint.get("effect"))
        and (
            (one.get("operator") == "Exists" and one.get("key") in (None, "", taint.get("key")))
            or (
                one.get("operator") in (None, "", "Equal")
                and one.get("key") == taint.get("key")
                and (one.get("value") or "") == (taint.get("value") or "")
            )
        )
        for one in tolerations
    )
