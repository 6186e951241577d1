"""What pydantic found wrong with a site, in words: line, field, reason, remedy."""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from homewright.errors import Problem
from homewright.site.document import Node

MOST = 20
"""More problems than this are not listed: they have one cause."""

Path = tuple[str | int, ...]


def problems(
    errors: Sequence[ErrorDetails], model: type[BaseModel], tree: Node | None, data: Any, file: str
) -> list[Problem]:
    """One problem an error, in the file's order. Without a tree (the answers are not in a file yet) without lines."""
    told = [error for error in errors if not _misspelt(error, errors, model)]
    found = [_problem(error, model, tree, data, file) for error in told]
    return sorted(dict.fromkeys(found), key=lambda problem: (problem.line, problem.column))[:MOST]


def _misspelt(missing: ErrorDetails, errors: Sequence[ErrorDetails], model: type[BaseModel]) -> bool:
    """Whether a field is missing only because it is spelt otherwise: one problem, not two."""
    return missing["type"] == "missing" and any(
        other["type"] == "extra_forbidden"
        and other["loc"][:-1] == missing["loc"][:-1]
        and _nearest(str(other["loc"][-1]), other["loc"], model) == missing["loc"][-1]
        for other in errors
    )


def _problem(error: ErrorDetails, model: type[BaseModel], tree: Node | None, data: Any, file: str) -> Problem:
    context = error.get("ctx") or {}
    path: Path = tuple(context["path"]) if error["type"] == "misfit" else error["loc"]
    path = tuple(step for step in path if step != "[key]")
    line, column = tree.at(path) if tree is not None else (0, 0)
    reason, remedy = _words(error, path, model)
    return Problem(file, line, column, dotted(path, data), reason, remedy)


def dotted(path: Sequence[str | int], data: Any) -> str:
    """`servers.s1.address`: list items by their `name` where they have one, else by their number."""
    steps: list[str] = []
    for step in path:
        item = data[step] if _holds(data, step) else None
        name = item.get("name") if isinstance(step, int) and isinstance(item, dict) else None
        steps.append(name if isinstance(name, str) and name else str(step))
        data = item
    return ".".join(steps)


def _holds(data: Any, step: str | int) -> bool:
    return (isinstance(data, dict) and step in data) or (
        isinstance(data, list) and isinstance(step, int) and step < len(data)
    )


def _words(error: ErrorDetails, path: Path, model: type[BaseModel]) -> tuple[str, str]:
    kind, given, context = error["type"], error["input"], error.get("ctx") or {}
    key = str(path[-1]) if path else ""
    if kind == "extra_forbidden":
        return "there is no such field", _suggest(key, path, model)
    if kind == "missing":
        return f"the field {key} is missing", f"add `{key}: …`"
    if kind in ("misfit", "value_error"):
        reason = str(context.get("reason") or context.get("error") or error["msg"])
        return _quoted(given, reason) if kind == "value_error" else reason, _correct(path)
    if kind == "string_type":
        if isinstance(given, dict | list):
            return "must be text, not several values", _correct(path)
        if given is None:
            return "has no value", f"write one after `{key}:`, or remove the line"
        return f"{_shown(given)} is no text here", f'put it in quotes: "{_shown(given)}"'
    if kind in _NUMBERS:
        return f"{_shown(given)} is no {_NUMBERS[kind]}", _correct(path)
    if kind == "bool_type":
        return f"{_shown(given)} is neither true nor false", "write true or false, without quotes"
    if kind == "literal_error":
        wanted = context.get("expected", "")
        if path == ("version",):
            return f"version {_shown(given)} is not one that this Homewright knows", "update Homewright, or write 1"
        return f"{_shown(given)} is not one of {wanted}", f"write {wanted}"
    if kind in ("model_type", "dict_type", "model_attributes_type"):
        if not path:
            return "this is no site file: it must hold fields (name: value), one a line", "name another file"
        return "must hold fields (name: value), one a line", "write them indented below it"
    if kind in ("tuple_type", "list_type"):
        return "must be a list", "write each item on a line of its own that begins with `- `"
    return _quoted(given, _bare(error)), _correct(path)


_NUMBERS = dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "whole number") | dict.fromkeys(
    ("float_type", "float_parsing"), "number"
)
"""What a value was to be, by pydantic's kind of error."""
_LIMITS = {
    "greater_than": ("gt", "more than"), "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"), "less_than_equal": ("le", "at most"),
}  # fmt: skip


def _bare(error: ErrorDetails) -> str:
    """What a value must be, in our words."""
    context = error.get("ctx") or {}
    if error["type"] in _LIMITS:
        name, words = _LIMITS[error["type"]]
        return f"must be {words} {context[name]}"
    return error["msg"].removeprefix("Input ")[:1].lower() + error["msg"].removeprefix("Input ")[1:]


def said(error: ErrorDetails) -> str:
    """Why one value does not fit its field, beside which it is shown."""
    if error["type"] in _NUMBERS:
        return f"must be a {_NUMBERS[error['type']]}"
    if error["type"] == "literal_error":
        return f"must be {(error.get('ctx') or {}).get('expected', 'another value')}"
    reason = str((error.get("ctx") or {}).get("error") or _bare(error))
    return reason[:1].lower() + reason[1:]


def _correct(path: Path) -> str:
    return "correct this value" if path else "see what each field takes: homewright schema site"


def _quoted(given: Any, reason: str) -> str:
    return f"{_shown(given)} {reason}" if isinstance(given, str | int | float) else reason


def _shown(given: Any) -> str:
    if isinstance(given, list | dict):
        return "a list" if isinstance(given, list) else "a mapping"
    text = json.dumps(given) if given is None or isinstance(given, bool) else str(given)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _suggest(key: str, path: Path, model: type[BaseModel]) -> str:
    close = _nearest(key, path, model)
    if close:
        return f"did you mean {close}?"
    known = _known(path, model)
    return f"remove it, or use one of: {', '.join(known)}" if known else "remove it"


def _nearest(key: str, path: Path, model: type[BaseModel]) -> str | None:
    """The known field that a key was probably meant to be."""
    close = get_close_matches(key.lower().replace("-", "_"), _known(path, model), n=1, cutoff=0.6)
    return close[0] if close else None


def _known(path: Path, model: type[BaseModel]) -> list[str]:
    """The fields of the model that holds the one at a path."""
    holder = _model_at(path[:-1], model)
    return list(holder.model_fields) if holder is not None else []


def _model_at(path: Path, model: type[BaseModel]) -> type[BaseModel] | None:
    """The model that holds the fields at a path."""
    current: Any = model
    for step in path:
        if isinstance(step, int):
            continue
        if not (isinstance(current, type) and issubclass(current, BaseModel) and step in current.model_fields):
            return None
        current = _inner_model(current.model_fields[step].annotation)
    return current if isinstance(current, type) and issubclass(current, BaseModel) else None


def _inner_model(annotation: Any) -> Any:
    """The model inside an Annotated, optional or tuple type."""
    if typing.get_origin(annotation) in (tuple, list, typing.Union, types.UnionType, typing.Annotated):
        for argument in typing.get_args(annotation):
            inner = _inner_model(argument)
            if inner is not None:
                return inner
        return None
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None
