"""The text of a site file: a new one with a comment on every field, and changes made in place in an existing one.

A change replaces the characters of the value that changed, or adds or takes away whole lines; every other character,
comments and blank lines included, stays as somebody wrote it. (Emitting the whole tree again, even with a parser that
keeps comments, moved comments to other values or broke the file when items were removed or added beside them.)
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, NamedTuple

from pydantic import BaseModel

from homewright.site import described
from homewright.site.document import Entry, Node, kind_of, read
from homewright.site.models import Site

ALWAYS = ("version", "name", "profile", "servers")
"""Fields that a new file has even where they are the default."""

_PLAIN = re.compile(r"[A-Za-z0-9_/+](?:[A-Za-z0-9_/.+@=~-]|:(?! |$)| (?![ #]))*(?<! )")
"""Text that needs no quotes in a block or in brackets, as long as it does not read as a number or the like."""


class Edit(NamedTuple):
    """Replace the characters from start to end."""

    start: int
    end: int
    text: str


def new_text(site: Site) -> str:
    """A new file for this site."""
    full, minimal = site.model_dump(mode="json"), site.model_dump(mode="json", exclude_defaults=True)
    fields = {key: minimal.get(key, full[key]) for key in full if key in minimal or key in ALWAYS}
    lines = [
        f"# The answers of the site {site.name}. No secrets belong here.",
        "# Change them in this file, in the wizard, or by: homewright site set FIELD VALUE",
        "# A field that is missing here has its default; all fields: homewright schema site",
        "",
        *_block(fields, 0, 2, Site),
    ]
    return "\n".join(lines) + "\n"


def effective_text(site: Site) -> str:
    """Every answer in force, defaults included, as YAML with comments."""
    return "\n".join(_block(site.model_dump(mode="json"), 0, 2, Site)) + "\n"


def value_text(value: Any) -> str:
    """One plain value on one line of YAML."""
    return _inline(value)


def changed_text(text: str, old: Site, new: Site) -> str:
    """`text`, which holds `old`, changed so that it holds `new`."""
    editor = _Editor(text)
    wanted = _Values.of(new)
    editor.mapping(read(text), _Values.of(old), wanted, Site, None)
    result = editor.result()
    # Items are put in order after all else: their text is then final.
    order = _Editor(result)
    order.order(read(result), wanted.full)
    return order.result()


@dataclass(frozen=True)
class _Values:
    """One value in full, and without what is default."""

    full: Any
    minimal: Any

    @classmethod
    def of(cls, site: Site) -> _Values:
        return cls(site.model_dump(mode="json"), site.model_dump(mode="json", exclude_defaults=True))

    def at(self, key: Any) -> _Values:
        """The value below a key; without the short form where it is default as a whole."""
        full = self.full[key]
        if isinstance(self.minimal, list):
            return _Values(full, self.minimal[key])
        if isinstance(self.minimal, dict) and key in self.minimal:
            return _Values(full, self.minimal[key])
        return _Values(full, {} if isinstance(full, dict) else full)


class _Editor:
    def __init__(self, text: str) -> None:
        self._text = text
        self._newline = "\r\n" if "\r\n" in text else "\n"
        self._edits: list[Edit] = []
        self._offset = _list_offset(text)

    def result(self) -> str:
        parts: list[str] = []
        place = 0
        for edit in sorted(self._edits, key=lambda edit: (edit.start, edit.end)):
            parts += (self._text[place : edit.start], edit.text)
            place = edit.end
        return "".join(parts) + self._text[place:]

    def mapping(
        self, node: Node, old: _Values, new: _Values, model: type[BaseModel] | None, parent: Entry | None
    ) -> None:
        """Change the mapping `node` from `old` to `new`; `parent` is the entry that holds it."""
        entries = node.value
        assert isinstance(entries, dict)
        gone = [key for key in entries if key not in new.full or (new.full[key] is None and old.full[key] is not None)]
        fresh = [key for key in new.minimal if key not in entries]
        kept = [key for key in entries if key not in gone]
        if (node.flow and (gone or fresh)) or not entries:
            written = {key: new.at(key).minimal for key in [*kept, *fresh]}
            self._replace_mapping(node, written, model, parent)
            return
        for key in kept:
            if old.full.get(key) != new.full[key]:
                self._value(entries[key], old.at(key), new.at(key), _model_of(model, key))
        for key in gone:
            self._drop_entry(entries, key)
        if fresh:
            column = next(iter(entries.values())).column - 1
            block = _block({key: new.minimal[key] for key in fresh}, column, self._offset, model)
            self._insert_after(node.end, block)
        if not kept and not fresh and parent is not None:
            self._after_colon(parent, " {}")

    def order(self, node: Node, wanted: Any) -> None:
        """Put the items of every list into the wanted order."""
        if isinstance(node.value, dict):
            for key, entry in node.value.items():
                self.order(entry.node, wanted[key])
        elif isinstance(node.value, list) and not node.flow:
            names = _identities([item.plain() for item in node.value])
            targets = _identities(wanted)
            ranges = [self._item_range(node, index) for index in range(len(names))]
            if names != targets:
                for slot, name in zip(ranges, targets, strict=True):
                    start, end = ranges[names.index(name)]
                    lines = self._text[start:end]
                    self._edits.append(Edit(*slot, lines if lines.endswith("\n") else lines + self._newline))

    def _value(self, entry: Entry, old: _Values, new: _Values, model: type[BaseModel] | None) -> None:
        node = entry.node
        if isinstance(node.value, dict) and isinstance(new.full, dict):
            self.mapping(node, old, new, model, entry)
        elif isinstance(node.value, list) and isinstance(new.full, list):
            self._list(entry, old, new)
        elif isinstance(new.full, dict | list):
            self._replace_by_block(entry, new.minimal, model)
        else:
            self._replace_scalar(node, new.full)

    def _list(self, entry: Entry, old: _Values, new: _Values) -> None:
        node = entry.node
        items = node.value
        assert isinstance(items, list)
        names = _identities(old.full)
        targets = _identities(new.full)
        gone = [index for index, name in enumerate(names) if name not in targets]
        fresh = [index for index, name in enumerate(targets) if name not in names]
        if node.flow and (gone or fresh or names != targets):
            if items and not any(isinstance(item, dict) for item in new.full):
                self._edits.append(Edit(node.start, node.end, _inline(new.minimal)))
            else:
                self._replace_by_block(entry, new.minimal, None)
            return
        for index, name in enumerate(names):
            if name in targets and old.full[index] != new.full[targets.index(name)]:
                self.mapping(items[index], old.at(index), new.at(targets.index(name)), None, None)
        for index in gone:
            self._edits.append(Edit(*self._item_range(node, index), ""))
        if fresh:
            column = self._dash(node, 0) - self._line_start(self._dash(node, 0))
            lines = [line for index in fresh for line in _item(new.minimal[index], column, self._offset)]
            self._insert_after(node.end, lines)
        elif len(gone) == len(items):
            self._after_colon(entry, " []")

    def _replace_mapping(
        self, node: Node, written: dict[str, Any], model: type[BaseModel] | None, parent: Entry | None
    ) -> None:
        if node.value or parent is None:
            self._edits.append(Edit(node.start, node.end, _inline(written)))
        else:
            self._replace_by_block(parent, written, model)

    def _replace_by_block(self, entry: Entry, value: Any, model: type[BaseModel] | None) -> None:
        """Put a collection below its key; what follows on the key's line stays there."""
        if not value:
            self._replace_scalar(entry.node, value)
            return
        column = entry.column - 1
        if isinstance(value, dict):
            lines = _block(value, column + 2, self._offset, model)
        else:
            lines = [line for item in value for line in _item(item, column + self._offset, self._offset)]
        colon = self._text.index(":", entry.end) + 1
        self._edits.append(Edit(colon, max(colon, entry.node.end), ""))
        self._insert_after(max(colon, entry.node.end), lines)

    def _replace_scalar(self, node: Node, value: Any) -> None:
        before = self._text[node.start : node.end]
        gap = "" if before or self._text[node.start - 1 : node.start] == " " else " "
        self._edits.append(Edit(node.start, node.end, gap + _scalar(value, before[:1])))

    def _drop_entry(self, entries: dict[str, Entry], key: str) -> None:
        entry = entries[key]
        start = self._line_start(entry.start)
        if self._text[start : entry.start].strip():  # the first key of a list's item stands behind its dash
            following = [other.start for other in entries.values() if other.start > entry.start]
            self._edits.append(Edit(entry.start, min(following, default=entry.node.end), ""))
        else:
            self._edits.append(Edit(start, self._line_end(max(entry.end, entry.node.end)), ""))

    def _after_colon(self, entry: Entry, text: str) -> None:
        colon = self._text.index(":", entry.end) + 1
        self._edits.append(Edit(colon, colon, text))

    def _insert_after(self, place: int, lines: list[str]) -> None:
        """Put lines below the line that this place is in."""
        end = self._line_end(place)
        lead = "" if self._text[:end].endswith("\n") else self._newline
        self._edits.append(Edit(end, end, lead + "".join(line + self._newline for line in lines)))

    def _item_range(self, node: Node, index: int) -> tuple[int, int]:
        """The lines of a list's item, its dash included."""
        assert isinstance(node.value, list)
        item = node.value[index]
        return self._line_start(self._dash(node, index)), self._line_end(max(item.end, self._dash(node, index) + 1))

    def _dash(self, node: Node, index: int) -> int:
        """Where the dash of an item stands: on its first line, or on one above where comments come between."""
        assert isinstance(node.value, list)
        at = node.value[index].start
        start = self._line_start(at)
        while not self._text[start : at + 1].lstrip().startswith("-"):
            at = start - 1
            start = self._line_start(at)
        return self._text.index("-", start)

    def _line_start(self, place: int) -> int:
        return self._text.rfind("\n", 0, place) + 1

    def _line_end(self, place: int) -> int:
        """Behind the newline of the line that a place is in (or of the line that ended just before it)."""
        end = self._text.find("\n", place)
        return len(self._text) if end < 0 else end + 1


