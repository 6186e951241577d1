"""In which order workspaces are listed. Pure."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from homewright.workspaces.models import Workspace

_NUMBER = re.compile(r"([0-9]+)")

Natural = tuple[str | int, ...]
Rank = tuple[Natural, Natural, Natural, str, str]


def natural(text: str) -> Natural:
    """What people sort a name by: its numbers as numbers, so that student-9 comes before student-10."""
    parts = _NUMBER.split(text)  # text and numbers by turns, text first
    return tuple(int(part) if number % 2 else part for number, part in enumerate(parts))


@lru_cache(maxsize=32_768)  # thousands are sorted anew at every change of one of them
def _rank(user: str, name: str, node: str) -> Rank:
    return natural(user), natural(name), natural(node), user, name


def in_order(one: Workspace) -> Rank:
    """By user, name and node."""
    return _rank(one.key.user, one.key.name, one.node)
