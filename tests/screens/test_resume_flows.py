"""A run that was cut off, on its screen: what is proved, what drifted, what is asked, and going on; by keys alone."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from piloting import Compare, Make, both, drive, open_page, page, shows, text_of, until
from screen_doubles import NOW, RUN, write_run
from textual.pilot import Pilot

from homewright.catalogue import load, shipped
from homewright.engine.events import Event, Kind, Level
from homewright.engine.fence import ANOTHER
from homewright.engine.journal import receipts
from homewright.engine.journal.writer import Writer
from homewright.engine.lock import EngineLock
from homewright.engine.states import Verdict
from homewright.screens.deploy import Deploy
from homewright.screens.resume import Resume
from homewright.site import files
from homewright.site.paths import StateFolder

if TYPE_CHECKING:
    from conftest import Recorded

    from homewright.screens.services_runs import Standing

SIZE = (80, 24)
PROVED = {("00/10", host): (Verdict.PROVED, "every name is there") for host in ("s1", "s2", "s3")}
KEPT = ("00/20", "s1")
"""Where the second step was through when the power went."""


class Engine:
    """What an engine that proves first writes into the journal, and what it is told."""

    def __init__(self, services: Recorded, state: StateFolder) -> None:
        self.state = state
        self.says: dict[tuple[str, str], tuple[Verdict, str]] = PROVED | {KEPT: (Verdict.PROVED, "")}
        self.lock: EngineLock | None = None
        self.told: list[str] = []
        self.proved: list[list[str]] = []
        self.done: list[tuple[object, ...]] = []
        services.prove_first = self.prove_first  # type: ignore[method-assign]  # for one test
        services.do_the_rest = self.do_the_rest  # type: ignore[method-assign]  # for one test
        services.tell = self.tell  # type: ignore[method-assign]  # for one test

    def prove_first(self, file: Path, state: StateFolder, run: str, new_machines: Sequence[str]) -> None:
        self.proved.append(list(new_machines))
        self.lock = EngineLock.take(state, run)
        writer = Writer(state, run)
        row = writer.set_run(state="running", reason="", attempt=2, finished=None)
        writer.transition(Event(Kind.RUN_STARTED, "Run goes on.", ts=NOW), writer.set_meta("held", run), row)
        for (step, host), (verdict, text) in self.says.items():
            data = {"verdict": verdict}
            writer.transition(Event(Kind.VERIFY, text, step=step, host=host, data=data, ts=NOW))
        paused = Event(Kind.CONTROL, "Paused before 00/10 Names.", ts=NOW)
        writer.transition(paused, writer.set_run(reason="Paused before 00/10 Names."))
        writer.close()

    def tell(self, state: StateFolder, command: str) -> int:
        self.told.append(command)
        writer = Writer(state, RUN)
        if command == "cancel":
            ended = writer.set_run(state="interrupted", finished=NOW - 60, reason="")
            writer.transition(Event(Kind.RUN_FINISHED, "It stands as it stood.", level=Level.WARNING, ts=NOW), ended)
            self.release()
        else:
            writer.change(writer.set_meta("held", ""), writer.set_run(reason=""))
        writer.close()
        return 1

    def do_the_rest(
        self,
        file: Path,
        state: StateFolder,
        run: str,
        anew: Sequence[str],
        skips: Mapping[str, str],
        new_machines: Sequence[str],
    ) -> None:
        self.done.append((list(anew), dict(skips), list(new_machines)))

    def release(self) -> None:
        if self.lock is not None:
            self.lock.release()
            self.lock = None


@pytest.fixture
def engine(services: Recorded, site: Path, state: StateFolder) -> Iterator[Engine]:
    """A run whose engine's machine lost power in its second step, four minutes ago."""
    write_run(state)
    folder = state.run(RUN)
    load([shipped()]).copy(folder / "catalogue")
    (folder / "request.json").write_text(json.dumps({"action": "apply", "only": "00"}))
    (folder / "site.yaml").write_bytes(site.read_bytes())
    writer = Writer(state, RUN)
    cut = {"state": "interrupted", "reason": "The engine ended in the middle."}
    writer.change(
        writer.set_run(**cut, finished=NOW - 240),
        *(writer.set_step("00/20", host, **cut) for host in ("", "s2", "s3")),
    )
    writer.close()
    made = Engine(services, state)
    yield made
    made.release()


def test_the_proofs_come_in_and_the_run_goes_on(make_app: Make, site: Path, engine: Engine) -> None:
    async def flow(pilot: Pilot[object]) -> None:
        await open_page(pilot, site, "resume")
        await until(pilot, shows(pilot, "was cut off in 00/20", "All that was done is proved", "4m ago"))
        assert engine.proved == [[]]
        await pilot.press("down")
        await until(pilot, shows(pilot, "s1 proved", "s2 was cut off: looked at first"))
        await pilot.press("ctrl+n")
        await until(pilot, lambda: isinstance(pilot.app.screen, Deploy))

    drive(make_app(), SIZE, flow)
    assert engine.told == ["continue"]
    assert engine.done == []


