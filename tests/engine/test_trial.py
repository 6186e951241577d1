"""A try's end on a server, by what the server answers. The answers are given; all else is real."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from homewright.access.endpoint import Endpoint
from homewright.catalogue import load
from homewright.catalogue.models import Revert
from homewright.engine import ourselves, trial
from homewright.engine.armed import Answer, Found
from homewright.engine.context import Context
from homewright.engine.conversation import HostEnd
from homewright.engine.fence import Fences
from homewright.engine.journal import Reader
from homewright.engine.journal.writer import Writer
from homewright.engine.precautions import TAKEN_BACK, Precautions
from homewright.engine.reboots import Reboots
from homewright.engine.states import Action, State
from homewright.engine.trial import Outcome, Trial, put_back_leftovers
from homewright.errors import HomewrightError, Unreachable
from homewright.site.models import Server, Site
from homewright.site.paths import StateFolder

from .catalogues import NOTHING, Tiny

REVERTED = Answer(Found.REVERTED, step="90/10", at=1_800_000_000.0)
ARMED, DISARMED, NONE, REVERTING = (
    Answer(found) for found in (Found.ARMED, Found.DISARMED, Found.NONE, Found.REVERTING)
)
AWAY = Unreachable("s1 does not answer.", "It is off.")


class Asked:
    """A server that gives these answers in turn, the last one for ever; notes what it was asked, and by which way."""

    def __init__(self, state: StateFolder, writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answers: list[Answer | HomewrightError] = []
        self.asked: list[str] = []
        self.through: list[str] = []
        self.site = Site(
            name="attic", servers=tuple(Server(name=f"s{n}", address=f"192.0.2.{n}", user="u") for n in (1, 2, 3))
        )
        self.state, self.writer = state, writer
        asked = self

        def request(context: Context, way: Endpoint, request: Any) -> Answer | HomewrightError:
            json.dumps(request)
            asked.asked.append(request["what"])
            asked.through.append(way.through.name if way.through else "")
            if request["what"] in ("arm", "forget"):
                return Answer(Found.ARMED, boot="b1") if request["what"] == "arm" else NONE
            return asked.answers.pop(0) if len(asked.answers) > 1 else asked.answers[0]

        monkeypatch.setattr(trial, "_request", request)
        monkeypatch.setattr(trial, "LOOK_S", 0.001)
        monkeypatch.setattr(trial, "GRACE_S", 60.0)
        monkeypatch.setattr(ourselves, "is_ours", lambda _, host: False)

    def context(self) -> Context:
        fences = Fences(self.site, self.state, self.writer, "us")
        return Context("r1", self.site, self.state, None, {}, self.writer, "us", fences)  # type: ignore[arg-type]

    def end(self, *answers: Answer | HomewrightError, good: bool, minutes: float = 0.001, **more: Any) -> Outcome:
        self.answers = list(answers)

        async def whole() -> Outcome:
            context = self.context()
            for name, value in more.items():
                setattr(context, name, value)
            tried = Trial(context, "90/10", Revert(files=("/etc/netplan/",), minutes=minutes), ["network.lan"])
            assert await tried.arm(["s1"]) == {}
            assert tried.armed == {"s1"}
            outcome = await tried.settle("s1", good=good)
            assert not tried.armed
            return outcome

        return asyncio.run(whole())

    def said(self) -> list[str]:
        return [event.text for event in Reader(self.state).events("r1")]


@pytest.fixture
def asked(state: StateFolder, writer: Writer, monkeypatch: pytest.MonkeyPatch) -> Asked:
    return Asked(state, writer, monkeypatch)


def test_a_connection_that_comes_through_disarms(asked: Asked) -> None:
    assert asked.end(AWAY, DISARMED, good=True).kept
    assert asked.asked == ["arm", "disarm", "disarm"]
    assert asked.said()[-1] == "disarmed: a fresh connection came through"


def test_an_answer_that_was_lost_on_its_way_counts(asked: Asked) -> None:
    assert asked.end(AWAY, NONE, good=True).kept


def test_a_server_that_is_not_armed_any_more_was_not_confirmed_by_us(asked: Asked) -> None:
    outcome = asked.end(NONE, good=True)
    assert (outcome.kept, outcome.told) == (False, "s1 is not armed any more, and nobody knows who disarmed it")


def test_the_server_was_quicker(asked: Asked) -> None:
    outcome = asked.end(AWAY, REVERTING, REVERTED, good=True)
    assert not outcome.kept
    assert outcome.told.startswith("Nobody could get in afresh within 0 s, so the server put everything back at ")
    assert any("network.lan" in line for line in outcome.do)
    assert asked.asked[-1] == "forget"


@pytest.mark.parametrize(
    ("end", "boot", "code"),
    [
        (HostEnd(State.SUCCEEDED, 1), "b2", "unreachable"),
        (HostEnd(State.FAILED, 1, "It was cut off.", "unreachable"), "b2", "unreachable"),
        (HostEnd(State.FAILED, 1, "It was cut off.", "unreachable"), "b1", TAKEN_BACK),
        (HostEnd(State.FAILED, 1, "It was cut off.", "unreachable"), "", TAKEN_BACK),
        (HostEnd(State.FAILED, 1, "The task said no."), "b2", TAKEN_BACK),
        (HostEnd(State.FAILED, 1, "It was cut off.", "unreachable"), "b2 but failed", TAKEN_BACK),
    ],
)
@pytest.mark.parametrize("reboots", [False, True])
def test_a_server_that_lost_power_in_the_middle_was_not_cut_off_by_the_step(
    asked: Asked, tmp_path: Path, end: HostEnd, boot: str, code: str, reboots: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = {"may_lock_out": True, "revert": {"files": ["/etc/netplan/"], "minutes": 3}, "reboots": reboots}
    tiny = Tiny(tmp_path / "stages").step(1, NOTHING.format(name="run"), **more)
    asked.answers = [AWAY, dataclasses.replace(REVERTED, boot=boot, code=int("failed" in boot))]
    monkeypatch.setattr(Reboots, "_boot", lambda *_: "b1")

    async def whole() -> HostEnd:
        precautions = Precautions(asked.context(), load([tiny.root]).step("90/10"), Action.RUN)
        assert (await precautions.prepare(["s1"])).hosts == ["s1"]
        try:
            return await precautions.conclude("s1", end)
        finally:
            precautions.over()

    found = asyncio.run(whole())
    assert (found.state, found.code) == (State.FAILED, TAKEN_BACK if reboots else code)
    assert ("It was booted in the middle of the step" in found.reason) is (found.code == "unreachable")


def test_what_failed_is_put_back_at_once(asked: Asked) -> None:
    outcome = asked.end(REVERTING, REVERTING, REVERTED, good=False, minutes=60)
    assert asked.asked == ["arm", "fire", "look", "look", "forget"]
    assert outcome.told.startswith("It was taken back: the server put everything back at ")


def test_who_is_heard_again_after_its_time_was_cut_off_until_then(asked: Asked) -> None:
    """The step failed there because its connection broke, and the server is just putting everything back."""
    outcome = asked.end(REVERTING, REVERTED, good=False, minutes=1e-9)
    assert asked.asked == ["arm", "fire", "look", "forget"]
    assert outcome.told.startswith("Nobody could get in afresh within 0 s, so the server put everything back at ")
    assert any("network.lan" in line for line in outcome.do)


def test_a_server_that_stays_away_is_not_waited_for_for_ever(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "GRACE_S", 0.0)
    outcome = asked.end(AWAY, good=True)
    assert not outcome.kept
    assert outcome.told.endswith("but that could not be seen: s1 does not answer. It is off.")
    assert any("put-back" in line for line in outcome.do)


def test_an_engine_that_has_to_end_leaves_the_server_armed(asked: Asked) -> None:
    outcome = asked.end(AWAY, good=True, interrupted=True)
    assert outcome.told.startswith("s1 stays armed: within 0 s it puts everything back")
    assert asked.asked == ["arm"]


def test_our_own_machine_is_asked_by_way_of_the_others(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ourselves, "is_ours", lambda _, host: host == "s1")
    assert asked.end(AWAY, DISARMED, good=True).kept
    assert asked.through == ["", "s2", "s3"]


def test_our_own_machine_alone_is_confirmed_by_ourselves_and_that_is_said(
    asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ourselves, "is_ours", lambda _, host: host == "s1")
    asked.site = asked.site.model_copy(update={"servers": asked.site.servers[:1]})
    assert asked.end(AWAY, DISARMED, good=True).kept
    assert [text for text in asked.said() if "is the only server and Homewright runs on it" in text] != []
    assert set(asked.through) == {""}


def test_the_time_begins_anew_as_long_as_connections_come_through(asked: Asked) -> None:
    """Longer than the server's time, which no look would have waited for."""
    asked.answers = [ARMED]

    async def whole() -> Outcome:
        tried = Trial(asked.context(), "90/10", Revert(files=("/etc/netplan/",), minutes=0.002))
        await tried.arm(["s1"])
        keeping = asyncio.create_task(tried.keep())
        await until(lambda: asked.asked.count("renew") >= 5)
        keeping.cancel()
        asked.answers = [DISARMED]
        return await tried.settle("s1", good=True)

    assert asyncio.run(whole()).kept


