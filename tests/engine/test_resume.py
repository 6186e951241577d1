"""Runs that another engine began: what each step needs then, and a cut after every single commit."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from homewright.catalogue import load
from homewright.engine import launch, past, schedule, step
from homewright.engine.context import Context
from homewright.engine.conversation import Conversation
from homewright.engine.events import Event, Kind
from homewright.engine.fence import Fences
from homewright.engine.journal import Reader
from homewright.engine.journal.records import StepRecord
from homewright.engine.journal.writer import Writer
from homewright.engine.launch import RunRequest
from homewright.engine.process import Engine
from homewright.engine.proofs import Proofs
from homewright.engine.resume import Fate, answers, dependents, outlook
from homewright.engine.runner_process import Ending
from homewright.engine.schedule import RunEnd, Schedule
from homewright.engine.states import Action, State
from homewright.errors import HomewrightError, Unreachable
from homewright.planning import plan
from homewright.site.models import Server, Site
from homewright.site.paths import StateFolder, make_folder

from .catalogues import NOTHING, Tiny

HOSTS = ("s1", "s2")
SITE = Site(
    name="attic", servers=tuple(Server(name=name, address=f"192.0.2.{n}", user="u") for n, name in enumerate(HOSTS, 1))
)
STEPS = ("90/10", "90/20", "90/30")


def row(state: State, read: str = "now") -> StepRecord:
    return StepRecord("r1", "90/10", "s1", "90", "Step", "python", 0, state, attempt=1, answers=read)


@pytest.mark.parametrize(
    ("state", "read", "anew", "fate"),
    [
        (State.SUCCEEDED, "now", False, Fate.PROVE),
        (State.SUCCEEDED, "", False, Fate.PROVE),  # of a journal that did not record it yet
        (State.SUCCEEDED, "before", False, Fate.RUN),
        (State.SUCCEEDED, "now", True, Fate.RUN),
        (State.PENDING, "now", False, Fate.RUN),
        (State.SKIPPED, "now", False, Fate.RUN),
        (State.ROLLED_BACK, "now", False, Fate.RUN),
        (State.INTERRUPTED, "now", False, Fate.MEND),
        (State.CANCELLED, "now", False, Fate.MEND),
        (State.FAILED, "now", False, Fate.MEND),
    ],
)
def test_what_a_recorded_state_asks_for(state: State, read: str, anew: bool, fate: Fate) -> None:
    found = outlook(["s1"], {"s1": row(state, read)}, "now", anew=anew, new_machines=())
    assert found.fates == {"s1": fate}
    assert bool(found.why) == (read == "before")


def test_a_server_that_is_new_or_another_machine_gets_everything() -> None:
    rows = {"s1": row(State.SUCCEEDED)}
    assert outlook(["s1", "s2"], rows, "now", anew=False, new_machines=["s1"]).of(Fate.RUN) == ("s1", "s2")


def test_only_answers_that_a_step_reads_matter() -> None:
    other = SITE.model_copy(update={"zone": "home.internal"})
    assert answers(SITE, ["servers"]) == answers(other, ["servers"])
    assert answers(SITE, ["servers", "zone"]) != answers(other, ["servers", "zone"])


def test_dependents_are_followed_to_the_end() -> None:
    requires = {"a": [], "b": ["a"], "c": ["b"], "d": []}
    assert dependents("a", requires) == {"b", "c"}
    assert dependents("d", requires) == set()


class Cut(BaseException):
    """The power is gone: nothing catches it."""


class World:
    """What the servers are like: which steps took effect, and what was done to bring that about."""

    def __init__(self, state: StateFolder, catalogue: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.state = state
        self.catalogue = load([catalogue])
        self.done: set[tuple[str, str]] = set()
        self.calls: list[tuple[Action, str, str]] = []
        self.unsure: set[tuple[str, str]] = set()
        self.away: set[str] = set()
        self.failing: set[tuple[str, str]] = set()
        self.site = SITE
        self.attempt = 0
        self.ahead: list[list[str]] = []
        """What the process of the proofs was told to load, by engine that went on."""
        self.loaded: list[int] = []
        """The engines that had runners to begin."""
        self.then: Callable[[Context], None] = lambda _: None
        """What happens beside every action."""

        async def nothing(context: Context, action: Action, name: str) -> None:
            """No action waits."""

        self.before: Callable[[Context, Action, str], Awaitable[None]] = nothing
        world = self

        async def call(self: step.StepWork, action: Action, hosts: Sequence[str], **_: Any) -> Conversation:
            talk = Conversation(self._writer, self._plan.id, action, hosts)
            await world.before(self._context, action, self._plan.id)
            for host in hosts:
                world.answer(talk, action, self._plan.id, host)
            world.then(self._context)
            talk.close(Ending(0))
            return talk

        monkeypatch.setattr(step.StepWork, "_call", call)
        monkeypatch.setattr(past, "start_ahead", lambda context, steps: world.ahead.append(list(steps)))
        for module in (past, schedule):
            monkeypatch.setattr(module, "load_ahead", lambda context: world.loaded.append(world.attempt))
        monkeypatch.setattr(step, "WAITS_S", (0.0, 0.0))

    def answer(self, talk: Conversation, action: Action, name: str, host: str) -> None:
        self.calls.append((action, name, host))
        if action in (Action.RUN, Action.ROLLBACK) and (name, host) in self.failing:
            talk.take(Event(Kind.HOST_FINISHED, host=host, data={"state": "failed", "reason": "it would not"}))
            return
        if action is Action.RUN:
            self.done.add((name, host))
        elif action is Action.ROLLBACK:
            self.done.discard((name, host))
        elif action is Action.VERIFY:
            verdict = "proved" if (name, host) in self.done else "broken"
            verdict = "cannot-tell" if (name, host) in self.unsure else verdict
            talk.take(Event(Kind.VERIFY, f"looked at {host}", host=host, data={"verdict": verdict}))
        talk.take(Event(Kind.HOST_FINISHED, host=host, data={"state": "succeeded", "changed": 1}))

    def ran(self) -> Counter[tuple[str, str]]:
        return Counter((name, host) for action, name, host in self.calls if action is Action.RUN)

    def engine(self, cut_after: int | None = None, action: Action = Action.RUN, **request: Any) -> RunEnd:
        """One engine's life over this journal; it is cut off after so many commits of its own."""
        self.attempt += 1
        writer = Cuttable(self.state, "r1")
        try:
            asked = RunRequest(str(action), attempt=self.attempt, **request)
            context = Context("r1", self.site, self.state, self.catalogue, {}, writer, "us", Present(self, writer))
            context.attempt = self.attempt
            schedule = Schedule(context, plan(self.site, self.catalogue), action, asked)
            if self.attempt == 1:
                writer.change(writer.add_run(action=action, state=State.RUNNING, created=1.0))
            else:
                tidy = "UPDATE steps SET state = 'interrupted' WHERE state = 'running'"
                writer.change(lambda connection: connection.execute(tidy))
            schedule.record()
            writer.left = cut_after
            return asyncio.run(schedule.carry_out())
        finally:
            writer.left = None
            writer._waiting.clear()  # a power cut writes nothing any more
            writer.close()

    def states(self) -> dict[tuple[str, str], State]:
        return {(record.step, record.host): record.state for record in Reader(self.state).steps("r1")}


