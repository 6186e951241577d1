"""A server leaves a site that runs: what becomes of its instances is asked, and its name has to be typed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from piloting import Compare, Make, both, drive, page, shows, until
from recorded_sites import lay_out
from textual.pilot import Pilot
from textual.widgets import Input

from homewright.access import engine_key, key_change
from homewright.cluster import SECRET
from homewright.engine import launch
from homewright.engine.journal.writer import Writer
from homewright.engine.states import Action, State
from homewright.planning.cluster import planned
from homewright.planning.known import known_facts
from homewright.screens.widgets.field import Field
from homewright.site import files
from homewright.site.models import Leaving
from homewright.site.paths import StateFolder
from homewright.site.secrets import Secrets

SIZE = (80, 24)


def running_site() -> Path:
    """Recorded machines, as if step 20/30 had been carried out on them."""
    file, state = lay_out("attic")
    record(state)
    return file


def record(state: StateFolder) -> None:
    writer = Writer(state, "r1")
    writer.change(writer.add_run(action=Action.RUN, state=State.SUCCEEDED, created=0.0))
    for host in ("", "birch", "cedar", "maple"):
        row = {"stage": "20", "title": "Instances", "runner": "python", "position": 0, "state": State.SUCCEEDED}
        writer.change(writer.add_step("20/30", host, **row))
    writer.close()


def field(pilot: Pilot[object], name: str) -> Field:
    return pilot.app.screen.query_one(f"#field-{name}", Field)


def test_a_server_that_just_leaves_keeps_no_old_key_here(make_app: Make) -> None:
    file, state = lay_out("attic")
    engine_key.ensure(state.key, "x")
    key_change.begin(state.key, ["birch", "maple"], "x")

    async def flow(pilot: Pilot[object]) -> None:
        await page("servers", ("maple",), "end", "D", ("remove maple?",), file=file)(pilot)
        await pilot.press(*"maple", "enter")
        await until(pilot, lambda: "maple" not in {one.name for one in files.load(file).servers})
        await until(pilot, shows(pilot, "Saved in site.yaml."))

    drive(make_app(), SIZE, flow)
    assert key_change.owed(state.key) == ("birch",)


def test_a_server_leaves_with_its_instance_moved_or_lost(make_app: Make) -> None:
    file = running_site()

    async def flow(pilot: Pilot[object]) -> None:
        await page("servers", ("maple",), "end", "D", ("maple leaves the site", "goes to birch"), file=file)(pilot)
        await pilot.press("ctrl+s")
        await until(pilot, shows(pilot, "that is not maple"))
        field(pilot, "name").query_one(Input).value = "maple"
        await pilot.press("ctrl+s")
        await until(pilot, shows(pilot, "Plan says what is done"))
        await until(pilot, shows(pilot, "leaves the site"))
        await pilot.press("end", "up", "D")  # those that leave are the last ones
        await until(pilot, shows(pilot, "cedar leaves the site", "cedar-node"))
        field(pilot, "to-0").control_widget.focus()
        await pilot.press("left")
        await until(pilot, shows(pilot, "is taken away", "nothing else is a copy"))
        field(pilot, "name").query_one(Input).value = "cedar"
        await pilot.press("ctrl+s")
        await until(pilot, lambda: len(files.load(file).leaving) == 2)

    drive(make_app(), SIZE, flow)
    site = files.load(file)
    assert [one.name for one in site.servers] == ["birch"]
    assert [(one.name, one.lost) for one in site.leaving] == [("maple", False), ("cedar", False)]
    assert site.instances.gone == ("cedar-node",) and site.instances.nodes is not None
    assert {one.name: one.host for one in site.instances.nodes} == {"birch-node": "birch", "maple-node": "birch"}


def test_a_server_does_not_take_the_only_control_plane_with_it(make_app: Make) -> None:
    file, state = lay_out("attic")
    record(state)
    files.update(file, {"platform.cluster": "kubeadm", "platform.nodes": "instances"})
    Secrets(state.secrets).set(SECRET, "of the cluster that is there")
    first = planned(files.load(file), known_facts(files.load(file), state)).first
    row = [one.name for one in files.load(file).servers].index(first.server)

    async def flow(pilot: Pilot[object]) -> None:
        await page("servers", ("maple",), *["down"] * row, "D", (f"{first.server} leaves the site",), file=file)(pilot)
        field(pilot, "to-0").control_widget.focus()
        await pilot.press("left")
        await until(pilot, shows(pilot, "is taken away", "nothing else is a copy"))
        field(pilot, "name").query_one(Input).value = first.server
        await pilot.press("ctrl+s")
        await until(pilot, shows(pilot, f"{first.server} has the cluster's only control plane, {first.name}"))

    drive(make_app(), SIZE, flow)
    assert files.load(file).leaving == () and files.load(file).instances.gone == ()


def leaving_site(*, begun: bool = True) -> tuple[Path, StateFolder]:
    """The same, with maple on its way out."""
    file, state = lay_out("attic")
    if begun:
        record(state)
    site = files.load(file)
    maple = Leaving.model_validate(site.server("maple").model_dump())
    files.update(file, {"leaving": [maple], "servers": [one for one in site.servers if one.name != "maple"]})
    return file, state


def test_a_server_that_leaves_is_lost_on_its_way(make_app: Make) -> None:
    """It cannot be edited or contacted; its name has to be typed; afterwards there is nothing to take back."""
    file, _ = leaving_site()

    async def flow(pilot: Pilot[object]) -> None:
        await page("servers", ("leaves the site",), "end", ("R takes back what",), file=file)(pilot)
        await pilot.press("enter", "c", "D")
        await until(pilot, shows(pilot, "maple is lost?", "/srv/homewright/data"))
        await pilot.press(*"cedar", "enter")
        await until(pilot, shows(pilot, "that is not maple"))
        assert not files.load(file).leaving[0].lost
        pilot.app.screen.query_one(Input).value = "maple"
        await pilot.press("enter")
        await until(pilot, shows(pilot, "lost: leaves by force", "Plan says what is done"))
        await pilot.press("R", "D")
        await until(pilot, shows(pilot, "maple is lost already"))

    drive(make_app(), SIZE, flow)
    assert [(one.name, one.lost) for one in files.load(file).leaving] == [("maple", True)]


def test_a_server_that_leaves_is_taken_back(make_app: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the run that the command would begin as well, once its name was typed."""
    file, state = leaving_site()
    begun: list[tuple[object, ...]] = []

    def start(file: Path, state: StateFolder, *, action: str, servers: Sequence[str], stages: Sequence[Path]) -> str:
        begun.append((file, state.root, action, *servers, *stages))
        return "r2"

    monkeypatch.setattr(launch, "start", start)

    async def flow(pilot: Pilot[object]) -> None:
        await page("servers", ("leaves the site",), "end", ("R takes back what",), "R", file=file)(pilot)
        await until(pilot, shows(pilot, "take everything back on maple?"))
        await pilot.press("enter")
        await until(pilot, shows(pilot, "that is not maple"))
        assert not begun
        await pilot.press(*"maple", "enter")
        await until(pilot, lambda: bool(begun))
        await until(pilot, lambda: type(pilot.app.screen).__name__ == "Deploy")

    drive(make_app(), SIZE, flow)
    assert begun == [(file, state.root, "rollback", "maple")]