def _list_offset(text: str) -> int:
    """How far the file indents `- ` below its key."""
    key = None
    for line in text.splitlines():
        body = line.lstrip(" ")
        indent = len(line) - len(body)
        if body.startswith("- ") and key is not None and 0 <= indent - key <= 8:
            return indent - key
        if body.strip() and not body.startswith("#"):
            key = indent if re.fullmatch(r"[^\s#][^#]*:\s*(#.*)?", body) and not body.startswith("-") else None
    return 2


def _identities(items: list[Any]) -> list[tuple[str, int]]:
    """What items are told apart by: their name, else their text; and which one of the same it is."""
    found: list[tuple[str, int]] = []
    for item in items:
        name = str(item.get("name")) if isinstance(item, dict) else str(item)
        found.append((name, sum(1 for other, _ in found if other == name)))
    return found


def _block(value: dict[str, Any], column: int, offset: int, model: type[BaseModel] | None) -> list[str]:
    """A mapping's lines, each field under a comment that says what it is."""
    pad = " " * column
    lines: list[str] = []
    for key, item in value.items():
        lines += [f"{pad}# {note}" for note in [_description(model, key)] if note]
        name = _scalar(key, "")
        if not isinstance(item, dict | list) or not item:
            lines.append(f"{pad}{name}: {_scalar(item, '')}")
            continue
        lines.append(f"{pad}{name}:")
        if isinstance(item, dict):
            lines += _block(item, column + 2, offset, _model_of(model, key))
        else:
            lines += [line for each in item for line in _item(each, column + offset, offset)]
    return lines


