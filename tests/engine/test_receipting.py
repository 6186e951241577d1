"""Receipts in a whole run: taken before and after each step, and what a roll-back is held to."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from homewright.access.endpoint import Endpoint
from homewright.catalogue import load
from homewright.engine import receipting, step
from homewright.engine.context import Context
from homewright.engine.conversation import Conversation
from homewright.engine.events import Event, Kind
from homewright.engine.fence import Fences
from homewright.engine.journal import Reader
from homewright.engine.journal.writer import Writer
from homewright.engine.launch import RunRequest
from homewright.engine.receipting import Receipting
from homewright.engine.rehearsed import RehearsedFences
from homewright.engine.runner_process import Ending
from homewright.engine.runners.request import Watched
from homewright.engine.schedule import RunEnd, Schedule
from homewright.engine.states import Action, State
from homewright.errors import HomewrightError
from homewright.planning import plan
from homewright.site.answers import InstanceSettings
from homewright.site.models import Server, Site
from homewright.site.paths import StateFolder

from .catalogues import NOTHING, PROVED, Tiny

SITE = Site(name="attic", servers=(Server(name="s1", address="127.0.0.1", user="ann"),))
FILE = "/etc/motd"
CAPTURES = PROVED + "\ndef capture(host):\n    return {}\n"


class Ours(Fences):
    async def hold(self, hosts: Any) -> dict[str, HomewrightError]:
        return {}


class Server1:
    """One server with one file, and what the step makes of it."""

    def __init__(self, state: StateFolder, monkeypatch: pytest.MonkeyPatch, tiny: Tiny) -> None:
        self.state = state
        self.tiny = tiny
        self.content = "before"
        self.runs_to = "after"
        self.goes_back_to = "before"
        self.fails = False
        self.beside = 0
        """Things that a run of the step changes and that no receipt is about."""
        self.looked: list[tuple[Action, str]] = []
        self.number = 0
        server = self

        async def call(
            work: step.StepWork, action: Action, hosts: Sequence[str], *, watch: bool = False
        ) -> Conversation:
            talk = Conversation(work._writer, work._plan.id, action, hosts)
            server.answer(talk, action, watch)
            talk.close(Ending(0))
            return talk

        monkeypatch.setattr(step.StepWork, "_call", call)
        monkeypatch.setattr(step, "WAITS_S", (0.0,))

    def answer(self, talk: Conversation, action: Action, watch: bool) -> None:
        if watch or action in (Action.CAPTURE, Action.LOOK):
            self.looked.append((action, self.content))
            talk.take(Event(Kind.LOOK, host="s1", data={"seen": {"file": {FILE: self.content}}}))
        bad, began_as, changed = False, self.content, 0
        if action is Action.RUN:
            self.content, bad = self.runs_to, self.fails
            changed += self.beside
        elif action is Action.ROLLBACK:
            self.content = self.goes_back_to
        elif action is Action.CAPTURE:
            talk.take(Event(Kind.CAPTURE, host="s1", data={"captured": {"content": self.content}}))
        elif action is Action.VERIFY:
            verdict = "proved" if self.content == self.runs_to else "broken"
            talk.take(Event(Kind.VERIFY, "looked", host="s1", data={"verdict": verdict}))
        ended = {"state": "failed" if bad else "succeeded", "changed": changed + (self.content != began_as)}
        talk.take(Event(Kind.HOST_FINISHED, host="s1", data=ended))

    def engine(self, action: Action) -> RunEnd:
        self.number += 1
        writer = Writer(self.state, f"r{self.number}")
        try:
            writer.change(writer.add_run(action=action, state=State.RUNNING, created=1.0))
            catalogue = load([self.tiny.root])
            context = Context(
                writer.run, SITE, self.state, catalogue, {}, writer, "us", Ours(SITE, self.state, writer, "us")
            )
            schedule = Schedule(context, plan(SITE, catalogue), action, RunRequest(str(action)))
            schedule.record()
            return asyncio.run(schedule.carry_out())
        finally:
            writer.close()

    def receipt(self) -> Any:
        (found,) = Reader(self.state).receipts()
        return found

    def reason(self) -> str:
        return next(row.reason for row in Reader(self.state).steps(f"r{self.number}") if row.host)


@pytest.fixture(params=[PROVED, CAPTURES], ids=["no capture", "with a capture"])
def server(
    request: pytest.FixtureRequest, state: StateFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Server1:
    tiny = Tiny(tmp_path / "stages").step(1, NOTHING.format(name="run"), request.param, changes={"files": [FILE]})
    return Server1(state, monkeypatch, tiny)


def seen(content: str) -> dict[str, dict[str, str]]:
    return {"file": {FILE: content}}


def test_before_and_after_a_step_its_things_are_looked_at(server: Server1) -> None:
    assert server.engine(Action.RUN).state is State.SUCCEEDED
    receipt = server.receipt()
    assert (receipt.before, receipt.after, receipt.run, receipt.mixed) == (seen("before"), seen("after"), "r1", ())
    assert [content for _, content in server.looked] == ["before", "after"], "one look before, one with the proof"
    assert server.engine(Action.ROLLBACK).state is State.ROLLED_BACK
    assert server.receipt().back is not None
    server.content = "other"
    server.engine(Action.RUN)
    assert server.receipt().before == seen("other"), "taken back, the step begins anew"


def test_a_rollback_that_leaves_something_behind_fails_by_name(server: Server1) -> None:
    server.engine(Action.RUN)
    server.goes_back_to = "half"
    assert server.engine(Action.ROLLBACK).state is State.FAILED
    assert server.reason() == (
        "It was taken back, and yet not all is as its receipt says: /etc/motd is half, and was before"
    )
    assert server.receipt().back is None


def test_what_was_there_before_the_step_is_there_after_it_is_taken_back(server: Server1) -> None:
    server.content = server.goes_back_to = server.runs_to  # another site, or an earlier one, had done it already
    assert server.engine(Action.RUN).state is State.SUCCEEDED
    assert server.engine(Action.ROLLBACK).state is State.ROLLED_BACK


def test_a_step_that_changed_what_it_does_not_declare_is_not_taken_back_by_looks(server: Server1) -> None:
    server.content = server.goes_back_to = server.runs_to
    server.beside = 1
    assert server.engine(Action.RUN).state is State.SUCCEEDED
    assert server.engine(Action.ROLLBACK).state is State.FAILED
    assert server.reason() == "It was taken back, and yet its proof still holds."


def test_an_instance_that_is_gone_is_taken_back_without_a_look(
    server: Server1, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that never came to be, as where its server lost power, would keep what rests on it from being taken back."""
    server.engine(Action.RUN)
    looked = len(server.looked)
    monkeypatch.setattr(Ours, "gone", lambda _, hosts: list(hosts))
    assert server.engine(Action.ROLLBACK).state is State.ROLLED_BACK
    assert (len(server.looked), server.content) == (looked, "after"), "nobody went there"
    assert server.reason() == "There is no such instance, and nothing to be taken back in it."
    assert server.receipt().back is not None and not Reader(server.state).applied()
    assert server.engine(Action.RUN).state is State.SUCCEEDED, "what is applied is not asked for what is gone"