def test_a_time_that_could_not_begin_anew_is_told_and_does_not_count(asked: Asked) -> None:
    asked.answers = [Answer(Found.ARMED, problem="Failed to restart homewright-revert.timer")]

    async def whole() -> tuple[float, float]:
        tried = Trial(asked.context(), "90/10", Revert(files=("/etc/netplan/",), minutes=0.002))
        await tried.arm(["s1"])
        begun = tried._until["s1"]
        keeping = asyncio.create_task(tried.keep())
        await until(lambda: any("could not begin anew" in text for text in asked.said()))
        keeping.cancel()
        return begun, tried._until["s1"]

    begun, after = asyncio.run(whole())
    assert after == begun
    assert asked.said()[-1].endswith("Failed to restart homewright-revert.timer")


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - what is waited for happens in other tasks
            await asyncio.sleep(0.001)


def left(asked: Asked, *answers: Answer | HomewrightError, **record: Any) -> tuple[dict[str, HomewrightError], Context]:
    asked.answers = list(answers)

    async def whole() -> tuple[dict[str, HomewrightError], Context]:
        context = asked.context()
        context.fences.left = {"s1": Answer(Found.ARMED, step="90/10", run="r0", token="t", **record)}
        return await put_back_leftovers(context, ["s1", "s2"]), context

    return asyncio.run(whole())


