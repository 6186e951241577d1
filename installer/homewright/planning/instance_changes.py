"""What becomes of instances where the plan is another one: moved, resized, made anew, taken away. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Literal

from homewright.planning.documents import Document, Misfit
from homewright.site.answers import Instance

if TYPE_CHECKING:
    from homewright.planning.plan import Plan

_SHARED = "cluster.address"
Fate = Literal["new", "moved", "resized", "addressed", "anew", "gone", "left"]


class InstanceChange(Document):
    """What a plan does to one instance."""

    name: str
    fate: Fate
    """`anew`: its server is lost or another machine, so it is made empty; `left`: nobody named it as gone."""
    say: str
    """In one sentence, with what it means for what is in it."""
    loses: bool = False
    """What is in it is lost: it is nowhere else."""


def instance_changes(old: Plan, new: Plan) -> tuple[InstanceChange, ...]:
    """What `new` does to the instances that `old` made, and to new ones."""
    return tuple(_changes(old, new))


def shrunk(old: Plan | None, new: Plan) -> tuple[Misfit, ...]:
    """Disks that would become smaller than they are, which nothing can do to a disk with data on it."""
    # One that is there keeps its size unless somebody has chosen another: proposals follow what is free.
    known = old is not None and old.site == new.site and _chosen(new)
    before = {node.name: node for node in old.instances} if old is not None and known else {}
    return tuple(
        Misfit(
            field=f"instances.nodes.{node.name}.disk",
            reason=(
                f"the disk of {node.name} has {was.disk} GiB and cannot become smaller ({node.disk} GiB): its file "
                "system would be cut off"
            ),
            do=(
                f"leave it: homewright site set instances.nodes.{node.name}.disk {was.disk}",
                f"or have it made anew, empty, under another name: homewright site remove-instance {node.name}",
            ),
        )
        for node in new.instances
        if (was := before.get(node.name)) is not None and node.disk < was.disk and not _is_lost(was, old, new)
    )


def readdressed(old: Plan | None, new: Plan) -> tuple[Misfit, ...]:
    """Instances that are there and would get another address, since another `cluster.address` leaves them theirs no
    more or gives them one that was taken: the cluster on them is formed at the addresses that they have."""
    if old is None or old.site != new.site:
        return ()
    shared, was_shared = (plan.answers.get(_SHARED) for plan in (new, old))
    if shared == was_shared or _range(old) != _range(new):
        return ()
    back = f"set {_SHARED} {was_shared}" if was_shared else f"unset {_SHARED}"
    before = {node.name: node for node in old.instances}
    return tuple(
        Misfit(
            field=_SHARED,
            reason=(
                f"{node.name} is there and has {was.address}: it would get {node.address} and be restarted for it, "
                "and a cluster finds its nodes where it was made"
            ),
            do=(
                f"choose an address that no instance has: homewright site set {_SHARED} …",
                f"or leave it as it was: homewright site {back}",
            ),
        )
        for node in new.instances
        if (was := before.get(node.name)) is not None
        and was.address not in (None, node.address)
        and f"instances.nodes.{node.name}.address" not in new.answers
        and not _is_lost(was, old, new)
    )


def gone(answers: Mapping[str, str]) -> tuple[str, ...]:
    """The instances that a plan's answers name as gone."""
    return tuple(json.loads(answers.get("instances.gone", "[]")))


def leaving(answers: Mapping[str, str]) -> dict[str, bool]:
    """The servers that leave the site by a plan's answers, and whether each of them is lost."""
    names = answers.get("leaving (order)", "").split()
    return {name: answers.get(f"leaving.{name}.lost") == "true" for name in names}


def _changes(old: Plan, new: Plan) -> Iterator[InstanceChange]:
    before, after = ({node.name: node for node in plan.instances} for plan in (old, new))
    for name, node in after.items():
        if name not in before:
            where = f"{name} is made on {node.host}: {size(node)}."
            yield InstanceChange(name=name, fate="new", say=where)
        else:
            yield from _of_one(before[name], node, old, new)
    named = gone(new.answers)
    for name, node in before.items():
        if name in after:
            continue
        lost = _is_lost(node, old, new)
        if lost:
            say = f"{name} is lost with {node.host}, and all that was in it."
            yield InstanceChange(name=name, fate="gone", say=say, loses=True)
        elif name in named:
            say = f"{name} on {node.host} is taken away with all that is in it: nothing else is a copy of that."
            yield InstanceChange(name=name, fate="gone", say=say, loses=True)
        else:
            say = (
                f"{name} stays on {node.host} and in no plan, since nobody said that what is in it may be lost; to be "
                f"rid of it: homewright site remove-instance {name}"
            )
            yield InstanceChange(name=name, fate="left", say=say)


def _of_one(was: Instance, node: Instance, old: Plan, new: Plan) -> Iterator[InstanceChange]:
    name = node.name
    if _is_lost(was, old, new):
        say = f"{name} is made anew on {node.host}, empty: what was in it is lost with the {was.host} of before."
        yield InstanceChange(name=name, fate="anew", say=say, loses=True)
        return
    if was.host != node.host:
        say = (
            f"{name} moves from {was.host} to {node.host} with all that is in it: it is stopped, copied and started "
            "again, and keeps its address."
        )
        yield InstanceChange(name=name, fate="moved", say=say)
    if was.address != node.address:
        say = f"{name} gets the address {node.address} in place of {was.address}, and is restarted for it."
        yield InstanceChange(name=name, fate="addressed", say=say)
    if size(was) != size(node) and _chosen(new):
        said = "a virtual machine is stopped for it" if _virtual(new) else "it goes on running"
        yield InstanceChange(name=name, fate="resized", say=f"{name} gets {size(node)}, not {size(was)}; {said}.")


def size(node: Instance) -> str:
    """An instance's size in words."""
    return f"{node.cpu} CPU, {node.memory} GiB, {node.disk} GiB disk"


def _chosen(plan: Plan) -> bool:
    """Whether somebody named the instances."""
    return "instances.nodes (order)" in plan.answers


def _virtual(plan: Plan) -> bool:
    return any((one.topic, one.chosen) == ("kind of instances", "virtual machines") for one in plan.decisions)


def _range(plan: Plan) -> str:
    return next((one.chosen for one in plan.decisions if one.topic == "range of LXD"), "")


def _is_lost(was: Instance, old: Plan | None, new: Plan) -> bool:
    """Whether the server that an instance was on is lost, or another machine by now."""
    before, now = (
        next((one.machine_id for one in plan.machines if one.host == was.host), "") if plan is not None else ""
        for plan in (old, new)
    )
    return leaving(new.answers).get(was.host, False) or (before != now and "" not in (before, now))