class Cuttable(Writer):
    left: int | None = None
    """Commits until the power is cut; None for never."""

    def _commit(self, connection: Any, work: Callable[[], object], *, lines: bool = False) -> None:
        if self.left == 0:
            raise Cut
        super()._commit(connection, work, lines=lines)
        if self.left is not None:
            self.left -= 1
            if self.left == 0:
                raise Cut


class Present(Fences):
    """Servers that are there, but for those that are away."""

    def __init__(self, world: World, writer: Writer) -> None:
        super().__init__(SITE, world.state, writer, "us")
        self.world = world

    async def hold(self, hosts: Any) -> dict[str, HomewrightError]:
        return {host: Unreachable(f"{host} does not answer.") for host in hosts if host in self.world.away}


@pytest.fixture
def world(state: StateFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    tiny = Tiny(tmp_path / "catalogue")
    for number in (1, 2, 3):
        tiny.step(number, NOTHING.format(name="run"), reads=["zone"] if number == 2 else [])
    yield World(state, tiny.root, monkeypatch)


def commits(world: World) -> int:
    """How often an uninterrupted run commits."""
    before = Cuttable._commit
    counted = 0

    def count(self: Cuttable, connection: Any, work: Callable[[], object], *, lines: bool = False) -> None:
        nonlocal counted
        counted += 1
        before(self, connection, work, lines=lines)

    Cuttable._commit = count  # type: ignore[method-assign]  # for one test
    try:
        assert world.engine().state is State.SUCCEEDED
    finally:
        Cuttable._commit = before  # type: ignore[method-assign]  # for one test
    return counted


def test_a_whole_run_has_boundaries_to_cut_at(world: World) -> None:
    assert commits(world) > 30


@pytest.mark.parametrize("boundary", range(1, 40))
def test_cut_at_any_commit_it_ends_the_same_and_nothing_proved_is_done_twice(world: World, boundary: int) -> None:
    with pytest.raises(Cut):
        world.engine(cut_after=boundary)
    recorded = {key for key, state in world.states().items() if state is State.SUCCEEDED and key[1]}
    before = world.ran()
    end = world.engine()
    assert (end.state, end.exit_code) == (State.SUCCEEDED, 0)
    assert world.done == {(name, host) for name in STEPS for host in HOSTS}
    assert set(world.states().values()) == {State.SUCCEEDED}
    for key in recorded:
        assert world.ran()[key] == before[key] == 1, f"{key} was recorded as proved, and was done again"
    assert max(world.ran().values()) <= 2
    seqs = [event.seq for event in Reader(world.state).events("r1", limit=10_000)]
    assert seqs == list(range(1, len(seqs) + 1))


def test_what_was_done_and_is_no_more_is_named_and_done_again_with_what_needs_it(world: World) -> None:
    world.engine()
    world.done -= {("90/10", "s2"), ("90/30", "s1")}
    world.calls.clear()
    assert world.engine().state is State.SUCCEEDED
    assert world.ran() == Counter({("90/10", "s2"): 1, ("90/30", "s1"): 1})
    drift = [(event.step, event.host) for event in Reader(world.state).events("r1") if event.kind == Kind.DRIFT]
    assert drift == [("90/10", "s2"), ("90/30", "s1")]
    proofs = Counter(name for action, name, _ in world.calls if action is Action.VERIFY)
    assert proofs["90/20"] == 4, "what needs a step that ran again is proved once more"


def test_a_proof_that_cannot_tell_never_runs_anything_again(world: World) -> None:
    world.engine()
    world.unsure = {("90/10", "s1")}
    world.calls.clear()
    end = world.engine()
    assert (end.state, end.exit_code) == (State.INCOMPLETE, 1)
    assert not world.ran()
    assert set(world.states().values()) == {State.SUCCEEDED}, "what was recorded stays recorded"
    world.unsure = set()
    assert world.engine().state is State.SUCCEEDED
    assert not world.ran()


def test_all_that_was_recorded_is_proved_side_by_side(world: World) -> None:
    world.engine()
    begun: set[str] = set()
    together = asyncio.Event()

    async def wait_for_the_others(_: Context, action: Action, name: str) -> None:
        begun.add(name)
        if begun == set(STEPS):
            together.set()
        await asyncio.wait_for(together.wait(), 60)

    world.before = wait_for_the_others
    assert world.engine().state is State.SUCCEEDED
    assert world.loaded == [1], "nothing was to be run"
    assert world.ahead == [list(STEPS)], "their process is started before the servers are taken, for all of them"


def test_a_proof_need_not_outlast_the_power_but_all_that_is_done_must(world: World) -> None:
    world.engine()
    seen: dict[tuple[Action, str], tuple[int, bool]] = {}

    async def look(context: Context, action: Action, name: str) -> None:
        lasting = context.writer._states.execute("PRAGMA synchronous").fetchone()[0]
        seen.setdefault((action, name), (lasting, context.fences.keeps))

    world.before = look
    world.done.discard(("90/20", "s1"))
    assert world.engine().state is State.SUCCEEDED
    normal, full = 1, 2
    assert {seen[Action.VERIFY, name] for name in STEPS} == {(normal, True)}
    assert seen[Action.RUN, "90/20"] == (full, False), "it would be done by connections from before, or be forgotten"


@pytest.mark.parametrize("command", ["pause", "continue", "cancel"])
def test_what_somebody_asked_for_during_a_proof_outlasts_the_power(world: World, tmp_path: Path, command: str) -> None:
    world.engine()
    make_folder(world.state.run("r1"))
    (world.state.run("r1") / "request.json").write_text('{"action": "apply"}')
    lasting: list[int] = []

    async def ask(context: Context, action: Action, name: str) -> None:
        if lasting:
            return
        engine = Engine(tmp_path / "site.yaml", context.state, context.run)
        for obey in (lambda *_: 0, engine._obey):
            obey(context, "1", command, "ann")
            lasting.append(context.writer._states.execute("PRAGMA synchronous").fetchone()[0])
        assert Reader(context.state).meta("paused") == {"pause": "r1", "continue": ""}.get(command)
        context.going.set()
        context.stop.clear()

    world.before = ask
    assert world.engine().state is State.SUCCEEDED, "it was let go on"
    normal, full = 1, 2
    assert lasting == [normal, full], "the machine would go on by itself with what was paused"


def test_a_process_that_nobody_asks_is_ended_with_the_proofs(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.engine()
    world.away = set(HOSTS)
    order: list[str] = []
    leave, work_off = Proofs.leave, Schedule._work_off

    async def leaving(self: Proofs) -> None:
        order.append("left")
        await leave(self)

    async def working(self: Schedule) -> None:
        order.append("work")
        await work_off(self)

    monkeypatch.setattr(Proofs, "leave", leaving)
    monkeypatch.setattr(Schedule, "_work_off", working)
    world.engine()
    assert order == ["left", "work", "left"], "its end would be taken for that of a later proof"


def test_what_cannot_be_taken_is_waited_for_with_its_record_on_the_disk(world: World) -> None:
    world.engine()
    world.away = {"s2"}
    seen: set[int] = set()

    async def look(context: Context, action: Action, name: str) -> None:
        seen.add(context.writer._states.execute("PRAGMA synchronous").fetchone()[0])

    world.before = look
    world.engine()
    assert seen == {2}, "its number may rise when it comes back, and must not be forgotten then"


def test_a_server_that_is_away_is_waited_for_and_then_said(world: World) -> None:
    world.engine()
    world.away = {"s2"}
    world.calls.clear()
    end = world.engine()
    assert (end.state, end.exit_code) == (State.INCOMPLETE, 5)
    assert end.reason == "whether 90/10, 90/20, 90/30 still holds cannot be told"
    assert not world.ran()
    told = [event.text for event in Reader(world.state).events("r1") if event.kind == Kind.RETRY]
    assert told and all("s2 does not answer" in text for text in told)
    assert len(told) == 2, "a server that stayed silent is not waited for by every step anew"


def test_changed_answers_make_the_steps_that_read_them_run_again(world: World) -> None:
    world.engine()
    world.site = SITE.model_copy(update={"zone": "home.internal"})
    world.calls.clear()
    assert world.engine().state is State.SUCCEEDED
    assert world.ran() == Counter({("90/20", "s1"): 1, ("90/20", "s2"): 1})


def test_a_step_is_run_anew_when_that_is_asked_for(world: World) -> None:
    world.engine()
    world.calls.clear()
    world.engine(anew=("90/30",))
    assert set(world.ran()) == {("90/30", "s1"), ("90/30", "s2")}


def test_what_depends_on_a_step_left_out_runs_only_where_its_proof_holds(world: World) -> None:
    with pytest.raises(Cut):
        world.engine(cut_after=1)
    end = world.engine(skips={"90/10": "not here"})
    assert (end.state, end.exit_code) == (State.INCOMPLETE, 1)
    assert "90/10 was skipped" in end.reason
    states = world.states()
    assert (states["90/10", ""], states["90/20", ""], states["90/30", ""]) == (
        State.SKIPPED,
        State.PENDING,
        State.PENDING,
    )
    world.done = {("90/20", "s1"), ("90/20", "s2")}
    world.engine(skips={"90/10": "not here"})
    states = world.states()
    assert (states["90/20", "s1"], states["90/30", "s1"]) == (State.SUCCEEDED, State.SUCCEEDED)
    assert set(world.ran()) == {("90/30", "s1"), ("90/30", "s2")}


def test_a_rollback_goes_on_where_it_was_cut_off(world: World) -> None:
    world.done = {(name, host) for name in STEPS for host in HOSTS}
    with pytest.raises(Cut):
        world.engine(cut_after=22, action=Action.ROLLBACK)
    assert world.done
    assert world.engine(action=Action.ROLLBACK).state is State.ROLLED_BACK
    assert not world.done
    assert max(Counter(key for key in world.calls if key[0] is Action.ROLLBACK).values()) <= 2


def test_a_paused_run_begins_nothing_until_it_may_go_on(world: World) -> None:
    seen: list[tuple[str, int]] = []

    def pause(context: Context) -> None:
        if not seen and world.ran()["90/10", "s2"]:
            context.going.clear()
            seen.append(("", 0))
            asyncio.get_running_loop().call_later(0.2, look, context)

    def look(context: Context) -> None:
        seen[0] = (Reader(world.state).run("r1").reason, len(world.ran()))
        context.going.set()

    world.then = pause
    assert world.engine().state is State.SUCCEEDED
    assert seen == [("Paused before 90/20 Step 2.", 2)]
    assert "Paused" not in Reader(world.state).run("r1").reason
    assert world.done == {(name, host) for name in STEPS for host in HOSTS}


def test_a_paused_run_that_is_shut_down_is_recorded_as_paused(world: World) -> None:
    def shut_down(context: Context) -> None:
        context.interrupted = True
        context.stop.set()

    def pause(context: Context) -> None:
        context.going.clear()
        asyncio.get_running_loop().call_later(0.2, shut_down, context)

    world.then = pause
    end = world.engine()
    assert (end.state, end.reason) == (State.INTERRUPTED, "Paused: 90/20, 90/30 did not run.")
    assert Reader(world.state).run("r1").reason == "Paused before 90/20 Step 2."
    world.then = shut_down
    assert not world.engine().reason.startswith("Paused")


def test_a_paused_run_can_be_cancelled(world: World) -> None:
    def pause(context: Context) -> None:
        context.going.clear()
        asyncio.get_running_loop().call_later(0.2, context.stop.set)

    world.then = pause
    end = world.engine()
    assert (end.state, end.exit_code) == (State.CANCELLED, 4)
    assert {name for name, _ in world.ran()} == {"90/10"}


def test_a_step_that_cannot_run_any_more_forgets_its_own_failure(world: World) -> None:
    world.failing = {("90/20", "s1")}
    assert world.engine().state is State.FAILED
    world.done.clear()
    world.failing = {("90/10", "s1")}
    end = world.engine()
    assert (end.state, end.reason) == (State.FAILED, "90/10 failed; 90/20, 90/30 did not run")
    states = world.states()
    assert (states["90/20", ""], states["90/20", "s1"]) == (State.PENDING, State.PENDING)
    reason = next(record.reason for record in Reader(world.state).steps("r1") if record.step == "90/20")
    assert reason == "It did not run: 90/10 failed."


def test_a_step_that_is_run_anew_is_not_skipped_any_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = StateFolder(tmp_path / "state").create()
    folder = state.run("r1")
    folder.mkdir(parents=True)
    (folder / "request.json").write_text('{"action": "apply", "skips": {"90/10": "no", "90/20": "no"}, "stages": []}')
    monkeypatch.setattr(launch, "_engine", lambda *_: None)
    launch.resume(tmp_path / "site.yaml", state, "r1", anew=["90/10"], skips={"90/30": "why not"})
    asked = RunRequest.read(folder)
    assert (asked.attempt, asked.anew, dict(asked.skips)) == (2, ("90/10",), {"90/20": "no", "90/30": "why not"})
