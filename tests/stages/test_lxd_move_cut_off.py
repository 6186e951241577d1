"""An instance whose move was cut off just before LXD gave it its name again: what is in it is found, not made anew."""

from __future__ import annotations

from typing import Any, cast

import pytest

from homewright.lxd.client import Lxd, LxdAway
from homewright.stages.lxd import moving


class Cluster:
    """LXD's instances, which can be listed and renamed."""

    def __init__(self, *instances: dict[str, Any]) -> None:
        self.instances = {one["name"]: one for one in instances}
        self.renamed: list[tuple[str, str]] = []

    def get(self, path: str, **_: object) -> Any:
        name = path.partition("/")[2]
        return self.instances[name] if name else list(self.instances.values())

    def post(self, path: str, body: dict[str, str], **_: object) -> None:
        old = path.partition("/")[2]
        self.renamed.append((old, body["name"]))
        self.instances[body["name"]] = {**self.instances.pop(old), "name": body["name"]}


def looked(cluster: Cluster) -> Any:
    said: list[str] = []
    return moving.cut_off(cast(Lxd, cluster), "n3", said.append)


def test_the_copy_gets_the_name_again() -> None:
    copy = {"name": "lxd-move-of-7", "config": {moving.MOVES: "n3"}}
    cluster = Cluster({"name": "n1", "config": {moving.MOVES: "n1"}}, copy)
    assert looked(cluster)["name"] == "n3"
    assert cluster.renamed == [("lxd-move-of-7", "n3")]


def test_where_nothing_moved_nothing_is_found() -> None:
    cluster = Cluster({"name": "n1", "config": {moving.MOVES: "n1"}}, {"name": "n2", "config": None})
    assert looked(cluster) is None and not cluster.renamed


def test_a_copy_whose_member_is_away_is_waited_for() -> None:
    with pytest.raises(LxdAway, match="move-of-7"):
        looked(Cluster({"name": "lxd-move-of-7", "config": None}))
