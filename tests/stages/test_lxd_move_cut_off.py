"""An instance whose move was cut off just before LXD gave it its name again: what is in it is found, not made anew."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any, cast

import pytest

from homewright.engine.runners.host import Host
from homewright.errors import HomewrightError
from homewright.lxd.client import Lxd, LxdAway, LxdMissing
from homewright.site.models import Site
from homewright.stages.lxd import instances, moving, removing
from homewright.stages.lxd.standing import OWNER
from homewright.stages.lxd.texts import ADDRESS, MOVES, Planned


def instance(name: str, moves: str = "", owner: str = "home/1", location: str = "s2") -> dict[str, Any]:
    config = {OWNER: owner, ADDRESS: "192.0.2.9"} | ({MOVES: moves} if moves else {})
    return {"name": name, "config": config, "location": location, "devices": {}, "status": "Stopped"}


class Cluster:
    """LXD's instances, which can be listed, renamed and taken away."""

    def __init__(self, *instances: dict[str, Any], operations: Any = None) -> None:
        self.instances = {one["name"]: one for one in instances}
        self.operations = operations or {}
        self.renamed: list[tuple[str, str]] = []
        self.at_the_move: list[str] = []

    def get(self, path: str, **_: object) -> Any:
        what, _, name = path.partition("/")
        if what == "storage-pools":
            return {"space": {"total": 0}, "driver": "dir"}
        if what == "operations":
            return self.operations
        if name and name not in self.instances:
            raise LxdMissing(f"There is no {name}.")
        return self.instances[name] if name else list(self.instances.values())

    def post(self, path: str, body: dict[str, str], **_: object) -> None:
        old = path.partition("/")[2]
        if body["name"] == old:
            self.at_the_move = sorted(self.instances)
            return
        self.renamed.append((old, body["name"]))
        self.instances[body["name"]] = {**self.instances.pop(old), "name": body["name"]}

    def patch(self, path: str, body: dict[str, Any]) -> None:
        self.instances[path.partition("/")[2]]["config"] |= body["config"]

    def delete(self, path: str) -> None:
        del self.instances[path.partition("/")[2]]


def looked(cluster: Cluster) -> Any:
    said: list[str] = []
    return moving.cut_off(cast(Lxd, cluster), "n3", "home/1", said.append)


def planned(name: str, host: str) -> Planned:
    return cast(Planned, SimpleNamespace(node=SimpleNamespace(name=name, host=host)))


def test_the_copy_gets_the_name_again() -> None:
    cluster = Cluster(instance("n1", "n1"), instance("lxd-move-of-7", "n3"))
    assert looked(cluster)["name"] == "n3"
    assert cluster.renamed == [("lxd-move-of-7", "n3")]


@pytest.mark.parametrize(
    "others",
    [
        [instance("n1", "n1"), {"name": "n2", "config": None}],
        [instance("mine", "n3")],  # somebody's own copy, made with all that the instance is marked with
        [instance("lxd-move-of-7", "n3", owner="office/1")],
        [instance("lxd-move-of-7", "n2")],
    ],
)
def test_what_no_move_of_it_has_left_is_not_taken_for_it(others: list[dict[str, Any]]) -> None:
    cluster = Cluster(*others)
    assert looked(cluster) is None and not cluster.renamed


def test_a_copy_whose_member_is_away_is_waited_for() -> None:
    with pytest.raises(LxdAway, match="move-of-7"):
        looked(Cluster({"name": "lxd-move-of-7", "config": None}))


def test_of_two_copies_none_is_chosen() -> None:
    cluster = Cluster(instance("lxd-move-of-7", "n3"), instance("lxd-move-of-8", "n3", location="s3"))
    with pytest.raises(HomewrightError, match="more than one copy") as caught:
        looked(cluster)
    assert "lxd-move-of-7 on s2, lxd-move-of-8 on s3" in caught.value.why and not cluster.renamed


def moved(cluster: Cluster) -> None:
    lxd = cast(Lxd, cluster)
    moving.move(lxd, cluster.instances["n3"], planned("n3", "s2"), "home/1", lambda _: None)


def test_before_a_move_begins_anew_its_halves_are_taken_away_and_nothing_else() -> None:
    stay = [instance("mine", "n3"), instance("lxd-move-of-8", "n2"), instance("lxd-move-of-9", "n3", "office/1")]
    cluster = Cluster(instance("n3", "n3", location="s1"), instance("lxd-move-of-7", "n3"), *stay)
    moved(cluster)
    assert cluster.at_the_move == ["lxd-move-of-8", "lxd-move-of-9", "mine", "n3"]


@pytest.mark.parametrize(("kind", "code", "waits"), [("task", 103, True), ("task", 200, False), ("token", 103, False)])
def test_a_half_that_lxd_still_works_on_is_waited_for(kind: str, code: int, waits: bool) -> None:
    about = {"instances": ["/1.0/instances/n3?project=default"]}
    at_work = {"running": [{"class": kind, "status_code": code, "resources": about}, {"resources": None}]}
    cluster = Cluster(instance("n3", "n3"), instance("lxd-move-of-7", "n3"), operations=at_work)
    if waits:
        with pytest.raises(LxdAway, match="still at work on n3"):
            moved(cluster)
    else:
        moved(cluster)
    assert ("lxd-move-of-7" in cluster.instances) is waits


def test_what_is_in_a_copy_stays_while_its_instance_is_planned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is told to remove it, a rollback of others does not refuse for it, and its own pool is not full for it."""
    monkeypatch.setattr(instances, "all_planned", lambda _: [planned("n3", "s2")])
    monkeypatch.setattr(instances, "_holder", lambda *_: "")
    cluster, said = Cluster(instance("lxd-move-of-7", "n3")), list[str]()
    site = SimpleNamespace(servers=("s1", "s2"), instances=SimpleNamespace(gone=()))
    host: Any = SimpleNamespace(name="s2", say=said.append, site=site)
    removing.take_away(cast(Lxd, cluster), host, [], "home/1")
    removing.refuse_data(cast(Lxd, cluster), [host], "home/1")
    instances.refuse(cast(Lxd, cluster), [(cast(Host, host), planned("n3", "s2"))], "home/1")
    assert not said and "lxd-move-of-7" in cluster.instances
    with pytest.raises(HomewrightError, match="pool of s2 is full"):
        instances.refuse(cast(Lxd, cluster), [(cast(Host, host), planned("n4", "s2"))], "home/1")


def test_an_instance_that_is_named_gone_goes_with_its_copy(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    monkeypatch.setattr(instances, "all_planned", lambda _: [])
    here, said = tmp_path_factory.mktemp("here"), list[str]()
    host: Any = SimpleNamespace(
        name="s2", say=said.append, task=lambda _: nullcontext(SimpleNamespace()), key_file=here / "key",
        known_hosts=here / "known_hosts", site=Site(name="home"),
    )  # fmt: skip
    cluster = Cluster(instance("lxd-move-of-7", "n3"), instance("lxd-move-of-8", "n4"))
    assert removing.not_gone(cast(Lxd, cluster), ["n3"], "home/1") == ["lxd-move-of-7"]
    removing.take_away(cast(Lxd, cluster), host, ["n3"], "home/1")
    assert list(cluster.instances) == ["lxd-move-of-8"]
    assert said == ["n4 on s2 is in no plan and stays: homewright site remove-instance n4"]
