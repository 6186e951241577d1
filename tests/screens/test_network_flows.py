"""The network screen by keyboard alone, and how it draws the ranges."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
from piloting import closed, complains, drive, page, shows, text_of, until
from recorded_sites import lay_out
from textual.pilot import Pilot
from textual.widgets import Input

from homewright.discovery import machines
from homewright.screens.app import HomewrightApp
from homewright.screens.terminal import Terminal
from homewright.screens.widgets.address_line import pieces, widths
from homewright.screens.widgets.field import Choice, Field
from homewright.site import files
from homewright.site.secrets import Secrets

Make = Callable[..., HomewrightApp]
Compare = Callable[..., bool]
SIZE = (80, 24)
TOKEN = "c4nAry0c4nAry0c4nAry0c4nAry0c4nA"
both = pytest.mark.parametrize("size", [SIZE, (120, 40)], ids=["80x24", "120x40"])


def field(pilot: Pilot[object], name: str) -> Field:
    return pilot.app.screen.query_one(f"#field-{name}", Field)


async def type_in(pilot: Pilot[object], name: str, text: str) -> None:
    """Put the cursor into a field as tab would, and type."""
    one = field(pilot, name)
    one.control_widget.focus()
    await pilot.pause()
    one.query_one(Input).value = ""
    for character in text:
        await pilot.press("space" if character == " " else character)


@pytest.mark.parametrize(
    ("ranges", "labels", "clashes"),
    [
        ([("LAN", "10.0.0.0/24")], ["LAN"], []),
        ([("LAN", "10.0.0.0/24"), ("pods", "10.1.0.0/16")], ["LAN", "pods"], []),
        ([("LAN", "10.0.0.0/24"), ("balancers", "10.0.0.224/28")], ["LAN", "balancers", "LAN"], []),
        ([("LAN", "10.0.0.0/24"), ("pods", "10.0.0.0/25")], ["LAN+pods", "LAN"], ["LAN+pods"]),
        ([("LAN", "10.0.0.0/24"), ("balancers", "10.0.1.0/28")], ["LAN", "balancers"], []),
        ([("LXD", "10.0.0.0/24"), ("pods", "10.0.0.0/24")], ["LXD+pods"], ["LXD+pods"]),
        ([("LAN", ""), ("pods", "0.0.0.0/0")], ["pods"], []),
        ([], [], []),
    ],
)
def test_stretches_of_addresses(ranges: list[tuple[str, str]], labels: list[str], clashes: list[str]) -> None:
    found = pieces(ranges)
    assert [piece.label for piece in found] == labels
    assert [piece.label for piece in found if piece.clash] == clashes
    for room in (20, 74, 200):
        given = widths(found, room, [14] * len(found))
        gaps = sum(1 for left, right in pairwise(found) if right.first > left.last + 1)
        assert not found or sum(given) == max(room - gaps, 3 * len(found))
        assert all(width >= 3 for width in given)


def test_a_larger_range_is_drawn_longer() -> None:
    small, large = pieces([("LAN", "10.0.0.0/28"), ("pods", "10.1.0.0/16")])
    assert small.weight < large.weight
    first, second = widths((small, large), 60)
    assert first < second


def test_what_is_proposed_needs_no_typing(make_app: Make) -> None:
    file, _ = lay_out("attic")
    before = file.read_text()

    async def flow(pilot: Pilot[object]) -> None:
        await page("network", ("No two ranges meet", "10.1.0.0/16"), file=file, name="attic")(pilot)
        assert "10.100.0.0/24 (proposed)" in field(pilot, "lxd").query_one(Input).placeholder
        await pilot.press("ctrl+n")
        await until(pilot, shows(pilot, "5/9 GPUs"))

    drive(make_app(), SIZE, flow)
    assert file.read_text() == before


def test_a_range_that_meets_another_is_told_and_refused(make_app: Make) -> None:
    file, _ = lay_out("attic")

    async def flow(pilot: Pilot[object]) -> None:
        await page("network", ("No two ranges meet",), file=file, name="attic")(pilot)
        await type_in(pilot, "pods", "192.0.2.0/25")
        await until(pilot, shows(pilot, "LAN+pods", "✗ pods: 192.0.2.0/25 overlaps the LAN", "to put right"))
        field(pilot, "zone").control_widget.focus()
        await pilot.press("ctrl+n")
        await until(pilot, shows(pilot, "✗ Pods: 192.0.2.0/25 overlaps the LAN", "4/9 Network"))
        assert pilot.app.focused is field(pilot, "pods").control_widget
        await type_in(pilot, "pods", "10.44.0.0/16")
        await until(pilot, shows(pilot, "No two ranges meet", "10.44.0.0/16"))
        await until(pilot, lambda: "✗" not in text_of(pilot.app))
        await pilot.press("ctrl+n")
        await until(pilot, shows(pilot, "5/9 GPUs"))

    drive(make_app(), SIZE, flow)
    assert files.load(file).network.pods == "10.44.0.0/16"


WRONG = [
    ("zone", "Home", "must be a domain"),
    ("gateway", "router", "must be an IPv4 address"),
    ("gateway", "10.9.9.9", "is not in the LAN"),
    ("resolvers", "192.0.2.1, dns", "must be an IPv4 address"),
    ("proxy", "http://me:pw@proxy:1", "must be http://HOST:PORT"),
    ("lan", "192.0.2.7/24", "the range itself is 192.0.2.0/24"),
    ("lan", "10.9.0.0/24", "lies outside of the LAN"),
    ("lxd", "10.100.0.0", "with its prefix"),
    ("lxd", "10.100.0.0/30", "too small for 3 instances"),
    ("pods", "127.0.0.0/16", "a meaning of its own"),
    ("services", "10.152.0.0/8", "the range itself is 10.0.0.0/8"),
    ("services", "10.152.0.0/29", "too few"),
    ("load_balancer", "10.0.0.0/28", "is no part of the LAN"),
    ("load_balancer", "192.0.2.8/29", "contains 192.0.2.11"),
]


def test_wrong_answers_are_told_beneath_their_field(make_app: Make) -> None:
    file, _ = lay_out("attic")
    before = file.read_text()

    async def flow(pilot: Pilot[object]) -> None:
        await page("network", ("No two ranges meet",), file=file, name="attic")(pilot)
        for name, text, reason in WRONG:
            one = field(pilot, name)
            one.value = text
            await until(pilot, complains(one, reason))
            await pilot.press("ctrl+n")
            await until(pilot, shows(pilot, f"✗ {one.label}: ", "4/9 Network"))
            assert pilot.app.focused is one.control_widget, name
            one.value = ""

    drive(make_app(), SIZE, flow)
    assert file.read_text() == before


def test_an_overlay_wants_its_network_and_its_token_which_is_a_secret(make_app: Make) -> None:
    file, state = lay_out("attic")

    async def flow(pilot: Pilot[object]) -> None:
        await page("network", ("No two ranges meet",), file=file, name="attic")(pilot)
        assert not field(pilot, "network_id").display
        field(pilot, "overlay").control_widget.focus()
        await pilot.press("right")
        await until(pilot, lambda: field(pilot, "network_id").display)
        await pilot.press("ctrl+n")
        await until(pilot, shows(pilot, "✗ Network id: ZeroTier needs it"))
        await pilot.press(*"8056C2e2")
        await until(pilot, shows(pilot, "16 hexadecimal digits"))
        await type_in(pilot, "network_id", "8056c2e21c000001")
        await pilot.press("ctrl+n")
        await until(pilot, shows(pilot, "✗ API token: ZeroTier needs it"))
        await pilot.press(*"8056c2e21c000001")
        await until(pilot, shows(pilot, "is a network id"))
        await type_in(pilot, "token", TOKEN)
        assert TOKEN not in text_of(pilot.app)
        await pilot.press("ctrl+s")
        await until(pilot, shows(pilot, "Saved in site.yaml", "One is kept; another replaces it"))
        assert field(pilot, "token").value == ""
        assert TOKEN not in text_of(pilot.app)
        await pilot.press("ctrl+n")
        await until(pilot, shows(pilot, "5/9 GPUs"))

    drive(make_app(), SIZE, flow)
    assert files.load(file).network.overlay.network_id == "8056c2e21c000001"
    assert Secrets(state.secrets).get("overlay/zerotier-token") == TOKEN
    assert TOKEN not in file.read_text()


def test_wifi_is_refused_as_a_bridge_and_another_interface_taken(make_app: Make) -> None:
    file, _ = lay_out("trouble")

    async def flow(pilot: Pilot[object]) -> None:
        await page("network", ("wlp5s0 is Wi-Fi",), file=file, name="trouble")(pilot)
        offered = dict(field(pilot, "nic-elder").query_one(Choice).options)
        assert offered[""].startswith("wlp5s0") and offered[""].endswith("(not possible)")
        assert not any("(proposed)" in words for words in offered.values())
        await pilot.press("ctrl+n")
        await until(pilot, shows(pilot, "✗ elder: wlp5s0 is Wi-Fi"))
        await pilot.press("right")
        await until(pilot, lambda: not field(pilot, "nic-elder").wrong)
        taken.append(field(pilot, "nic-elder").value)
        await pilot.press("ctrl+n")
        await until(pilot, shows(pilot, "5/9 GPUs"))

    taken: list[str] = []
    drive(make_app(), SIZE, flow)
    assert files.load(file).server("elder").nic == taken[0] != "wlp5s0"


@pytest.mark.parametrize("named", [False, True], ids=["proposed", "by its name"])
def test_every_interface_is_offered_once(make_app: Make, named: bool) -> None:
    file, _ = lay_out("many-nics")
    machine = next(iter(machines.load("many-nics").facts().values()))
    carrying = next(nic.name for nic in machine.nics if nic.default_route)
    if named:
        files.update(file, {"servers.crowd.nic": carrying})

    async def flow(pilot: Pilot[object]) -> None:
        await page("network", ("(proposed)", "1 of 51"), file=file, name="many-nics")(pilot)
        one = field(pilot, "nic-crowd")
        texts = [text.partition(" ")[0] for _, text in one.query_one(Choice).options]
        assert len(set(texts)) == len(texts) == 51
        assert texts[0] == carrying and one.value == (carrying if named else "")
        await pilot.press("right", "left", "ctrl+s")
        await until(pilot, shows(pilot, "Saved in site.yaml"))

    drive(make_app(), SIZE, flow)
    assert files.load(file).server("crowd").nic == (carrying if named else None)


def test_of_many_interfaces_only_some_are_named(make_app: Make) -> None:
    file, _ = lay_out("many-nics")

    async def flow(pilot: Pilot[object]) -> None:
        await page("network", ("1 of 51", "more"), file=file, name="many-nics")(pilot)
        assert field(pilot, "nic-crowd").size.height <= 3

    drive(make_app(), SIZE, flow)


def test_what_was_not_saved_is_asked_about(make_app: Make) -> None:
    file, _ = lay_out("attic")

    async def flow(pilot: Pilot[object]) -> None:
        await page("network", ("No two ranges meet",), file=file, name="attic")(pilot)
        await type_in(pilot, "zone", "home.internal")
        await pilot.press("escape")
        await until(pilot, shows(pilot, "go back without saving?"))
        await closed(pilot, "escape")
        await until(pilot, shows(pilot, "4/9 Network"))
        await pilot.press("ctrl+s")
        await until(pilot, shows(pilot, "Saved in site.yaml"))
        await pilot.press("escape")
        await until(pilot, shows(pilot, "3/9 Checks"))

    drive(make_app(), SIZE, flow)
    assert files.load(file).zone == "home.internal"


@both
def test_network_of_a_healthy_site(snap_compare: Compare, make_app: Make, size: tuple[int, int]) -> None:
    file, _ = lay_out("attic")
    act = page("network", ("No two ranges meet", "enp6s0f0"), file=file, name="attic")
    assert snap_compare(make_app(), terminal_size=size, run_before=act)


@both
def test_network_with_an_overlap_wifi_and_a_server_that_is_off(
    snap_compare: Compare, make_app: Make, size: tuple[int, int]
) -> None:
    file, _ = lay_out("trouble", network__pods="198.51.100.0/25")
    act = page("network", ("LAN+pods", "wlp5s0 is Wi-Fi"), "ctrl+n", ("✗ elder: wlp5s0",), file=file, name="trouble")
    assert snap_compare(make_app(), terminal_size=size, run_before=act)


def test_network_with_an_overlay(snap_compare: Compare, make_app: Make) -> None:
    file, _ = lay_out("attic", network__overlay__kind="zerotier", zone="home.internal")
    act = page("network", ("overlay",), "ctrl+n", ("✗ Network id",), file=file, name="attic")
    assert snap_compare(make_app(), terminal_size=SIZE, run_before=act)


def test_network_on_a_terminal_of_ascii(snap_compare: Compare, make_app: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    file, _ = lay_out("trouble", network__pods="198.51.100.0/25")
    monkeypatch.setenv("TERM", "linux")
    act = page("network", ("LAN+pods",), file=file, name="trouble")
    assert snap_compare(make_app(Terminal(ascii=True)), terminal_size=SIZE, run_before=act)
