"""The site's secrets: one 0600 file in the state folder, read and written under a lock, shown by nothing else.

Values leave this module by `get` and `values` only; what prints, logs or compares an object of it sees names at most.
"""

from __future__ import annotations

import json
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from homewright.errors import StateError
from homewright.site.locks import hold
from homewright.site.paths import make_folder, write_atomically

VERSION = 1

_ALPHABET = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"
"""Without the characters that are read for one another: 0 O 1 l I o."""

_Result = TypeVar("_Result")


def generate_password() -> str:
    """A password of four groups of six characters: 138 bits, readable aloud, no character that a shell minds."""
    return "-".join("".join(secrets.choice(_ALPHABET) for _ in range(6)) for _ in range(4))


class Secrets:
    """Named secrets in one file. Names are like `workspace/alice@s2/password`.

    Every method raises StateError where the file cannot be read, is no file of ours, or cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.mended: str | None = None
        """What was wrong with the file's permissions, once something had to be mended."""

    def __repr__(self) -> str:
        return f"Secrets({str(self._path)!r})"

    def get(self, name: str) -> str | None:
        """The secret of this name, or None."""
        return self._read().get(name)

    def set(self, name: str, value: str) -> None:
        """Keep a secret; it is durable when this returns."""
        if not name or not value:
            raise ValueError("a secret has a name and a value")

        def put(values: dict[str, str]) -> None:
            values[name] = value

        self._change(put)

    def delete(self, name: str) -> bool:
        """Forget a secret; whether there was one."""
        return self._change(lambda values: values.pop(name, None) is not None)

    def names(self) -> tuple[str, ...]:
        """All names, sorted."""
        return tuple(sorted(self._read()))

    def values(self) -> tuple[str, ...]:
        """All values, for redaction: what must never be written anywhere else."""
        return tuple(dict.fromkeys(self._read().values()))

    def ensure(self, name: str, make: Callable[[], str] = generate_password) -> str:
        """The secret of this name; made and kept first where there is none. Two callers get the same one."""
        return self._change(lambda values: values.setdefault(name, make()))

    def _change(self, change: Callable[[dict[str, str]], _Result]) -> _Result:
        with self._locked():
            before = self._read()
            after = dict(before)
            result = change(after)
            if after != before:
                document = {"version": VERSION, "secrets": dict(sorted(after.items()))}
                write_atomically(self._path, json.dumps(document, indent=1, ensure_ascii=False).encode() + b"\n")
            return result

    @contextmanager
    def _locked(self) -> Iterator[None]:
        make_folder(self._path.parent)
        with hold(self._path.with_suffix(".lock")):
            yield

    def _read(self) -> dict[str, str]:
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise self._unusable(f"It cannot be opened ({error.strerror}); a link is never followed.") from error
        with os.fdopen(descriptor, "rb") as handle:
            self._require_private(handle.fileno())
            data = handle.read()
        try:
            document = json.loads(data)
        except ValueError:
            # Not chained: the exception's text and its .doc hold pieces of the file.
            raise self._unusable("It is damaged: its content is not JSON.") from None
        if not isinstance(document, dict) or not isinstance(document.get("secrets"), dict):
            raise self._unusable("It is damaged: it holds no secrets.")
        if document.get("version") != VERSION:
            raise self._unusable("Another version of Homewright wrote it.")
        kept = document["secrets"]
        if not all(isinstance(value, str) for value in kept.values()):
            raise self._unusable("It is damaged: a value is no text.")
        return dict(kept)

    def _require_private(self, descriptor: int) -> None:
        """Refuse a file of somebody else; mend (and remember that) one of ours that others could read."""
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise self._unusable("It is no regular file.")
        if status.st_uid != os.geteuid():
            raise self._unusable(f"It belongs to user {status.st_uid}, not to you ({os.geteuid()}).")
        if status.st_mode & 0o077:
            os.fchmod(descriptor, 0o600)
            self.mended = (
                f"{self._path} could be read by others (mode {stat.S_IMODE(status.st_mode):04o}); it is 0600 again. "
                "Change the passwords in it if this machine has other users."
            )

    def _unusable(self, why: str) -> StateError:
        return StateError(
            f"The secrets in {self._path} cannot be used.",
            why,
            ["put back a good copy of it", "or move it away: passwords are then made anew"],
        )
