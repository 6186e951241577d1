"""The instances screen by keyboard alone: bars, changes that are judged as typed, too much refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from piloting import Compare, Make, both, complains, drive, page, shows, until
from recorded_sites import lay_out
from textual.pilot import Pilot
from textual.widgets import Input

from homewright.catalogue import load, shipped
from homewright.cluster import SECRET
from homewright.planning import Plan, kept, plan
from homewright.planning.cluster import planned
from homewright.planning.known import known_facts
from homewright.screens.widgets.capacity import bar, legend
from homewright.screens.widgets.field import Field
from homewright.screens.widgets.table import Table
from homewright.site import files
from homewright.site.answers import Instance
from homewright.site.paths import StateFolder
from homewright.site.secrets import Secrets

SIZE = (80, 24)


@pytest.mark.parametrize(
    ("kept", "taken", "total", "drawn"),
    [
        (4, 4, 16, "▒▒██░░░░ 8/16"),
        (0, 0, 16, "░░░░░░░░ 0/16"),
        (1, 16, 16, "██████✗✗ 17/16"),
        (4, 20, 16, "██████✗✗ 24/16"),
        (4, 4, None, "8/?"),
        (4, 0, 0, "██████✗✗ 4/0"),
        (8, 0.2, 62.5, "▒█░░░░ 8.2/62.5"),
    ],
)
def test_bars(kept: float, taken: float, total: float | None, drawn: str) -> None:
    made = bar(kept, taken, total, 13 if len(drawn) < 15 else 15)
    assert made.split()[-1] == drawn.split()[-1]
    assert set(made.split()[0]) == set(drawn.split()[0])


def test_bars_are_told_apart_in_ascii() -> None:
    made = bar(4, 4, 16, 21, ascii=True)
    assert made == "rrrr####........ 8/16" and legend(ascii=True).isascii()


def field(pilot: Pilot[object], name: str) -> Field:
    return pilot.app.screen.query_one(f"#field-{name}", Field)


def applied(file: Path, state: StateFolder) -> Plan:
    """The site as if it had been applied."""
    site = files.load(file)
    made = plan(site, load([shipped()]), known_facts(site, state))
    kept.apply(state, made)
    return made


def test_an_instance_that_asks_for_too_much_is_refused_while_it_is_typed(make_app: Make) -> None:
    file, _ = lay_out("attic")

    async def flow(pilot: Pilot[object]) -> None:
        await page("instances", ("birch-node", "control plane"), file=file, name="attic")(pilot)
        await pilot.press("down", "enter")
        await until(pilot, shows(pilot, "instance birch-node", "CPUs for it"))
        field(pilot, "cpu").control_widget.focus()
        field(pilot, "cpu").query_one(Input).value = ""
        await pilot.press(*"29")
        await until(pilot, shows(pilot, "✗ too much: birch has 28 CPUs for it"))
        field(pilot, "memory").control_widget.focus()
        await pilot.press("ctrl+s")
        assert pilot.app.focused is field(pilot, "cpu").control_widget
        for name, text, reason in (
            ("cpu", "1", "must be at least 2"),
            ("cpu", "four", "must be a whole number"),
            ("disk", "19", "must be at least 20"),
            ("memory", "9999", "too much: birch has"),
            ("name", "cedar", "a server is called cedar already"),
            ("name", "cedar-node", "two instances have the name cedar-node"),
            ("name", "Node", "must be lowercase"),
            ("address", "192.0.2.12", "is the address of cedar"),
            ("address", "10.9.9.9", "is not in LXD's range"),
            ("address", "one", "must be an IPv4 address"),
        ):
            one = field(pilot, name)
            before, one.value = one.value, text
            field(pilot, "cpu").value = text if name == "cpu" else "4"
            await until(pilot, complains(one, reason))
            one.value = before
        field(pilot, "cpu").value = "6"
        await until(pilot, lambda: not field(pilot, "name").wrong)
        await pilot.press("ctrl+s")
        await until(pilot, shows(pilot, "Saved in site.yaml", "10/32"))
        await pilot.press("ctrl+n")
        await until(pilot, shows(pilot, "7/9 Platform"))

    drive(make_app(), SIZE, flow)
    nodes = files.load(file).instances.nodes
    assert nodes is not None
    assert (nodes[0].name, nodes[0].cpu, nodes[0].address) == ("birch-node", 6, None)


def test_instances_are_added_removed_and_proposed_anew(make_app: Make) -> None:
    file, _ = lay_out("attic")

    async def flow(pilot: Pilot[object]) -> None:
        await page("instances", ("3 instances",), file=file, name="attic")(pilot)
        await pilot.press("end", "a")
        await until(pilot, shows(pilot, "another instance", "maple-node1"))
        await pilot.press("ctrl+s")
        await until(pilot, shows(pilot, "4 instances", "Saved"))
        assert pilot.app.screen.query_one(Table).cursor_key == "node maple-node1"
        await pilot.press("D")
        await until(pilot, shows(pilot, "remove maple-node1?"))
        await pilot.press("enter")
        await until(pilot, shows(pilot, "3 instances", "You chose them"))
        await pilot.press("p")
        await until(pilot, shows(pilot, "Instances (proposed)"))
        await pilot.press("k")
        await until(pilot, shows(pilot, "Kind: virtual machines"))
        await pilot.press("k")
        await until(pilot, shows(pilot, "Kind: containers"))
        await pilot.press("home", "enter")
        await until(pilot, shows(pilot, "what every server keeps"))
        field(pilot, "cpu").value = "x"
        await pilot.press("ctrl+s")
        await until(pilot, shows(pilot, "must be a whole number"))
        field(pilot, "cpu").value = "6"
        await pilot.press("ctrl+s")
        await until(pilot, shows(pilot, "10/32"))

    drive(make_app(), SIZE, flow)
    found = files.load(file).instances
    assert (found.nodes, found.kind, found.reserve.cpu) == (None, "container", 6)


def test_too_much_in_the_file_keeps_from_going_on(make_app: Make) -> None:
    nodes = [Instance(name="big", host="cedar", role="control-plane", cpu=40)]
    file, _ = lay_out("attic", instances__nodes=nodes)

    async def flow(pilot: Pilot[object]) -> None:
        await page("instances", ("too full", "1 to put right"), file=file, name="attic")(pilot)
        await pilot.press("ctrl+n")
        await until(pilot, shows(pilot, "✗ the instances on cedar ask for 40 CPUs", "6/9 Instances"))
        assert pilot.app.screen.query_one(Table).cursor_key == "node big"

    drive(make_app(), SIZE, flow)


def test_servers_without_room_get_none_and_one_may_go_on(make_app: Make) -> None:
    file, _ = lay_out("practice")

    async def flow(pilot: Pilot[object]) -> None:
        await page("instances", ("3 without room", "! no room", "of which it keeps 4"), file=file, name="practice")(
            pilot
        )
        await pilot.press("ctrl+n")
        await until(pilot, shows(pilot, "7/9 Platform"))

    drive(make_app(), SIZE, flow)


def test_servers_that_are_nodes_themselves_have_no_instances(make_app: Make) -> None:
    file, _ = lay_out("attic", platform__nodes="servers")

    async def flow(pilot: Pilot[object]) -> None:
        await page("instances", ("so there are no instances",), file=file, name="attic")(pilot)
        await pilot.press("a")
        await pilot.press("ctrl+n")
        await until(pilot, shows(pilot, "7/9 Platform"))

    drive(make_app(), SIZE, flow)


def test_storage_and_image_are_chosen(make_app: Make) -> None:
    file, _ = lay_out("attic")

    async def flow(pilot: Pilot[object]) -> None:
        await page("instances", ("3 instances",), file=file, name="attic")(pilot)
        await pilot.press("s")
        await until(pilot, shows(pilot, "Storage", "One kind on all servers"))
        await pilot.press("right")
        await until(pilot, shows(pilot, "Snapshots, and disks that end where they should"))
        field(pilot, "image").value = "http://images.example.org"
        await pilot.press("ctrl+s")
        await until(pilot, shows(pilot, "✗ must look like"))
        field(pilot, "image").value = "https://images.example.org/releases#24.04"
        await pilot.press("ctrl+s")
        await until(pilot, shows(pilot, "Saved in site.yaml"))

    drive(make_app(), SIZE, flow)
    site = files.load(file)
    assert (site.instances.storage, site.mirror.instances) == ("zfs", "https://images.example.org/releases#24.04")


def test_practice_servers_have_no_disks_for_a_pool(make_app: Make) -> None:
    file, _ = lay_out("practice")

    async def flow(pilot: Pilot[object]) -> None:
        await page("instances", ("without room",), file=file, name="practice")(pilot)
        await pilot.press("s")
        await until(pilot, shows(pilot, "dir (proposed)", "1 of 4"))  # each kind once
        await pilot.press("right", "ctrl+s")
        await until(pilot, shows(pilot, "✗ not possible", "without disks"))

    drive(make_app(), SIZE, flow)
    assert files.load(file).instances.storage is None


def test_one_that_was_made_is_taken_away_by_its_name_and_the_others_stay_as_they_are(make_app: Make) -> None:
    file, state = lay_out("attic")
    applied(file, state)

    async def flow(pilot: Pilot[object]) -> None:
        await page("instances", ("3 instances",), file=file, name="attic")(pilot)
        await pilot.press("down", "D")
        await until(pilot, shows(pilot, "take birch-node away?", "nothing else is a copy"))
        await pilot.press(*"cedar", "enter")
        await until(pilot, shows(pilot, "that is not birch-node"))
        await pilot.press(*["backspace"] * 5, *"birch-node", "enter")
        await until(pilot, shows(pilot, "2 instances", "Saved"))

    before = {one.name: one.address for one in applied(file, state).instances}
    drive(make_app(), SIZE, flow)
    instances = files.load(file).instances
    assert instances.gone == ("birch-node",) and instances.nodes is not None
    assert {one.name: one.address for one in instances.nodes} == {
        name: address for name, address in before.items() if name != "birch-node"
    }


def with_cluster(file: Path, state: StateFolder) -> str:
    """The site as if its cluster were there; the name of its control plane."""
    files.update(file, {"platform.cluster": "kubeadm", "platform.nodes": "instances"})
    Secrets(state.secrets).set(SECRET, "of the cluster that is there")
    return planned(files.load(file), known_facts(files.load(file), state)).first.name


def test_the_only_control_plane_is_not_taken_away_while_its_cluster_is_there(make_app: Make) -> None:
    file, state = lay_out("attic")
    plane = with_cluster(file, state)
    names = [one.name for one in applied(file, state).instances]

    async def flow(pilot: Pilot[object]) -> None:
        await page("instances", ("3 instances",), file=file, name="attic")(pilot)
        await pilot.press(*["down"] * (1 + 2 * names.index(plane)), "D")  # each below its server
        await until(
            pilot, shows(pilot, f"{plane} is the cluster's only control plane", "take the whole cluster back first")
        )

    drive(make_app(), SIZE, flow)
    assert files.load(file).instances.gone == ()


@both
def test_where_instances_are_kept(snap_compare: Compare, make_app: Make, size: tuple[int, int]) -> None:
    file, _ = lay_out("attic")
    act = page("instances", ("maple-node",), "s", ("One kind", "kept by the server"), file=file, name="attic")
    assert snap_compare(make_app(), terminal_size=size, run_before=act)


@both
def test_an_instance_that_was_made_goes(snap_compare: Compare, make_app: Make, size: tuple[int, int]) -> None:
    file, state = lay_out("attic")
    applied(file, state)
    act = page(
        "instances",
        ("maple-node",),
        "down",
        "D",
        ("take birch-node away", "kept by the server"),
        file=file,
        name="attic",
    )
    assert snap_compare(make_app(), terminal_size=size, run_before=act)


@both
def test_instances_of_a_healthy_site(snap_compare: Compare, make_app: Make, size: tuple[int, int]) -> None:
    file, _ = lay_out("attic")
    act = page("instances", ("maple-node",), file=file, name="attic")
    assert snap_compare(make_app(), terminal_size=size, run_before=act)


@both
def test_instances_of_a_broken_site_with_a_server_that_is_off(
    snap_compare: Compare, make_app: Make, size: tuple[int, int]
) -> None:
    file, _ = lay_out("trouble")
    act = page("instances", ("no room", "not known"), "end up", file=file, name="trouble")
    assert snap_compare(make_app(), terminal_size=size, run_before=act)


@both
def test_an_instance_that_does_not_fit(snap_compare: Compare, make_app: Make, size: tuple[int, int]) -> None:
    nodes = [
        Instance(name="n1", host="birch", role="control-plane"),
        Instance(name="n2", host="cedar", cpu=40, memory=200),
    ]
    file, _ = lay_out("attic", instances__nodes=nodes)
    act = page("instances", ("too full",), "ctrl+n", "enter", ("too much",), file=file, name="attic")
    assert snap_compare(make_app(), terminal_size=size, run_before=act)
