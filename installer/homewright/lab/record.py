"""The lab's folder and its own file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from homewright.errors import Busy, StateError
from homewright.lab.models import Record
from homewright.site.locks import hold
from homewright.site.paths import cache_home, make_folder, state_home, write_atomically


def folder() -> Path:
    """The lab's folder: its file (the user's) and the private daemon's folder (root's)."""
    return state_home() / "lab"


def daemon_folder() -> Path:
    return folder() / "daemon"


def image_folder() -> Path:
    return cache_home() / "lab"


def file() -> Path:
    return folder() / "lab.json"


def known_hosts_file() -> Path:
    return folder() / "known_hosts"


def load() -> Record | None:
    """What was written down; None where there is no lab. Raises StateError for a file that is no lab's."""
    try:
        data = file().read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise StateError(
            f"{file()} cannot be read.", f"{error.strerror or error}.", ["give the folder back to its owner"]
        ) from error
    try:
        return Record.model_validate(json.loads(data))
    except (ValueError, ValidationError):
        # Not chained: the text of either exception holds pieces of the file, and the file holds the password.
        raise StateError(
            f"{file()} is damaged.",
            "It is not what `homewright lab up` wrote.",
            [f"remove it: rm {file()}", "then take down what is left: homewright lab down"],
        ) from None


def save(record: Record) -> None:
    """Durable when this returns. Raises StateError."""
    make_folder(folder())
    write_atomically(file(), record.model_dump_json(indent=1).encode() + b"\n")


def save_known_hosts(record: Record) -> None:
    """What ssh(1) has to know of the servers. Raises StateError."""
    lines = [f"{server.address} {key}\n" for server in record.servers for key in server.host_keys]
    write_atomically(known_hosts_file(), "".join(lines).encode())


@contextmanager
def alone() -> Iterator[None]:
    """Hold the lab against other `lab` commands of this user. Raises Busy."""
    make_folder(state_home())
    try:
        # The folder itself is locked: a lock file would be left behind by `down`.
        with hold(state_home(), wait=1.0):
            yield
    except StateError as error:
        if "is in use" not in error.what:
            raise
        raise Busy(
            "Another `homewright lab` command is at work.",
            "Only one at a time changes the practice servers.",
            ["wait for it, then try again"],
        ) from None
