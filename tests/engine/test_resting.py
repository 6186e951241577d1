"""What rests on a stage is taken back before it: which stages, by the plan and the journal; and by whole engines."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml  # ansible-core brings it

from homewright.catalogue import load
from homewright.engine import launch, lock, remains
from homewright.engine.journal import Reader
from homewright.engine.journal.writer import Writer
from homewright.engine.resting import resting
from homewright.engine.states import Action, State
from homewright.planning import plan
from homewright.site.models import Server, Site
from homewright.site.paths import StateFolder

from .catalogues import NOTHING, Tiny
from .conftest import wait_for

SITE = Site(name="attic", servers=(Server(name="s1", address="127.0.0.1", user="ann"),))
RUN = NOTHING.format(name="run")


@pytest.fixture
def stages(tmp_path: Path) -> Path:
    """Stages 90, 91 on it, 92 on that, and 93 beside them."""
    root = tmp_path / "catalogue"
    for stage, requires in (("90", []), ("91", ["90"]), ("92", ["91"]), ("93", [])):
        made = Tiny(root / stage, stage).step(1, RUN)
        file = made.folder / "stage.yaml"
        file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | {"requires": requires}))
    return root


@pytest.mark.parametrize(
    ("stage", "applied", "above"),
    [
        ("90", {"90/10", "91/10", "92/10", "93/10"}, ("91", "92")),
        ("90", {"92/10"}, ("92",)),  # by way of a stage that is taken back already
        ("91", {"90/10", "91/10", "93/10"}, ()),
        ("92", {"90/10", "91/10", "92/10", "93/10"}, ()),
        ("90", set(), ()),
        ("77", {"90/10"}, ()),
    ],
)
def test_applied_stages_that_need_it_rest_on_a_stage(
    stages: Path, stage: str, applied: set[str], above: tuple[str, ...]
) -> None:
    planned = plan(SITE, load([stages]))
    assert resting(planned, stage, {(step, "s1") for step in applied}) == above
    assert resting(planned, stage, {(step, "gone") for step in applied}) == ()


def record(state: StateFolder, run: str, action: Action, step: str, outcome: State, started: float | None) -> None:
    writer = Writer(state, run)
    row = {"stage": "90", "title": "T", "runner": "python", "position": 1, "state": outcome, "started": started}
    writer.change(writer.add_run(action=action, state=outcome, created=0.0), writer.add_step(step, "s1", **row))
    writer.close()


def test_applied_is_what_was_begun_and_not_taken_back_since(state: StateFolder) -> None:
    reader = Reader(state)
    record(state, "r1", Action.RUN, "90/10", State.SUCCEEDED, 1.0)
    record(state, "r2", Action.RUN, "91/10", State.SKIPPED, 1.0)  # it failed, and was skipped after that
    record(state, "r3", Action.RUN, "92/10", State.PENDING, None)
    record(state, "r4", Action.VERIFY, "93/10", State.SUCCEEDED, 1.0)
    assert reader.applied() == {("90/10", "s1"), ("91/10", "s1")}
    record(state, "r5", Action.ROLLBACK, "90/10", State.FAILED, 1.0)
    assert reader.applied() == {("90/10", "s1"), ("91/10", "s1")}
    record(state, "r6", Action.ROLLBACK, "90/10", State.ROLLED_BACK, 1.0)
    assert reader.applied() == {("91/10", "s1")}
    assert reader.applied("r6") == {("90/10", "s1"), ("91/10", "s1")}, "but for what this run took back"
    record(state, "r7", Action.RUN, "90/10", State.INTERRUPTED, 1.0)
    assert reader.applied() == {("90/10", "s1"), ("91/10", "s1")}


@pytest.mark.programs
def test_an_engine_takes_back_what_rests_on_its_stage_first(tmp_path: Path, state: StateFolder, stages: Path) -> None:
    site = tmp_path / "site.yaml"
    site.write_text("version: 1\nname: attic\nservers:\n  - {name: s1, address: 127.0.0.1, user: ann, port: 1}\n")
    reader = Reader(state)

    def steps(action: str) -> list[str]:
        run = launch.start(site, state, action=action, only="90", stages=[stages])
        wait_for(lambda: lock.holder(state) is None, "the engine's end")
        return [row.step for row in reader.steps(run) if not row.host]

    assert steps("apply") == ["90/10"]
    assert steps("rollback") == ["90/10"]
    record(state, "r1", Action.RUN, "91/10", State.SUCCEEDED, 1.0)
    assert steps("rollback") == ["91/10", "90/10"]
    launch.resume(site, state, reader.run().id)
    wait_for(lambda: lock.holder(state) is None, "the engine's end")
    assert [row.step for row in reader.steps(reader.run().id) if not row.host] == ["91/10", "90/10"]


@pytest.mark.programs
def test_what_was_done_is_taken_back_though_its_server_left_the_group(tmp_path: Path, state: StateFolder) -> None:
    root = tmp_path / "catalogue"
    Tiny(root).step(1, RUN, hosts="lxd_servers")
    site = tmp_path / "site.yaml"
    site.write_text(
        "version: 1\nname: attic\nplatform: {nodes: servers}\n"
        "servers:\n  - {name: s1, address: 127.0.0.1, user: ann, port: 1}\n"
    )
    record(state, "r1", Action.RUN, "90/10", State.SUCCEEDED, 1.0)
    reader = Reader(state)
    for action, rows in (("apply", [""]), ("rollback", ["", "s1"])):
        run = launch.start(site, state, action=action, only="90", stages=[root])
        wait_for(lambda: lock.holder(state) is None, "the engine's end")
        assert [row.host for row in reader.steps(run)] == rows
    assert [[host.host for host in step.hosts] for step in remains.look(site, state).steps] == [["s1"]]


@pytest.mark.programs
def test_what_was_done_is_taken_back_though_its_answer_is_gone(tmp_path: Path, state: StateFolder) -> None:
    root = tmp_path / "catalogue"
    for stage, requires in (("90", []), ("91", ["90"])):
        file = Tiny(root / stage, stage).step(1, RUN, when="zone").folder / "stage.yaml"
        file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | {"requires": requires}))
    site = tmp_path / "site.yaml"
    site.write_text("version: 1\nname: attic\nservers:\n  - {name: s1, address: 127.0.0.1, user: ann, port: 1}\n")
    record(state, "r1", Action.RUN, "90/10", State.SUCCEEDED, 1.0)
    record(state, "r2", Action.RUN, "91/10", State.SUCCEEDED, 1.0)
    reader = Reader(state)
    back = [("91/10", ""), ("91/10", "s1"), ("90/10", ""), ("90/10", "s1")]
    for action, rows in (("apply", [("90/10", "")]), ("rollback", back)):
        run = launch.start(site, state, action=action, only="90", stages=[root])
        wait_for(lambda: lock.holder(state) is None, "the engine's end")
        assert [(row.step, row.host) for row in reader.steps(run)] == rows
    seen = [(step.id, [host.host for host in step.hosts]) for step in remains.look(site, state).steps]
    assert seen == [("91/10", ["s1"]), ("90/10", ["s1"])]
