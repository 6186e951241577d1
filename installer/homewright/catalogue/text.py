"""The text of a `stage.yaml` as a tree that knows its lines.

Unlike the answers of a site it may use anchors, since steps share limits and remedies; what aliases expand to is
bounded all the same.
"""

from __future__ import annotations

from functools import lru_cache

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode
from ruamel.yaml.nodes import Node as Composed

from homewright.catalogue import kept
from homewright.site.document import MAX_BYTES, MAX_VALUES, DocumentError, Entry, Node

_SHAPE = "look at this line and the one before it: indentation, colons, quotes"


@lru_cache(maxsize=64)
def read(text: str) -> Node:
    """The tree of one document, which is nobody's to change. Raises DocumentError.

    Kept, because every run reads its stages twice, where they lie and in the copy that it goes on with, and beyond this
    process because every command reads them (`catalogue.kept`).
    """
    found = kept.load(text)
    if found is None:
        found = _parsed(text)
        kept.save(text, found)
    return found


def _parsed(text: str) -> Node:
    if len(text) > MAX_BYTES:
        raise DocumentError(1, 1, f"it is larger than {MAX_BYTES // 1024} KiB", "split the stage")
    try:
        root = YAML(typ="safe", pure=True).compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise DocumentError(line, column, f"this is no YAML: {error.problem or error.context}", _SHAPE) from None
    except (YAMLError, ValueError) as error:
        raise DocumentError(1, 1, f"this is no YAML: {error}", _SHAPE) from None
    if root is None:
        raise DocumentError(1, 1, "the file is empty", "write a stage into it: id, title, steps")
    return _Expander().node(root)


class _Expander:
    def __init__(self) -> None:
        self._count = 0
        self._open: list[Composed] = []

    def node(self, composed: Composed) -> Node:
        line, column = composed.start_mark.line + 1, composed.start_mark.column + 1
        self._count += 1
        if self._count > MAX_VALUES:
            raise DocumentError(line, column, f"there are more than {MAX_VALUES} values", "remove what is not needed")
        if any(composed is outer for outer in self._open):
            raise DocumentError(line, column, "an alias refers to what it stands in", "write the value out")
        self._open.append(composed)
        try:
            if isinstance(composed, ScalarNode):
                return self._made(composed, _scalar(composed))
            if isinstance(composed, SequenceNode):
                return self._made(composed, [self.node(item) for item in composed.value])
            assert isinstance(composed, MappingNode)
            return self._made(composed, self._entries(composed))
        finally:
            self._open.pop()

    def _made(self, composed: Composed, value: str | int | float | bool | list[Node] | dict[str, Entry] | None) -> Node:
        start, end = composed.start_mark, composed.end_mark
        return Node(start.line + 1, start.column + 1, value, start.index, end.index)

    def _entries(self, composed: MappingNode) -> dict[str, Entry]:
        entries: dict[str, Entry] = {}
        for key, value in composed.value:
            line, column = key.start_mark.line + 1, key.start_mark.column + 1
            if not isinstance(key, ScalarNode):
                raise DocumentError(line, column, "a key must be text", "write `name: value`")
            if key.value in entries:
                raise DocumentError(line, column, f"{key.value} is there twice", "keep one of them")
            entries[key.value] = Entry(line, column, key.start_mark.index, key.end_mark.index, self.node(value))
        return entries


def _scalar(node: ScalarNode) -> str | int | float | bool | None:
    text = str(node.value)
    kind = str(node.tag).rpartition(":")[2]
    if node.style is not None or kind not in ("null", "bool", "int", "float"):
        return text
    if kind == "null":
        return None
    if kind == "bool":
        return text.lower() == "true"
    try:
        return int(text) if kind == "int" else float(text)
    except ValueError:
        return text
