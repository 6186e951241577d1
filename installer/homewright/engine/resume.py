"""What becomes of a run that another engine began: decided for each step and server from what was recorded. Pure.

Nothing recorded is believed: what succeeded is proved again before anything else happens, and what was cut off is
inspected first where its step says how.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from homewright.engine.journal.records import StepRecord
from homewright.engine.states import State
from homewright.planning.plan import answer
from homewright.site.models import Site

ANOTHER = "is another machine than before."
"""What is said of a server whose machine-id is not the recorded one."""


class Fate(StrEnum):
    """What a step needs on one server."""

    PROVE = "prove"
    """It was recorded as done: its proof decides."""
    RUN = "run"
    MEND = "mend"
    """It was cut off or has failed: what it left is inspected first, then it runs."""


@dataclass(frozen=True)
class Outlook:
    """What one step needs, by server, and why where that is not plain."""

    fates: Mapping[str, Fate]
    why: str = ""

    def of(self, *fates: Fate) -> tuple[str, ...]:
        """The servers with one of these fates, in order."""
        return tuple(host for host, fate in self.fates.items() if fate in fates)


def answers(site: Site, reads: Iterable[str]) -> str:
    """A digest over the answers that a step reads; the same as long as none of them changes."""
    values = {path: answer(site, path) for path in reads}
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


def outlook(
    hosts: Iterable[str], rows: Mapping[str, StepRecord], now: str, *, anew: bool, new_machines: Iterable[str]
) -> Outlook:
    """What a step needs on these servers. `rows` are its rows by server, `now` is the digest of what it reads."""
    replaced = set(new_machines)
    changed = False
    fates: dict[str, Fate] = {}
    for host in hosts:
        row = rows.get(host)
        if row is None or host in replaced:
            fates[host] = Fate.RUN
        elif row.state is State.SUCCEEDED:
            other = row.answers not in ("", now)
            changed |= other
            fates[host] = Fate.RUN if other or anew else Fate.PROVE
        elif row.state in (State.PENDING, State.SKIPPED, State.ROLLED_BACK):
            fates[host] = Fate.RUN
        else:
            fates[host] = Fate.MEND
    return Outlook(fates, "answers that it reads have changed" if changed else "")


def dependents(step: str, requires: Mapping[str, Iterable[str]]) -> set[str]:
    """Everything that requires this step, directly or by way of others."""
    found: set[str] = set()
    fresh = {step}
    while fresh:
        fresh = {one for one, wanted in requires.items() if fresh & set(wanted)} - found
        found |= fresh
    return found
