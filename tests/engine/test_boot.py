"""Putting the unit in place, what it does at boot, and what is said of it. systemctl is a program of the test's own."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path
from typing import Any

import pytest

from homewright.cli import at_boot
from homewright.engine import launch, process
from homewright.engine.boot import __main__ as program
from homewright.engine.boot import notice, prospect, root, unit
from homewright.engine.boot.prospect import Circumstances, Prospect
from homewright.engine.journal import Reader
from homewright.engine.journal.writer import Writer
from homewright.engine.lock import EngineLock
from homewright.engine.states import State
from homewright.errors import StateError
from homewright.site.paths import StateFolder, make_folder


class Systemd:
    """A folder of units, and a systemctl that notes what it is asked and can be told to fail."""

    def __init__(self, folder: Path) -> None:
        self.units = folder / "units"
        self.units.mkdir()
        self._asked = folder / "asked"
        self._fails = folder / "fails"
        programs = folder / "programs"
        programs.mkdir()
        told = (shlex.quote(str(path)) for path in (self._asked, self._fails, self._fails))
        script = 'echo "$*" >>{}; if grep -qsx "$1" {}; then echo "no $1 today" >&2; exit 1; fi; exit 0\n'
        asked, fails, _ = told
        (programs / "systemctl").write_text("#!/bin/sh\n" + script.format(asked, fails))
        (programs / "systemctl").chmod(0o755)
        self.path = f"{programs}:{os.environ['PATH']}"

    def fail(self, verb: str) -> None:
        self._fails.write_text(f"{verb}\n")

    @property
    def asked(self) -> list[str]:
        return self._asked.read_text().splitlines() if self._asked.exists() else []

    @property
    def files(self) -> set[str]:
        return {str(path.relative_to(self.units)) for path in self.units.rglob("*") if not path.is_dir()}


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Systemd:
    made = Systemd(tmp_path)
    monkeypatch.setattr(unit, "FOLDER", made.units)
    monkeypatch.setattr(root.os, "geteuid", lambda: 0)
    monkeypatch.setenv("PATH", made.path)
    monkeypatch.setattr(prospect, "look", lambda *_, **__: Circumstances(systemd=True))
    return made


@pytest.fixture
def run(state: StateFolder) -> str:
    make_folder(state.runs)
    make_folder(state.run("r1"))
    return "r1"


def all_of(state: StateFolder) -> set[str]:
    name = unit.name_of(state.root)
    return {f"{name}.service", f"{name}.path", f"{unit.WANTED_BY}.wants/{name}.service"}


def test_the_unit_is_put_in_place_and_what_was_said_is_recorded(
    systemd: Systemd, state: StateFolder, run: str, tmp_path: Path
) -> None:
    (state.root / unit.OVER).touch()  # an earlier run's end, which systemd has not seen yet
    told = prospect.prepare(tmp_path / "site.yaml", state, run)
    assert told is not None and told.resumes
    assert prospect.recorded(state, run) == told
    assert prospect.installed(state)
    assert systemd.files == all_of(state)
    name = unit.name_of(state.root)
    assert systemd.asked == [f"stop {name}.path {name}.service", "daemon-reload", f"start {name}.path"]
    assert not (state.root / unit.OVER).exists()
    assert {(systemd.units / file).stat().st_mode & 0o777 for file in systemd.files} == {0o644}
    again = prospect.prepare(tmp_path / "site.yaml", state, run)
    assert (again, systemd.files) == (told, all_of(state)), "the same again changes nothing"


@pytest.mark.parametrize("verb", ["daemon-reload", "start"])
def test_a_unit_that_cannot_be_installed_is_told_and_not_in_the_way(
    systemd: Systemd, state: StateFolder, run: str, tmp_path: Path, verb: str
) -> None:
    systemd.fail(verb)
    told = prospect.prepare(tmp_path / "site.yaml", state, run)
    assert told is not None and not told.resumes
    assert f"no {verb} today" in told.why
    assert prospect.recorded(state, run) == told


def test_a_state_folder_that_no_unit_can_name_is_told(systemd: Systemd, tmp_path: Path) -> None:
    odd = StateFolder(tmp_path / "two\nlines").create()
    make_folder(odd.run("r1"))
    told = prospect.prepare(tmp_path / "site.yaml", odd, "r1")
    assert told is not None and not told.resumes
    assert systemd.files == set()


def test_the_unit_of_a_run_that_goes_on_is_not_touched(
    systemd: Systemd, state: StateFolder, run: str, tmp_path: Path
) -> None:
    held = EngineLock.take(state, "other")
    try:
        assert prospect.prepare(tmp_path / "site.yaml", state, run) is None
    finally:
        held.release()
    assert systemd.asked == []


def test_files_that_are_none_of_ours_are_refused(systemd: Systemd) -> None:
    for name, files in (("sshd", {"sshd.service": "", "sshd.path": ""}), (unit.name_of(Path("/x")), {"other": ""})):
        with pytest.raises(StateError):
            root.install(name, files)
    assert (systemd.files, systemd.asked) == (set(), [])


class Engine:
    """Takes the run to an end that the test names."""

    end: State
    seen: list[Any]

    def __init__(self, site_file: Path, state: StateFolder, run: str, *, at_boot: bool = False) -> None:
        self.state, self.run = state, run
        Engine.seen.append((run, at_boot, launch.RunRequest.read(state.run(run)).attempt))

    def live(self) -> int:
        writer = Writer(self.state, self.run)
        writer.change(writer.set_run(state=Engine.end))
        writer.close()
        return 1


@pytest.fixture
def boot(state: StateFolder, run: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, systemd: Systemd) -> Any:
    """What the unit starts, on a journal whose latest run is as the test says; its exit code."""
    Engine.seen = []
    monkeypatch.setattr(process, "Engine", Engine)
    monkeypatch.setattr(program.os, "dup2", lambda *_: None)
    request = '{"action": "apply", "stages": [], "skips": {"90/10": "not now"}}'
    (state.run(run) / "request.json").write_text(request)

    def start(recorded: State, end: State = State.SUCCEEDED, reason: str = "") -> int:
        Engine.end = end
        writer = Writer(state, run)
        writer.change(writer.add_run(action="run", state=recorded, created=1.0, reason=reason))
        writer.close()
        return program.go_on(tmp_path / "site.yaml", state)

    return start


@pytest.mark.parametrize(
    ("recorded", "end", "code"),
    [
        (State.INTERRUPTED, State.SUCCEEDED, unit.NOTHING_LEFT),
        (State.INTERRUPTED, State.FAILED, unit.NOTHING_LEFT),
        (State.INTERRUPTED, State.CANCELLED, unit.NOTHING_LEFT),
        (State.INTERRUPTED, State.INTERRUPTED, 0),
        (State.RUNNING, State.SUCCEEDED, unit.NOTHING_LEFT),  # its engine is dead
        (State.PENDING, State.SUCCEEDED, unit.NOTHING_LEFT),
    ],
)
def test_a_run_that_was_cut_off_goes_on_with_what_it_was_asked(
    boot: Any, state: StateFolder, recorded: State, end: State, code: int
) -> None:
    (state.root / unit.OVER).touch()
    assert boot(recorded, end) == code
    assert Engine.seen == [("r1", True, 2)]
    assert launch.RunRequest.read(state.run("r1")).skips == {"90/10": "not now"}
    assert not (state.root / unit.OVER).exists()


def test_what_a_retry_asked_for_and_had_not_begun_is_still_wanted(boot: Any, state: StateFolder, run: str) -> None:
    asked = {"action": "apply", "attempt": 3, "anew": ["90/10", "90/20", "90/30"], "new_machines": ["s2"]}
    (state.run(run) / "request.json").write_text(json.dumps(asked))
    writer = Writer(state, run)
    row = {"stage": "90", "title": "T", "runner": "python", "state": State.SUCCEEDED}
    for position, (step, attempt) in enumerate({"90/10": 3, "90/20": 2}.items()):
        rows = [writer.add_step(step, host, position=position, attempt=attempt, **row) for host in ("", "s1")]
        writer.change(*rows)
    writer.close()
    boot(State.RUNNING)
    request = launch.RunRequest.read(state.run(run))
    assert (request.attempt, request.anew, request.new_machines) == (4, ("90/20", "90/30"), ("s2",))


@pytest.mark.parametrize("recorded", [State.SUCCEEDED, State.FAILED, State.CANCELLED, State.INCOMPLETE])
def test_a_stale_unit_has_itself_taken_away(boot: Any, recorded: State) -> None:
    assert boot(recorded) == unit.NOTHING_LEFT
    assert Engine.seen == []


def test_a_paused_run_stays_paused(boot: Any) -> None:
    assert boot(State.INTERRUPTED, reason="Paused before 90/20 Slow.") == 0
    assert Engine.seen == []


@pytest.mark.parametrize(("key", "why"), [("held", "looking at it"), ("paused", "A pause was asked for")])
def test_a_run_that_was_held_or_told_to_pause_does_not_go_on(boot: Any, state: StateFolder, key: str, why: str) -> None:
    writer = Writer(state, "r1")
    writer.change(writer.set_meta(key, "r1"))
    writer.close()
    assert boot(State.RUNNING) == 0
    assert Engine.seen == []
    [row] = Reader(state).runs(1)
    found = at_boot.of_run(state, row)
    assert found is not None and not found.resumes and why in found.why


def test_an_engine_that_is_at_work_is_left_alone(boot: Any, state: StateFolder) -> None:
    held = EngineLock.take(state, "r1")
    try:
        assert boot(State.RUNNING) == 0
    finally:
        held.release()
    assert Engine.seen == []


def test_it_leaves_no_core_dump_with_secrets(
    state: StateFolder, tmp_path: Path, systemd: Systemd, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits: list[Any] = []
    monkeypatch.setattr(program.resource, "setrlimit", lambda *limit: limits.append(limit))
    monkeypatch.setattr(program, "_wait", lambda *_: None)
    monkeypatch.setattr(program.os, "umask", lambda _: 0)
    words = ["homewright.engine.boot", "--site", str(tmp_path / "site.yaml"), "--state", str(state.root)]
    monkeypatch.setattr(program.sys, "argv", words)
    assert program.main() == unit.NOTHING_LEFT
    assert limits == [(program.resource.RLIMIT_CORE, (0, 0))]


def test_without_any_run_there_is_nothing_to_go_on_with(state: StateFolder, tmp_path: Path, systemd: Systemd) -> None:
    assert program.go_on(tmp_path / "site.yaml", state) == unit.NOTHING_LEFT


def test_it_waits_for_its_places_and_says_for_what(
    state: StateFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "home" / "site.yaml"
    told: list[str] = []
    monkeypatch.setattr(notice, "say", told.append)

    def appear(_seconds: float) -> None:
        """An encrypted home is opened, first with the one and then with the other."""
        if len(told) == 2:
            site.parent.mkdir()
            site.touch()
        if len(told) == 3:
            state.journal.touch()

    monkeypatch.setattr(program.time, "sleep", appear)
    program._wait(state, site)
    both, again, last = told
    assert both == again
    assert str(site) in both and str(state.journal) in both
    assert str(site) not in last and str(state.journal) in last


@pytest.mark.parametrize("keeps", [True, False])
def test_after_a_refused_start_the_unit_stays_only_where_an_earlier_run_needs_it(
    systemd: Systemd, state: StateFolder, run: str, writer: Writer, tmp_path: Path, keeps: bool
) -> None:
    writer.change(writer.set_run(state=State.INTERRUPTED if keeps else State.FAILED))
    prospect.prepare(tmp_path / "site.yaml", state, run)
    prospect.refused(state)
    assert (state.root / unit.OVER).exists() is not keeps


def test_without_a_unit_the_end_of_a_run_leaves_nothing(systemd: Systemd, state: StateFolder) -> None:
    prospect.over(state)
    assert not (state.root / unit.OVER).exists()


GOES = Prospect(True, "a systemd unit does it.")
WAITS = "It waits for /home/ann/state/journal.db: not there yet, or not to be read."


@pytest.mark.parametrize(
    ("recorded", "told", "unit_there", "systemd_says", "said"),
    [
        (State.RUNNING, GOES, True, {}, GOES),
        (State.INTERRUPTED, GOES, True, {"ActiveState": "inactive", "StatusText": ""}, GOES),
        (State.INTERRUPTED, GOES, True, {"ActiveState": "active", "StatusText": WAITS}, Prospect(True, WAITS)),
        (
            State.INTERRUPTED,
            GOES,
            True,
            {"ActiveState": "failed", "StatusText": "s1 is gone."},
            Prospect(False, "it was tried and given up: s1 is gone."),
        ),
        (State.INTERRUPTED, GOES, False, {}, Prospect(False, "its unit is not there any more.")),
        (State.INTERRUPTED, Prospect(False, "no systemd."), False, {}, Prospect(False, "no systemd.")),
        (State.FAILED, GOES, True, {}, None),
        (State.SUCCEEDED, GOES, False, {}, None),
    ],
)
def test_what_status_says_of_it(
    state: StateFolder,
    run: str,
    monkeypatch: pytest.MonkeyPatch,
    recorded: State,
    told: Prospect,
    unit_there: bool,
    systemd_says: dict[str, str],
    said: Prospect | None,
) -> None:
    writer = Writer(state, run)
    writer.change(writer.add_run(action="run", state=recorded, created=1.0))
    writer.close()
    monkeypatch.setattr(prospect, "installed", lambda _: unit_there)
    monkeypatch.setattr(prospect, "asked", lambda _: systemd_says)
    monkeypatch.setattr(prospect, "recorded", lambda *_: told)
    [row] = Reader(state).runs(1)
    if recorded is State.RUNNING:
        held = EngineLock.take(state, run)
        try:
            [row] = Reader(state).runs(1)
            assert at_boot.of_run(state, row) == said
        finally:
            held.release()
    else:
        assert at_boot.of_run(state, row) == said


def test_status_says_what_is_waited_for_where_the_state_folder_is_not_there(
    state: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prospect, "installed", lambda _: True)
    monkeypatch.setattr(prospect, "asked", lambda _: {"ActiveState": "active", "StatusText": WAITS})
    [line] = at_boot.lines(state, None)
    assert WAITS in line


@pytest.mark.parametrize("sudo", [None, "sleep 5", "echo 'a password is required' >&2; exit 1"])
def test_a_sudo_that_does_not_answer_is_not_waited_for_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sudo: str | None
) -> None:
    if sudo is not None:
        (tmp_path / "sudo").write_text(f"#!/bin/sh\nPATH={os.environ['PATH']}\n{sudo}\n")
        (tmp_path / "sudo").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(root, "LIMIT_S", 0.3 if sudo == "sleep 5" else 60.0)
    assert prospect._may_sudo() is (sudo is not None and "password" in sudo)
