"""Saved states of the cluster on the screens: listed, one more saved, and the cluster put back to one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from piloting import Compare, Make, both, drive, open_page, opened, shows, text_of, until
from screen_doubles import NOW, write_run
from textual.pilot import Pilot

from homewright.cli import cluster_restore
from homewright.cluster import snapshots
from homewright.cluster.snapshots import Newer, Silent, Snapshot, SnapshotsDocument
from homewright.engine import launch
from homewright.site import files
from homewright.site.paths import StateFolder

SIZE = (80, 24)
STATES = tuple(
    Snapshot(server=server, name=f"{at:%Y%m%dT%H%M%SZ}.db", at=at, size=size)
    for server, hours, size in (("s1", 2, 4_300_000), ("s2", 26, 4_100_000), ("s1", 24 * 9, 20_512))
    for at in (datetime.fromtimestamp(NOW, UTC).replace(microsecond=0) - timedelta(hours=hours),)
)


@pytest.fixture
def clustered(site: Path, state: StateFolder, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A finished site whose cluster Homewright made; what its control planes say."""
    files.update(site, {"platform.cluster": "kubeadm", "platform.nodes": "servers"})
    write_run(state, "succeeded")
    told: dict[str, Any] = {"snapshots": STATES, "silent": ()}
    monkeypatch.setattr(snapshots, "look", lambda name, planes: SnapshotsDocument(site=name, **told))
    return told


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str | None, Mapping[str, str]]]:
    """What an engine was asked for, in place of one."""
    asked: list[tuple[str | None, Mapping[str, str]]] = []

    def start(
        file: Path, state: StateFolder, *, only: str | None, stages: Sequence[Path], given: Mapping[str, str]
    ) -> str:
        asked.append((only, given))
        return "r2"

    monkeypatch.setattr(launch, "start", start)
    return asked


def front(pilot: Pilot[object], name: str) -> Callable[[], bool]:
    return lambda: type(pilot.app.screen).__name__ == name


async def listed(pilot: Pilot[object], site: Path) -> None:
    await open_page(pilot, site, "finished")
    await until(pilot, shows(pilot, "Proved, 9 changed"))
    await pilot.press("c")
    await until(pilot, front(pilot, "SavedStatesBox"))


async def asked(pilot: Pilot[object], site: Path) -> None:
    await listed(pilot, site)
    await pilot.press("down", "enter")
    await until(pilot, front(pilot, "AskBox"))
    await until(pilot, shows(pilot, "1 day 2 hours ago", "as s2 saved it"))


def test_a_state_is_put_back_once_its_cost_was_agreed_to(
    make_app: Make, site: Path, clustered: dict[str, Any], begun: list[Any]
) -> None:
    async def flow(pilot: Pilot[object]) -> None:
        await asked(pilot, site)
        await pilot.press("s", "1", "enter")
        await until(pilot, shows(pilot, "that is not s2"))
        assert begun == []
        await pilot.press("backspace", "2", "enter")
        await until(pilot, front(pilot, "Deploy"))

    drive(make_app(), SIZE, flow)
    ((only, given),) = begun
    server, name, least = given["restore"].split()[1:]
    assert (only, server, name) == ("40/core/cluster", "s2", STATES[1].name)
    assert int(least) > 10**12, "revisions go on from the time"


MADE = tuple(
    Newer(kind, 7, tuple(f"garden-of-ann/{kind.replace(' ', '-')}-{n}" for n in range(5)))
    for kind in ("claim", "volume", "deployment", "service", "config map", "secret")
)
"""More than fits a small terminal."""


def answering(monkeypatch: pytest.MonkeyPatch, made: Sequence[Newer]) -> None:
    """The cluster says what was made since."""
    monkeypatch.setattr(
        cluster_restore, "cost", lambda site, state, wanted, now: list(snapshots.cost(wanted, now, made))
    )


