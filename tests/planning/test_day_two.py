"""Edits of a site that runs: what a plan says of its instances, and the answers that a server or instance leaves by."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from homewright.discovery.facts import HostFacts, System
from homewright.errors import UsageError
from homewright.planning import Plan, kept, plan
from homewright.planning.difference import difference, sentences
from homewright.planning.instance_changes import instance_changes, readdressed, shrunk
from homewright.planning.leaving import Fates, named, without_instance, without_server
from homewright.site import files
from homewright.site.models import Site
from homewright.site.paths import StateFolder

from .composed import hosts, site
from .test_difference import catalogue

FACTS = hosts(3)
ANOTHER = FACTS["s3"].model_copy(update={"system": System(machine_id="another")})


def node(number: int, host: int | None = None, **more: Any) -> dict[str, Any]:
    base = {"name": f"n{number}", "host": f"s{host or number}", "role": "worker", "cpu": 4, "memory": 8, "disk": 50}
    return {**base, "address": f"10.100.0.{number + 1}", **more}


def of(*nodes: dict[str, Any], facts: dict[str, HostFacts] | None = None, **answers: Any) -> Plan:
    instances = {"nodes": list(nodes), **answers.pop("instances", {})}
    return plan(site(3, instances=instances, **answers), catalogue(), facts or FACTS)


def away(old: Plan, lost: bool = False) -> dict[str, Any]:
    return {
        "servers": [{"name": f"s{n}", "address": f"192.168.1.{10 + n}", "user": "ann"} for n in (1, 2)],
        "leaving": [{"name": "s3", "address": "192.168.1.13", "user": "ann", "lost": lost}],
    }


BEFORE = of(node(1), node(2), node(3))


@pytest.mark.parametrize(
    ("now", "fates", "words"),
    [
        (BEFORE, [], ""),
        (of(node(1), node(2), node(3, 2)), [("n3", "moved", False)], "n3 moves from s3 to s2 with all that is in it"),
        (of(node(1, cpu=8), node(2), node(3)), [("n1", "resized", False)], "gets 8 CPU, 8 GiB, 50 GiB disk, not 4 CPU"),
        (of(node(1), node(2), node(3, address="10.100.0.9")), [("n3", "addressed", False)], "in place of 10.100.0.4"),
        (of(node(1), node(2), node(3), node(4, 1)), [("n4", "new", False)], "n4 is made on s1"),
        (of(node(1), node(2)), [("n3", "left", False)], "homewright site remove-instance n3"),
        (of(node(1), node(2), instances={"gone": ["n3"]}), [("n3", "gone", True)], "nothing else is a copy"),
        (of(node(1), node(2), **away(BEFORE, lost=True)), [("n3", "gone", True)], "n3 is lost with s3"),
        (of(node(1), node(2), node(3, 1), **away(BEFORE)), [("n3", "moved", False)], "rollback --server s3"),
        (of(node(1), node(2), node(3, 1), **away(BEFORE, lost=True)), [("n3", "anew", True)], "made anew on s1, empty"),
        (
            of(node(1), node(2), node(3), facts=FACTS | {"s3": ANOTHER}),
            [("n3", "anew", True)],
            "lost with the s3 of before",
        ),
    ],
)  # fmt: skip
def test_what_becomes_of_instances(now: Plan, fates: list[tuple[str, str, bool]], words: str) -> None:
    found = instance_changes(BEFORE, now)
    assert [(one.name, one.fate, one.loses) for one in found] == fates
    told = "\n".join(sentences(difference(BEFORE, now)))
    assert words in told and "instances.nodes" not in told


def test_what_was_only_approved_leaves_nothing_behind(tmp_path: Path) -> None:
    """Before the first run no instance is there to be kept or moved, and no file to be written anew."""
    state = StateFolder(tmp_path / "state")
    now = of(node(1), node(2, 1), **{**away(BEFORE), "leaving": []})
    kept.approve(state, BEFORE)
    found = kept.since_last(state, now)
    assert found is not None and found.answers and not (found.instances or found.old_state or found.steps_again)
    assert not any(words in "".join(sentences(found)) for words in ("n3 stays", "n2 moves", "anew"))
    assert "n3 stays" not in kept.since_approval(state, BEFORE.digest, now)
    kept.apply(state, BEFORE)
    made = kept.since_last(state, now)
    assert made is not None and [(one.name, one.fate) for one in made.instances] == [("n2", "moved"), ("n3", "left")]


def test_a_disk_never_becomes_smaller() -> None:
    now = of(node(1, disk=40), node(2, disk=60), node(3))
    assert [misfit.field for misfit in shrunk(BEFORE, now)] == ["instances.nodes.n1.disk"]
    assert shrunk(None, now) == ()
    lost = of(node(1), node(2), node(3, 1, disk=20), **away(BEFORE, lost=True))
    assert shrunk(BEFORE, lost) == (), "what is made anew may be smaller"


def test_a_run_of_another_stage_leaves_the_instances_as_they_are() -> None:
    from homewright.catalogue import load, shipped

    stages = load([shipped()])
    whole = plan(site(3, instances={"nodes": [node(1), node(2)]}), stages, FACTS)
    other = site(3, instances={"nodes": [node(1)]})
    assert kept.merged(whole, plan(other, stages, FACTS, only="00")).instances == whole.instances
    assert len(kept.merged(whole, plan(other, stages, FACTS, only="20")).instances) == 1
    assert kept.without(whole, frozenset({"20"})).instances == ()
    assert kept.without(whole, frozenset({"30"})).instances == whole.instances


def left(before: Site, changes: dict[str, Any]) -> Site:
    return files.changed(before, changes)


def test_a_server_leaves_with_its_instance_moved() -> None:
    before = site(3, workspaces={"master": "s3"}, gpus=[{"host": "s3", "address": "0000:01:00.0", "use": "desktop"}])
    there = named(before, FACTS)
    fates = Fates({"s3-node": "s1"})
    after = left(before, without_server(before, FACTS, "s3", fates, applied=True, lost=False, formed=False))
    assert [one.name for one in after.servers] == ["s1", "s2"] and after.gpus == () and after.workspaces.master is None
    assert [(one.name, one.lost) for one in after.leaving] == [("s3", False)]
    assert after.instances.nodes is not None
    assert [(one.name, one.host, one.address) for one in after.instances.nodes] == [
        ("s1-node", "s1", there[0].address), ("s2-node", "s2", there[1].address), ("s3-node", "s1", there[2].address),
    ]  # fmt: skip
    back = after.with_back(["s3"])
    assert [one.name for one in back.servers] == ["s1", "s2", "s3"] and back.leaving == ()


@pytest.mark.parametrize("lost", [False, True])
def test_a_server_leaves_and_its_instance_goes(lost: bool) -> None:
    before = site(3)
    changes = without_server(before, FACTS, "s2", Fates({}, ["s2-node"]), applied=True, lost=lost, formed=False)
    after = left(before, changes)
    assert after.instances.gone == ("s2-node",) and after.instances.nodes is not None
    assert [one.name for one in after.instances.nodes] == ["s1-node", "s3-node"]
    assert after.leaving[0].lost is lost


def test_a_server_that_nothing_was_put_on_just_leaves() -> None:
    before = site(3)
    after = left(before, without_server(before, FACTS, "s3", Fates({}), applied=False, lost=False, formed=False))
    assert len(after.servers) == 2 and after.leaving == () and after.instances.nodes is None


@pytest.mark.parametrize(
    ("fates", "words"),
    [
        (Fates({}), "What becomes of s3-node"),
        (Fates({"s3-node": "s9"}), "cannot go to s9"),
        (Fates({"s3-node": "s3"}), "cannot go to s3"),
        (Fates({"s3-node": "s1"}, ["s1-node"]), "s1-node is no instance on s3"),
    ],
)
def test_what_becomes_of_its_instances_has_to_be_said(fates: Fates, words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        without_server(site(3), FACTS, "s3", fates, applied=True, lost=False, formed=False)
    assert caught.value.do and "--lost" not in " ".join(caught.value.do)


def test_how_it_leaves_stays_in_what_is_advised() -> None:
    with pytest.raises(UsageError, match="What becomes of s3-node") as caught:
        without_server(site(3), FACTS, "s3", Fates({}), applied=True, lost=True, formed=False)
    assert all("remove-server s3 --lost --" in one for one in caught.value.do)


def test_an_instance_is_taken_away_and_the_others_keep_their_addresses() -> None:
    before = site(3)
    after = left(before, without_instance(before, FACTS, "s1-node", formed=False))
    assert after.instances.gone == ("s1-node",)
    assert [one.address for one in after.instances.nodes or ()] == [one.address for one in named(before, FACTS)[1:]]
    with pytest.raises(UsageError, match="already"):
        without_instance(after, FACTS, "s1-node", formed=False)


def with_cluster(count: int, **more: Any) -> Site:
    return site(count, platform={"cluster": "kubeadm", "nodes": "instances"}, **more)


SHARED: dict[str, Any] = {"cluster": {"address": "10.100.0.200"}}


@pytest.mark.parametrize(
    ("count", "answers", "going", "last"),
    [(3, {}, ["s1-node"], True), (2, SHARED, ["s1-node"], True), (3, SHARED, ["s2-node", "s3-node", "s1-node"], True),
     (3, {}, ["s3-node", "s2-node"], False)],
)  # fmt: skip
def test_the_last_control_plane_is_not_taken_away_while_its_cluster_is_there(
    count: int, answers: dict[str, Any], going: list[str], last: bool
) -> None:
    now, facts = with_cluster(count, **answers), hosts(count)
    for name in going[: len(going) - last]:
        now = left(now, without_instance(now, facts, name, formed=True))
    if last:
        with pytest.raises(UsageError, match="s1-node is the cluster's only control plane"):
            without_instance(now, facts, "s1-node", formed=True)
        assert "s1-node" in without_instance(now, facts, "s1-node", formed=False)["instances.gone"]


@pytest.mark.parametrize("answers", [{}, SHARED])
def test_a_server_does_not_take_the_last_control_plane_with_it(answers: dict[str, Any]) -> None:
    now, facts, gone = with_cluster(2, **answers), hosts(2), Fates({}, ["s1-node"])
    with pytest.raises(UsageError, match="s1 has the cluster's only control plane, s1-node"):
        without_server(now, facts, "s1", gone, applied=True, lost=False, formed=True)
    assert without_server(now, facts, "s1", Fates({"s1-node": "s2"}), applied=True, lost=False, formed=True)
    assert without_server(now, facts, "s1", gone, applied=True, lost=True, formed=True)


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ({"leaving": [{"name": "s1", "address": "10.0.0.9", "user": "ann"}]}, "s1 is a server of this site"),
        ({"leaving": [{"name": "s8", "address": "10.0.0.9", "user": "ann"}] * 2}, "two leaving servers"),
        ({"instances": {"nodes": [node(1)], "gone": ["n1"]}}, "n1 is one of the instances"),
    ],
)
def test_what_contradicts_itself_is_refused(answers: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        site(1, **answers)


def test_what_is_proposed_anew_resizes_nothing() -> None:
    """Proposals follow what is free, which an instance changes by being there: it keeps the size that it has."""
    old, new = plan(site(3), catalogue(), FACTS), plan(site(3), catalogue(), FACTS)
    smaller = [one.model_copy(update={"disk": 20}) for one in new.instances]
    new = new.model_copy(update={"instances": tuple(smaller)})
    assert shrunk(old, new) == () and instance_changes(old, new) == ()


def behind(address: str | None, count: int = 3, **answers: Any) -> Plan:
    """Proposed instances whose control planes share an address of LXD's range."""
    cluster = {"address": address} if address else {}
    given = {"platform": {"cluster": "kubeadm"}, "network": {"lxd": "10.100.0.0/24"}, "cluster": cluster, **answers}
    return plan(site(count, **given), catalogue(), hosts(count))


