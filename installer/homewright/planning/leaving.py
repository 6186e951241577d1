"""What edits of day 2 make of the answers: a server leaves, an instance goes elsewhere or is taken away. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from homewright.discovery.facts import HostFacts
from homewright.errors import UsageError
from homewright.planning import platform
from homewright.planning.answers import has_instances
from homewright.planning.cluster import ClusterPlanError, planned
from homewright.planning.instances import place
from homewright.site.answers import Instance
from homewright.site.files import UNSET
from homewright.site.models import Leaving, Site


@dataclass(frozen=True)
class Fates:
    """What becomes of a server's instances."""

    moved: Mapping[str, str]
    """The server that each of these goes to."""
    gone: Collection[str] = ()
    """These are taken away, with all that is in them."""


def named(site: Site, facts: Mapping[str, HostFacts]) -> tuple[Instance, ...]:
    """The instances as the site would name them: each with its address, so that no other edit gives it another one."""
    return place(site, facts, need=platform.need(site)).nodes


def without_server(
    site: Site, facts: Mapping[str, HostFacts], name: str, fates: Fates, *, applied: bool, lost: bool, formed: bool
) -> dict[str, Any]:
    """The changes of answers by which a server leaves the site, for `files.update`.

    `applied` says that something was put on it, `formed` that the site's cluster is there. Raises UsageError where
    something is not said that must be, and where the cluster's control planes would all go with it.
    """
    server = site.server(name)
    if applied and formed and not lost:
        _require_control_plane(site, facts, name, fates.moved)
    changes: dict[str, Any] = {}
    nodes = named(site, facts)
    mine = [node.name for node in nodes if node.host == name]
    if applied:
        _require_fates(name, mine, fates, {one.name for one in site.servers} - {name}, lost)
        changes["leaving"] = [*site.leaving, Leaving.model_validate({**server.model_dump(), "lost": lost})]
    if (applied and nodes) or site.instances.nodes is not None:
        kept = [
            node.model_copy(update={"host": fates.moved[node.name]}) if node.name in fates.moved else node
            for node in nodes
            if node.name not in mine or node.name in fates.moved
        ]
        changes["instances.nodes"] = kept
    # Of a lost server they are lost with it, and named all the same: the cluster forgets the nodes that they were.
    gone = [one for one in mine if one in fates.gone] if applied else []
    if gone:
        changes["instances.gone"] = list(dict.fromkeys((*site.instances.gone, *gone)))
    away = {one for one in mine if one not in fates.moved}
    gpus = [gpu for gpu in site.gpus if gpu.host != name and gpu.instance not in away]
    if len(gpus) != len(site.gpus):
        changes["gpus"] = gpus
    if site.workspaces.master == name:
        changes["workspaces.master"] = UNSET
    changes["servers"] = [one for one in site.servers if one.name != name]
    return changes


def _require_control_plane(site: Site, facts: Mapping[str, HostFacts], name: str, moved: Collection[str] = ()) -> None:
    """The site's cluster, which is there, goes on without this server or instance; instances that are `moved` go on
    elsewhere. Raises UsageError where all its control planes would go."""
    if site.platform.cluster != "kubeadm" or (site.cluster.address is not None and not has_instances(site)):
        return  # servers with an address to share may be more of them than are planned: the roll-back looks
    try:
        planes = planned(site, facts).planes
    except ClusterPlanError:
        return
    going = [one.name for one in planes if name in (one.server, one.name) and one.name not in moved]
    if len(going) < len(planes):
        return
    do = ["take the whole cluster back first: homewright rollback 40/core/cluster"]
    if going == [name] and planes[0].server != name:
        what = f"{name} is the cluster's only control plane"
    else:
        what = f"{name} has the cluster's only control plane{'s' if len(going) > 1 else ''}, {', '.join(going)}"
        do.append(f"or, where {name} does not come back: homewright site remove-server {name} --lost")
    why = "No other node is a control plane, and none of them becomes one."
    if site.cluster.address is None:
        why = "The others cannot take its place without an address that the control planes share."
    raise UsageError(f"{what}: all that is in the cluster would go with it.", why, do)


def without_instance(site: Site, facts: Mapping[str, HostFacts], name: str, *, formed: bool) -> dict[str, Any]:
    """The changes by which an instance is taken away with all that is in it.

    `formed` says that the site's cluster is there. Raises UsageError where it is named as gone already, and where it is
    the cluster's last control plane.
    """
    nodes = named(site, facts)
    known = {node.name for node in nodes}
    if name in site.instances.gone:
        raise UsageError(f"{name} is named as gone already.", "", ["homewright plan"])
    if formed:
        _require_control_plane(site, facts, name)
    changes: dict[str, Any] = {"instances.gone": [*site.instances.gone, name]}
    if name in known:
        changes["instances.nodes"] = [node for node in nodes if node.name != name]
        gpus = [gpu for gpu in site.gpus if gpu.instance != name]
        if len(gpus) != len(site.gpus):
            changes["gpus"] = gpus
    return changes


def _require_fates(name: str, mine: Collection[str], fates: Fates, others: Collection[str], lost: bool) -> None:
    strangers = [one for one in (*fates.moved, *fates.gone) if one not in mine]
    if strangers:
        there = ", ".join(mine) or "none"
        raise UsageError(f"{strangers[0]} is no instance on {name}.", f"There: {there}.", ["homewright plan instances"])
    for instance, host in fates.moved.items():
        if host not in others:
            raise UsageError(
                f"{instance} cannot go to {host}.",
                "It is no other server of the site.",
                [f"name one of: {', '.join(sorted(others))}"],
            )
    open_ = [one for one in mine if one not in fates.moved and one not in fates.gone]
    if open_:
        target = next(iter(sorted(others)), "SERVER")
        command = f"homewright site remove-server {name}{' --lost' if lost else ''}"
        why = "What is in an instance is on its server alone: it goes elsewhere with it, or is lost."
        do = [
            f"have it moved: {command} --move {open_[0]}={target}",
            f"or taken away with all that is in it: {command} --take-away {open_[0]}",
        ]
        if lost:
            why = "What is in an instance is on its server alone, and lost with it: it is made anew elsewhere, or not."
            do = [
                f"have it made anew, empty: {command} --move {open_[0]}={target}",
                f"or do without it: {command} --take-away {open_[0]}",
            ]
        raise UsageError(f"What becomes of {', '.join(open_)} on {name}?", why, do)
