"""Why a workspace does not start, in words, whose problem that is, and what to do.

One sentence for each cause, whether it is seen of a workspace (`states`) or foreseen of one to be (`prediction`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from homewright.workspaces.models import Whose, WorkspaceState

_RESOURCES = {"cpu": "processors", "memory": "memory", "ephemeral-storage": "disk", "nvidia.com/gpu": "GPUs"}
_QUOTA = re.compile(r"exceeded quota: ([^,]+), requested: (.+?), used: (.+?), limited: ([^,]+(?:,[\w./-]+=[^,]+)*)")


@dataclass(frozen=True)
class Finding:
    """A state, why it is in it, whose problem that is, and what to do."""

    state: WorkspaceState
    reason: str = ""
    whose: Whose | None = None
    remedy: str = ""


def error(reason: str, whose: Whose, remedy: str) -> Finding:
    return Finding(WorkspaceState.ERROR, reason, whose, remedy)


def quota(name: str, requested: str, used: str, limited: str) -> Finding:
    """The amounts as the API server writes them: `requests.memory=2Gi`."""
    return error(
        f"the quota {name} has no room: it needs {requested}, and {used} of {limited} are used",
        "user",
        "stop another workspace, take a smaller preset, or have the quota raised",
    )


def quota_in(said: str) -> Finding | None:
    """The quota that a refusal names; None where it names none."""
    found = _QUOTA.search(said)
    return quota(*found.groups()) if found is not None else None


def no_room(short: Sequence[tuple[str, int]], nodes: int | None, tainted: bool) -> Finding:
    """Of which resource how many nodes have too little."""
    total = f" of {nodes}" if nodes is not None else ""
    words = ", ".join(f"{_RESOURCES.get(name, name)} on {count}{total} nodes" for name, count in short)
    others = "; others have a taint" if tainted else ""
    gpu = any("gpu" in name for name, _ in short)
    return error(
        f"no node has room: too few {words}{others}",
        "user",
        f"stop another {'GPU ' if gpu else ''}workspace, or take a smaller preset",
    )


def kept_free(taint: str) -> Finding:
    which = f" ({taint})" if taint else ""
    return error(f"every node is kept free by a taint{which}", "cluster", "take the taint from a node, or add a node")


def cordoned() -> Finding:
    return error("every node is cordoned", "cluster", "let a node take pods again: kubectl uncordon NODE")


def too_many_pods() -> Finding:
    return error("every node has as many pods as it may", "cluster", "stop another workspace, or add a node")


def no_nodes() -> Finding:
    return error("the cluster has no node", "cluster", "add a node")


def no_default_class(claims: str) -> Finding:
    return error(
        f"{claims} gets no volume: the cluster has no default storage class",
        "cluster",
        "make one the default, or name one in the site: workspaces.storage_class",
    )


def missing_class(claims: str, said: str) -> Finding:
    return error(
        f"{claims} gets no volume: its storage class does not exist ({said})",
        "cluster",
        "make that storage class, or name another one in the site: workspaces.storage_class",
    )


def image_nowhere(said: str) -> Finding:
    """An image that no registry has, and no node either."""
    return image(
        "its node does not have it, and no registry does",
        said,
        "import it on every node, or name an image of a registry in the template; that of devenv is built and brought "
        "there by the next apply: homewright site set workspaces.devenv_image true",
    )


def image(why: str, said: str, remedy: str) -> Finding:
    shown = said if len(said) <= 200 else f"…{said[-199:]}"
    return error(f"its image does not come: {why} ({shown})", "cluster", remedy)
