"""The site file: read with line numbers, saved with its comments, never overwriting what somebody changed meanwhile.

A `Site` remembers the digest of the file that it was read from. `save` refuses where the file is another one by then;
`update` reads it again under the lock and changes only the fields that are named.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from homewright.errors import Problem, SiteError
from homewright.site import complaints, editing
from homewright.site.document import MAX_BYTES, DocumentError, Node, read
from homewright.site.locks import hold
from homewright.site.models import Origin, Site
from homewright.site.paths import make_folder, no_site, write_atomically


class _Unset:
    """The value that takes an answer back: the field's default holds again."""

    def __repr__(self) -> str:
        return "UNSET"


UNSET: Final = _Unset()


def load(path: Path) -> Site:
    """The site in this file.

    Raises SiteError with file, line, column, field, reason and remedy of everything that is wrong with it.
    """
    site, _ = _parse(_read(path), str(path))
    return site


def parse(data: bytes, file: str) -> Site:
    """The site in these bytes, which are in no file yet; `file` is what errors call them. Raises SiteError."""
    site, _ = _parse(data, file)
    site._origin = Origin()
    return site


def save(path: Path, site: Site, *, replace: bool = False) -> Site:
    """Write a site, keeping the file's comments; the site as it is on disk now.

    A site that was loaded is written only where the file still is the one that it was loaded from; a new site only
    where there is no other one, unless `replace` is true. Raises SiteError where somebody changed the file meanwhile
    (their edit stays), StateError where it cannot be written.
    """
    target = _target(path)
    with hold(target.parent):
        if not target.exists():
            if site._origin.digest is not None and not replace:
                raise SiteError(
                    f"{path} is gone.",
                    "It was removed or renamed since it was read.",
                    ["put it back, or start a new one: homewright site new NAME"],
                )
            return _write(target, site, None)
        before = _read(target)
        if site._origin.digest is None and not replace:
            current, _ = _parse(before, str(path))
            if current == site:
                return current
            raise SiteError(
                f"{path} already holds a site.",
                f"Its name is {current.name}; a new one would overwrite it.",
                [f"change it instead: homewright --site {path} site set FIELD VALUE", "or choose another file"],
            )
        if site._origin.digest not in (None, _digest(before)) and not replace:
            raise _changed_meanwhile(path, "")
        return _write(target, site, before)


def update(path: Path, changes: Mapping[str, Any], *, since: Site | None = None) -> Site:
    """Set the answers that are named (`workspaces.first_port`, `servers.s1.address`) and leave all else as it is.

    Values are what the field holds: text, numbers, true or false, lists, mappings, models; `UNSET` takes an answer
    back (a server too: `servers.s1`). Changes are made to the file as it is now, under a lock. With `since`, the site
    as the caller last saw it, a field that somebody else changed in between is refused. Raises SiteError or StateError.
    """
    _read(path.expanduser())  # for its errors, before anything is made beside it
    target = _target(path)
    with hold(target.parent):
        before = _read(target)
        current, tree = _parse(before, str(path))
        data = tree.plain()
        shown = current.model_dump(mode="json")
        seen = since.model_dump(mode="json") if since is not None else shown
        for field, value in changes.items():
            if _value_at(seen, field) != _value_at(shown, field):
                raise _changed_meanwhile(path, field)
            _change(data, field, value, str(path))
        changed = check(data, None, str(path))
        return _write(target, changed, before) if changed != current else current


def changed(site: Site, changes: Mapping[str, Any]) -> Site:
    """The site with these answers changed as `update` would, in memory alone. Raises SiteError with all problems."""
    data = site.model_dump(mode="json")
    for field, value in changes.items():
        _change(data, field, value, "the answers")
    return check(data, None, "the answers")


def changed_since(path: Path, site: Site) -> bool:
    """Whether the file is another one than the site was loaded from. Raises SiteError where it cannot be read."""
    return site._origin.digest != _digest(_read(path))


def _target(path: Path) -> Path:
    """The file itself where `path` is a link to it: a rename would replace the link."""
    target = path.expanduser().resolve()
    if not os.access(f"{target.parent}/", os.F_OK):  # not Path.is_dir, which raises where somebody may not look
        make_folder(target.parent)
    return target


def _read(path: Path) -> bytes:
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise SiteError(f"{path} is a folder.", "", [f"name the file in it: {path / 'site.yaml'}"])
        if not stat.S_ISREG(status.st_mode):
            raise SiteError(f"{path} is no regular file.", "", ["name a site file: homewright --site FILE"])
        with path.open("rb") as handle:
            data = handle.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise no_site(str(path)) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise SiteError(f"{path} cannot be read.", f"{reason}.", ["check its name and its permissions"]) from error
    if len(data) > MAX_BYTES:
        problem = Problem(str(path), 0, 0, "", f"it is larger than {MAX_BYTES // 1024} KiB", "name a site file")
        raise SiteError.of([problem])
    return data


