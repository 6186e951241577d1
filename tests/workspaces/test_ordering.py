"""The order of lists of workspaces."""

from __future__ import annotations

import random

import pytest

from homewright.workspaces.models import Key, Workspace, WorkspaceState
from homewright.workspaces.ordering import in_order, natural


@pytest.mark.parametrize(
    "expected",
    [
        ["student-1", "student-2", "student-9", "student-10", "student-998", "student-9980"],
        ["1", "2", "10", "a", "a1", "a2b", "a2b3", "a10", "b"],
        ["", "alice", "alice2", "bob"],
        ["x" + "9" * 200, "x1" + "0" * 200],
    ],
    ids=str,
)
def test_numbers_in_names_count_as_numbers(expected: list[str]) -> None:
    mixed = expected[:]
    random.Random(7).shuffle(mixed)
    assert sorted(mixed, key=natural) == expected


def test_workspaces_are_by_user_name_and_node_and_no_two_are_equal() -> None:
    expected = [("bob", "a2", ""), ("bob", "a10", "s2"), ("bob", "a10", "s10"), ("bob2", "a1", ""), ("bob02", "a", "")]
    found = [
        Workspace(
            key=Key(user=user, name=name), slug="x", template="t", preset="p", node=node, state=WorkspaceState.RUNNING
        )
        for user, name, node in reversed(expected)
    ]
    found.sort(key=in_order)
    assert [(one.key.user, one.key.name, one.node) for one in found][:3] == expected[:3]
    assert {one.key.user for one in found[3:]} == {"bob2", "bob02"}
    assert len({in_order(one) for one in found}) == len(found)
