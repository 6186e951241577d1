"""A run in rows and words: what is skipped counts for nothing."""

from __future__ import annotations

import pytest

from homewright.engine.journal import StepRecord
from homewright.engine.states import State
from homewright.screens.progress import counted, stage_state

P, R, S, K, B = State.PENDING, State.RUNNING, State.SUCCEEDED, State.SKIPPED, State.ROLLED_BACK


def steps(*states: State) -> list[StepRecord]:
    return [
        StepRecord("a run", f"30/{n}0", "", "30", f"Step {n}", "python", n, state) for n, state in enumerate(states, 1)
    ]


@pytest.mark.parametrize(
    ("states", "stage"),
    [
        ((K, S, S, K), S),
        ((K, K), K),
        ((K, B), B),
        ((K, P), P),
        ((K, S, P), R),
        ((P, P), P),
        ((K, R, P), R),
        ((S, State.FAILED), State.FAILED),
    ],
)
def test_the_state_of_a_stage(states: tuple[State, ...], stage: State) -> None:
    assert stage_state(steps(*states)) is stage


def test_steps_that_are_skipped_are_not_counted() -> None:
    assert counted(steps(S, K, R, P, K)) == "step 2 of 3"
    assert counted(steps(S, K, S)) == "step 2 of 2"
    assert counted(()) == "getting ready"
