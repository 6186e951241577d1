"""From one Kubernetes to another: which way it is, and what that means for the cluster, in sentences. Pure.

https://kubernetes.io/releases/version-skew-policy: minor versions one after the other, the control plane before its
nodes, and no way back.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from enum import StrEnum

from homewright.site import mirrored

_VERSION = re.compile(r"v?(\d+)\.(\d+)\.(\d+)")


class Way(StrEnum):
    """What a change of version is."""

    SAME = "same"
    PATCH = "patch"
    MINOR = "minor"
    """Exactly one minor version further."""
    SKIPS = "skips"
    """More than one minor version at once, which Kubernetes does not support."""
    BACK = "back"


def parsed(version: str) -> tuple[int, int, int]:
    """Major, minor and patch of a released version, with or without a v. Raises ValueError for anything else."""
    found = _VERSION.fullmatch(version)
    if found is None:
        raise ValueError(f"{version!r} is no version such as 1.36.3")
    major, minor, patch = map(int, found.groups())
    return major, minor, patch


def is_version(text: str) -> bool:
    """Whether a program's word is a released version."""
    return _VERSION.fullmatch(text) is not None


def way(running: Collection[str], wanted: str) -> Way:
    """What it is to go to `wanted` from all of these, of which an upgrade that was cut off leaves two.

    None of them is no cluster yet, and so no change.
    """
    versions = sorted(map(parsed, running))
    target = parsed(wanted)
    if not versions or (versions[0] == versions[-1] == target):
        return Way.SAME
    oldest, newest = versions[0], versions[-1]
    if newest > target:
        return Way.BACK
    if oldest[:2] == target[:2]:
        return Way.PATCH
    return Way.MINOR if oldest[0] == target[0] and oldest[1] + 1 == target[1] else Way.SKIPS


def refusal(running: Collection[str], wanted: str) -> tuple[str, str, tuple[str, ...]] | None:
    """Why the cluster does not go there: what, why and what to do; None where it may."""
    there = ", ".join(sorted({one.lstrip("v") for one in running}, key=parsed))
    match way(running, wanted):
        case Way.SKIPS:
            oldest = min(map(parsed, running))
            return (
                f"The cluster runs Kubernetes {there}, and cluster.version is {wanted}.",
                "Kubernetes is upgraded by one minor version at a time.",
                (
                    f"go to one of {oldest[0]}.{oldest[1] + 1} first: homewright site set cluster.version …",
                    "then: homewright apply",
                ),
            )
        case Way.BACK:
            newest = ".".join(map(str, max(map(parsed, running))))
            return (
                f"The cluster runs Kubernetes {there}, and cluster.version is {wanted}.",
                "Kubernetes knows no way back to an older version.",
                (
                    f"say what it runs: homewright site set cluster.version {newest}",
                    "what etcd held before an upgrade is saved: homewright cluster snapshots",
                ),
            )
    return None


def sentences(before: str | None, after: str | None) -> Iterator[str]:
    """What a change of the answer cluster.version means for a cluster that is there."""
    old, new = before or mirrored.KUBERNETES, after or mirrored.KUBERNETES
    match way([old], new):
        case Way.PATCH | Way.MINOR:
            yield (
                # What it runs is seen on its nodes, by the step; an answer that was refused may stand in between.
                f"The cluster is upgraded to Kubernetes {new} (the answer was {old}), server by server: etcd is saved, "
                "the control plane goes first, and each node is emptied, gets its new kubelet and takes pods again; "
                "some minutes for each. A single control plane's API is away for moments, and there is no way back."
            )
        case Way.SKIPS:
            yield f"From Kubernetes {old} to {new} a minor version would be left out: apply refuses that."
        case Way.BACK:
            yield f"Kubernetes knows no way from {old} back to {new}: apply refuses that."
