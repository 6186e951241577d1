"""How a step ends by what its proof says, and what stops a run. The runner's answers are given; all else is real."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pytest

from homewright.catalogue import load
from homewright.engine import schedule, step
from homewright.engine.context import Context
from homewright.engine.conversation import Conversation
from homewright.engine.events import Event, Kind
from homewright.engine.fence import Fences
from homewright.engine.journal import Reader
from homewright.engine.journal.writer import Writer
from homewright.engine.launch import RunRequest
from homewright.engine.runner_process import Ending
from homewright.engine.schedule import RunEnd, Schedule
from homewright.engine.states import Action, State
from homewright.errors import HomewrightError, StateError
from homewright.planning import plan
from homewright.site.models import Server, Site
from homewright.site.paths import StateFolder

from .catalogues import NOTHING, Tiny

SITE = Site(name="attic", servers=(Server(name="s1", address="127.0.0.1", user="ann"),))
Conduct = Callable[..., RunEnd]


class OursAlways(Fences):
    """Servers that are not there, whose fence is ours."""

    async def hold(self, hosts: Iterable[str]) -> dict[str, HomewrightError]:
        return {}


def ended(state: str = "succeeded", reason: str = "") -> Event:
    return Event(Kind.HOST_FINISHED, host="s1", data={"state": state, "changed": 1, "reason": reason})


def proof(verdict: str, why: str = "why") -> Event:
    return Event(Kind.VERIFY, why, host="s1", data={"verdict": verdict})


@pytest.fixture
def tiny(tmp_path: Path) -> Tiny:
    return Tiny(tmp_path / "stages")


@pytest.fixture
def conduct(tiny: Tiny, state: StateFolder, writer: Writer, monkeypatch: pytest.MonkeyPatch) -> Conduct:
    """A whole run whose proofs end with these events; every other action succeeds."""

    def run(action: Action, *proofs: Event, then: Callable[[Context], None] = lambda _: None) -> RunEnd:
        catalogue = load([tiny.root])
        fences = OursAlways(SITE, state, writer, "us")
        context = Context("r1", SITE, state, catalogue, {}, writer, "us", fences)

        async def answer(self: step.StepWork, asked: Action, hosts: Sequence[str], **_: object) -> Conversation:
            talk = Conversation(writer, self._plan.id, asked, hosts)
            for event in proofs if asked is Action.VERIFY else [ended()]:
                talk.take(event)
            then(context)
            await asyncio.sleep(0.05)
            talk.close(Ending(0))
            return talk

        monkeypatch.setattr(step.StepWork, "_call", answer)
        monkeypatch.setattr(step, "WAITS_S", (0.01, 0.01))
        work = Schedule(context, plan(SITE, catalogue), action, RunRequest(str(action)))
        work.record()
        return asyncio.run(work.carry_out())

    return run


def test_a_proof_that_cannot_tell_after_a_rollback_proves_no_rollback(
    tiny: Tiny, conduct: Conduct, writer: Writer, state: StateFolder
) -> None:
    tiny.step(1, NOTHING.format(name="run"))
    writer.change(writer.keep_capture("90/10", "s1", {"before": 1}))
    end = conduct(Action.ROLLBACK, proof("cannot-tell"), ended())
    assert (end.state, end.exit_code) == (State.FAILED, 1)
    assert Reader(state).captures("90/10") == {"s1": {"before": 1}}


def test_a_server_that_went_away_before_its_proof_is_unreachable(tiny: Tiny, conduct: Conduct) -> None:
    tiny.step(1, NOTHING.format(name="run"))
    assert conduct(Action.RUN, proof("cannot-tell"), ended("unreachable", "no route")).exit_code == 5


def test_a_proof_that_cannot_be_loaded_is_not_waited_for(tiny: Tiny, conduct: Conduct, state: StateFolder) -> None:
    tiny.step(1, NOTHING.format(name="run"))
    end = conduct(Action.RUN, proof("cannot-tell"), ended("failed", "18_do.py, line 3: no"))
    assert end.state is State.FAILED
    assert "Its proof failed: 18_do.py, line 3: no" in Reader(state).steps("r1")[0].reason
    assert Kind.RETRY not in {event.kind for event in Reader(state).events("r1")}


def test_a_run_that_is_stopped_while_a_proof_cannot_tell_is_cancelled(
    tiny: Tiny, conduct: Conduct, state: StateFolder
) -> None:
    tiny.step(1, NOTHING.format(name="run"))

    def stop_in_the_proof(context: Context) -> None:
        if len(Reader(context.state).events("r1")) > 3:
            context.stop.set()

    end = conduct(Action.RUN, proof("cannot-tell"), ended(), then=stop_in_the_proof)
    assert (end.state, end.exit_code) == (State.CANCELLED, 4)
    assert [record.state for record in Reader(state).steps("r1")] == [State.CANCELLED] * 2


def test_a_step_that_no_server_has_does_not_keep_what_it_depends_on(tiny: Tiny, conduct: Conduct) -> None:
    tiny.step(1, NOTHING.format(name="run")).step(2, NOTHING.format(name="run"), hosts="gpu_hosts")
    assert conduct(Action.ROLLBACK, proof("broken"), ended()).state is State.ROLLED_BACK


def test_a_journal_that_took_no_lines_once_ends_the_run(
    tiny: Tiny, conduct: Conduct, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What could not be written is lost, so nothing more may happen, even where the next lines can be."""
    tiny.step(1, NOTHING.format(name="run")).step(2, NOTHING.format(name="run"))
    monkeypatch.setattr(schedule, "FLUSH_S", 0.01)
    flush = writer.flush
    failures = [StateError("The journal cannot be written.", "")]

    def fail_once() -> None:
        if failures:
            raise failures.pop()
        flush()

    def break_it(context: Context) -> None:
        monkeypatch.setattr(writer, "flush", fail_once)

    with pytest.raises(StateError, match="cannot be written"):
        conduct(Action.RUN, proof("proved"), ended(), then=break_it)


def test_a_step_takes_as_long_as_it_takes_although_the_clock_is_set_back(
    conduct: Conduct, tiny: Tiny, state: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny.step(1, NOTHING.format(name="run"))
    begun, wall = time.monotonic(), time.time()
    monkeypatch.setattr(time, "time", lambda: wall - 3600 if time.monotonic() > begun + 0.03 else wall)
    assert conduct(Action.RUN, proof("proved"), ended()).state is State.SUCCEEDED
    assert time.time() < wall, "the clock was never set back"
    for row in Reader(state).steps("r1"):
        assert row.started is not None and row.finished is not None
        assert 0 < row.finished - row.started < 60
    events = Reader(state).events("r1")
    took = next(event.data["seconds"] for event in events if event.kind == Kind.STEP_FINISHED)
    assert 0 < took < 60
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