def test_drift_is_named_and_what_cannot_be_told(make_app: Make, site: Path, engine: Engine) -> None:
    engine.says |= {
        ("00/10", "s2"): (Verdict.BROKEN, "the line for s3 is gone"),
        KEPT: (Verdict.CANNOT_TELL, "s1 does not answer"),
    }

    async def flow(pilot: Pilot[object]) -> None:
        await open_page(pilot, site, "resume")
        await until(pilot, shows(pilot, "Drifted since: 00/10", "✗ broken s2", "done again s2", "? cannot tell"))
        await until(pilot, shows(pilot, "s2 broken: the line for s3 is gone"))

    drive(make_app(), SIZE, flow)


def test_changed_answers_and_new_servers_are_said(make_app: Make, site: Path, engine: Engine) -> None:
    before = files.load(site)
    added = {"name": "s4", "address": "192.168.1.14", "user": "admin"}
    files.update(site, {"servers": [*before.servers, added], "environment": {"COLOUR": "red"}})

    async def flow(pilot: Pilot[object]) -> None:
        await open_page(pilot, site, "resume")
        await until(pilot, shows(pilot, "Answers have changed since", "environment.COLOUR", "New in the site: s4"))
        await until(pilot, shows(pilot, "done again s4"))

    drive(make_app(), (120, 40), flow)


def test_another_machine_is_asked_about_before_anything_goes_on(make_app: Make, site: Path, engine: Engine) -> None:
    engine.says |= {("00/10", "s3"): (Verdict.CANNOT_TELL, f"s3 {ANOTHER} Its machine-id is not the recorded one.")}

    async def flow(pilot: Pilot[object]) -> None:
        await open_page(pilot, site, "resume")
        await until(pilot, shows(pilot, "s3 is another machine than before. m accepts it"))
        await pilot.press("ctrl+n")
        await until(pilot, shows(pilot, "First say whether s3 was replaced"))
        assert engine.told == []
        await pilot.press("m")
        await until(pilot, shows(pilot, "Type s3 to go on"))
        await pilot.press("s", "3", "enter")
        await until(pilot, shows(pilot, "s3 is accepted"))
        await pilot.press("ctrl+n")
        await until(pilot, lambda: bool(engine.done))

    drive(make_app(), SIZE, flow)
    assert engine.told == ["cancel"]
    assert engine.done == [([], {}, ["s3"])]


def test_steps_are_marked_to_be_done_anew_or_left_out(make_app: Make, site: Path, engine: Engine) -> None:
    async def flow(pilot: Pilot[object]) -> None:
        await open_page(pilot, site, "resume")
        await until(pilot, shows(pilot, "All that was done is proved"))
        await pilot.press("a")
        await until(pilot, shows(pilot, "done anew"))
        await pilot.press("end", "k")
        await until(pilot, shows(pilot, "skip 00/40"))
        await pilot.press(*"later", "enter")
        await until(pilot, shows(pilot, "Left out: later"))
        await pilot.press("up", "a", "a")
        await pilot.press("ctrl+n")
        await until(pilot, lambda: bool(engine.done))

    drive(make_app(), SIZE, flow)
    assert engine.done == [(["00/10"], {"00/40": "later"}, [])]


def test_proofs_are_asked_again(make_app: Make, site: Path, engine: Engine) -> None:
    async def flow(pilot: Pilot[object]) -> None:
        await open_page(pilot, site, "resume")
        await until(pilot, shows(pilot, "All that was done is proved"))
        engine.says[KEPT] = (Verdict.BROKEN, "gone meanwhile")
        await pilot.press("v")
        await until(pilot, shows(pilot, "Drifted since: 00/20"))

    drive(make_app(), SIZE, flow)
    assert engine.proved == [[], []]
    assert engine.told == ["cancel"]


