"""A pod of the image, as a workspace's is: its web terminal and its sshd answer, and its tools are the pinned ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from homewright.cluster.client import Cluster
from homewright.engine.runners.host import Proof, broken, proved
from homewright.site.models import Site
from homewright.stages.components import proving
from homewright.stages.devenv import recipe

NAMED = ("zsh", "git", "sshd", "terminal")
"""Tools whose versions are Debian's: that they answer is what counts."""

_ASKING = """
devenv-start >/tmp/said 2>&1 &
tried=0
until curl -fsS -m 5 -o /dev/null http://127.0.0.1:8080/healthz 2>/dev/null &&
    ssh-keyscan -T 5 -p 2222 -t ed25519 127.0.0.1 2>/dev/null | grep -q ssh-ed25519; do
    tried=$((tried + 1))
    [ $tried -lt 100 ] || { tail -n 3 /tmp/said; exit 3; }
    sleep 0.2
done
devenv-versions
"""


def container() -> dict[str, Any]:
    """What the proof's container has otherwise than those of other proofs. Pure."""
    return {
        "image": recipe.reference(),
        # It was imported: no registry has it.
        "imagePullPolicy": "Never",
        "securityContext": {**proving.RESTRICTED, "runAsUser": 1000, "runAsGroup": 1000},
        "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"memory": "1Gi"}},
    }


def prove(api: Cluster, site: Site, node: str, digest: str) -> Proof:
    """Whether a pod of the image on this node answers."""
    try:
        over = proving.run(api, site, "devenv", _ASKING, container=container(), nodeName=node)
    except proving.NotProved as error:
        return broken(f"{error.what} {error.why}")
    if over.code != 0:
        last = " ".join(over.said.split())[-300:]
        return broken(f"A pod of the image on {node} ended with {over.code}: {last or 'it said nothing'}.")
    told = said(over.said)
    if why := wrong(told, node):
        return broken(why)
    tools = ", ".join(f"{name} {told[name]}" for name in ("tofu", "claude", *NAMED))
    return proved(f"{node} has {recipe.reference()} as {digest}: {tools}.")


def said(text: str) -> dict[str, str]:
    """What `devenv-versions` printed, by name. Pure."""
    return {name: version.strip() for name, _, version in (line.partition(" ") for line in text.splitlines())}


def wrong(told: Mapping[str, str], node: str) -> str:
    """What the image says of itself that it should not, in a sentence; empty where all is well. Pure."""
    for name, wanted in recipe.versions().items():
        if told.get(name) != wanted:
            return f"In a pod of the image on {node} {name} is {told.get(name) or 'missing'}, not {wanted}."
    missing = [name for name in NAMED if not told.get(name)]
    return f"In a pod of the image on {node} {missing[0]} does not answer." if missing else ""
