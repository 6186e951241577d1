"""What disks and clocks do to a journal: full, cut, garbled, set back. It is whole, or it says that it is not."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from homewright.engine.events import Event, Kind
from homewright.engine.journal import Reader
from homewright.engine.journal import writer as writing
from homewright.engine.journal.writer import Writer
from homewright.engine.states import State
from homewright.errors import StateError
from homewright.site.paths import StateFolder

PAGE = 4096
SMALL = pytest.mark.skipif(os.getuid() != 0, reason="a small file system of its own needs root")
BEGIN = """
import errno, sys, time
from pathlib import Path
from homewright.engine.events import Event, Kind
from homewright.engine.journal import Reader
from homewright.engine.journal import writer as writing
from homewright.engine.journal.writer import Writer
from homewright.errors import StateError
from homewright.site.paths import StateFolder

small = Path(sys.argv[1])
state = StateFolder(small / "state")
writer = Writer(state, "r1")
writer.change(writer.add_run(action="run", state="running", created=0.0))
for number in range(100_000):
    writer.line(Event(Kind.LINE, "x" * 500))
    if number % 50 == 0:
        writer.flush()
    if writer.full:
        break
assert writer.full, "the disk did not fill"
"""


def on_a_small_disk(folder: Path, script: str) -> subprocess.CompletedProcess[str]:
    """A script whose first argument is a file system of 7 MB."""
    small, file = folder / "small", folder / "script.py"
    small.mkdir()
    file.write_text(BEGIN + script)
    commands = f"mount -t tmpfs -o size=7m none {small} && {sys.executable} {file} {small} {folder}"
    return subprocess.run(["unshare", "-m", "sh", "-c", commands], capture_output=True, text=True, timeout=100)


@pytest.mark.programs
@SMALL
def test_a_full_disk_frees_the_ballast_for_the_final_states(tmp_path: Path) -> None:
    done = on_a_small_disk(
        tmp_path,
        """
writer.transition(Event(Kind.RUN_FINISHED), writer.set_run(state="failed", reason="full"))
writer.close()
run = Reader(state).run()
print(run.state, run.reason)
try:
    with (small / "theirs").open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass
except OSError as error:
    assert error.errno == errno.ENOSPC
try:
    Writer(state, "r2")
except StateError as error:
    print(error.what, error.do[1])
""",
    )
    assert done.returncode == 0, done.stderr
    ended, refused = done.stdout.splitlines()
    assert ended == "failed full"
    assert refused.startswith("The disk that holds the state folder is full.")
    assert "mkdir -p DIR && cp -a " in refused and "/. DIR/, then: homewright --state DIR resume" in refused


@pytest.mark.programs
@SMALL
def test_lines_are_kept_again_once_there_is_room(tmp_path: Path) -> None:
    done = on_a_small_disk(
        tmp_path,
        """
writer.line(Event(Kind.LINE, "while it was full"))
last = writer.last_seq
writer.flush()
assert writer.full, "nothing has made room"
import subprocess
subprocess.run(["mount", "-o", "remount,size=40m", str(small)], check=True)
writing.LOOK_AGAIN_S = 0.0
writer.flush()
assert not writer.full
writer.transition(Event(Kind.LINE, "afterwards"), writer.set_run(reason="goes on"))
events = Reader(state).events("r1", after=last - 1, limit=10)
print([event.text for event in events][-2:], (state.root / "ballast").stat().st_size == writing.BALLAST)
seqs = [event.seq for event in Reader(state).events("r1", limit=100_000)]
print(seqs == sorted(set(seqs)))
writer.close()
""",
    )
    assert done.returncode == 0, done.stderr
    said, whole = done.stdout.splitlines()
    assert "There is room on the disk again; 1 lines were dropped while it was full." in said
    assert said.endswith("'afterwards'] True")
    assert whole == "True"


@pytest.mark.programs
@SMALL
def test_a_run_whose_disk_is_full_goes_on_in_a_copy_elsewhere(tmp_path: Path) -> None:
    done = on_a_small_disk(
        tmp_path,
        """
