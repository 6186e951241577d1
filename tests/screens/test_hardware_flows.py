"""Hardware by keyboard: cards fill as servers answer, are filtered and saved, and nothing is a dead button."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from piloting import Make, drive, opened, page, shows, text_of, until
from screen_doubles import facts_of, troubled
from textual.pilot import Pilot

from homewright.discovery import machines
from homewright.errors import Unreachable
from homewright.screens.hardware import Hardware
from homewright.screens.services_checks import OnFacts
from homewright.screens.widgets.server_card import ServerCard, card
from homewright.site.models import Site
from homewright.site.paths import StateFolder

if TYPE_CHECKING:
    from conftest import Recorded

SIZE = (80, 24)
LOST = Unreachable("s3 does not answer.", "Nothing came back in 10 s.", ["see whether it is on"])


def looked(pilot: Pilot[object]) -> Callable[[], bool]:
    """A condition: the page has heard the end of its look, which is after the last server's own answer."""

    def over() -> bool:
        screen = pilot.app.screen
        return isinstance(screen, Hardware) and not screen.jobs.running("look")

    return over


def test_a_silent_server_holds_up_no_other(make_app: Make, services: Recorded, site: Path) -> None:
    answered = threading.Event()

    def look(site: Site, state: StateFolder, hosts: Sequence[str], on_facts: OnFacts) -> None:
        on_facts("s2", facts_of("s2"))
        on_facts("s1", facts_of("s1"))
        assert answered.wait(20)
        on_facts("s3", LOST)

    services.look = look  # type: ignore[method-assign]  # for one test

    async def flow(pilot: Pilot[object]) -> None:
        await page("hardware", ("2 of 3 known", "GeForce"))(pilot)
        await pilot.press("ctrl+n")
        await until(pilot, shows(pilot, "s3 is still being looked at"))
        answered.set()
        await until(pilot, shows(pilot, "s3 not reached", "see whether it is on"))

    drive(make_app(), SIZE, flow)


def test_next_shows_the_server_that_was_not_reached_and_then_goes_on(
    make_app: Make, services: Recorded, site: Path
) -> None:
    services.problems["s3"] = LOST

    async def flow(pilot: Pilot[object]) -> None:
        await page("hardware", ("2 of 3 known", "s3 not reached"))(pilot)
        await until(pilot, looked(pilot))
        await pilot.press("ctrl+n")
        await until(pilot, shows(pilot, "s3 was not reached", "✗ not reached"))
        assert isinstance(pilot.app.focused, ServerCard) and pilot.app.focused.server == "s3"
        await pilot.press("ctrl+n")
        await until(pilot, lambda: "2/9 Hardware" not in text_of(pilot.app))

    drive(make_app(), SIZE, flow)


def test_what_it_said_earlier_stays_when_a_server_is_lost(make_app: Make, services: Recorded, site: Path) -> None:
    async def flow(pilot: Pilot[object]) -> None:
        await page("hardware", ("3 of 3 known",))(pilot)
        await until(pilot, looked(pilot))
        services.problems["s1"] = LOST
        await pilot.press("r")
        await until(pilot, shows(pilot, "2 of 3 known", "What it said when it was last reached", "GeForce"))

    drive(make_app(), SIZE, flow)


def test_the_filter_leaves_the_cards_that_have_the_text(make_app: Make, services: Recorded, site: Path) -> None:
    async def flow(pilot: Pilot[object]) -> None:
        await page("hardware", ("3 of 3 known",))(pilot)
        await opened(pilot, "/")
        await pilot.press(*"geforce", "enter")
        await until(pilot, shows(pilot, "filter: geforce"))
        assert [one.server for one in pilot.app.screen.query(ServerCard) if one.display] == ["s1"]
        await opened(pilot, "/")
        await pilot.press(*["backspace"] * 7, *"nothing", "enter")
        await until(pilot, shows(pilot, "No server's card has the text nothing"))

    drive(make_app(), SIZE, flow)


def test_facts_and_raw_answers_are_saved(make_app: Make, services: Recorded, site: Path, tmp_path: Path) -> None:
    services.problems["s3"] = LOST

    async def flow(pilot: Pilot[object]) -> None:
        await page("hardware", ("2 of 3 known", "s3 not reached"))(pilot)
        await until(pilot, looked(pilot))
        await pilot.press("ctrl+s")
        await until(pilot, shows(pilot, "Saved in", "facts.json"))
        await pilot.press("b")
        await until(pilot, shows(pilot, "(2 of 3 servers)"))

    drive(make_app(), SIZE, flow)
    saved = json.loads((tmp_path / "homewright-attic-facts.json").read_text())
    assert saved["s1"]["cpu"]["model"] == "AMD Ryzen 7 5700G"


def test_a_card_says_what_matters_and_why_something_is_unknown() -> None:
    text = "\n".join(f"{line.label} {line.text}" for line in card(troubled("s1"), None))
    for words in (
        "kernel 5.15.0-91-generic",
        "Secure Boot on · starts into a graphical desktop",
        "no /dev/kvm · no vsock · VT-x · not nested",
        "IOMMU on · 1 group",
        "IOMMU group 2, shared with 1 other device · driver nvidia 550.54.14 · a monitor is on it",
        "wlp3s0 up · 192.168.1.11/24 · by DHCP · Wi-Fi · default route",
        "and 7 virtual interfaces",
        "Clock 23h ahead · not synchronised",
        "? kernel-log, package-locks: sudo: a password is required",
    ):
        assert words in text


def test_the_way_out_is_shown_where_it_is_virtual() -> None:
    facts = machines.load("practice").facts()["s1"]
    said = [line.text for line in card(facts, None) if line.label == "Network"]
    assert said == ["eth0 up · 198.18.3.11/24 · by DHCP · 10 Gb/s · default route"]


def test_control_sequences_of_a_server_never_reach_the_terminal(make_app: Make, services: Recorded, site: Path) -> None:
    facts = troubled("s1")
    named = facts.model_copy(update={"cpu": facts.cpu.model_copy(update={"model": "i7\x1b[2J\x1b]0;x\x07 fast"})})
    services.machines["s1"] = named

    async def flow(pilot: Pilot[object]) -> None:
        await page("hardware", ("3 of 3 known", "i7 fast"))(pilot)
        assert "\x1b" not in text_of(pilot.app)

    drive(make_app(), SIZE, flow)
