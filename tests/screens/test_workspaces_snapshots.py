"""Pictures of the manager: with none, a few, a class and ten thousand workspaces, and its boxes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from piloting import SIZES, Compare, both, page
from screen_doubles import NOW, Manager, workspace

from homewright.screens.app import HomewrightApp
from homewright.screens.workspace_boxes import ends_with
from homewright.workspaces.manager import Listing
from homewright.workspaces.models import Key, Problem, Workspace, WorkspaceState

Make = Callable[..., HomewrightApp]
STATES = (
    (WorkspaceState.RUNNING, ""), (WorkspaceState.RUNNING, ""), (WorkspaceState.STOPPED, ""),
    (WorkspaceState.STARTING, "pulling its image"), (WorkspaceState.RUNNING, ""),
    (WorkspaceState.ERROR, "no node has room: too few GPUs on 3 of 3 nodes"),
)  # fmt: skip


def class_of(count: int) -> tuple[Workspace, ...]:
    """So many in the cluster, of every state in turn."""
    made = []
    for number in range(1, count + 1):
        state, reason = STATES[number % len(STATES)]
        runs = state is WorkspaceState.RUNNING
        made.append(
            workspace(
                f"student-{number:02}", state, f"n{number % 3 + 1}", reason=reason, template="code-server",
                preset="standard", port=None, address=f"https://code-student-{number:02}.home.internal/",
                key=Key(user=f"student-{number:02}"), cpu=number % 20 / 10 if runs else None,
                memory=(number % 9 + 1) << 27 if runs else None,
            )
        )  # fmt: skip
    return tuple(made)


def watched(*workspaces: Workspace, **more: object) -> Listing:
    return replace(Listing(workspaces, {}, NOW, heard_at=NOW), **more)  # type: ignore[arg-type]  # of one test each


@pytest.mark.parametrize("count", [0, 3, 38], ids=str)
@both
def test_a_class(
    snap_compare: Compare, make_app: Make, site: Path, manager: Manager, size: tuple[int, int], count: int
) -> None:
    manager.now = watched(*class_of(count))
    act = page("workspaces", ("No workspaces yet" if not count else "student-01", "the cluster is watched"), "", ())
    assert snap_compare(make_app(), terminal_size=size, run_before=act)


def test_ten_thousand(snap_compare: Compare, make_app: Make, site: Path, manager: Manager) -> None:
    manager.now = watched(*class_of(10_000))
    act = page("workspaces", ("10000 · ",), "end space up space", ("2 marked",))
    assert snap_compare(make_app(), terminal_size=SIZES[1], run_before=act)


@pytest.mark.parametrize(("key", "waits"), [("A D", "Type 3 workspaces")], ids=["delete"])
@pytest.mark.parametrize("size", SIZES[:1], ids=["80x24"])
def test_boxes(
    snap_compare: Compare, make_app: Make, site: Path, manager: Manager, size: tuple[int, int], key: str, waits: str
) -> None:
    from homewright.workspaces.models import Session

    manager.now = watched(*class_of(3))
    manager.guests = (Session(address="unknown: a pod does not tell who is on", connections=0),)
    act = page("workspaces", ("student-01",), key, (waits,))
    assert snap_compare(make_app(), terminal_size=size, run_before=act)


@pytest.mark.parametrize("size", SIZES[:1], ids=["80x24"])
def test_events_are_told_whole(
    snap_compare: Compare, make_app: Make, site: Path, manager: Manager, size: tuple[int, int]
) -> None:
    """They are known before the box was laid out, and take more lines than what stood there."""
    manager.now = watched(*class_of(3))
    act = page("workspaces", ("student-01",), "E", ("created", "FailedScheduling (x3)", "nvidia.com/gpu."))
    assert snap_compare(make_app(), terminal_size=size, run_before=act)


@both
def test_a_new_one_that_would_not_start(
    snap_compare: Compare, make_app: Make, site: Path, manager: Manager, size: tuple[int, int]
) -> None:
    reason = "no node has room: too few GPUs on 3 of 3 nodes"
    remedy = "stop another GPU workspace, or take a smaller preset"
    manager.problems = (Problem(reason=reason, whose="user", remedy=remedy),)
    manager.good = ("the namespace's quota has room", "its storage comes from the class local-path")
    manager.unknown = ("whether a node has its image cannot be told: the cluster does not let us list nodes.",)
    manager.now = watched(*class_of(3))
    act = page("workspaces", ("student-01",), "n", ("It would not start",))
    assert snap_compare(make_app(), terminal_size=size, run_before=act)


@pytest.mark.parametrize(
    ("nodes", "goes", "with_it"),
    [
        (["n1"], "its account and its password go. The shared folders", "its own settings and extensions go too"),
        ([None], "its password goes. The storage stays", "its storage goes too (kept for seven days, u takes it back)"),
        ([None, None], "their passwords go. The storage stays", "their storage goes too"),
        (["n1", None], "In the cluster the storage stays; on servers: the shared folders", "storage in the cluster"),
    ],
)
def test_what_goes_with_a_workspace_is_that_of_its_place(nodes: list[str | None], goes: str, with_it: str) -> None:
    told = ends_with([workspace("ann", WorkspaceState.RUNNING, key=Key(user="ann", node=node)) for node in nodes])
    assert goes in told[0] and with_it in told[1]
