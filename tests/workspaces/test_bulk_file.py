"""Lists of workspaces: what a file may hold, and that every other one is refused in words."""

from __future__ import annotations

import pytest

from homewright.errors import UsageError
from homewright.workspaces import bulk_file


@pytest.mark.parametrize(("text", "says"), [
    ("- [", "expected"), ("- 2024-13-45", "month must be in 1..12"), ("alice: 1", "holds no list"),
    ("[]", "0 entries"), ("- alice\n- alice", "Entries 1 and 2 are the same"), ("- user: a/b", "Entry 1, user: "),
])  # fmt: skip
def test_files_that_are_no_list(text: str, says: str) -> None:
    with pytest.raises(UsageError, match="is no list of workspaces") as refused:
        bulk_file.parse(text, "team.yaml")
    assert says in refused.value.why