def _item(value: Any, column: int, offset: int) -> list[str]:
    pad = " " * column
    if isinstance(value, dict) and value:
        lines = _block(value, column + 2, offset, None)
        return [f"{pad}- {lines[0].lstrip()}", *lines[1:]]
    return [f"{pad}- {_scalar(value, '')}"]


def _inline(value: Any) -> str:
    """A value on one line, collections in brackets."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_scalar(key, '')}: {_inline(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_inline(item) for item in value) + "]"
    return _scalar(value, "")


def _scalar(value: Any, quote: str) -> str:
    """One value as YAML; in the quotes that were there before, where it can be."""
    if not isinstance(value, str):
        return json.dumps(value)  # null, true, 8500, {} and [] are the same in YAML
    if quote not in ("'", '"') and _PLAIN.fullmatch(value) and kind_of(value) == "str":
        return value
    if quote == "'" and value.isprintable() and "'" not in value:
        return f"'{value}'"
    return '"' + "".join(_escaped(character) for character in value) + '"'


def _escaped(character: str) -> str:
    if character in ('"', "\\"):
        return f"\\{character}"
    if character.isprintable():
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _description(model: type[BaseModel] | None, key: str) -> str:
    """A field's comment: the first sentence of what the models say about it."""
    if model is None or key not in model.model_fields:
        return ""
    if model is Site and key == "version":
        return "The version of this file's fields"
    if model is Site and key == "servers":
        return "The servers, the control plane first: name, address and user; port and host_key where needed"
    text = described.descriptions(model).get(key) or getattr(_model_of(model, key), "__doc__", "") or ""
    return " ".join(text.split("\n\n")[0].split()).rstrip(".")


def _model_of(model: type[BaseModel] | None, key: str) -> type[BaseModel] | None:
    if model is None or key not in model.model_fields:
        return None
    annotation = model.model_fields[key].annotation
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None
