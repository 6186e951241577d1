"""GPUs in pictures: recorded machines, healthy and not, and what reserving a GPU changes."""

from __future__ import annotations

import pytest
from piloting import SIZES, Compare, Make, both, page
from recorded_sites import lay_out

from homewright.screens.terminal import Terminal


@both
def test_healthy(snap_compare: Compare, make_app: Make, size: tuple[int, int]) -> None:
    act = page("gpus", ("RTX 3090",), "p", ("* not saved",), file=lay_out("attic")[0], name="attic")
    assert snap_compare(make_app(), terminal_size=size, run_before=act)


@both
def test_trouble_and_a_server_that_is_lost(snap_compare: Compare, make_app: Make, size: tuple[int, int]) -> None:
    act = page("gpus", ("rowan not known",), "p", ("is not possible",), file=lay_out("trouble")[0], name="trouble")
    assert snap_compare(make_app(), terminal_size=size, run_before=act)


@both
def test_what_saving_changes(snap_compare: Compare, make_app: Make, size: tuple[int, int]) -> None:
    file = lay_out("attic")[0]
    act = page(
        "gpus", ("RTX 3090",), "down down p", ("cedar-node *",), "ctrl+s", ("save these",), file=file, name="attic"
    )
    assert snap_compare(make_app(), terminal_size=size, run_before=act)


def test_no_gpu_can_be_known(snap_compare: Compare, make_app: Make, site: object) -> None:
    assert snap_compare(make_app(), terminal_size=SIZES[0], run_before=page("gpus", ("The GPUs are not known",)))


def test_on_the_linux_console(snap_compare: Compare, make_app: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "linux")
    act = page("gpus", ("RTX 3050",), file=lay_out("shared-group")[0], name="shared-group")
    assert snap_compare(make_app(Terminal(ascii=True)), terminal_size=SIZES[0], run_before=act)
