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
    last: dict[str, bool] = {}
    for run in reversed(reader.runs(RUNS)):
        for step in reader.steps(run.id) if run.action in (Action.RUN, Action.ROLLBACK) else ():
            if not step.host and step.state in (State.SUCCEEDED, State.ROLLED_BACK):
                last[step.step] = run.action is Action.RUN and step.state is State.SUCCEEDED
    return frozenset(step for step, done in last.items() if done)
