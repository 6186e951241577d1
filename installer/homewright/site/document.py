"""Reading YAML that people write by hand: every value knows its line and column, and nothing is expanded.

The text becomes a tree straight from the parser's events, so that limits on size, depth and number of values hold
before anything is built, and an alias is refused before it could be expanded. Types are YAML 1.2's: `no` is text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, StreamMark, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)
from ruamel.yaml.nodes import ScalarNode
from ruamel.yaml.reader import ReaderError

MAX_BYTES = 256 * 1024
"""A server takes about 150 bytes: room for well over a thousand."""
MAX_DEPTH = 12
"""The models nest five deep."""
MAX_VALUES = 20_000

_ODD_LINE_END = re.compile(r"[\x85\u2028\u2029]|\r(?!\n)")
"""YAML ends a line at these, editors and our own line numbers do not."""

Plain: TypeAlias = "str | int | float | bool | list[Plain] | dict[str, Plain] | None"
Path: TypeAlias = Sequence["str | int"]


class DocumentError(Exception):
    """The text is no acceptable YAML. Lines and columns count from 1."""

    def __init__(self, line: int, column: int, reason: str, remedy: str, path: Path = ()) -> None:
        super().__init__(reason)
        self.line = line
        self.column = column
        self.reason = reason
        self.remedy = remedy
        self.path = tuple(path)


@dataclass
class Node:
    """One value and where it stands. `value` is a scalar, a list of nodes or a mapping of keys to entries."""

    line: int
    column: int
    value: str | int | float | bool | list[Node] | dict[str, Entry] | None
    start: int
    """Offset in the text, in characters."""
    end: int
    """Offset behind the last character of the last value inside."""
    flow: bool = False
    """Whether it is a collection in brackets."""

    def plain(self) -> Plain:
        """The value without positions."""
        if isinstance(self.value, list):
            return [item.plain() for item in self.value]
        if isinstance(self.value, dict):
            return {key: entry.node.plain() for key, entry in self.value.items()}
        return self.value

    def at(self, path: Path) -> tuple[int, int]:
        """Line and column of the key or item at this path; of the deepest one that exists where it does not."""
        node, place = self, (self.line, self.column)
        for step in path:
            if isinstance(node.value, dict) and isinstance(step, str) and step in node.value:
                entry = node.value[step]
                node, place = entry.node, (entry.line, entry.column)
            elif isinstance(node.value, list) and isinstance(step, int) and step < len(node.value):
                node = node.value[step]
                place = (node.line, node.column)
            else:
                break
        return place


@dataclass
class Entry:
    """A key's own place, and what it holds."""

    line: int
    column: int
    start: int
    end: int
    """Offsets of the key in the text, in characters."""
    node: Node


@dataclass
class _Key:
    """A mapping's key that waits for its value."""

    text: str
    line: int
    column: int
    start: int
    end: int


@dataclass
class _Open:
    """A mapping or sequence that has not ended yet."""

    node: Node
    key: _Key | None = None
    path: tuple[str | int, ...] = field(default=())


def read(text: str) -> Node:
    """The tree of one YAML document. Raises DocumentError; never expands, constructs or recurses."""
    if not text.strip():
        raise DocumentError(1, 1, "the file is empty", "write at least `version: 1` and `name: …` into it")
    odd = _ODD_LINE_END.search(text)
    if odd:
        raise _character(text, odd.start(), "there is a line break that only some programs see as one")
    yaml = YAML(typ="rt", pure=True)
    try:
        return _Builder(yaml, text).build(iter(yaml.parse(text)))
    except ReaderError as error:
        raise _character(text, error.position, "there is a character that no YAML file may contain") from None
    except MarkedYAMLError as error:
        raise _syntax(error) from None
    except (YAMLError, ValueError, IndexError, AssertionError) as error:
        # Some malformed directives and escapes leave the parser as plain exceptions.
        raise DocumentError(1, 1, f"this is no YAML ({error})", "mend the file in an editor") from None


def _character(text: str, position: int, reason: str) -> DocumentError:
    start = text.rfind("\n", 0, position) + 1
    remedy = f"remove the character U+{ord(text[position]):04X}, or write it as an escape in double quotes"
    return DocumentError(text.count("\n", 0, position) + 1, position - start + 1, reason, remedy)


def _syntax(error: MarkedYAMLError) -> DocumentError:
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if isinstance(mark, StreamMark) else (1, 1)
    reason = " ".join(str(error.problem or error.context or "it cannot be parsed").split())
    remedy = "look at this line and the one before it: indentation, colons, quotes"
    if "\\t" in reason:
        remedy = "indent with spaces: YAML allows no tabs"
    return DocumentError(line, column, f"this is no YAML: {reason}", remedy)


