"""Checks in pictures: all real checks of recorded machines, healthy and not, and what is done about them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from piloting import SIZES, Compare, Make, both, page
from screen_checks import TROUBLE, checked

from homewright.screens.terminal import Terminal
from homewright.site.paths import StateFolder

if TYPE_CHECKING:
    from conftest import Recorded


@both
def test_healthy(snap_compare: Compare, make_app: Make, services: Recorded, size: tuple[int, int]) -> None:
    services.real_checks = True
    act = page("checks", ("Operating system", "✓ passed"), file=checked("attic"), name="attic")
    assert snap_compare(make_app(), terminal_size=size, run_before=act)


@both
def test_trouble_and_a_server_that_is_lost(
    snap_compare: Compare, make_app: Make, services: Recorded, size: tuple[int, int]
) -> None:
    services.real_checks = True
    act = page(
        "checks", ("✗ failed", "✗ unreached"), "ctrl+n", ("has failed",), file=checked("trouble"), name="trouble"
    )
    assert snap_compare(make_app(), terminal_size=size, run_before=act)


@both
def test_all_about_a_finding(
    snap_compare: Compare, make_app: Make, services: Recorded, site: Path, state: StateFolder, size: tuple[int, int]
) -> None:
    services.wrong = TROUBLE
    act = page("checks", ("checks failed",), "n", ("25 h behind",), "enter", ("up down",))
    assert snap_compare(make_app(), terminal_size=size, run_before=act)


@both
def test_a_repair_asks_first(
    snap_compare: Compare, make_app: Make, services: Recorded, site: Path, state: StateFolder, size: tuple[int, int]
) -> None:
    services.wrong = TROUBLE
    act = page("checks", ("checks failed",), "F", ("fix 2 things?",))
    assert snap_compare(make_app(), terminal_size=size, run_before=act)


@both
def test_accepting_wants_a_reason(
    snap_compare: Compare, make_app: Make, services: Recorded, site: Path, state: StateFolder, size: tuple[int, int]
) -> None:
    services.wrong = TROUBLE
    act = page("checks", ("checks failed",), "n n a", ("Reason",), "n o enter", ("a reason of 3",))
    assert snap_compare(make_app(), terminal_size=size, run_before=act)


def test_between_servers(
    snap_compare: Compare, make_app: Make, services: Recorded, site: Path, state: StateFolder
) -> None:
    services.wrong = TROUBLE
    act = page("checks", ("checks failed",), "n n n n n", ("140 ms, 2 %", "Also"))
    assert snap_compare(make_app(), terminal_size=SIZES[0], run_before=act)


def test_filtered_to_what_failed(
    snap_compare: Compare, make_app: Make, services: Recorded, site: Path, state: StateFolder
) -> None:
    services.wrong = TROUBLE
    act = page("checks", ("checks failed",), "/", ("A part of a name",), "f a i l e d enter", ("filter: failed",))
    assert snap_compare(make_app(), terminal_size=SIZES[0], run_before=act)


def test_on_the_linux_console(
    snap_compare: Compare, make_app: Make, services: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "linux")
    services.real_checks = True
    act = page("checks", ("XX failed", "XX unreached"), file=checked("trouble"), name="trouble")
    assert snap_compare(make_app(Terminal(ascii=True)), terminal_size=SIZES[0], run_before=act)