def test_all_that_it_costs_is_read_before_the_yes_is_typed(
    make_app: Make, site: Path, clustered: dict[str, Any], begun: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    answering(monkeypatch, MADE)

    async def flow(pilot: Pilot[object]) -> None:
        await asked(pilot, site)
        await until(pilot, shows(pilot, "up down scroll"))
        assert snapshots.BEFORE not in text_of(pilot.app)
        await pilot.press("s", *["down"] * 30)
        await until(pilot, shows(pilot, snapshots.BEFORE))
        await pilot.press("pageup", "up", "2")
        await until(pilot, shows(pilot, "as s2 saved it"))
        await pilot.press("enter")
        await until(pilot, front(pilot, "Deploy"))

    drive(make_app(), SIZE, flow)
    assert len(begun) == 1


def test_one_more_is_saved(make_app: Make, site: Path, clustered: dict[str, Any], begun: list[Any]) -> None:
    clustered["snapshots"] = ()

    async def flow(pilot: Pilot[object]) -> None:
        await listed(pilot, site)
        await until(pilot, shows(pilot, "Nothing was saved yet"))
        await pilot.press("s")
        await until(pilot, front(pilot, "Deploy"))

    drive(make_app(), SIZE, flow)
    assert begun == [("40/core/cluster", {"save": "now"})]


def test_nothing_is_put_back_while_a_control_plane_is_silent(
    make_app: Make, site: Path, clustered: dict[str, Any], begun: list[Any]
) -> None:
    clustered["silent"] = (Silent(server="s3", why="It does not answer."),)

    async def flow(pilot: Pilot[object]) -> None:
        await listed(pilot, site)
        await until(pilot, shows(pilot, "s3 could not be asked. It does not answer."))
        await pilot.press("enter")
        await until(pilot, shows(pilot, "s3 is a control plane and cannot be asked", "switch s3 on"))

    drive(make_app(), SIZE, flow)
    assert begun == []


def test_a_site_without_a_cluster_of_ours_has_no_such_key(make_app: Make, site: Path, state: StateFolder) -> None:
    write_run(state, "succeeded")

    async def flow(pilot: Pilot[object]) -> None:
        await open_page(pilot, site, "finished")
        await until(pilot, shows(pilot, "Proved, 9 changed"))
        await pilot.press("c")
        await opened(pilot, "ctrl+p")
        await pilot.press(*"saved")
        await until(pilot, shows(pilot, "nothing is called that"))

    drive(make_app(), SIZE, flow)


@both
def test_saved_states(
    snap_compare: Compare, make_app: Make, site: Path, clustered: dict[str, Any], size: tuple[int, int]
) -> None:
    clustered["silent"] = (Silent(server="s3", why="It does not answer at 192.168.1.13."),)

    async def act(pilot: Pilot[object]) -> None:
        await listed(pilot, site)
        await until(pilot, shows(pilot, "s3 could not be asked"))

    assert snap_compare(make_app(), terminal_size=size, run_before=act)


@both
def test_the_cost_of_going_back(
    snap_compare: Compare, make_app: Make, site: Path, clustered: dict[str, Any], size: tuple[int, int]
) -> None:
    assert snap_compare(make_app(), terminal_size=size, run_before=lambda pilot: asked(pilot, site))


@both
@pytest.mark.parametrize("made", [(), MADE], ids=["nothing", "much"])
def test_what_was_made_since(
    snap_compare: Compare,
    make_app: Make,
    site: Path,
    clustered: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    made: Sequence[Newer],
    size: tuple[int, int],
) -> None:
    answering(monkeypatch, made)
    assert snap_compare(make_app(), terminal_size=size, run_before=lambda pilot: asked(pilot, site))


@both
def test_finished_with_a_cluster(
    snap_compare: Compare, make_app: Make, site: Path, clustered: dict[str, Any], size: tuple[int, int]
) -> None:
    async def act(pilot: Pilot[object]) -> None:
        await open_page(pilot, site, "finished")
        await until(pilot, shows(pilot, "Proved, 9 changed"))

    assert snap_compare(make_app(), terminal_size=size, run_before=act)
