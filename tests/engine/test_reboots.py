"""Reboots: which servers, in which order, and what the journal says to the engine that comes after."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from homewright.catalogue import load
from homewright.engine import ourselves, reboots
from homewright.engine.armed import Answer, Found
from homewright.engine.context import Context
from homewright.engine.fence import Fences
from homewright.engine.journal import Reader
from homewright.engine.journal.writer import Writer
from homewright.engine.launch import RunRequest
from homewright.engine.past import Past
from homewright.engine.reboots import Noted, Reboots, order
from homewright.engine.resume import answers
from homewright.engine.schedule import Schedule
from homewright.engine.states import Action, State
from homewright.errors import HomewrightError, Unreachable
from homewright.planning import plan
from homewright.site.models import Server, Site
from homewright.site.paths import StateFolder

from .catalogues import NOTHING, Tiny

HOSTS = ["s1", "s2", "s3"]
SITE = Site(
    name="attic", servers=tuple(Server(name=name, address=f"192.0.2.{n}", user="u") for n, name in enumerate(HOSTS, 1))
)


class Power:
    """Servers that boot; s1 is the machine that we run on."""

    def __init__(self, state: StateFolder, writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
        self.boots = dict.fromkeys(HOSTS, 1)
        self.sent: list[str] = []
        self.stuck: set[str] = set()
        self.context = Context("r1", SITE, state, None, {}, writer, "us", Fences(SITE, state, writer, "us"))  # type: ignore[arg-type]
        self.then: Callable[[str], None] = lambda host: None
        power = self

        def boot(self: Reboots, host: str) -> str | HomewrightError:
            return f"{host}-{power.boots[host]}" if power.boots[host] else Unreachable(f"{host} is off.")

        def send(self: Reboots, host: str) -> HomewrightError | None:
            power.sent.append(host)
            if host not in power.stuck:
                power.boots[host] += 1
            power.then(host)
            return None

        monkeypatch.setattr(Reboots, "_boot", boot)
        monkeypatch.setattr(Reboots, "_send", send)
        monkeypatch.setattr(reboots, "LOOK_S", 0.01)
        monkeypatch.setattr(reboots, "LIMIT_S", 0.1)
        monkeypatch.setattr(ourselves, "is_ours", lambda _, host: host == "s1")

    def new(self) -> Reboots:
        return Reboots(self.context, "90/10")

    def rows(self) -> dict[str, str]:
        return dict(self.context.writer.query("SELECT host, state FROM boots"))


@pytest.fixture
def power(state: StateFolder, writer: Writer, monkeypatch: pytest.MonkeyPatch) -> Power:
    return Power(state, writer, monkeypatch)


def run(work: Any) -> Any:
    return asyncio.run(work)


def test_the_machine_that_we_run_on_comes_last() -> None:
    assert order(HOSTS, lambda host: host == "s1") == ("s2", "s3", "s1")
    assert order(HOSTS, lambda host: False) == ("s1", "s2", "s3")


def test_only_what_was_changed_is_rebooted_and_its_new_boot_is_proved(power: Power, state: StateFolder) -> None:
    work = power.new()
    assert run(work.note(HOSTS)) == (set(), {})
    assert power.rows() == dict.fromkeys(HOSTS, Noted.BEFORE), "before anything is changed"
    assert work.due({"s1": 0, "s2": 1, "s3": 0}) == ("s2",)
    assert run(work.carry_out("s2")) is None
    assert power.rows()["s2"] == Noted.BACK
    power.context.writer.change(*(row for host in HOSTS for row in work.over(host, good=True)))
    assert power.rows() == {}
    said = [event.text for event in Reader(state).events("r1")]
    assert said[0] == "rebooting it"
    assert said[1].startswith("it is back after 0 s: boot s2-2")


def test_what_an_attempt_that_was_cut_off_may_have_changed_counts(power: Power) -> None:
    run(power.new().note(["s2", "s3"]))
    power.boots["s3"] += 1  # it lost power meanwhile: whatever was changed counts already
    again = power.new()
    assert run(again.note(["s2", "s3"])) == (set(), {})
    assert again.due({"s2": 0, "s3": 0}) == ("s2",)


def test_our_own_machine_ends_us_and_the_next_engine_finds_that_it_was_meant(power: Power) -> None:
    work = power.new()
    run(work.note(["s1"]))
    power.then = lambda _: power.context.stop.set()
    assert run(work.carry_out("s1")) is None
    assert power.rows() == {"s1": Noted.REBOOTING}
    left = Answer(Found.ARMED, step="90/10", run="r1")
    assert reboots.expected(power.context.writer, left, "s1"), "its revert stays armed"
    assert not reboots.expected(power.context.writer, Answer(Found.ARMED, step="90/10", run="r0"), "s1")
    assert not reboots.expected(power.context.writer, left, "s2")
    assert run(power.new().note(["s1", "s2"])) == ({"s1"}, {}), "only its proof is left"


def test_a_server_that_does_not_come_back(power: Power) -> None:
    work = power.new()
    run(work.note(["s2"]))
    power.stuck = {"s2"}
    error = run(work.carry_out("s2"))
    assert error.what == "s2 was rebooted and is not back after 0.00166667 minutes."
    assert error.why == "It answers, and is still in the boot from before."
    power.context.writer.change(*work.over("s2", good=False))
    assert power.rows() == {"s2": Noted.BEFORE}


def test_a_server_that_is_off_is_not_touched(power: Power) -> None:
    power.boots["s3"] = 0
    back, errors = run(power.new().note(HOSTS))
    assert (back, set(errors)) == (set(), {"s3"})
    assert set(power.rows()) == {"s1", "s2"}


@pytest.fixture
def cut_off(power: Power, tmp_path: Path) -> Callable[..., set[str]]:
    """A step was cut off by the reboots that it wanted; gives the servers where a run finds only its proof left."""
    tiny = Tiny(tmp_path / "stages").step(1, NOTHING.format(name="run"), reboots=True, reads=["zone"])
    context, catalogue = power.context, load([tiny.root])
    context.catalogue = catalogue
    planned = plan(SITE, catalogue)
    read = answers(SITE, ["zone"])
    Schedule(context, planned, Action.RUN, RunRequest("apply")).record()
    cut = {"state": State.INTERRUPTED, "answers": read}
    context.writer.change(*(context.writer.set_step("90/10", host, **cut) for host in HOSTS))
    run(power.new().note(HOSTS))
    context.writer.change(lambda journal: journal.execute("UPDATE boots SET state = 'rebooting'"))
    power.boots |= {"s1": 2, "s2": 2}

    async def looked(past: Past, action: Action) -> None:
        try:
            await past.look(action)
        finally:
            await context.forks.leave()

    def back(action: Action = Action.RUN, site: Site = SITE, **request: Any) -> set[str]:
        asked = RunRequest("apply", **{"attempt": 2, **request})
        context.site = site
        Schedule(context, planned, action, asked).record()
        if asked.attempt > 1:
            run(looked(Past(context, planned.steps(), asked, ()), action))
        found: set[str] = run(power.new().note(HOSTS))[0]
        return found

    return back


@pytest.mark.parametrize(
    ("asked", "proved_only"),
    [
        ({}, {"s1", "s2"}),
        ({"site": SITE.model_copy(update={"zone": "home.internal"})}, set()),
        ({"anew": ("90/10",)}, set()),
        ({"new_machines": ("s2",)}, {"s1"}),
        ({"attempt": 1}, set()),
        ({"attempt": 1, "action": Action.ROLLBACK}, set()),
        ({"attempt": 1, "action": Action.VERIFY}, {"s1", "s2"}),
    ],
    ids=["resumed", "other answers", "anew", "new machine", "another run", "a roll-back", "a look"],
)
def test_being_back_from_a_reboot_ends_only_the_step_that_wanted_it(
    cut_off: Callable[..., set[str]], power: Power, asked: dict[str, Any], proved_only: set[str]
) -> None:
    assert cut_off(**asked) == proved_only
    again = power.new()
    run(again.note(["s3"]))
    if "new_machines" not in asked:
        assert again.due({"s3": 0}) == ("s3",), "what was changed there has seen no boot yet"


def test_what_is_forgotten_of_a_machine_includes_its_boots(power: Power) -> None:
    run(power.new().note(HOSTS))
    power.context.writer.change(power.context.writer.forget_captures("s2"))
    assert set(power.rows()) == {"s1", "s3"}