def _parse(data: bytes, file: str) -> tuple[Site, Node]:
    text = _decode(data, file)
    try:
        tree = read(text)
    except DocumentError as error:
        field = complaints.dotted(error.path, None)
        raise SiteError.of([Problem(file, error.line, error.column, field, error.reason, error.remedy)]) from None
    site = check(tree.plain(), tree, file)
    site._origin = Origin(_digest(data))
    return site, tree


def _decode(data: bytes, file: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        good = data[: error.start].decode("utf-8-sig", errors="replace")
        line, column = good.count("\n") + 1, len(good) - (good.rfind("\n") + 1) + 1
        reason = f"byte 0x{data[error.start]:02x} is no UTF-8"
        raise SiteError.of([Problem(file, line, column, "", reason, "save the file as UTF-8")]) from None


def check(data: Any, tree: Node | None, file: str) -> Site:
    """The site that these answers make; `tree` knows the lines that they are on. Raises SiteError with all problems."""
    # By way of JSON: only there does strict mode take a list for a tuple, and strict mode it must be, or the text
    # "22" would pass for a port and "yes" for true.
    try:
        return Site.model_validate_json(json.dumps(data), strict=True)
    except ValidationError as error:
        errors = error.errors(include_url=False)
        raise SiteError.of(complaints.problems(errors, Site, tree, data, file)) from None


def _write(target: Path, site: Site, before: bytes | None) -> Site:
    if before is None:
        text = editing.new_text(site)
    else:
        current, _ = _parse(before, str(target))
        text = editing.changed_text(_decode(before, str(target)), current, site)
    data = text.encode()
    written, _ = _parse(data, str(target))
    if written != site:
        raise AssertionError("the text that would be saved does not hold the answers that it was made from")
    if data != before:
        write_atomically(target, data)
    return written


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _changed_meanwhile(path: Path, field: str) -> SiteError:
    about = f"{field} in {path}" if field else str(path)
    return SiteError(
        f"{about} was changed by somebody else meanwhile; nothing was saved.",
        "The file is another one than when it was read.",
        [f"look at it: homewright --site {path} site show", "then make the change again"],
    )


def _value_at(data: Any, field: str) -> Any:
    for step in field.split("."):
        key = _key(data, step)
        if key is None:
            return None
        data = data[key]
    return data


def _key(data: Any, step: str) -> str | int | None:
    """The key or index that a step of a dotted field means; None where there is none."""
    if isinstance(data, list):
        if step.isascii() and step.isdigit() and len(step) < 6:
            return int(step) if int(step) < len(data) else None
        named = (index for index, item in enumerate(data) if isinstance(item, dict) and item.get("name") == step)
        return next(named, None)
    return step if isinstance(data, dict) and step in data else None


def _change(data: Any, field: str, value: Any, file: str) -> None:
    """Make one change in plain data. A mapping that is missing on the way is made."""
    steps = field.split(".")
    if not all(steps):
        raise SiteError.of([Problem(file, 0, 0, field, "this is no field", "name it like workspaces.first_port")])
    for number, step in enumerate(steps[:-1], start=1):
        key = _key(data, step)
        if isinstance(data, dict) and data.get(step) is None:
            if value is UNSET:
                return
            data[step] = {}
            key = step
        elif key is None:
            raise _no_entry(file, ".".join(steps[:number]), data)
        data = data[key]
    key = _key(data, steps[-1])
    if key is None and not (isinstance(data, dict)):
        raise _no_entry(file, field, data)
    if value is not UNSET:
        data[steps[-1] if key is None else key] = _plain(value, field, file)
    elif key is not None:
        del data[key]


def _no_entry(file: str, field: str, data: Any) -> SiteError:
    names = [str(item.get("name")) for item in data if isinstance(item, dict)] if isinstance(data, list) else []
    remedy = f"use one of: {', '.join(names)}" if names else "see the fields: homewright site show"
    return SiteError.of([Problem(file, 0, 0, field, "there is no such entry", remedy)])


def _plain(value: Any, field: str, file: str) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", exclude_defaults=True)
    if isinstance(value, Mapping):
        return {str(key): _plain(item, field, file) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, field, file) for item in value]
    if isinstance(value, str) and not value.isascii() and value != value.encode("utf-8", "ignore").decode():
        # Bytes of a command line that are no text of this locale arrive as lone surrogates.
        raise SiteError.of([Problem(file, 0, 0, field, "this is no UTF-8 text", "type it in a UTF-8 locale")])
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise TypeError(f"a site file cannot hold a {type(value).__name__}")
