"""Instances that nobody wants any more: those that the site names as gone, and all where the stage is taken back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from homewright.access import key_change, known_hosts
from homewright.engine.runners.host import Host
from homewright.errors import HomewrightError
from homewright.lxd.client import Lxd
from homewright.planning.hosts import SSH_PORT
from homewright.stages.cluster import departing, etcd
from homewright.stages.lxd import instances, majority, moving, texts


def take_away(lxd: Lxd, host: Host, gone: Sequence[str], owner: str) -> None:
    """Remove the instances of ours that the site names as gone; of the others that are in no plan it is told.

    Raises Refused, before any is touched, where the cluster's control planes that stay could not go on.
    """
    planned = {one.node.name for one in instances.all_planned(host)}
    going: list[tuple[str, Mapping[str, Any]]] = []
    there: list[Mapping[str, Any]] = []
    for found in lxd.get("instances", recursion=1):
        name = _known_as(found, owner)
        if not instances.is_ours(found, owner):
            continue
        if name in planned or name not in gone:
            there.append(found)
        else:
            going.append((name, found))
        if name not in planned and name not in gone:
            host.say(f"{name} on {found['location']} is in no plan and stays: homewright site remove-instance {name}")
    if not going:
        return
    stays = majority.staying(lxd, host, there, going)
    # Those that went before etcd was told count in its majority still.
    if stays is not None and (left := stays.loses - {name for name, _ in going}):
        with host.task("Members of etcd") as task:
            etcd.snapshot(stays.by)
            task.changed = sum(etcd.remove(stays.by, name) for name in sorted(left)) > 0
    for name, found in going:
        with host.task(f"No {found['name']}") as task:
            departing.let_go(host, name, stays.lets_go(name) if stays is not None else None)
            _forget(lxd, host, found, name)
            task.changed = True


def not_gone(lxd: Lxd, gone: Sequence[str], owner: str) -> list[str]:
    """Those that the site names as gone and that are there all the same."""
    return [
        one["name"]
        for one in lxd.get("instances", recursion=1)
        if _known_as(one, owner) in gone and instances.is_ours(one, owner)
    ]


def _known_as(found: Mapping[str, Any], owner: str) -> str:
    """The instance that this is to the site: a copy that a move was cut off from is the instance, if not by name."""
    return moving.copy_of(found, owner) or str(found["name"])


def refuse_data(lxd: Lxd, hosts: Sequence[Host], owner: str) -> None:
    """Where other servers stay, what is in no plan here was moved or named as gone before. Raises HomewrightError."""
    site = hosts[0].site
    if len(hosts) == len(site.servers):
        return
    planned = {(one.node.name, one.node.host) for one in instances.all_planned(hosts[0])}
    names = {host.name for host in hosts}
    left = [
        f"{one['name']} is still on {one['location']}"
        for one in lxd.get("instances", recursion=1)
        if instances.is_ours(one, owner) and one["location"] in names
        if (_known_as(one, owner), one["location"]) not in planned and _known_as(one, owner) not in site.instances.gone
    ]
    if left:
        raise HomewrightError(
            f"{', '.join(left)}.",
            "What is in it is nowhere else.",
            ["have it moved or taken away, as the site says by now: homewright apply"],
        )


def remove(lxd: Lxd, host: Host, owner: str) -> bool:
    """Remove all instances of ours on a server, and the trust in their keys; whether there was one."""
    mine = [
        one
        for one in lxd.get("instances", recursion=1)
        if instances.is_ours(one, owner) and one["location"] == host.name
    ]
    for one in mine:
        with host.task(f"No {one['name']}") as task:
            _forget(lxd, host, one, one["name"])
            task.changed = True
    return bool(mine)


def _forget(lxd: Lxd, host: Host, found: Mapping[str, Any], name: str) -> None:
    moving.delete(lxd, found)
    known_hosts.forget(host.known_hosts, found["config"].get(texts.ADDRESS, ""), SSH_PORT)
    key_change.gone(host.key_file, [name])
