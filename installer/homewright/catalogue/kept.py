"""Trees of stages that were read before, in the user's cache folder: reading one anew takes ten times as long.

Ruamel's pure parser needs 0.14 s of processor time for the stages that come with Homewright, in every command that
plans and in every engine; from here they take 0.015 s. A file is named after the digest of the text that it is the tree
of, and of what read it. Whatever is wrong with one, the text is read as if there were none.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import ruamel.yaml

from homewright.errors import HomewrightError
from homewright.site.document import Entry, Node
from homewright.site.paths import cache_home, make_folder

FORMAT = 1
"""Of these files and of what `catalogue.text` makes of a text: to be raised where either changes."""
LEAST = 1024
"""Characters of a text whose tree is kept: a shorter one is read as quickly as a file is opened."""
MOST = 200
"""Files that are kept; the stages that come with Homewright are ten."""


def folder() -> Path:
    return cache_home() / "stages"


def place(text: str) -> Path:
    """The file of this text's tree."""
    digest = hashlib.sha256(f"{FORMAT} {ruamel.yaml.__version__}\n{text}".encode())
    return folder() / f"{digest.hexdigest()}.json"


def load(text: str) -> Node | None:
    """The tree of this text; None where it has not been kept, or cannot be used."""
    if len(text) < LEAST:
        return None
    try:
        return _node(json.loads(place(text).read_bytes()))
    except (OSError, ValueError, TypeError, LookupError, RecursionError):
        return None


def save(text: str, tree: Node) -> None:
    """Keep it, where there is room for it. What a power cut leaves of it is no JSON, so nothing waits for the disk."""
    if len(text) < LEAST:
        return
    with contextlib.suppress(OSError, HomewrightError):
        make_folder(folder())
        descriptor, temporary = tempfile.mkstemp(prefix=".", suffix=".part", dir=folder())
        try:
            with os.fdopen(descriptor, "w") as file:
                json.dump(_record(tree), file, separators=(",", ":"))
            Path(temporary).replace(place(text))
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        _prune()


def _prune() -> None:
    """The oldest go, and what was cut off while it was written goes with them."""
    files = sorted(folder().iterdir(), key=lambda file: file.stat().st_mtime)
    for old in files[: max(0, len(files) - MOST)]:
        old.unlink(missing_ok=True)


def _record(node: Node) -> list[Any]:
    value: Any = node.value
    if isinstance(value, list):
        value = ["list", [_record(item) for item in value]]
    elif isinstance(value, dict):
        value = ["dict", {key: [e.line, e.column, e.start, e.end, _record(e.node)] for key, e in value.items()}]
    else:
        value = ["", value]
    return [node.line, node.column, node.start, node.end, *value]


def _node(record: list[Any]) -> Node:
    line, column, start, end, kind, value = record
    if kind == "list":
        value = [_node(item) for item in value]
    elif kind == "dict":
        value = {key: Entry(at[0], at[1], at[2], at[3], _node(at[4])) for key, at in dict(value).items()}
    return Node(line, column, value, start, end)
