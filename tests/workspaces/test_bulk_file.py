"""Lists of workspaces: what a file may hold, and that every other one is refused in words."""

from __future__ import annotations

import pytest

from homewright.errors import UsageError
from homewright.workspaces import bulk_file
from homewright.workspaces.models import Key


@pytest.mark.parametrize(("text", "says"), [
    ("- [", "expected"), ("- 2024-13-45", "month must be in 1..12"), ("alice: 1", "holds no list"),
    ("[]", "0 entries"), ("- alice\n- alice", "Entries 1 and 2 are the same"), ("- user: a/b", "Entry 1, user: "),
    ("- ada lovelace", "Entry 1: No workspace ada lovelace is made. Its user must not contain a space"),
    ("- user: alice\n  name: my train", "Its name must not contain a space"),
])  # fmt: skip
def test_files_that_are_no_list(text: str, says: str) -> None:
    with pytest.raises(UsageError, match="is no list of workspaces") as refused:
        bulk_file.parse(text, "team.yaml")
    assert says in refused.value.why


def test_so_many_of_one_user_have_no_space_in_their_names() -> None:
    with pytest.raises(UsageError, match="No workspace ada lovelace is made"):
        bulk_file.numbered(Key(user="ada lovelace"), 2)
