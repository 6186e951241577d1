"""Whether a state folder belongs to a rehearsal: recorded machines in place of real ones, and nothing done for real.

The mark lies in the state folder itself, so that every program that works on it (the engine, a verb, the screens)
finds it there, and none can forget to pass it on. No pydantic: the first screen looks for it.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

from homewright.errors import UsageError
from homewright.site.paths import StateFolder, make_folder, write_atomically

MARK = "rehearsal.json"
BUNDLES = "machines"
PACE_S = 0.25
"""For one task of a simulated run; a real one takes between this and some minutes."""
PACE = "HOMEWRIGHT_REHEARSAL_PACE_S"
"""Environment variable with another pace, in seconds, for rehearsals that are laid out."""


class RehearsalOnly(UsageError):
    """Something that only real machines can answer was asked for in a rehearsal."""

    code = "rehearsal"


@dataclass(frozen=True)
class Rehearsed:
    """A rehearsal's mark."""

    name: str
    """What is rehearsed: a shipped site of recorded machines, or a folder's name."""
    bundles: Path
    """The folder with the raw bundle of each machine that answered when it was recorded."""
    pace_s: float = PACE_S
    """Seconds for one task."""

    @classmethod
    def of(cls, state: StateFolder) -> Rehearsed | None:
        """The rehearsal that this state folder belongs to; None where its machines are real."""
        return cls.beside(state.root)

    @classmethod
    def beside(cls, folder: Path) -> Rehearsed | None:
        """The same, of the folder that holds a site's key."""
        try:
            record = json.loads((folder / MARK).read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError):
            record = None
        if not isinstance(record, dict):
            record = {}  # a mark that cannot be read is a mark all the same: nothing may be done for real
        return cls(str(record.get("name", "?")), folder / BUNDLES, _pace(record.get("pace_s")))

    @staticmethod
    def mark(state: StateFolder, name: str) -> None:
        """Make this state folder a rehearsal's. Raises StateError."""
        make_folder(state.root / BUNDLES)
        record = {"version": 1, "name": name, "pace_s": _pace(os.environ.get(PACE))}
        write_atomically(state.root / MARK, json.dumps(record).encode())


def _pace(given: object) -> float:
    """This many seconds; the usual where it is no number, or one that no run would come to its end with."""
    with contextlib.suppress(ValueError):
        found = float(given) if isinstance(given, int | float | str) else PACE_S
        return found if 0 <= found <= 60 else PACE_S
    return PACE_S


def refuse(folder: Path, what: str) -> None:
    """Raise RehearsalOnly where the state in this folder is a rehearsal's; `what` is a whole sentence."""
    rehearsed = Rehearsed.beside(folder)
    if rehearsed is not None:
        raise RehearsalOnly(
            what,
            f"This is a rehearsal of {rehearsed.name}: its machines are recordings, and nobody is contacted.",
            ["do it with servers of your own, without --rehearse", "or with practice servers: homewright lab up"],
        )
