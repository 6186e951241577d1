"""How sentences name several servers."""

from __future__ import annotations

import pytest

from homewright.planning.wording import by_what_they_share, listed


@pytest.mark.parametrize(
    ("words", "said"), [(["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")], ids=str
)
def test_a_list_in_words(words: list[str], said: str) -> None:
    assert listed(words) == said


def test_servers_of_which_the_same_is_said_are_named_together() -> None:
    said = {"s1": "Debian 12", "s2": "Alpine", "s3": "Debian 12"}
    assert by_what_they_share(said, "runs", "run") == "s1 and s3 run Debian 12; s2 runs Alpine"
