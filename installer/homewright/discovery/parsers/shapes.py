"""JSON as commands print it: taken as it should be, and as nothing where it has another shape."""

from __future__ import annotations

import json
from typing import Any


def document(text: str) -> Any:
    """The document in a text; None where there is none."""
    try:
        return json.loads(text) if text.strip() else None
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
    return [entry for entry in value if isinstance(entry, str)] if isinstance(value, list) else []


def word(value: Any) -> str:
    """A string; an empty one for anything else."""
    return value if isinstance(value, str) else ""