def test_a_server_that_nothing_is_on_is_forgotten(make_app: Make) -> None:
    file, state = leaving_site(begun=False)
    engine_key.ensure(state.key, "x")
    key_change.begin(state.key, ["birch", "maple"], "x")

    async def flow(pilot: Pilot[object]) -> None:
        await page("servers", ("nothing is on it",), "end", ("no more",), "D", ("forget maple?",), file=file)(pilot)
        await pilot.press(*"maple", "enter")
        await until(pilot, lambda: not files.load(file).leaving)

    drive(make_app(), SIZE, flow)
    assert key_change.owed(state.key) == ("birch",)


@both
@pytest.mark.parametrize("box", ["list", "lost", "back"])
def test_a_server_on_its_way_out(snap_compare: Compare, make_app: Make, size: tuple[int, int], box: str) -> None:
    file, _ = leaving_site()
    steps: dict[str, tuple[tuple[str, ...] | str, ...]] = {
        "list": (),
        "lost": ("D", ("maple is lost?",)),
        "back": ("R", ("take everything back on maple?",)),
    }
    act = page("servers", ("leaves the site",), "end", ("Plan and Deploy drain it",), *steps[box], file=file)
    assert snap_compare(make_app(), terminal_size=size, run_before=act)


@both
def test_a_server_that_leaves(snap_compare: Compare, make_app: Make, size: tuple[int, int]) -> None:
    file = running_site()
    words = ("maple leaves the site", "stopped, copied", "birch")
    act = page("servers", ("maple",), "end", "D", words, file=file)
    assert snap_compare(make_app(), terminal_size=size, run_before=act)
