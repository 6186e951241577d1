"""Servers that went away in the middle of a step: which are waited for, and what is begun again. Answers are given."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import pytest

from homewright.engine import lost
from homewright.engine.conversation import HostEnd
from homewright.engine.journal import Reader
from homewright.engine.journal.writer import Writer
from homewright.engine.states import Action, State
from homewright.engine.step import StepEnd
from homewright.errors import HomewrightError, Unreachable
from homewright.planning import PlanStep
from homewright.site.paths import StateFolder

AWAY = HostEnd(State.FAILED, 1, "The connection was lost.", "unreachable")
WRONG = HostEnd(State.FAILED, 0, "No space left.")
DONE = HostEnd(State.SUCCEEDED, 2)
STEP = PlanStep(
    id="90/10", title="Step", summary="", runner="python", hosts=("x", "y"), requires=(), minutes=1,
    measured=False, reboots=False, may_lock_out=False,
)  # fmt: skip


@dataclass
class Fences:
    """Servers that answer after so many looks; `None` never."""

    answers: dict[str, int | None]
    reached: set[str] = field(default_factory=lambda: {"x", "y"})
    lost: list[str] = field(default_factory=list)
    looks: int = 0

    def enter(self, host: str) -> HomewrightError | None:
        self.looks += 1
        left = self.answers.get(host, 0)
        if left == 0:
            return None
        self.answers[host] = None if left is None else left - 1
        return Unreachable(f"{host} does not answer.", "")

    def lose(self, hosts: Iterable[str]) -> None:
        self.lost += hosts


@dataclass
class World:
    """What an engine shares, as far as it matters here."""

    writer: Writer
    fences: Fences
    attempt: int = 1
    stop: asyncio.Event = field(default_factory=asyncio.Event)


@pytest.fixture
def carried(state: StateFolder, writer: Writer, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Carry a step out whose ends, one by one, are given; its end, what was asked of it, and what was told."""
    monkeypatch.setattr(lost, "PAUSES_S", (0.01,))

    def run(
        fences: Fences, ends: list[dict[str, HostEnd]], action: Action = Action.RUN
    ) -> tuple[StepEnd, Any, list[str]]:
        asked: list[tuple[tuple[str, ...], tuple[str, ...]]] = []

        class Work:
            def __init__(self, context: object, step: PlanStep, action: Action, *, attempt: int) -> None:
                self.hosts = step.hosts

            async def carry_out(self, mend: Iterable[str] = ()) -> StepEnd:
                asked.append((self.hosts, tuple(mend)))
                hosts = ends[len(asked) - 1]
                bad = [end.state for end in hosts.values() if end.state is not State.SUCCEEDED]
                return StepEnd(bad[0] if bad else State.SUCCEEDED, 0, hosts)

        monkeypatch.setattr(lost, "StepWork", Work)
        world: Any = World(writer, fences)
        end = asyncio.run(lost.carry_out(world, STEP, action))
        writer.flush()
        return end, asked, [event.text for event in Reader(state).events("r1")]

    return run


def test_a_server_that_comes_back_goes_on_where_it_was_and_the_others_are_left_alone(carried: Any) -> None:
    fences = Fences({"y": 2})
    end, asked, told = carried(fences, [{"x": DONE, "y": AWAY}, {"y": DONE}])
    assert end.state is State.SUCCEEDED
    assert end.hosts == {"x": DONE, "y": DONE}
    assert end.changed == 4
    assert asked == [(("x", "y"), ()), (("y",), ("y",))]
    assert fences.lost == ["y"]
    assert told == ["it does not answer; it is waited for, up to 15 minutes", "it answers again"]


def test_one_that_was_off_from_the_start_is_told_at_once(carried: Any) -> None:
    fences = Fences({"y": None}, reached={"x"})
    end, asked, told = carried(fences, [{"x": DONE, "y": AWAY}])
    assert (end.state, len(asked), fences.looks, told) == (State.FAILED, 1, 0, [])


def test_where_something_else_went_wrong_too_nothing_is_waited_for(carried: Any) -> None:
    end, asked, _ = carried(fences := Fences({}), [{"x": WRONG, "y": AWAY}])
    assert (end.state, len(asked), fences.looks) == (State.FAILED, 1, 0)


def test_a_proof_is_not_begun_again(carried: Any) -> None:
    _, asked, _ = carried(Fences({}), [{"x": DONE, "y": AWAY}], Action.VERIFY)
    assert len(asked) == 1


def test_one_that_stays_away_ends_the_step_after_the_limit(carried: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lost.silent, "__kwdefaults__", {"step": "", "limit_s": 0.05})
    fences = Fences({"y": None})
    end, asked, _ = carried(fences, [{"x": DONE, "y": AWAY}])
    assert (end.state, len(asked), fences.lost) == (State.FAILED, 1, [])
    assert fences.looks > 1


def test_a_step_that_cuts_its_server_off_every_time_ends_some_time(carried: Any) -> None:
    end, asked, _ = carried(Fences({}), [{"x": DONE, "y": AWAY}] + [{"y": AWAY}] * 9)
    assert end.state is State.FAILED
    assert len(asked) == 1 + lost.TIMES


def test_a_refusal_does_not_mend_itself(carried: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    fences = Fences({})
    monkeypatch.setattr(fences, "enter", lambda host: HomewrightError(f"{host} has another host key.", ""))
    _, asked, told = carried(fences, [{"x": DONE, "y": AWAY}])
    assert len(asked) == 1
    assert told == []
