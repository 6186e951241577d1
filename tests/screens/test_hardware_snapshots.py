"""Hardware in pictures: a healthy site, a broken machine, and a server that does not answer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from piloting import Compare, Make, both, page
from recorded_sites import lay_out
from screen_doubles import troubled

from homewright.errors import Unreachable
from homewright.screens.terminal import Terminal
from homewright.site.paths import StateFolder

if TYPE_CHECKING:
    from conftest import Recorded

UNREACHABLE = Unreachable(
    "s3 does not answer.", "Nothing came back in 10 s.", ["see whether it is on", "then r looks again"]
)


@both
def test_healthy(snap_compare: Compare, make_app: Make, site: Path, state: StateFolder, size: tuple[int, int]) -> None:
    assert snap_compare(make_app(), terminal_size=size, run_before=page("hardware", ("3 of 3 known", "GeForce")))


@both
def test_broken(
    snap_compare: Compare,
    make_app: Make,
    services: Recorded,
    site: Path,
    state: StateFolder,
    size: tuple[int, int],
) -> None:
    services.machines |= {"s1": troubled("s1")}
    assert snap_compare(make_app(), terminal_size=size, run_before=page("hardware", ("3 of 3 known", "Secure Boot")))


@both
def test_recorded_machines(snap_compare: Compare, make_app: Make, size: tuple[int, int]) -> None:
    act = page("hardware", ("3 of 3 known", "RTX 3090"), file=lay_out("attic")[0], name="attic")
    assert snap_compare(make_app(), terminal_size=size, run_before=act)


@both
def test_unreachable(
    snap_compare: Compare, make_app: Make, services: Recorded, site: Path, state: StateFolder, size: tuple[int, int]
) -> None:
    services.problems["s3"] = UNREACHABLE
    act = page("hardware", ("2 of 3 known", "s3 not reached"), "ctrl+n", ("ctrl+n again goes on without it",))
    assert snap_compare(make_app(), terminal_size=size, run_before=act)


def test_on_the_linux_console(
    snap_compare: Compare,
    make_app: Make,
    services: Recorded,
    site: Path,
    state: StateFolder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TERM", "linux")
    services.problems["s2"] = UNREACHABLE
    act = page("hardware", ("2 of 3 known",), "tab", ("does not answer",))
    assert snap_compare(make_app(Terminal(ascii=True)), terminal_size=(80, 24), run_before=act)