def test_a_look_from_before_tells_nothing_of_the_proofs_that_are_asked_again(
    make_app: Make, services: Recorded, site: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a busy machine a look may take longer than a key: it said that all is proved, and not what had drifted."""
    standing, late, looked = services.standing, threading.Event(), threading.Event()

    def slow(*words: Any) -> Standing:
        found = standing(*words)
        if late.is_set() and not looked.is_set():
            looked.set()
            end = time.monotonic() + 30
            while len(engine.proved) < 2 and time.monotonic() < end:
                time.sleep(0.01)
        return found

    monkeypatch.setattr(services, "standing", slow)

    async def flow(pilot: Pilot[object]) -> None:
        await open_page(pilot, site, "resume")
        await until(pilot, shows(pilot, "All that was done is proved"))
        late.set()
        await until(pilot, looked.is_set)
        engine.says[KEPT] = (Verdict.BROKEN, "gone meanwhile")
        await pilot.press("v")
        await until(pilot, shows(pilot, "Drifted since: 00/20"))

    drive(make_app(), SIZE, flow)


def test_taking_a_stage_back_wants_its_name(
    make_app: Make, services: Recorded, site: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    monkeypatch.setattr(services, "roll_back", lambda *words: asked.append(words[2:]) or RUN)
    monkeypatch.setattr(services, "resting", lambda *_: ("10", "20"))

    async def flow(pilot: Pilot[object]) -> None:
        await open_page(pilot, site, "resume")
        await until(pilot, shows(pilot, "All that was done is proved"))
        await pilot.press("R")
        await until(pilot, shows(pilot, "take stage 00 back?"))
        assert shows(pilot, "Before it, what rests on it is taken back: 20, 10.")()
        await pilot.press("enter")
        await until(pilot, shows(pilot, "that is not 00"))
        await pilot.press("0", "0", "enter")
        await until(pilot, lambda: bool(asked))

    app = make_app()
    app.options.stages = ["/srv/trees"]
    drive(app, SIZE, flow)
    assert asked == [("00", ["/srv/trees"])], "a stage of somebody's own as well"
    assert engine.told == ["cancel"]


def test_what_remains_is_saved_as_text(make_app: Make, site: Path, engine: Engine, tmp_path: Path) -> None:
    async def flow(pilot: Pilot[object]) -> None:
        await open_page(pilot, site, "resume")
        await until(pilot, shows(pilot, "All that was done is proved"))
        await pilot.press("ctrl+s")
        await until(pilot, shows(pilot, "Saved in"))

    drive(make_app(), SIZE, flow)
    assert "00/10 Names: done; proved on s1, s2, s3" in (tmp_path / "homewright-attic-resume.txt").read_text()


def test_the_program_opens_an_unfinished_run_by_itself_once(make_app: Make, site: Path, engine: Engine) -> None:
    app = make_app()
    app.opens = True

    async def flow(pilot: Pilot[object]) -> None:
        await until(pilot, lambda: isinstance(pilot.app.screen, Resume))
        await until(pilot, shows(pilot, "All that was done is proved"))
        await pilot.press("escape")
        await until(pilot, shows(pilot, "Begin something", "a run goes on"))
        assert "attic" in text_of(pilot.app)

    drive(app, SIZE, flow)


@both
def test_picture_resume(
    snap_compare: Compare, make_app: Make, site: Path, engine: Engine, size: tuple[int, int]
) -> None:
    engine.says |= {
        ("00/10", "s2"): (Verdict.BROKEN, "the line for s3 is gone from /etc/hosts"),
        KEPT: (Verdict.CANNOT_TELL, "s1 does not answer; it is asked again"),
    }
    assert snap_compare(make_app(), terminal_size=size, run_before=page("resume", ("Drifted since", "s2 broken")))


@both
def test_picture_resume_with_questions(
    snap_compare: Compare, make_app: Make, site: Path, engine: Engine, size: tuple[int, int]
) -> None:
    files.update(site, {"environment": {"COLOUR": "red"}})
    engine.says |= {("00/10", "s3"): (Verdict.CANNOT_TELL, f"s3 {ANOTHER} Its machine-id is not the recorded one.")}
    act = page("resume", ("m accepts it", "cannot be told"), "ctrl+n", ("First say",))
    assert snap_compare(make_app(), terminal_size=size, run_before=act)


@both
def test_picture_taking_back_with_receipts(
    snap_compare: Compare, make_app: Make, site: Path, engine: Engine, size: tuple[int, int]
) -> None:
    writer = Writer(engine.state, RUN)
    there, gone = "file 644 root:root, 9 bytes", ""
    for host in ("s1", "s2", "s3"):
        names = {"/etc/hosts": (there, f"{there} more"), "/etc/homewright/environment": (gone, there)}
        before, after = ({"file": {name: seen[at] for name, seen in names.items()}} for at in (0, 1))
        writer.change(receipts.found(RUN, "00/10", host, before), receipts.left("00/10", host, after, []))
    before = {"file": {f"/var/lib/homewright-peer/{number}": "" for number in range(6)}}
    after = {"file": dict.fromkeys(before["file"], there)}
    writer.change(receipts.found(RUN, "00/20", "s1", before), receipts.left("00/20", "s1", after, []))
    writer.close()
    act = page("resume", ("All that was done is proved",), "R", ("take stage 00 back?", "4 more"))
    assert snap_compare(make_app(), terminal_size=size, run_before=act)