def test_what_a_dead_engine_left_armed_is_put_back(asked: Asked) -> None:
    errors, context = left(asked, REVERTING, AWAY, REVERTED)
    assert (errors, context.fences.left) == ({}, {})
    assert asked.asked == ["fire", "look", "look", "forget"]
    assert asked.said()[-1].startswith("step 90/10 was cut off here before it was confirmed: the server put everything")


def test_steps_that_wait_for_the_same_leftover_tell_it_once(asked: Asked) -> None:
    asked.answers = [REVERTING, REVERTING, REVERTED]

    async def both() -> list[dict[str, HomewrightError]]:
        context = asked.context()
        context.fences.left = {"s1": Answer(Found.ARMED, step="90/10", run="r0", token="t")}
        return await asyncio.gather(*(put_back_leftovers(context, ["s1"]) for _ in range(2)))

    assert asyncio.run(both()) == [{}, {}]
    assert len([text for text in asked.said() if "was cut off here" in text]) == 1


def test_a_leftover_that_somebody_took_away_on_the_console_is_over(asked: Asked) -> None:
    errors, context = left(asked, REVERTING, NONE)
    assert (errors, context.fences.left) == ({}, {})


def test_a_leftover_that_is_not_put_back_keeps_the_server_untouched(
    asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, "GRACE_S", 0.0)
    monkeypatch.setattr(trial.armed, "COMMAND_LIMIT_S", 0.05)
    errors, context = left(asked, ARMED)
    assert errors["s1"].what == "s1 is still armed by step 90/10, which was cut off."
    assert "s1" in context.fences.left, "the next step must not begin there either"
