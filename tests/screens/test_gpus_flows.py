"""GPUs by keyboard: each use is chosen or refused with its reason, and seen before it is saved."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from piloting import Make, closed, drive, page, shows, text_of, until
from recorded_sites import lay_out
from screen_doubles import facts_of
from textual.pilot import Pilot

from homewright.discovery.gathering import remember
from homewright.screens.app import HomewrightApp
from homewright.screens.gpu_text import short_name
from homewright.screens.services_planning import Known
from homewright.screens.text_box import TextBox
from homewright.screens.widgets.table import Table
from homewright.site import files
from homewright.site.answers import GpuChoice
from homewright.site.paths import StateFolder

if TYPE_CHECKING:
    from conftest import Recorded

SIZE = (80, 24)


def at(pilot: Pilot[object]) -> str:
    return pilot.app.screen.query_one("#gpus", Table).cursor_key


def chosen(file: Path) -> list[tuple[str, str, str, str | None]]:
    return [(one.host, one.address, one.use, one.instance) for one in files.load(file).gpus]


def test_a_gpu_is_passed_through_once_its_changes_have_been_seen(make_app: Make) -> None:
    file, _ = lay_out("attic")

    async def flow(pilot: Pilot[object]) -> None:
        await page("gpus", ("RTX 3090", "pass through: ✓ possible"), "p", file=file, name="attic")(pilot)
        await until(pilot, shows(pilot, "✓ pass through to birch-node *", "* not saved"))
        assert chosen(file) == []
        await pilot.press("v")
        await until(pilot, shows(pilot, "what changes in how servers start", "vfio-pci", "update-initramfs"))
        await closed(pilot, "escape")
        await pilot.press("ctrl+s")
        await until(pilot, shows(pilot, "save these choices?", "homewright-vfio is new"))
        assert chosen(file) == []
        await pilot.press("enter")
        await until(pilot, shows(pilot, "Saved in site.yaml"))
        assert "not saved" not in text_of(pilot.app)

    drive(make_app(), SIZE, flow)
    assert chosen(file) == [("birch", "0000:07:00.0", "passthrough", "birch-node")]


def test_what_is_not_possible_says_why(make_app: Make) -> None:
    file, _ = lay_out("shared-group")

    async def flow(pilot: Pilot[object]) -> None:
        await page("gpus", ("RTX 3050", "pass through: ✗ not possible"), "p", file=file, name="shared-group")(pilot)
        await until(pilot, shows(pilot, "Pass through is not possible. The box says why, at p", "as it is"))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, TextBox))
        await until(pilot, shows(pilot, "network card", "would lose"))
        await closed(pilot, "escape")
        await pilot.press("c")
        await until(pilot, shows(pilot, "✓ containers *"))
        await pilot.press("x")
        await until(pilot, shows(pilot, "stays as it is", "as it is (suits: containers)"))

    drive(make_app(), SIZE, flow)
    assert chosen(file) == []


def test_a_server_does_one_or_the_other(make_app: Make) -> None:
    """One was chosen in the file for containers: the other cannot be passed through, and the reason names the first."""
    file, _ = lay_out("twins")
    files.update(file, {"gpus": [GpuChoice(host="twin", address="0000:01:00.0", use="containers")]})

    async def flow(pilot: Pilot[object]) -> None:
        await page("gpus", ("✓ containers",), "down p", file=file, name="twins")(pilot)
        await until(pilot, shows(pilot, "Pass through is not possible. 0000:01:00.0 of twin is used by"))

    drive(make_app(), SIZE, flow)


def test_next_goes_to_the_choice_that_does_not_fit(make_app: Make) -> None:
    file, _ = lay_out("shared-group")
    files.update(file, {"gpus": [GpuChoice(host="alder", address="0000:06:00.0", use="passthrough")]})

    async def flow(pilot: Pilot[object]) -> None:
        await page("gpus", ("✗ pass through",), "ctrl+n", file=file, name="shared-group")(pilot)
        await until(pilot, shows(pilot, "0000:06:00.0 of alder cannot be passed through", "Wrong"))
        await pilot.press("c")
        await until(pilot, shows(pilot, "✓ containers *"))
        await pilot.press("ctrl+n")
        await until(pilot, shows(pilot, "save these choices?", "nothing changes in how servers start"))
        await pilot.press("enter")
        await until(pilot, lambda: "5/9 GPUs" not in text_of(pilot.app))

    drive(make_app(), SIZE, flow)
    assert chosen(file) == [("alder", "0000:06:00.0", "containers", None)]


def test_what_suits_is_taken_for_all_of_them(make_app: Make) -> None:
    file, _ = lay_out("attic")

    async def flow(pilot: Pilot[object]) -> None:
        await page("gpus", ("RTX 3090",), "t", ("Taken for 4 GPUs", "* not saved"), file=file, name="attic")(pilot)
        await pilot.press("ctrl+s")
        await until(pilot, shows(pilot, "save these choices?"))
        await pilot.press("enter")
        await until(pilot, shows(pilot, "Saved in site.yaml"))

    drive(make_app(), SIZE, flow)
    assert [use for _, _, use, _ in chosen(file)] == ["passthrough"] * 4


def test_one_of_several_instances_is_asked_for(make_app: Make) -> None:
    nodes = [{"name": name, "host": "twin", "cpu": 2, "memory": 2, "disk": 20} for name in ("n1", "n2")]
    file, _ = lay_out("twins", instances__nodes=nodes)

    async def flow(pilot: Pilot[object]) -> None:
        await page("gpus", ("RTX 4090",), "p", ("which instance gets it?",), "down", "enter", file=file, name="twins")(
            pilot
        )
        await until(pilot, shows(pilot, "✓ pass through to n2 *"))

    drive(make_app(), SIZE, flow)


def test_what_was_not_saved_is_asked_about(make_app: Make) -> None:
    file, _ = lay_out("shared-group")

    async def flow(pilot: Pilot[object]) -> None:
        await page("gpus", ("RTX 3050",), "c", ("✓ containers *",), "escape", file=file, name="shared-group")(pilot)
        await until(pilot, shows(pilot, "go back without saving?"))
        await closed(pilot, "escape")
        await until(pilot, shows(pilot, "✓ containers *"))

    drive(make_app(), SIZE, flow)
    assert chosen(file) == []


def test_servers_without_a_gpu_and_servers_not_known_are_told_apart(
    make_app: Make, services: Recorded, site: Path
) -> None:
    async def flow(pilot: Pilot[object]) -> None:
        await page("gpus", ("The GPUs are not known", "s1, s2, s3 not known"), "ctrl+n")(pilot)
        await until(pilot, lambda: "5/9 GPUs" not in text_of(pilot.app))

    drive(make_app(), SIZE, flow)
    facts = facts_of("s2")
    file, state = lay_out("shared-group")
    remember(state, facts.model_copy(update={"host": "alder", "gpus": ()}))

    async def none(pilot: Pilot[object]) -> None:
        await page("gpus", ("No server has a GPU", "works without a GPU"), file=file, name="shared-group")(pilot)

    drive(make_app(), SIZE, none)


def test_names_are_short_enough_for_a_row() -> None:
    assert [
        short_name(name)
        for name in (
            "NVIDIA GeForce RTX 3090",
            "NVIDIA Corporation GA106 [GeForce RTX 3060]",
            "Intel Corporation Raptor Lake-S GT1 [UHD Graphics 770]",
            "ASPEED Technology, Inc. ASPEED Graphics Family",
            "",
        )
    ] == ["GeForce RTX 3090", "GeForce RTX 3060", "UHD Graphics 770", "ASPEED Graphics Family", ""]


@pytest.mark.parametrize(("name", "title"), [("gpus", "6 GPUs"), ("instances", "3 instances")])
def test_the_table_has_the_keys_from_the_start(make_app: Make, services: Recorded, name: str, title: str) -> None:
    """Nothing is there yet that a key could act on; what is pressed once it is, acts."""
    file, _ = lay_out("attic")
    come, answers = threading.Event(), services.answers

    def slow(file: Path, state: StateFolder) -> Known:
        assert come.wait(20)
        return answers(file, state)

    services.answers = slow  # type: ignore[method-assign]  # for one test

    async def flow(pilot: Pilot[object]) -> None:
        app = pilot.app
        assert isinstance(app, HomewrightApp)
        await until(pilot, shows(pilot, "Begin something"))
        app.open_site(file, "attic")
        app.go(name)
        await pilot.press("down", "p", "enter")
        assert isinstance(app.focused, Table) and not app.focused.rows
        come.set()
        await until(pilot, shows(pilot, title))
        table, first = app.focused, app.focused.cursor_key
        await pilot.press("down")
        assert table.cursor_key == table.rows[1].key != first

    drive(make_app(), SIZE, flow)
