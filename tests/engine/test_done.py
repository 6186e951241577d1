"""Which steps count as done: what succeeded last and was not taken back since."""

from __future__ import annotations

from homewright.engine import done
from homewright.engine.journal.writer import Writer
from homewright.engine.states import Action, State
from homewright.site.paths import StateFolder

NEVER_RUN: frozenset[str] = frozenset()


def record(state: StateFolder, run: str, action: Action, hosts: tuple[str, ...] = ("s1",), **steps: State) -> None:
    writer = Writer(state, run)
    writer.change(writer.add_run(action=action, state=State.SUCCEEDED, created=0.0))
    for position, (name, outcome) in enumerate(steps.items()):
        step = name.replace("_", "/").removeprefix("s")
        writer.change(
            writer.add_step(step, "", stage="00", title=step, runner="python", position=position, state=outcome),
            *(
                writer.add_step(step, host, stage="00", title=step, runner="python", position=position, state=outcome)
                for host in hosts
            ),
        )
    writer.close()


def test_a_step_is_done_until_it_is_taken_back(state: StateFolder) -> None:
    assert done.steps(state) == NEVER_RUN
    record(state, "r1", Action.RUN, s00_10=State.SUCCEEDED, s00_20=State.FAILED, s00_30=State.PENDING)
    assert done.steps(state) == {"00/10"}
    record(state, "r2", Action.VERIFY, s00_20=State.SUCCEEDED)
    assert done.steps(state) == {"00/10"}, "a proof does nothing"
    record(state, "r3", Action.RUN, s00_10=State.SUCCEEDED, s00_20=State.SUCCEEDED)
    record(state, "r4", Action.ROLLBACK, s00_10=State.ROLLED_BACK)
    assert done.steps(state) == {"00/20"}
    record(state, "r5", Action.RUN, s00_10=State.SUCCEEDED)
    assert done.steps(state) == {"00/10", "00/20"}


def test_a_step_that_one_server_leaves_is_done_on_the_others(state: StateFolder) -> None:
    record(state, "r1", Action.RUN, ("s1", "s2"), s00_10=State.SUCCEEDED)
    record(state, "r2", Action.ROLLBACK, ("s2",), s00_10=State.ROLLED_BACK)
    assert done.steps(state) == {"00/10"}
    record(state, "r3", Action.ROLLBACK, ("s1",), s00_10=State.ROLLED_BACK)
    assert done.steps(state) == NEVER_RUN
