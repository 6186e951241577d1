"""Which steps are done, as the journal last knew it: the checks of a later phase wait for some of them."""

from __future__ import annotations

from homewright.engine.journal import Reader
from homewright.engine.states import Action, State
from homewright.site.paths import StateFolder

RUNS = 100
"""How many of the latest runs are looked at; older ones have been repeated or taken back since."""


def steps(state: StateFolder) -> frozenset[str]:
    """Ids of the steps that succeeded and were not taken back since. Raises StateError where the journal is damaged."""
    reader = Reader(state)
    where: dict[str, set[str]] = {}
    for run in reversed(reader.runs(RUNS)):
        if run.action not in (Action.RUN, Action.ROLLBACK):
            continue
        rows = reader.steps(run.id)
        whole = {row.step for row in rows if not row.host and row.state is State.SUCCEEDED}
        for row in rows:
            if row.host and run.action is Action.RUN and row.step in whole and row.state is State.SUCCEEDED:
                where.setdefault(row.step, set()).add(row.host)
            elif row.host and run.action is Action.ROLLBACK and row.state is State.ROLLED_BACK:
                # Of one server that leaves, it is done on the others all the same.
                where.get(row.step, set()).discard(row.host)
    return frozenset(step for step, hosts in where.items() if hosts)
