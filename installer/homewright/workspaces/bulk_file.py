"""Many workspaces in one file, or of one user: what is to be made, as specifications. Pure but for reading the file."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from homewright.errors import UsageError
from homewright.workspaces.models import DEFAULT_NAME, Key
from homewright.workspaces.naming import parse_key, require_makeable

MOST = 10_000
"""Workspaces that one call makes at most: more is a slip of the hand."""
EXAMPLE = "- alice\n- user: bob@corp.com\n  name: train\n  template: devenv\n  preset: large"


@dataclass(frozen=True)
class Wanted:
    """One workspace of many; what is None is what all of them get."""

    key: Key
    template: str | None = None
    preset: str | None = None
    repository: str | None = None
    branch: str = ""


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    user: str
    name: str = DEFAULT_NAME
    node: str | None = None
    template: str | None = None
    preset: str | None = None
    repository: str | None = Field(default=None)
    branch: str = ""


def numbered(key: Key, count: int) -> tuple[Wanted, ...]:
    """So many of one user: NAME-1 and so on, `workspace-1` for a key that says no name."""
    if not 1 <= count <= MOST:
        raise UsageError(f"--count {count} is no number of workspaces.", "", [f"choose one from 1 to {MOST}"])
    require_makeable(key)
    name = "workspace" if key.name == DEFAULT_NAME else key.name
    return tuple(Wanted(parse_key(f"{key.user}/{name}-{number}", key.node)) for number in range(1, count + 1))


def read(file: str) -> tuple[Wanted, ...]:
    """Those of a file; `-` is standard input. Raises UsageError with the entry that is wrong."""
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} cannot be read.", f"{error}.", ["name a file that is there"]) from None
    return parse(text, file)


def parse(text: str, file: str) -> tuple[Wanted, ...]:
    """Those of a file's text: a YAML or JSON list."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        entries: Any = YAML(typ="safe", pure=True).load(text)
    except (YAMLError, ValueError) as error:  # ValueError: a date that there is not
        raise _wrong(file, f"{error}".replace("\n", " ")) from None
    if not isinstance(entries, list):
        raise _wrong(file, "It holds no list.")
    if not 1 <= len(entries) <= MOST:
        raise _wrong(file, f"It has {len(entries)} entries; 1 to {MOST} can be made at once.")
    found = [_entry(entry, number, file) for number, entry in enumerate(entries, 1)]
    _require_once(found, file)
    return tuple(found)


def _entry(entry: Any, number: int, file: str) -> Wanted:
    try:
        if isinstance(entry, str):
            return Wanted(require_makeable(parse_key(entry)))
        one = _Entry.model_validate(entry)
        key = require_makeable(Key(user=one.user, name=one.name, node=one.node))
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise _wrong(
            file, f"Entry {number}{f', {where}' if where else ''}: {problem['msg'].removeprefix('Value error, ')}."
        ) from None
    except UsageError as error:
        raise _wrong(file, f"Entry {number}: {error.what} {error.why}") from None
    return Wanted(key, one.template, one.preset, one.repository, one.branch)


def _require_once(found: Sequence[Wanted], file: str) -> None:
    first: dict[str, int] = {}
    for number, one in enumerate(found, 1):
        before = first.setdefault(str(one.key), number)
        if before != number:
            raise _wrong(file, f"Entries {before} and {number} are the same: {one.key}.")


def _wrong(file: str, why: str) -> UsageError:
    return UsageError(f"{file} is no list of workspaces.", why, [f"write it so:\n{EXAMPLE}"])