import shutil
writer.transition(Event(Kind.RUN_FINISHED), writer.set_run(state="failed", reason="full"))
writer.close()
shutil.copytree(state.root, Path(sys.argv[2]) / "elsewhere")
""",
    )
    assert done.returncode == 0, done.stderr
    there = StateFolder(tmp_path / "elsewhere")
    before = Reader(there).last_seq("r1")
    writer = Writer(there, "r1")
    writer.transition(Event(Kind.RUN_STARTED, "goes on"), writer.set_run(state="succeeded"))
    writer.close()
    assert before > 50
    assert Reader(there).last_seq("r1") == before + 1
    assert Reader(there).run("r1").state is State.SUCCEEDED


def recorded(state: StateFolder) -> Writer:
    """A journal with something in its main files and something in its WALs; its writer still lives."""
    first = Writer(state, "r1")
    fill(first, 300)
    first.close()
    second = Writer(state, "r2")
    fill(second, 60)
    return second


def fill(writer: Writer, lines: int) -> None:
    writer.change(writer.add_run(action="run", state="running", created=1.0))
    for number in range(20):
        values = {"stage": "00", "title": "T" * 50, "runner": "python", "position": number, "state": "pending"}
        writer.change(*(writer.add_step(f"00/{number}", host, **values) for host in ("", "s1", "s2", "s3")))
    for number in range(lines):
        writer.line(Event(Kind.LINE, f"line {number} " + "x" * 200, step="00/1", host="s1", data={"number": number}))
        if number % 10 == 0:
            writer.transition(Event(Kind.STEP_FINISHED, step="00/1"), writer.set_step("00/1", "s1", state="succeeded"))
    writer.flush()


def cut(data: bytes, dice: random.Random) -> bytes:
    return data[: dice.randrange(len(data))]


def turned(data: bytes, dice: random.Random) -> bytes:
    """A few bytes are others."""
    made = bytearray(data)
    for _ in range(dice.randint(1, 8)):
        made[dice.randrange(len(made))] ^= dice.randint(1, 255)
    return bytes(made)


def emptied(data: bytes, dice: random.Random) -> bytes:
    """A stretch was never written: zeros, as after a cut before the data came to the disk."""
    begin = dice.randrange(len(data))
    length = dice.randint(1, 8192)
    return data[:begin] + bytes(len(data[begin : begin + length])) + data[begin + length :]


def damage(folder: Path, state: StateFolder, seed: int) -> str:
    """One file of a copy of the journal, as it lies there, is damaged; what was done."""
    dice = random.Random(seed)
    shutil.copytree(state.root, folder)
    there = [f for f in sorted(folder.rglob("*.db*")) if not f.name.endswith("-shm") and f.stat().st_size]
    for shared in folder.rglob("*-shm"):
        shared.unlink()  # which a power cut does not leave in any shape that counts
    file = dice.choice(there)
    how: Callable[[bytes, random.Random], bytes] = dice.choice((cut, turned, emptied))
    file.write_bytes(how(file.read_bytes(), dice))
    return f"seed {seed}: {file.relative_to(folder)} {how.__name__}"


def read_and_go_on(state: StateFolder) -> bool:
    """All that viewers and engines do with a journal; False where it said in words that it is damaged."""
    reader = Reader(state)
    try:
        for record in reader.runs():
            reader.steps(record.id)
            after = 0
            while page := reader.events(record.id, after, 100):
                assert [event.seq for event in page] == sorted(event.seq for event in page)
                after = page[-1].seq
        reader.history()
        reader.receipts()
        writer = Writer(state, "r2")
        writer.transition(Event(Kind.RUN_STARTED), writer.set_run(state="succeeded"))
        writer.close()
        assert reader.last_seq("r2") > 0
    except StateError as error:
        assert error.what and error.do, error
        return False
    return True


def ruin(state: StateFolder, tmp_path: Path, seeds: range) -> int:
    """How many damaged journals were refused; every one is read and written on, or refused in words."""
    writer = recorded(state)
    refused = 0
    try:
        for seed in seeds:
            folder = tmp_path / f"damaged-{seed}"
            done = damage(folder, state, seed)
            try:
                refused += not read_and_go_on(StateFolder(folder))
            except Exception as error:
                raise AssertionError(done) from error
            shutil.rmtree(folder)
    finally:
        writer.close()
    return refused


def test_a_journal_cut_or_garbled_anywhere_is_read_on_or_refused_in_words(state: StateFolder, tmp_path: Path) -> None:
    refused = ruin(state, tmp_path, range(60))
    assert 5 < refused < 55, "both must come to pass"


@pytest.mark.long
def test_thousands_of_damaged_journals(state: StateFolder, tmp_path: Path) -> None:
    assert ruin(state, tmp_path, range(1000, 4000)) > 500


@pytest.mark.parametrize("name", ["journal.db", "runs/r1/events.db"])
def test_a_page_that_was_lost_is_found_before_anything_is_written(
    state: StateFolder, tmp_path: Path, name: str
) -> None:
    """Whether or not the engine would ever have read it."""
    recorded(state).close()
    pages = (state.root / name).stat().st_size // PAGE
    for page in range(1, pages, max(1, pages // 12)):
        folder = tmp_path / f"lost-{page}"
        shutil.copytree(state.root, folder)
        with (folder / name).open("r+b") as file:
            file.seek(page * PAGE)
            file.write(bytes(PAGE))
        with pytest.raises(StateError, match="is damaged") as caught:
            Writer(StateFolder(folder), "r1").close()
        assert name.rpartition("/")[2] in caught.value.what
        shutil.rmtree(folder)


@pytest.mark.parametrize("change", ["UPDATE runs SET state = 'what'", "UPDATE steps SET do = '[' WHERE host = 's1'"])
def test_a_record_that_nobody_wrote_is_told(state: StateFolder, change: str) -> None:
    recorded(state).close()
    with contextlib.closing(sqlite3.connect(state.journal)) as journal:
        journal.execute(change)
        journal.commit()
    with pytest.raises(StateError, match="cannot be read"):
        [Reader(state).steps(record.id) for record in Reader(state).runs()]


def test_a_schema_that_is_no_text_is_told(state: StateFolder) -> None:
    recorded(state).close()
    data = state.journal.read_bytes()
    state.journal.write_bytes(data.replace(b"CREATE TABLE meta", b"CREATE T\xadBLE meta"))
    with pytest.raises(StateError, match="is damaged"):
        Reader(state).runs()
    with pytest.raises(StateError, match="is damaged"):
        Writer(state, "r3")


def test_a_wal_cut_at_any_frame_keeps_everything_before(state: StateFolder, tmp_path: Path) -> None:
    writer = recorded(state)
    wal = state.run("r2") / "events.db-wal"
    whole = wal.read_bytes()
    seqs = []
    for number, end in enumerate(range(32 + 4120, len(whole), 4120 * 7)):
        folder = tmp_path / f"cut-{number}"
        shutil.copytree(state.root, folder)
        there = StateFolder(folder)
        (there.run("r2") / "events.db-shm").unlink()
        (there.run("r2") / "events.db-wal").write_bytes(whole[: end + number % 4120])
        events = Reader(there).events("r2", limit=10_000)
        assert [event.seq for event in events] == list(range(1, len(events) + 1)), "a hole in the middle"
        seqs.append(len(events))
        again = Writer(there, "r2")
        assert again.last_seq == len(events)
        again.close()
    writer.close()
    assert seqs == sorted(seqs)
    assert seqs[-1] > seqs[1] > 0


def test_states_that_are_gone_are_not_begun_anew_in_silence(state: StateFolder) -> None:
    recorded(state).close()
    for content in (b"", None):
        if content is None:
            state.journal.unlink()
        else:
            state.journal.write_bytes(content)
        with pytest.raises(StateError, match="is damaged") as caught:
            Writer(state, "r3")
        assert "lines of 2 runs are still there" in caught.value.why
        assert "roll-back no longer knows" in caught.value.do[-1]
    shutil.rmtree(state.runs)
    Writer(state, "r3").close()


def test_a_clock_that_is_set_back_changes_no_order_and_no_history(
    state: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time()
    writer = Writer(state, "r1")
    writer.change(writer.add_run(action="run", state="running", created=now))
    writer.transition(Event(Kind.LINE, "first"))
    monkeypatch.setattr(writing.time, "time", lambda: now - 3600)
    writer.transition(Event(Kind.LINE, "second"))
    values = {"stage": "00", "title": "T", "runner": "python", "position": 0, "state": "succeeded"}
    writer.change(writer.add_step("00/10", "", started=now, finished=now - 3500, **values))
    writer.close()
    events = Reader(state).events("r1")
    assert [event.text for event in events] == ["first", "second"]
    assert events[1].ts < events[0].ts
    assert Reader(state).history() == {}, "a step that ended before it began says nothing of how long it takes"
