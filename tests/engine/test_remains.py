"""Where a run stands: what a resume would prove, do, ask about and leave out, and the words for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from homewright.catalogue import Catalogue, load
from homewright.engine.events import Event, Kind
from homewright.engine.fence import ANOTHER
from homewright.engine.journal import Reader
from homewright.engine.journal.records import RunRecord, StepRecord
from homewright.engine.journal.writer import Writer
from homewright.engine.launch import RunRequest
from homewright.engine.recorded import held
from homewright.engine.remains import Remains, heard, remains, sentences
from homewright.engine.resume import answers
from homewright.engine.states import Action, State, Verdict
from homewright.planning import plan
from homewright.site.models import Server, Site
from homewright.site.paths import StateFolder

from .catalogues import NOTHING, Tiny


def server(name: str, number: int) -> Server:
    return Server(name=name, address=f"192.0.2.{number}", user="u")


SITE = Site(name="attic", servers=(server("s1", 1), server("s2", 2)))
RUN = RunRecord("r1", Action.RUN, State.INTERRUPTED, 1.0)


@pytest.fixture
def catalogue(tmp_path: Path) -> Catalogue:
    tiny = Tiny(tmp_path / "catalogue")
    for number in (1, 2, 3):
        tiny.step(number, NOTHING.format(name="run"), reads=["zone"] if number == 1 else [])
    return load([tiny.root])


def rows(*states: tuple[State, State, State], read: str = "") -> list[StepRecord]:
    """A row for each step, and of each step on s1 and s2: whole, s1, s2."""
    made = []
    for number, (whole, *hosts) in enumerate(states, 1):
        step = f"90/{number}0"
        for host, state in (("", whole), ("s1", hosts[0]), ("s2", hosts[1])):
            reason = "it would not" if state is State.FAILED else ""
            known = read if number == 1 else ""
            made.append(
                StepRecord(
                    "r1", step, host, "90", f"Step {number}", "python", number, state, reason=reason, answers=known
                )
            )
    return made


DONE = (State.SUCCEEDED,) * 3
CUT = (State.INTERRUPTED, State.SUCCEEDED, State.INTERRUPTED)
OPEN = (State.PENDING,) * 3
FAILED = (State.FAILED, State.SUCCEEDED, State.FAILED)


def stand(
    catalogue: Catalogue,
    records: list[StepRecord],
    *,
    site: Site = SITE,
    earlier: Site | None = SITE,
    verdicts: dict[tuple[str, str], tuple[Verdict, str]] | None = None,
    **request: object,
) -> Remains:
    asked = RunRequest("apply", **request)  # type: ignore[arg-type]  # names of its own fields
    return remains(RUN, records, site, earlier, catalogue, plan(site, catalogue), verdicts or {}, asked)


def nexts(found: Remains) -> list[list[str]]:
    return [[host.next for host in step.hosts] for step in found.steps]


def test_done_is_proved_cut_off_is_looked_at_and_the_rest_is_run(catalogue: Catalogue) -> None:
    found = stand(catalogue, rows(DONE, CUT, OPEN))
    assert nexts(found) == [["prove", "prove"], ["prove", "mend"], ["run", "run"]]
    assert sentences(found) == [
        "90/10 Step 1: done; to be proved",
        "90/20 Step 2: cut off; looked at and done again on s2; to be proved on s1",
        "90/30 Step 3: not begun; to do",
    ]


def test_what_the_proofs_say_decides(catalogue: Catalogue) -> None:
    verdicts = {
        ("90/10", "s1"): (Verdict.PROVED, "as wanted"),
        ("90/10", "s2"): (Verdict.BROKEN, "the line is gone"),
        ("90/20", "s1"): (Verdict.CANNOT_TELL, "no answer"),
    }
    found = stand(catalogue, rows(DONE, CUT, OPEN), verdicts=verdicts)
    assert nexts(found)[:2] == [["nothing", "run"], ["wait", "mend"]]
    assert sentences(found)[:2] == [
        "90/10 Step 1: done; proved on s1; broken on s2; done again on s2",
        "90/20 Step 2: cut off; cannot tell on s1; looked at and done again on s2; waited for on s1",
    ]
    assert found.steps[0].hosts[1].said == "the line is gone"


def test_a_changed_answer_names_the_steps_that_read_it(catalogue: Catalogue) -> None:
    now = SITE.model_copy(update={"zone": "home.internal"})
    before = answers(SITE, ["zone"])
    found = stand(catalogue, rows(DONE, DONE, DONE, read=before), site=now)
    assert nexts(found) == [["run", "run"], ["prove", "prove"], ["prove", "prove"]]
    assert found.steps[0].because == ("zone",)
    lines = sentences(found)
    assert lines[0] == "Answer zone has changed: none → home.internal."
    assert lines[1] == "90/10 Step 1: done; done again, since zone changed"
    same = stand(catalogue, rows(DONE, DONE, DONE, read=before))
    assert not same.changed and same.steps[0].because == ()


def test_servers_that_came_and_went_are_named(catalogue: Catalogue) -> None:
    now = Site(name="attic", servers=(server("s1", 1), server("s3", 3)))
    found = stand(catalogue, rows(DONE, DONE, OPEN), site=now)
    assert (found.new_servers, found.gone_servers) == (("s3",), ("s2",))
    assert nexts(found)[0] == ["prove", "run"]
    lines = sentences(found)
    assert "New in the site: s3; every step runs there." in lines
    assert "No longer in the site: s2; nothing is done there." in lines


def test_another_machine_is_asked_about(catalogue: Catalogue) -> None:
    verdicts = {
        ("90/10", "s2"): (Verdict.CANNOT_TELL, f"s2 {ANOTHER} Its machine-id is not the one that was recorded.")
    }
    found = stand(catalogue, rows(DONE, OPEN, OPEN), verdicts=verdicts)
    assert found.replaced == ("s2",)
    assert sentences(found)[0].endswith("homewright resume --new-machine s2")


def test_what_failed_and_what_is_left_out_say_why(catalogue: Catalogue) -> None:
    found = stand(catalogue, rows(DONE, FAILED, OPEN), skips={"90/30": "not here"})
    assert found.steps[1].hosts[1].said == "it would not"
    assert sentences(found)[1:] == [
        "90/20 Step 2: failed; looked at and done again on s2; to be proved on s1",
        "90/30 Step 3: not begun; left out: not here",
    ]


def test_verdicts_are_those_of_the_last_engine(state: StateFolder, writer: Writer) -> None:
    def verify(step: str, verdict: Verdict, text: str = "") -> None:
        writer.line(Event(Kind.VERIFY, text, step=step, host="s1", data={"verdict": verdict}))

    writer.line(Event(Kind.RUN_STARTED))
    verify("90/10", Verdict.PROVED)
    writer.line(Event(Kind.RUN_STARTED))
    verify("90/20", Verdict.CANNOT_TELL, "booting")
    verify("90/20", Verdict.BROKEN, "gone")
    writer.line(Event(Kind.RETRY, "the proof cannot tell: no answer", step="90/30", host="s1"))
    writer.line(Event(Kind.RETRY, "try again", step="90/30"))
    writer.flush()
    found = heard(Reader(state).since_start("r1", (Kind.VERIFY, Kind.RETRY)))
    assert found == {
        ("90/20", "s1"): (Verdict.BROKEN, "gone"),
        ("90/30", "s1"): (Verdict.CANNOT_TELL, "the proof cannot tell: no answer; it is asked again"),
    }


def test_a_run_is_held_only_while_its_engine_lives(state: StateFolder, writer: Writer) -> None:
    from dataclasses import replace

    going = replace(RUN, state=State.RUNNING)
    assert not held(Reader(state), going)
    writer.change(writer.set_meta("held", "r1"))
    assert held(Reader(state), going)
    assert not held(Reader(state), RUN)
    assert not held(Reader(state), replace(going, id="r2"))
