"""Steps side by side: which may begin when, for any graph, and what a whole run makes of it."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from homewright.engine import step
from homewright.engine.context import Context
from homewright.engine.conversation import Conversation
from homewright.engine.events import BESIDE, Event, Kind
from homewright.engine.journal import Reader
from homewright.engine.journal.writer import Writer
from homewright.engine.lines import describe
from homewright.engine.order import Turn, beginnings, left_s, working
from homewright.engine.runner_process import Ending
from homewright.engine.states import Action, State
from homewright.site.answers import RunSettings
from homewright.site.paths import StateFolder

from .catalogues import NOTHING, Tiny
from .conftest import LIMIT_S
from .test_resume import HOSTS, SITE, Cut, World


def turn(name: str, after: str = "", hosts: str = "1", *, shares: bool = False, alone: bool = False) -> Turn:
    return Turn(name, frozenset(after.split()), frozenset(hosts), shares, alone)


@pytest.mark.parametrize(
    ("waiting", "running", "most", "begun"),
    [
        ([turn("a"), turn("b", "a")], [], 4, "a"),
        ([turn("b", "a")], [turn("a")], 4, ""),
        ([turn("a", hosts="1"), turn("b", hosts="2"), turn("c", hosts="3")], [], 4, "abc"),
        ([turn("a", hosts="1"), turn("b", hosts="2"), turn("c", hosts="3")], [], 2, "ab"),
        ([turn("b", hosts="2")], [turn("a", hosts="1")], 1, ""),
        ([turn("a", hosts="12"), turn("b", hosts="23"), turn("c", hosts="4")], [], 4, "ac"),
        ([turn("b", hosts="12"), turn("c", hosts="2")], [turn("a", hosts="1")], 4, ""),  # c does not overtake b on 2
        ([turn("a", shares=True), turn("b", shares=True), turn("c")], [], 4, "ab"),
        ([turn("a", hosts="1", alone=True), turn("b", hosts="2")], [], 4, "a"),
        ([turn("b", hosts="2", alone=True), turn("c", hosts="3")], [turn("a", hosts="1")], 4, ""),
        ([turn("b", hosts="2")], [turn("a", hosts="1", alone=True)], 4, ""),
        ([turn("b", "z", hosts="2", alone=True), turn("c", hosts="3")], [turn("z", hosts="1")], 4, "c"),
    ],
)
def test_who_may_begin(waiting: list[Turn], running: list[Turn], most: int, begun: str) -> None:
    assert "".join(one.id for one in beginnings(waiting, running, most)) == begun


def any_graph(seed: int) -> tuple[list[Turn], int]:
    chance = random.Random(seed)
    made: list[Turn] = []
    for number in range(chance.randint(1, 14)):
        after = frozenset(one.id for one in made if chance.random() < 0.25)
        hosts = frozenset(chance.sample("12345", chance.randint(0, 3)))
        alone = chance.random() < 0.15
        made.append(Turn(str(number), after, hosts, shares=not alone and chance.random() < 0.3, alone=alone))
    return made, chance.randint(1, 5)


def test_for_any_graph_each_step_comes_once_and_after_what_it_needs() -> None:
    for seed in range(1000):
        work_off(seed)


def work_off(seed: int) -> None:
    """A run of the graph with this number; steps end in any order."""
    chance = random.Random(seed)
    turns, most = any_graph(seed)
    waiting, running, ended = list(turns), [], []
    while waiting or running:
        begun = beginnings(waiting, running, most)
        assert begun or running, f"graph {seed}: nothing can ever begin any more"
        for one in begun:
            assert one.after <= set(ended), f"graph {seed}: {one.id} came too early"
            for other in running:
                assert not (one.alone or other.alone)
                assert not (one.hosts & other.hosts) or (one.shares and other.shares)
            waiting.remove(one)
            running.append(one)
        assert len(running) <= most
        if chance.random() < 0.7:  # else it is looked again before anything has ended
            ended.append(running.pop(chance.randrange(len(running))).id)
    assert sorted(ended) == sorted(one.id for one in turns), f"graph {seed}"


@pytest.mark.parametrize(
    ("waiting", "running", "most", "seconds"),
    [
        ([], {}, 4, 0),
        ([turn("a"), turn("b")], {}, 4, 20),  # the same server
        ([turn("a", hosts="1"), turn("b", hosts="2")], {}, 4, 10),
        ([turn("a", hosts="1"), turn("b", hosts="2")], {}, 1, 20),
        ([turn("b", "a")], {turn("a"): 3.0}, 4, 13),
        ([turn("b", hosts="2")], {turn("a"): 30.0}, 4, 30),
    ],
)
def test_how_long_the_rest_takes(waiting: list[Turn], running: dict[Turn, float], most: int, seconds: float) -> None:
    assert left_s(waiting, running, {"a": 10, "b": 10}, most) == seconds


@pytest.mark.parametrize(
    ("idle", "required"),
    [
        ("", {"a": "", "b": "a", "c": "b", "d": "bc"}),
        ("b", {"a": "", "b": "a", "c": "a", "d": "ac"}),
        ("bc", {"a": "", "b": "a", "c": "a", "d": "a"}),
        ("abc", {"a": "", "b": "", "c": "", "d": ""}),
    ],
)
def test_what_has_nothing_to_do_stands_for_what_it_requires(idle: str, required: dict[str, str]) -> None:
    chain = {"a": "", "b": "a", "c": "b", "d": "bc"}
    assert working(chain, idle) == {step: tuple(wanted) for step, wanted in required.items()}
    assert working({"c": "b"}, "b") == {"c": ("b",)}, "what is in no plan requires nothing that is known"


class Beside(World):
    """A world in which actions take turns, and which says who was at work at the same time."""

    def __init__(self, state: StateFolder, catalogue: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(state, catalogue, monkeypatch)
        self.at_work: Counter[str] = Counter()
        self.together: set[frozenset[str]] = set()
        world = self

        async def call(
            self: step.StepWork, action: Action, hosts: Sequence[str], *, watch: bool = False
        ) -> Conversation:
            talk = Conversation(self._writer, self._plan.id, action, hosts)
            world.at_work[self._plan.id] += 1
            world.together.add(frozenset(+world.at_work))
            for host in hosts:
                await asyncio.sleep(0)
                talk.take(Event(Kind.LINE, "at work", host=host))
                world.answer(talk, action, self._plan.id, host)
            world.at_work[self._plan.id] -= 1
            world.then(self._context)
            talk.close(Ending(0))
            return talk

        monkeypatch.setattr(step.StepWork, "_call", call)


def graph(tmp_path: Path, **extra: dict[str, object]) -> Path:
    """40 needs 20 and 30, which need 10; all on the same servers, and 20 and 30 say that they may share them."""
    tiny = Tiny(tmp_path / "catalogue")
    for number, requires in ((1, []), (2, ["90/10"]), (3, ["90/10"]), (4, ["90/20", "90/30"])):
        sharing = {"shares_hosts": number in (2, 3)} | extra.get(f"n{number}", {})
        tiny.step(number, NOTHING.format(name="run"), requires=requires, **sharing)
    return tiny.root


@pytest.fixture
def world(state: StateFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Beside]:
    yield Beside(state, graph(tmp_path), monkeypatch)


def test_what_does_not_depend_on_one_another_is_at_work_at_the_same_time(world: Beside) -> None:
    assert world.engine().state is State.SUCCEEDED
    assert frozenset({"90/20", "90/30"}) in world.together
    assert max(map(len, world.together)) == 2
    events = Reader(world.state).events("r1", limit=10_000)
    ended = [event.step for event in events if event.kind == Kind.STEP_FINISHED]
    assert (ended[0], ended[-1], set(ended[1:3])) == ("90/10", "90/40", {"90/20", "90/30"})
    said = {event.step: describe(event) for event in events if event.text == "at work" and event.host == "s1"}
    assert said == {
        "90/10": "s1: at work",
        "90/20": "90/20 s1: at work",
        "90/30": "90/30 s1: at work",
        "90/40": "s1: at work",
    }
    assert all(BESIDE not in event.data for event in events if event.step == "90/40")


def test_one_at_a_time_where_the_site_says_so(world: Beside) -> None:
    world.site = SITE.model_copy(update={"runs": RunSettings(side_by_side=1)})
    assert world.engine().state is State.SUCCEEDED
    assert max(map(len, world.together)) == 1


def test_what_has_nothing_to_do_here_counts_neither_as_done_nor_as_to_come(
    state: StateFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = {"minutes": 30}
    world = Beside(state, graph(tmp_path, n1=long | {"when": "zone"}, n3=long), monkeypatch)
    assert world.engine(skips={"90/30": "it is not wanted"}).state is State.INCOMPLETE
    told = [event.data for event in Reader(world.state).events("r1", limit=10_000) if event.kind == Kind.PROGRESS]
    assert told[0]["percent"] < 10, "90/20 has just begun"
    assert 5 < told[0]["left_s"] <= 12, "90/20 of six seconds, and 90/40 of six if it may run"
    assert {event["left_s"] > 60 for event in told} == {False}


def test_what_has_nothing_to_take_back_counts_neither_as_done_nor_as_to_come(
    state: StateFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = Writer(state, "r0")
    before.change(before.add_run(action=Action.RUN, state=State.SUCCEEDED, created=0.0))
    for host in ("", *HOSTS):
        about = {"stage": "90", "title": "20", "runner": "python", "position": 0}
        before.change(before.add_step("90/20", host, **about, state=State.SUCCEEDED, started=0.5))
    before.close()
    long = {"minutes": 30}
    world = Beside(state, graph(tmp_path, n1=long, n3=long, n4=long), monkeypatch)
    assert world.engine(action=Action.ROLLBACK).state is State.ROLLED_BACK
    told = [event.data for event in Reader(state).events("r1", limit=10_000) if event.kind == Kind.PROGRESS]
    assert told[0]["percent"] < 10, "90/20 has just begun"
    assert 0 < told[0]["left_s"] <= 6, "90/20 of six seconds; no other was ever begun"
    assert told[-1] == {"percent": 100.0, "left_s": 0.0}


def test_a_failure_keeps_off_only_what_depends_on_it(world: Beside) -> None:
    world.failing = {("90/20", "s1")}
    end = world.engine()
    assert (end.state, end.reason) == (State.FAILED, "90/20 failed; 90/40 did not run")
    assert world.states()["90/30", ""] is State.SUCCEEDED


@pytest.mark.parametrize("how", ["no server", "never begun"])
@pytest.mark.parametrize("action", [Action.RUN, Action.ROLLBACK])
def test_a_failure_goes_past_what_has_nothing_to_do_here(
    how: str, action: Action, state: StateFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """40 needs 10 by way of 20 and 30, and 10 stays as long as 40 is there."""
    if how == "never begun":
        before = Writer(state, "r0")
        before.change(before.add_run(action=Action.RUN, state=State.SUCCEEDED, created=0.0))
        for step, host in [(step, host) for step in ("90/10", "90/40") for host in ("", *HOSTS)]:
            about = {"stage": "90", "title": "T", "runner": "python", "position": 0}
            before.change(before.add_step(step, host, **about, state=State.SUCCEEDED, started=0.5))
        before.close()
    nowhere = {"when": "zone"} if how == "no server" or action is Action.RUN else {}
    world = Beside(state, graph(tmp_path, n2=nowhere, n3=nowhere), monkeypatch)
    first, last = ("90/10", "90/40") if action is Action.RUN else ("90/40", "90/10")
    world.done = {(step, host) for step in ("90/10", "90/40") for host in HOSTS if action is Action.ROLLBACK}
    world.failing = {(first, "s1")}
    end = world.engine(action=action)
    assert (end.state, end.reason) == (State.FAILED, f"{first} failed; {last} did not run")
    assert {step for asked, step, _ in world.calls if asked is action} == {first}
    why = f"{first} failed" if action is Action.RUN else f"{first}, which depends on it, is not taken back"
    rows = {row.host: row.reason for row in Reader(state).steps("r1") if row.step == last}
    assert rows == dict.fromkeys(("", *HOSTS), f"It did not run: {why}.")


def test_a_rollback_takes_back_what_depends_on_a_step_first(world: Beside) -> None:
    world.done = {(f"90/{number}0", host) for number in (1, 2, 3, 4) for host in HOSTS}
    assert world.engine(action=Action.ROLLBACK).state is State.ROLLED_BACK
    order = [name for action, name, host in world.calls if action is Action.ROLLBACK and host == "s1"]
    assert (order[0], set(order[1:3]), order[3]) == ("90/40", {"90/20", "90/30"}, "90/10")
    assert frozenset({"90/20", "90/30"}) in world.together


@pytest.mark.programs
def test_proofs_alone_need_no_order(world: Beside) -> None:
    world.done = {(f"90/{number}0", host) for number in (1, 2, 3, 4) for host in HOSTS}
    assert world.engine(action=Action.VERIFY).state is State.SUCCEEDED
    assert max(map(len, world.together)) == 4


@pytest.mark.parametrize("boundary", range(1, 56, 2))
def test_cut_off_while_several_are_at_work_it_ends_the_same(world: Beside, boundary: int) -> None:
    with pytest.raises(Cut):
        world.engine(cut_after=boundary)
    world.at_work.clear()
    recorded = {key for key, state in world.states().items() if state is State.SUCCEEDED and key[1]}
    assert world.engine().state is State.SUCCEEDED
    assert set(world.states().values()) == {State.SUCCEEDED}
    assert all(world.ran()[key] == 1 for key in recorded), "what was proved was done again"
    assert max(world.ran().values()) <= 2


@pytest.mark.parametrize("flag", ["reboots", "may_lock_out"])
def test_a_run_that_is_to_ask_pauses_before_what_is_risky(
    flag: str, state: StateFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    risky: dict[str, object] = {flag: True, "shares_hosts": False}
    if flag == "may_lock_out":
        risky["revert"] = {"files": ["/etc/netplan/"]}
    world = Beside(state, graph(tmp_path, n3=risky), monkeypatch)
    monkeypatch.setattr("homewright.engine.step.Precautions", Careless)
    asked: list[str] = []
    answers: list[asyncio.Task[None]] = []

    async def answer(context: Context) -> None:
        async with asyncio.timeout(LIMIT_S):
            while context.going.is_set():  # noqa: ASYNC110 - there is no event for a pause that begins
                await asyncio.sleep(0.01)
        asked.extend(str(reason) for (reason,) in context.writer.query("SELECT reason FROM runs"))
        assert not +world.at_work, "nothing is at work while it waits"
        context.going.set()

    def note(context: Context) -> None:
        if not answers:
            answers.append(asyncio.ensure_future(answer(context)))

    world.then = note
    end = world.engine(ask_first=True)
    assert end.state is State.SUCCEEDED
    assert answers[0].exception() is None
    why = "it reboots s1, s2" if flag == "reboots" else "it could lock you out of s1, s2"
    assert asked == [f"Paused before 90/30 Step 3, because {why}."]
    assert frozenset({"90/20", "90/30"}) not in world.together, "what is risky is alone"


class Careless:
    """No precautions: there are no servers here to arm or reboot."""

    def __init__(self, *_: object) -> None:
        pass

    async def prepare(self, hosts: list[str]) -> object:
        from homewright.engine.precautions import Prepared

        return Prepared(hosts)

    async def reboot(self, changed: object) -> dict[str, object]:
        return {}

    def over(self) -> None:
        pass

    def undecided(self, host: str) -> bool:
        return False

    def rows(self, host: str, end: object) -> list[object]:
        return []