def test_an_instance_whose_address_is_to_be_another_one_is_not_told_as_gone(
    server: Server1, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has no host key at the address that the site gives it by now, and runs at the one before it."""
    server.engine(Action.RUN)
    writer = Writer(server.state, "r1")
    writer.change(writer.set_machine("s1", "m1"))
    writer.close()
    monkeypatch.setattr(Ours, "gone", lambda _, hosts: list(hosts))
    assert server.engine(Action.ROLLBACK).state is State.ROLLED_BACK
    assert server.content == "before", "it was taken back there"
    assert not server.reason()


def test_what_the_site_names_as_gone_is_another_machine_afterwards(
    state: StateFolder, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    fences = Fences(SITE, state, writer, "us")
    assert not fences.was_there("n1")
    writer.change(writer.set_machine("n1", "m1"))
    assert fences.was_there("n1")
    with monkeypatch.context() as patched:
        patched.setattr("homewright.engine.fence.instance_names", lambda *_: ("n1",))
        fences.took_away(["n1"])
    assert fences.was_there("n1"), "one that is planned stays"
    fences.took_away(["n1", "n2"])
    assert not fences.was_there("n1") and not fences.was_there("n2")
    writer.keep_capture("30/20", "n1", {"content": "of the one before"})
    assert not fences._replaced("n1", "m2") and fences.was_there("n1")
    assert not writer.query("SELECT 1 FROM captures WHERE host = 'n1'")


@pytest.mark.parametrize(("reads", "there"), [("instances", False), ("name", True)])
def test_the_step_that_makes_instances_takes_away_those_that_are_named_as_gone(
    state: StateFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reads: str, there: bool
) -> None:
    tiny = Tiny(tmp_path / "stages").step(1, NOTHING.format(name="run"), PROVED, reads=[reads])
    site = SITE.model_copy(update={"instances": InstanceSettings(gone=("n1",))})
    monkeypatch.setitem(globals(), "SITE", site)
    writer = Writer(state, "r0")
    writer.change(writer.set_machine("n1", "m1"))
    server = Server1(state, monkeypatch, tiny)
    assert server.engine(Action.RUN).state is State.SUCCEEDED
    assert Fences(site, state, writer, "us").was_there("n1") is there
    writer.close()


def test_a_rehearsal_says_of_no_instance_that_it_is_gone(state: StateFolder, writer: Writer) -> None:
    assert RehearsedFences(SITE, state, writer, "us").gone(["s1", "n1"]) == []


def test_what_a_step_changed_before_it_was_taken_back_no_longer_counts(server: Server1) -> None:
    server.engine(Action.RUN)
    assert server.engine(Action.ROLLBACK).state is State.ROLLED_BACK
    server.content = server.goes_back_to = server.runs_to
    server.engine(Action.RUN)
    assert server.engine(Action.ROLLBACK).state is State.ROLLED_BACK


def test_a_rollback_whose_step_is_still_there_fails(server: Server1) -> None:
    server.engine(Action.RUN)
    server.goes_back_to = server.runs_to
    assert server.engine(Action.ROLLBACK).state is State.FAILED
    assert server.reason() == "It was taken back, and yet its proof still holds."


def test_what_others_changed_since_is_named_and_left(server: Server1) -> None:
    server.engine(Action.RUN)
    server.content = server.runs_to = "edited by hand"
    server.goes_back_to = "their edit alone"
    assert server.engine(Action.ROLLBACK).state is State.ROLLED_BACK
    said = [event.text for event in Reader(server.state).events("r2") if event.kind == Kind.DRIFT]
    assert said == [f"{FILE} is not as it was before the step: it was changed since, or is needed by others"]


def test_a_step_that_failed_has_a_receipt_of_what_it_did(server: Server1) -> None:
    server.fails = True
    assert server.engine(Action.RUN).state is State.FAILED
    assert server.receipt().after == seen("after")
    server.fails = False
    server.runs_to = "more"
    assert server.engine(Action.RUN).state is State.SUCCEEDED
    assert (server.receipt().before, server.receipt().mixed) == (seen("before"), (FILE,))


def test_a_run_that_changes_nothing_looks_at_nothing_new(server: Server1) -> None:
    server.engine(Action.RUN)
    before = server.receipt()
    answer = server.answer

    def unchanged(talk: Conversation, action: Action, watch: bool) -> None:
        if action is Action.RUN:
            talk.take(Event(Kind.HOST_FINISHED, host="s1", data={"state": "succeeded", "changed": 0}))
        else:
            answer(talk, action, watch)

    server.answer = unchanged  # type: ignore[method-assign]  # for one test
    assert server.engine(Action.RUN).state is State.SUCCEEDED
    assert server.receipt() == before


def test_a_step_that_was_done_before_receipts_came_gets_none(server: Server1) -> None:
    server.engine(Action.RUN)
    writer = Writer(server.state, "r1")
    writer.change(lambda connection: connection.execute("DELETE FROM receipts"))
    writer.close()
    server.engine(Action.RUN)
    assert Reader(server.state).receipts() == [], "what it found when it ran first is not known any more"
    assert server.engine(Action.ROLLBACK).state is State.ROLLED_BACK


def test_things_are_called_by_the_hosts_own_names_on_instances_too(
    state: StateFolder, writer: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = {"files": ["{home}/.profile", "{host_venv}/"], "accounts": ["bo"], "units": ["x.service"]}
    tiny = Tiny(tmp_path / "stages").step(1, NOTHING.format(name="run"), changes=changes)
    catalogue = load([tiny.root])
    fences = Ours(SITE, state, writer, "us")
    context = Context("r1", SITE, state, catalogue, {}, writer, "us", fences)
    place = Endpoint("node-1", "198.51.100.7", 22, "ann", state.key, state.known_hosts)
    monkeypatch.setattr(receipting, "endpoint", lambda host, *_: place if host == "node-1" else None)
    watched = Receipting(context, catalogue.step("90/10")).watched("node-1")
    assert watched == Watched(files=("/home/ann/.profile", "/home/ann/.venv/"), accounts=("bo",), units=("x.service",))


def test_a_step_that_was_never_begun_is_not_taken_back(server: Server1) -> None:
    server.tiny.step(2, NOTHING.format(name="run"), changes={"files": ["/etc/other"]})
    server.engine(Action.RUN)
    writer = Writer(server.state, "r1")
    never = {"started": None, "finished": None}
    writer.change(
        writer.set_step("90/20", "", state="pending", **never), writer.set_step("90/20", "s1", state="skipped", **never)
    )
    writer.close()
    server.looked.clear()
    assert server.engine(Action.ROLLBACK).state is State.ROLLED_BACK
    states = {(row.step, row.host): (row.state, row.reason) for row in Reader(server.state).steps("r2")}
    assert states["90/20", "s1"] == (State.SKIPPED, "No apply has ever begun it from here.")
    assert states["90/10", "s1"][0] is State.ROLLED_BACK


def test_what_was_taken_back_is_not_taken_back_again_until_it_is_begun_anew(server: Server1) -> None:
    server.engine(Action.RUN)
    assert server.engine(Action.ROLLBACK).state is State.ROLLED_BACK
    server.content = "somebody else's by now"
    again = server.engine(Action.ROLLBACK)
    assert (again.state, again.changed, again.exit_code) == (State.ROLLED_BACK, 0, 0)
    assert server.content == "somebody else's by now"
    assert server.reason() == "It was taken back before, and nothing has begun it since."
    server.content = "before"
    server.engine(Action.RUN)
    assert server.engine(Action.ROLLBACK).state is State.ROLLED_BACK
    assert (server.content, server.reason()) == ("before", "")


def test_what_was_not_taken_back_well_is_taken_back_again(server: Server1) -> None:
    server.engine(Action.RUN)
    server.goes_back_to = "half"
    assert server.engine(Action.ROLLBACK).state is State.FAILED
    server.goes_back_to = "before"
    server.engine(Action.ROLLBACK)
    assert server.content == "before"


@pytest.mark.parametrize("later", [State.PENDING, State.SKIPPED])
def test_a_step_that_failed_and_was_left_out_or_hindered_later_is_taken_back(server: Server1, later: State) -> None:
    server.fails = True
    server.engine(Action.RUN)
    writer = Writer(server.state, "r1")
    writer.change(*(writer.set_step("90/10", host, state=later) for host in ("", "s1")))
    writer.change(lambda connection: connection.execute("DELETE FROM receipts"))
    writer.close()
    assert server.content == "after"
    server.engine(Action.RUN)
    assert Reader(server.state).receipts() == [], "what it found when it ran first is not known any more"
    writer = Writer(server.state, "r2")
    writer.change(lambda connection: connection.execute("DELETE FROM steps WHERE run = 'r2'"))
    writer.close()
    assert server.engine(Action.ROLLBACK).state is State.ROLLED_BACK
    assert server.content == "before"


def test_a_journal_that_knows_of_no_apply_keeps_nothing_from_being_taken_back(server: Server1) -> None:
    server.content = server.runs_to
    assert server.engine(Action.ROLLBACK).state is State.ROLLED_BACK
    assert server.content == "before"
