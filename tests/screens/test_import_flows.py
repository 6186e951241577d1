"""Import of servers by keyboard alone: from ~/.ssh/config and from an inventory, refusals said."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from piloting import drive, opened, shows, until
from textual.pilot import Pilot

from homewright.screens.app import HomewrightApp
from homewright.site import files

Make = Callable[..., HomewrightApp]
SIZE = (80, 24)
INVENTORY = """
[gpu]
g[1:2] ansible_user=ops
g1 ansible_host=192.168.1.41
g2 ansible_host=192.168.1.42
[rest]
far.example ansible_user=ops
s1 ansible_host=192.168.1.50
jump ansible_host=192.168.1.60 ansible_user=ops ansible_ssh_common_args='-J bastion'
"""


async def open_import(pilot: Pilot[object], file: Path) -> None:
    app = pilot.app
    assert isinstance(app, HomewrightApp)
    await until(pilot, shows(pilot, "Begin something"))
    app.open_site(file, "attic")
    app.go("servers")
    await until(pilot, shows(pilot, "0 of 3"))
    await pilot.press("i")
    await until(pilot, shows(pilot, "import servers"))


def test_a_refused_host_says_why_on_enter(make_app: Make, site: Path, tmp_path: Path) -> None:
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "config").write_text("Host web\n  HostName web.example\n  User ops\n")

    async def flow(pilot: Pilot[object]) -> None:
        await open_import(pilot, site)
        await until(pilot, shows(pilot, "web cannot be taken: address must be an IPv4 address"))
        await pilot.press("enter")
        await until(pilot, shows(pilot, "✗ web cannot be taken"))
        await pilot.press("space")
        await until(pilot, shows(pilot, "import servers", "✗ web cannot be taken"))

    drive(make_app(), SIZE, flow)
    assert len(files.load(site).servers) == 3


def test_a_group_of_an_inventory_is_taken(make_app: Make, site: Path, tmp_path: Path) -> None:
    (tmp_path / "inventory.ini").write_text(INVENTORY)

    async def flow(pilot: Pilot[object]) -> None:
        await open_import(pilot, site)
        await until(pilot, shows(pilot, "f names another file"))
        await pilot.press("f")
        await until(pilot, shows(pilot, "import from a file", "inventory.ini"))
        await pilot.press("enter")
        await until(pilot, shows(pilot, "g1", "g2", "far", "! rest"))
        await pilot.press("g")
        await until(pilot, shows(pilot, "group gpu"))
        await pilot.press("a", "enter")
        await until(pilot, shows(pilot, "0 of 5"))
        assert type(pilot.app.screen).__name__ == "Servers"

    drive(make_app(), SIZE, flow)
    assert [(server.name, server.address) for server in files.load(site).servers[3:]] == [
        ("g1", "192.168.1.41"),
        ("g2", "192.168.1.42"),
    ]


def test_a_file_that_is_no_inventory_is_told(make_app: Make, site: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("[web]\nbuy milk and bread\n")

    async def flow(pilot: Pilot[object]) -> None:
        await open_import(pilot, site)
        await opened(pilot, "f")
        await until(pilot, shows(pilot, "import from a file"))
        await pilot.press(*"nowhere", "enter")
        await until(pilot, shows(pilot, "there is no such file"))
        await pilot.press(*["backspace"] * 7, *"notes.txt", "enter")
        await until(pilot, shows(pilot, "is no line of an inventory", "buy milk"))

    drive(make_app(), SIZE, flow)


@pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=["80x24", "120x40"])
def test_import_of_an_inventory(
    snap_compare: Callable[..., bool], make_app: Make, site: Path, tmp_path: Path, size: tuple[int, int]
) -> None:
    (tmp_path / "inventory.ini").write_text(INVENTORY)

    async def act(pilot: Pilot[object]) -> None:
        await open_import(pilot, site)
        await pilot.press("f")
        await until(pilot, shows(pilot, "inventory.ini"))
        await pilot.press("enter")
        await until(pilot, shows(pilot, "g1", "! rest"))
        await pilot.press("space", "end", "up", "up", "space")
        await until(pilot, shows(pilot, "[x]"))

    assert snap_compare(make_app(), terminal_size=size, run_before=act)
