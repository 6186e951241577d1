"""The fields of a site by their dotted names: what there is, and what a text typed for one of them means."""

from __future__ import annotations

import types
import typing
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from homewright.errors import Problem, SiteError
from homewright.site.document import DocumentError, kind_of, read
from homewright.site.models import Site

ITEM = "NAME"
"""Stands in a dotted name for the name of a server, or of a variable."""


def names() -> list[str]:
    """Every field that can be set, such as `workspaces.first_port` and `servers.NAME.address`."""
    return list(_names(Site, ""))


def parse(field: str, text: str) -> Any:
    """What `text`, typed on a command line, means for this field: text as it stands, a number, a list in YAML.

    Raises SiteError where there is no such field. Whether the value fits is for the models to say.
    """
    annotation = _annotation(field)
    if annotation is str:
        return text
    try:
        value: Any = read(text).plain() if text.strip() else None
    except DocumentError as error:
        reason = f"{error.reason} (at character {error.column})"
        raise SiteError.of([Problem("the value", 0, 0, field, reason, "write it as YAML, in quotes")]) from None
    return text if isinstance(value, str) or kind_of(text) == "null" else value


def value_at(site: Site, field: str) -> Any:
    """The answer in force for a field, default or not, as plain data.

    Raises SiteError where there is no such field, or no such server or variable.
    """
    _annotation(field)
    value: Any = site.model_dump(mode="json")
    for number, step in enumerate(field.split("."), start=1):
        inside = {item["name"]: item for item in value} if isinstance(value, list) else value or {}
        if step not in inside:
            known = ", ".join(inside)
            remedy = f"name one of: {known}" if known else "there are none: homewright site show"
            place = ".".join(field.split(".")[:number])
            raise SiteError.of([Problem(f"the site {site.name}", 0, 0, place, "there is no such entry", remedy)])
        value = inside[step]
    return value


def _names(model: type[BaseModel], prefix: str) -> typing.Iterator[str]:
    for name, field in model.model_fields.items():
        inner = _inner(field.annotation)
        if name == "version":
            continue
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            many = typing.get_origin(_optional(field.annotation)) is tuple
            yield from _names(inner, f"{prefix}{name}.{ITEM}." if many else f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}.{ITEM}" if typing.get_origin(field.annotation) is dict else f"{prefix}{name}"


def _annotation(field: str) -> Any:
    """What a field holds: `str` for every kind of text, else its annotation."""
    current: Any = Site
    for step in field.split("."):
        current = _optional(current)
        if typing.get_origin(current) is dict:
            current = typing.get_args(current)[1]
            continue
        if typing.get_origin(current) is tuple and _named(typing.get_args(current)[0]):
            current = typing.get_args(current)[0]
            continue
        known: dict[str, FieldInfo] = {}
        if isinstance(current, type) and issubclass(current, BaseModel):
            known = current.model_fields
        if step not in known:
            raise _no_field(field)
        current = known[step].annotation
    return _inner(current)


def _named(item: Any) -> bool:
    """Whether an item of a list is found by its name; the others are set as one list, in YAML."""
    return isinstance(item, type) and issubclass(item, BaseModel) and "name" in item.model_fields


def _optional(annotation: Any) -> Any:
    """The type inside an optional one."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return next(argument for argument in typing.get_args(annotation) if argument is not type(None))
    return annotation


def _inner(annotation: Any) -> Any:
    """The type inside optional and annotated ones; of a tuple, that of its items where they have names."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _inner(arguments[0])
    if origin in (typing.Union, types.UnionType):
        return _inner(next(argument for argument in arguments if argument is not type(None)))
    if origin is typing.Literal:
        return type(arguments[0])
    if origin is tuple and _named(arguments[0]):
        return arguments[0]
    return annotation


def _no_field(field: str) -> SiteError:
    close = get_close_matches(field, names(), n=1, cutoff=0.5)
    remedy = f"did you mean {close[0]}?" if close else "see the fields: homewright schema site"
    return SiteError.of([Problem("the site", 0, 0, field, "there is no such field", remedy)])
