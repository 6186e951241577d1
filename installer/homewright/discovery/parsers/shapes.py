"""JSON as commands print it: taken as it should be, and as nothing where it has another shape."""

from __future__ import annotations

import json
from typing import Any

from homewright.discovery.bundle import clean
from homewright.discovery.parsers.sizes import whole


def document(text: str) -> Any:
    """The document in a text; None where there is none."""
    try:
        return json.loads(text, parse_int=_integer) if text.strip() else None
    except (ValueError, RecursionError):
        return None


def record(value: Any) -> dict[str, Any]:
    """An object; an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def records(value: Any) -> list[dict[str, Any]]:
    """The objects of a list; none for anything else."""
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def words(value: Any) -> list[str]:
    """The strings of a list; none for anything else."""
    return [clean(entry) for entry in value if isinstance(entry, str)] if isinstance(value, list) else []


def word(value: Any) -> str:
    """A string; an empty one for anything else."""
    return clean(value) if isinstance(value, str) else ""


def number(value: Any) -> int | None:
    """A whole number, also one that is written as a string; None for anything else."""
    if isinstance(value, bool):
        return None
    return whole(str(value)) if isinstance(value, int | str) else None


def _integer(digits: str) -> int | None:
    """Python refuses to read numbers of thousands of digits; none of ours has more than 18."""
    return int(digits) if len(digits) <= 19 else None