def chosen(*last: int) -> dict[str, Any]:
    nodes = [node(n, name=f"s{n}-node", address=f"10.100.0.{one}") for n, one in enumerate(last, 1)]
    return {"instances": {"nodes": nodes}}


@pytest.mark.parametrize(
    ("old", "new", "refused"),
    [
        (behind(None), behind("10.100.0.3"), ["s2-node", "s3-node"]),
        (behind("10.100.0.3"), behind(None), ["s2-node", "s3-node"]),
        (behind("10.100.0.3"), behind("10.100.0.99"), ["s2-node", "s3-node"]),
        (behind(None), behind("10.100.0.99"), []),
        (behind("10.100.0.5"), behind("10.100.0.5", 4), []),  # what is new is led round it
        (behind(None), behind("10.100.0.5", 4), []),
        (behind(None), behind("10.100.0.3", network={"lxd": "10.101.0.0/24"}), []),  # they all go elsewhere
        (behind(None), behind("10.100.0.3", **chosen(2, 40, 4)), []),  # as somebody says
        (None, behind("10.100.0.3"), []),
    ],
)
def test_a_shared_address_takes_no_instance_its_own(old: Plan | None, new: Plan, refused: list[str]) -> None:
    found = readdressed(old, new)
    assert [one.reason.split()[0] for one in found] == refused
    assert all(one.field == "cluster.address" and "homewright site" in one.do[1] for one in found)
