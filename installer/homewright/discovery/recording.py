"""The facts that were recorded last: read without what asks for them, since every plan and every run begins with it."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from homewright.discovery.facts import HostFacts
from homewright.site.paths import StateFolder


def recorded(state: StateFolder) -> dict[str, HostFacts]:
    """The last facts of every host, by name. A file that cannot be read is as if it were not there: ask again."""
    found = {}
    for file in sorted(state.facts.glob("*.json")) if state.facts.is_dir() else []:
        facts = _load(file)
        if facts is not None:
            found[facts.host] = facts
    return found


def _load(file: Path) -> HostFacts | None:
    try:
        return HostFacts.model_validate_json(file.read_bytes())
    except (OSError, ValidationError):
        return None
