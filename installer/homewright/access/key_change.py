"""The site's key changes hands: on every server the new one is installed and has opened it before the old one goes.

Both keys lie in the state folder until no server is owed the change. So whatever is cut off in between, one of them
opens every server, and the next connection finishes the change there (docs/decisions/0085-key-after-take-over.md).
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable
from pathlib import Path

from homewright.errors import StateError
from homewright.site.locks import hold
from homewright.site.paths import sync_folder, write_atomically

RECORD = "key-change.json"
"""Beside the key: the hosts that may still let the old one in."""


def before(key: Path) -> Path:
    """Where the old private key lies as long as a host may need it."""
    return key.with_name(f"{key.name}.before")


def begin(key: Path, hosts: Iterable[str], comment: str) -> None:
    """Make a new key in place of this one, which these hosts still know. Raises StateError.

    Only in a folder that takes its name as a whole afterwards: in the middle there is no key of the usual name.
    """
    from homewright.access import engine_key  # with cryptography; `status` only asks for what is owed

    try:
        write_atomically(before(key), key.read_bytes())
    except OSError as error:
        raise StateError(f"The site's key {key} cannot be read.", f"{error.strerror or error}.") from error
    _write(key, hosts)
    for file in (key, key.with_name(f"{key.name}.pub")):
        file.unlink(missing_ok=True)
    engine_key.ensure(key, comment)


def owed(key: Path) -> tuple[str, ...]:
    """The hosts that may still let the old key in. Raises StateError where that cannot be read."""
    record = key.with_name(RECORD)
    try:
        return tuple(map(str, json.loads(record.read_bytes())["owed"]))
    except FileNotFoundError:
        return ()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StateError(
            f"{record} cannot be read.", f"{error}.", ["give it back to its owner, mode 0600", "homewright trust --all"]
        ) from error


def done(key: Path, host: str) -> None:
    """This host lets only the new key in; after the last one the old key goes from here too. Raises StateError."""
    with hold(key.with_name(f".{RECORD}.lock")):
        left = [name for name in owed(key) if name != host]
        if left:
            _write(key, left)
            return
        # The record last: while it names somebody, the old key may be wanted.
        key.with_name(RECORD).unlink(missing_ok=True)
        before(key).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            sync_folder(key.parent)


def _write(key: Path, hosts: Iterable[str]) -> None:
    document = {"version": 1, "owed": sorted(set(hosts))}
    write_atomically(key.with_name(RECORD), json.dumps(document).encode())