class _Builder:
    """Turns events into nodes; `stack` is what is open."""

    def __init__(self, yaml: YAML, text: str) -> None:
        self._yaml = yaml
        self._text = text
        self._stack: list[_Open] = []

    def build(self, events: Iterator[Event]) -> Node:
        root: Node | None = None
        documents = values = 0
        for event in events:
            line, column = event.start_mark.line + 1, event.start_mark.column + 1
            if isinstance(event, DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise DocumentError(line, column, "there is a second document", "keep one document in the file")
            elif isinstance(event, MappingEndEvent | SequenceEndEvent):
                self._close(event)
            elif isinstance(event, NodeEvent):
                values += 1
                self._refuse(event, line, column, values)
                node = self._node(event, line, column)
                if node is None:
                    continue
                path = self._place(node)
                root = root or node
                if isinstance(event, MappingStartEvent | SequenceStartEvent):
                    self._stack.append(_Open(node, path=path))
        if root is None:
            raise DocumentError(1, 1, "the file holds no value", "write at least `version: 1` and `name: …` into it")
        return root

    def _close(self, event: Event) -> None:
        node = self._stack.pop().node
        if node.flow:
            node.end = event.end_mark.index
        elif isinstance(node.value, dict):
            node.end = max((entry.node.end for entry in node.value.values()), default=node.start)
        elif isinstance(node.value, list):
            node.end = max((item.end for item in node.value), default=node.start)

    def _refuse(self, event: NodeEvent, line: int, column: int, values: int) -> None:
        reason = remedy = ""
        if isinstance(event, AliasEvent) or event.anchor is not None:
            reason, remedy = "anchors and aliases (& and *) are not allowed", "write the value out where it is used"
        elif getattr(event, "ctag", None) is not None:
            reason, remedy = "tags (!…) are not allowed", "write the value without the tag"
        elif values > MAX_VALUES:
            reason, remedy = f"there are more than {MAX_VALUES} values", "remove what is not needed"
        elif len(self._stack) >= MAX_DEPTH:
            reason, remedy = f"it is nested deeper than {MAX_DEPTH} levels", "flatten it"
        if reason:
            raise DocumentError(line, column, reason, remedy, self._path())

    def _node(self, event: NodeEvent, line: int, column: int) -> Node | None:
        """The event's node; None where it was a mapping's key."""
        start, end = event.start_mark.index, event.end_mark.index
        top = self._stack[-1] if self._stack else None
        awaiting_key = top is not None and isinstance(top.node.value, dict) and top.key is None
        if not isinstance(event, ScalarEvent):
            if awaiting_key:
                raise DocumentError(line, column, "a key must be text", "write `name: value`", self._path())
            value: list[Node] | dict[str, Entry] = {} if isinstance(event, MappingStartEvent) else []
            return Node(line, column, value, start, end, flow=bool(getattr(event, "flow_style", False)))
        scalar = self._scalar(event, line, column)
        end = start + len(self._text[start:end].rstrip())
        if top is None or not awaiting_key:
            return Node(line, column, scalar, start, end)
        if not isinstance(scalar, str):
            raise DocumentError(line, column, f"the key {event.value} is no text", "put it in quotes", self._path())
        if isinstance(top.node.value, dict) and scalar in top.node.value:
            reason = f"{scalar} is there twice: on line {top.node.value[scalar].line} and here"
            raise DocumentError(line, column, reason, "keep one of them", (*top.path, scalar))
        top.key = _Key(scalar, line, column, start, end)
        return None

    def _place(self, node: Node) -> tuple[str | int, ...]:
        """Put a node into what is open; its path."""
        if not self._stack:
            return ()
        parent = self._stack[-1]
        path = self._path()
        if isinstance(parent.node.value, list):
            parent.node.value.append(node)
        elif isinstance(parent.node.value, dict) and parent.key is not None:
            key = parent.key
            if node.start == node.end and not isinstance(node.value, list | dict):
                # The parser places a value that is not there at the next thing that is.
                colon = self._text.find(":", key.end) + 1
                node.start = node.end = colon or key.end
            parent.node.value[key.text] = Entry(key.line, key.column, key.start, key.end, node)
            parent.key = None
        return path

    def _path(self) -> tuple[str | int, ...]:
        """The path of the value that comes next."""
        if not self._stack:
            return ()
        parent = self._stack[-1]
        if isinstance(parent.node.value, list):
            return (*parent.path, len(parent.node.value))
        return (*parent.path, parent.key.text) if parent.key else parent.path

    def _scalar(self, event: ScalarEvent, line: int, column: int) -> str | int | float | bool | None:
        text: str = event.value
        if event.style == ">":
            return text.replace("\a", "")  # how the parser marks where a line was folded; no file may contain one
        if event.style is not None:  # quoted, or a block: always text
            return text
        kind = kind_of(text, self._yaml)
        if kind == "null":
            return None
        if kind == "bool":
            return text.lower() == "true"
        if kind == "timestamp":
            raise DocumentError(line, column, f"{text} reads as a date", "put it in quotes", self._path())
        if kind in ("int", "float"):
            if len(text) > 40:  # int() itself refuses 4300 digits; no number of ours has more than five
                reason, remedy = "the number is too long", "put it in quotes if it is text"
                raise DocumentError(line, column, reason, remedy, self._path())
            return _number(text, kind)
        return text


def kind_of(text: str, yaml: YAML | None = None) -> str:
    """What an unquoted scalar reads as: str, int, float, bool, null, timestamp, …"""
    resolver = (yaml or YAML(typ="rt", pure=True)).resolver
    return str(resolver.resolve(ScalarNode, text, (True, False))).rpartition(":")[2]


def _number(text: str, kind: str) -> int | float | str:
    digits = text.replace("_", "")
    try:
        if kind == "int":
            body = digits.lstrip("+-")
            return int(digits, 0) if body[:2].lower() in ("0x", "0o", "0b") else int(digits, 10)
        number = float(digits)
    except ValueError:
        return text
    # .inf and .nan have no JSON form and no field of ours takes them: as text they meet "must be a number".
    return number if number == number and abs(number) != float("inf") else text
