"""When a server that leaves is taken out of the site's file, and where a roll-back of one server works."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from homewright.access import engine_key, key_change
from homewright.engine import departure, process
from homewright.engine.events import Level
from homewright.engine.journal import Reader
from homewright.engine.journal.writer import Writer
from homewright.engine.launch import RunRequest
from homewright.engine.process import Engine
from homewright.engine.states import Action, State
from homewright.errors import SiteError, UsageError
from homewright.planning.plan import NOT_ASKED
from homewright.site import files
from homewright.site.models import Leaving, Server, Site
from homewright.site.paths import StateFolder, make_folder

from .catalogues import NOTHING, Tiny

SITE = Site(
    name="attic",
    servers=(Server(name="s1", address="192.0.2.1", user="ann"),),
    leaving=(
        Leaving(name="s2", address="192.0.2.2", user="ann"),
        Leaving(name="s3", address="192.0.2.3", user="ann", lost=True),
    ),
)


def planned(skipped: str = "") -> Any:
    forgets = SimpleNamespace(reads=("servers", "leaving"))
    return SimpleNamespace(stages=[SimpleNamespace(skipped=skipped, steps=[forgets])])


def recorded(state: StateFolder, run: str, action: Action, step: str, host: str, outcome: State) -> Writer:
    writer = Writer(state, run)
    row = {"stage": "20", "title": step, "runner": "python", "position": 0, "state": outcome}
    writer.change(writer.add_run(action=action, state=State.SUCCEEDED, created=0.0), writer.add_step(step, host, **row))
    return writer


@pytest.mark.parametrize(
    ("action", "state_", "skipped", "left"),
    [
        (Action.RUN, State.SUCCEEDED, "", ["s2"]),
        (Action.RUN, State.SUCCEEDED, NOT_ASKED, ["s2", "s3"]),
        (Action.RUN, State.FAILED, "", ["s2", "s3"]),
        (Action.VERIFY, State.SUCCEEDED, "", ["s2", "s3"]),
    ],
)
def test_one_that_is_lost_goes_once_the_cluster_has_forgotten_it(
    state: StateFolder, tmp_path: Path, action: Action, state_: State, skipped: str, left: list[str]
) -> None:
    file = tmp_path / "site.yaml"
    files.save(file, SITE)
    engine_key.ensure(state.key, "x")
    key_change.begin(state.key, ["s1", "s2", "s3"], "x")
    context: Any = SimpleNamespace(site=SITE, state=state, writer=Writer(state, "r1"))
    departure.conclude(context, file, action, state_, planned(skipped))
    context.writer.close()
    assert [one.name for one in files.load(file).leaving] == left
    assert key_change.owed(state.key) == ("s1", *left), "who is gone keeps no old key"


def test_one_leaves_where_the_record_of_old_keys_is_damaged(state: StateFolder, tmp_path: Path) -> None:
    file = tmp_path / "site.yaml"
    files.save(file, SITE)
    state.key.with_name(key_change.RECORD).write_text("")
    context: Any = SimpleNamespace(site=SITE, state=state, writer=Writer(state, "r1"))
    departure.conclude(context, file, Action.RUN, State.SUCCEEDED, planned())
    context.writer.close()
    assert [one.name for one in files.load(file).leaving] == ["s2"]


def test_one_that_leaves_goes_once_nothing_is_left_on_it(state: StateFolder, tmp_path: Path) -> None:
    file = tmp_path / "site.yaml"
    files.save(file, SITE)
    engine_key.ensure(state.key, "x")
    key_change.begin(state.key, ["s2", "s3"], "x")
    recorded(state, "r1", Action.RUN, "20/10", "s2", State.SUCCEEDED).close()
    recorded(state, "r2", Action.RUN, "20/10", "s1", State.SUCCEEDED).close()
    assert departure.places(state, ["s2"], "r3") == {"20/10": ["s2"]} and departure.places(state, [], "r3") is None
    context: Any = SimpleNamespace(site=SITE.with_back(["s2"]), state=state, writer=Writer(state, "r3"))
    departure.conclude(context, file, Action.ROLLBACK, State.ROLLED_BACK, planned())
    assert [one.name for one in files.load(file).leaving] == ["s2", "s3"], "something is on it still"
    context.writer.close()
    context.writer = recorded(state, "r4", Action.ROLLBACK, "20/10", "s2", State.ROLLED_BACK)
    departure.conclude(context, file, Action.ROLLBACK, State.ROLLED_BACK, planned())
    context.writer.close()
    assert [one.name for one in files.load(file).leaving] == ["s3"]
    assert key_change.owed(state.key) == ("s3",)


def with_disk(gib: int) -> Any:
    """A plan for one instance n1 with a disk of this size, made in 20/30 and given its GPUs in 20/40."""
    steps = [
        SimpleNamespace(id="20/20", reads=("servers",)),
        *(SimpleNamespace(id=f"20/{n}", reads=("instances",)) for n in (30, 40)),
    ]
    node = SimpleNamespace(name="n1", host="s1", disk=gib)
    answers = {"instances.nodes (order)": "n1"}
    return SimpleNamespace(
        site="attic", answers=answers, machines=(), instances=(node,), stages=[SimpleNamespace(steps=steps)]
    )


@pytest.mark.parametrize(
    ("before", "refused"),
    [
        ([], False),
        ([State.SUCCEEDED], True),
        ([State.SUCCEEDED, State.FAILED], False),  # the larger one was never made; where it was, the step refuses
        ([State.SUCCEEDED, State.PENDING], False),
        ([State.SUCCEEDED, State.CANCELLED], False),
        ([State.FAILED, State.SUCCEEDED], True),
        ([State.SUCCEEDED, State.SKIPPED], True),  # a run of another stage
        ([State.FAILED, State.SKIPPED], False),
    ],
)
def test_a_size_that_was_only_asked_for_can_be_set_back(state: StateFolder, before: list[State], refused: bool) -> None:
    for number, outcome in enumerate(before):
        recorded(state, f"r{number}", Action.RUN, "20/30", "", outcome).close()
        recorded(state, f"v{number}", Action.VERIFY, "20/30", "", State.SUCCEEDED).close()
    if refused:
        with pytest.raises(SiteError, match=r"n1\.disk"):
            departure.refuse(with_disk(500), with_disk(50), Reader(state))
    else:
        departure.refuse(with_disk(500), with_disk(50), Reader(state))
    departure.refuse(with_disk(50), with_disk(500), Reader(state))


def test_a_shared_address_that_an_instance_has_is_refused_before_anything_is_done(state: StateFolder) -> None:
    def sharing(shared: dict[str, str], address: str) -> Any:
        made = with_disk(50)
        made.answers, made.decisions = shared, ()
        made.instances = (SimpleNamespace(name="n1", host="s1", disk=50, address=address),)
        return made

    before, now = sharing({}, "10.100.0.3"), sharing({"cluster.address": "10.100.0.3"}, "10.100.0.4")
    departure.refuse(before, now, Reader(state))  # nothing is made yet
    recorded(state, "r1", Action.RUN, "20/30", "", State.SUCCEEDED).close()
    with pytest.raises(SiteError, match=r"cluster\.address") as caught:
        departure.refuse(before, now, Reader(state))
    assert "n1 is there and has 10.100.0.3" in caught.value.why and "site unset cluster.address" in caught.value.do[1]


@pytest.mark.parametrize(
    ("host", "only", "servers", "attempt", "refused"),
    [
        ("s2", None, (), 1, True),
        ("s2", "90", (), 1, True),
        ("s2", "80", (), 1, False),  # nothing of that stage is there
        ("s2", None, ("s2",), 1, False),
        ("s2", None, (), 2, False),  # one that has begun is ended
        ("s3", None, (), 1, False),  # lost: nothing can be taken back there
        ("s1", None, (), 1, False),
    ],
)
def test_nothing_is_taken_back_from_under_a_server_that_leaves(
    state: StateFolder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    host: str,
    only: str | None,
    servers: tuple[str, ...],
    attempt: int,
    refused: bool,
) -> None:
    file, folder = tmp_path / "site.yaml", state.run("r2")
    files.save(file, SITE)
    recorded(state, "r1", Action.RUN, "90/10", host, State.SUCCEEDED).close()
    roots = [Tiny(tmp_path / name, name).step(1, NOTHING.format(name="run")).root for name in ("80", "90")]
    for made in (state.runs, folder, folder / "catalogue"):
        make_folder(made)
    for number, root in enumerate(roots if attempt > 1 else []):
        root.rename(folder / "catalogue" / str(number))
    request = RunRequest("rollback", only, stages=(str(roots[1]),), servers=servers, attempt=attempt)
    (folder / "request.json").write_text(json.dumps(asdict(request)))
    writer = Writer(state, "r2")
    if attempt > 1:
        writer.change(writer.add_run(action=Action.ROLLBACK, state=State.FAILED, created=0.0))
    monkeypatch.setattr(process, "shipped", lambda: roots[0])
    engine = Engine(file, state, "r2")
    try:
        if refused:
            with pytest.raises(UsageError, match="s2 would be left behind") as error:
                engine._prepare(writer)
            assert error.value.do[0] == "first: homewright rollback --server s2"
        else:
            engine._prepare(writer)
    finally:
        writer.close()


@pytest.mark.parametrize("lost", ["a file", "all of it"])
def test_a_look_that_was_cut_off_begins_anew_with_the_catalogue_as_it_is(
    state: StateFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    """Its copy was never brought to the disk for good: after a power cut it may be empty, or not there at all."""
    file, folder = tmp_path / "site.yaml", state.run("r2")
    files.save(file, SITE)
    root = Tiny(tmp_path / "90", "90").step(1, NOTHING.format(name="run")).root
    kept = folder / "catalogue"
    for made in (state.runs, folder, *([kept, kept / "0"] if lost == "a file" else [])):
        make_folder(made)
    if kept.exists():
        (kept / "0" / "stage.yaml").write_text("")
    (folder / "request.json").write_text(json.dumps(asdict(RunRequest("verify", None, attempt=2))))
    writer = Writer(state, "r2")
    writer.change(writer.add_run(action=Action.VERIFY, state=State.RUNNING, created=0.0))
    monkeypatch.setattr(process, "shipped", lambda: root)
    try:
        context, _ = Engine(file, state, "r2")._prepare(writer)
    finally:
        writer.close()
    assert [stage.id for stage in context.catalogue.stages] == ["90"]


def test_a_roll_back_has_ended_well_whatever_became_of_the_sites_file(state: StateFolder, tmp_path: Path) -> None:
    file = tmp_path / "site.yaml"
    file.write_text("name: [")
    context: Any = SimpleNamespace(site=SITE.with_back(["s2"]), state=state, writer=Writer(state, "r1"))
    departure.conclude(context, file, Action.ROLLBACK, State.ROLLED_BACK, planned())
    context.writer.close()
    (said,) = Reader(state).events("r1")
    assert said.level == Level.WARNING and "cannot be told" in said.text
    assert file.read_text() == "name: ["
