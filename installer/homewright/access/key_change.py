"""The site's key changes hands: on every server the new one is installed and has opened it before the old one goes.

All keys lie in the state folder until no server is owed the change. So whatever is cut off in between, one of them
opens every server, and the next connection finishes the change there (docs/decisions/0085-key-after-take-over.md).
A host is known again by its name or, where somebody has given it another one meanwhile, by where it answers.
"""

from __future__ import annotations

import contextlib
import json
import shlex
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from homewright.errors import StateError
from homewright.site.locks import hold
from homewright.site.paths import sync_folder, write_atomically

RECORD = "key-change.json"
"""Beside the key: the hosts that may still let an old one in."""
_LOCK = f".{RECORD}.lock"


def before(key: Path) -> Path:
    """Where the old private key lies as long as a host may need it."""
    return key.with_name(f"{key.name}.before")


def olds(key: Path) -> tuple[Path, ...]:
    """Every private key that a host may still need, newest first: one that is away for long misses several changes."""
    older = sorted(key.parent.glob(f"{key.name}.before.*"), reverse=True)
    return tuple(file for file in (before(key), *older) if file.exists())


def publics(key: Path) -> dict[Path, str]:
    """The same with their public halves. Raises StateError where one is damaged."""
    from homewright.access import engine_key

    with hold(key.with_name(_LOCK)):  # else another connection that is the last one takes them away in between
        return {file: engine_key.public(file) for file in olds(key)}


def place(address: str, port: int) -> str:
    """Where a host answers, as the record has it."""
    return f"{address} {port}"


def begin(key: Path, hosts: Iterable[str], comment: str, places: Mapping[str, str] | None = None) -> None:
    """Make a new key in place of this one, which these hosts still know; `places` says where they answer.

    Raises StateError. Only in a folder that takes its name as a whole afterwards: in the middle there is no key of the
    usual name.
    """
    from homewright.access import engine_key  # with cryptography; `status` only asks for what is owed

    try:
        if before(key).exists():
            # Whoever was away since the change before this one knows no other.
            write_atomically(before(key).with_name(f"{before(key).name}.{time.time_ns()}"), before(key).read_bytes())
        write_atomically(before(key), key.read_bytes())
    except OSError as error:
        raise StateError(f"The site's key {key} cannot be read.", f"{error.strerror or error}.") from error
    _write(key, {host: (places or {}).get(host, "") for host in hosts})
    for file in (key, key.with_name(f"{key.name}.pub")):
        file.unlink(missing_ok=True)
    engine_key.ensure(key, comment)


def owed(key: Path) -> tuple[str, ...]:
    """The hosts that may still let an old key in. Raises StateError where that cannot be read."""
    return tuple(_read(key))


def is_owed(key: Path, host: str, at: str) -> bool:
    """Whether this host may still let an old key in: by its name, or by where it answers. Raises StateError."""
    found = _read(key)
    return host in found or at in found.values()


def _read(key: Path) -> dict[str, str]:
    """The hosts that are owed the change, and where each answers: empty where nobody has noted that."""
    record = key.with_name(RECORD)
    try:
        document = json.loads(record.read_bytes())
        places = document.get("places", {})
        return {str(host): str(places.get(host, "")) for host in document["owed"]}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StateError(
            f"{record} cannot be read.", f"{error}.", [f"rm {shlex.quote(str(record))}", "homewright trust --all"]
        ) from error


def done(key: Path, host: str, at: str = "") -> None:
    """This host lets only the new key in; after the last one the old keys go from here too. Raises StateError.

    Where it answers decides before its name does: two hosts may have changed names.
    """
    with hold(key.with_name(_LOCK)):
        found = _read(key)
        here = {name for name, where in found.items() if at and where == at} or {host}
        left = {name: where for name, where in found.items() if name not in here}
        if left:
            _write(key, left)
            return
        # The record last: cut off before that, the next connection comes here again, and no old key stays for ever.
        for file in olds(key):
            file.unlink(missing_ok=True)
        key.with_name(RECORD).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            sync_folder(key.parent)


def gone(key: Path, hosts: Iterable[str]) -> None:
    """These are no more, or the site's no longer: nothing is changed there any more. Raises StateError."""
    for host in sorted(set(hosts).intersection(owed(key))):
        done(key, host)


def _write(key: Path, hosts: Mapping[str, str]) -> None:
    places = {host: where for host, where in sorted(hosts.items()) if where}
    document = {"version": 1, "owed": sorted(hosts), "places": places}
    write_atomically(key.with_name(RECORD), json.dumps(document).encode())
