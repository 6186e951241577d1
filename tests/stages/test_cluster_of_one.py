"""20/10 on a site of one server, to which a second one comes and from which it goes again; what each means is said."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
from driving import Practice
from lxd_on_servers import CLUSTER, LxdStage, with_nodes

from homewright.catalogue import load, shipped
from homewright.engine.states import Action

pytestmark = [pytest.mark.lab, pytest.mark.long]

ALONE, TWO = "a cluster of one server: when it is down", "two members have no quorum: when one is down"


@pytest.fixture
def site_of(practice: Practice, tmp_path: Path) -> Callable[[int], LxdStage]:
    """The stage on the first so many of the servers."""

    def made(count: int) -> LxdStage:
        site = practice.site.model_copy(update={"servers": practice.site.servers[:count]})
        stage = LxdStage(
            with_nodes(dataclasses.replace(practice, site=site)), load([shipped()]), facts_file=tmp_path / f"{count}"
        )
        stage.write_facts()
        stage.listings[CLUSTER] = stage.listing()
        return stage

    return made


def test_one_server_is_a_cluster_that_another_one_joins_and_leaves(site_of: Callable[[int], LxdStage]) -> None:
    two, one = site_of(2), site_of(1)
    first, second = two.practice.names
    one.captures[CLUSTER] = one.carry_out(CLUSTER, Action.CAPTURE).captures
    begun = one.run(CLUSTER)
    assert begun.changed[first] and any(ALONE in line for line in begun.lines())
    one.assert_proved(CLUSTER)
    assert one.verdicts(CLUSTER)[first][1].endswith("with 0 others; dir holds.")
    assert one.run(CLUSTER).changed == {first: 0}
    two.captures[CLUSTER] = {
        **one.captures[CLUSTER],
        **two.carry_out(CLUSTER, Action.CAPTURE, hosts=[second]).captures,
    }
    joined = two.run(CLUSTER)
    assert joined.changed[first] == 0 and joined.changed[second], joined.changed
    assert any(TWO in line for line in joined.lines())
    two.assert_proved(CLUSTER)
    assert set(two.run(CLUSTER).changed.values()) == {0}
    left = two.carry_out(CLUSTER, Action.ROLLBACK, hosts=[second])
    assert left.states == {second: "succeeded"}, left.reasons
    one.assert_proved(CLUSTER)
    assert two.listing()[second] == two.listings[CLUSTER][second]
    one.assert_taken_back(CLUSTER)
